//! The options of `polyperf client`.

use std::{path::PathBuf, time::Duration};

use super::{
    access,
    args::{ClientArgs, LogLevel, Output, Prefix, Report, Target, Unit},
    config, governance, history,
    host::{self, Host},
    identity, packets, quic,
    raw::{RawClient, RawConnection, RawOutput},
    shared,
    test_spec::test_spec,
    values::{Mistakes, file, seconds_up_to, shown, whole},
};
use crate::spec::TestSpec;

/// Checks every option. Returns `None` if a mistake leaves nothing to run.
pub(super) fn client(
    raw: &RawClient,
    transports: &[&str],
    mistakes: &mut Mistakes,
) -> Option<ClientArgs> {
    config::source(&raw.source, mistakes);
    let host = mistakes.value("HOST", raw.host.as_ref(), host::host);
    let port = mistakes.value("-p", raw.connection.port.as_ref(), whole(1..=u16::MAX));
    let here = packets::here(&raw.packets, mistakes);
    let spec = test_spec(raw, &here, transports, mistakes);
    let behind_host = host.as_ref().and_then(|host| host.device.as_deref());
    let local = shared::local(&raw.local, behind_host, mistakes);
    for addr in host.iter().filter_map(|host| host.addr) {
        shared::fits_family("HOST", addr, local.family, mistakes);
        if let Some(bind) = local.bind.filter(|bind| bind.is_ipv4() != addr.is_ipv4()) {
            mistakes.add(format!("-B {bind} cannot reach {addr}: use two addresses of one family"));
        }
    }
    let RawConnection { cport, connect_timeout, queue_timeout, control, .. } = &raw.connection;
    let client_port = mistakes.value("--cport", cport.as_ref(), whole(1..=u16::MAX));
    if let (Some(first), Some(spec)) = (client_port, &spec) {
        ports_fit(first, spec, mistakes);
    }
    let connect_timeout =
        mistakes.value("--connect-timeout", connect_timeout.as_ref(), whole(1..=MAX_CONNECT_MS));
    let queue_timeout =
        mistakes.value("--queue-timeout", queue_timeout.as_ref(), seconds_up_to(MAX_QUEUE, true));
    let control = mistakes.name("--control", control.as_ref(), transports);
    let login = access::login(&raw.login, mistakes);
    let trust = identity::trust(&raw.trust, mistakes);
    let tls = quic::tls(&raw.tls, mistakes);
    let perf_alpn = quic::perf_alpn(raw, here.server_affinity, mistakes);
    let history = history::saved(&raw.history, mistakes);
    let output = output(&raw.output, mistakes);
    let log = shared::log(&raw.log, LogLevel::Warn, mistakes);
    let target = host.map(|host| target(host, port, mistakes));
    Some(ClientArgs {
        target: target?,
        spec: spec?,
        local,
        client_port,
        connect_timeout: connect_timeout.map(Duration::from_millis),
        queue_timeout: queue_timeout.unwrap_or(DEFAULT_QUEUE_TIMEOUT),
        control,
        login,
        proof: governance::proof(&raw.proof, mistakes),
        control_tls: raw.proof.tls,
        trust,
        tls,
        perf_alpn,
        keep_alive: here.keep_alive,
        affinity: here.affinity,
        file: here.file,
        rate_given: raw.streams.bitrate.is_some(),
        history,
        output,
        log,
    })
}

/// Puts host and port together; the port may be named twice, but not in two ways.
pub(super) fn target(host: Host, option: Option<u16>, mistakes: &mut Mistakes) -> Target {
    if let (Some(behind), Some(option)) = (host.port, option)
        && behind != option
    {
        mistakes.add(format!(
            "-p {option} is not the port {behind} behind {}: keep one",
            shown(&host.name)
        ));
    }
    Target { port: host.port.or(option).unwrap_or(DEFAULT_PORT), host: host.name }
}

fn ports_fit(first: u16, spec: &TestSpec, mistakes: &mut Mistakes) {
    let last = u32::from(first) + u32::from(spec.flows()) - 1;
    if last > u32::from(u16::MAX) {
        mistakes.add(format!(
            "--cport {first} leaves too few ports for {} streams: start lower",
            spec.flows()
        ));
    }
}

fn output(raw: &RawOutput, mistakes: &mut Mistakes) -> Output {
    Output {
        report: report(raw.json, raw.json_stream, raw.csv, mistakes),
        unit: mistakes.value("-f", raw.format.as_ref(), unit),
        file: mistakes.value("-o", raw.output.as_ref(), output_file),
        progress: !raw.no_progress,
        tui: raw.tui,
    }
}

/// Chooses the form of the report.
pub(super) fn report(json: bool, json_stream: bool, csv: bool, mistakes: &mut Mistakes) -> Report {
    let given = [("-J", json), ("--json-stream", json_stream), ("--csv", csv)];
    mistakes.exclusive(&given, "keep one");
    match (json, json_stream, csv) {
        (true, ..) => Report::Json,
        (_, true, _) => Report::JsonStream,
        (.., true) => Report::Csv,
        _ => Report::Text,
    }
}

fn unit(text: &str) -> Result<Unit, String> {
    let prefix = match text.to_ascii_lowercase().as_str() {
        "k" => Prefix::Kilo,
        "m" => Prefix::Mega,
        "g" => Prefix::Giga,
        "t" => Prefix::Tera,
        _ => {
            return Err(
                "is no unit: write one of k, m, g, t for bits, or K, M, G, T for bytes".to_owned()
            );
        }
    };
    Ok(Unit { bytes: text.bytes().all(|byte| byte.is_ascii_uppercase()), prefix })
}

/// Parses where `-o` writes to.
pub(super) fn output_file(text: &str) -> Result<PathBuf, String> {
    if text == "-" {
        return Err("is no file: leave out -o for standard output".to_owned());
    }
    file(text)
}

/// The port that everything listens on, as iperf3's users know it.
pub(super) const DEFAULT_PORT: u16 = 5201;
const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(600);
/// A day, in seconds.
const MAX_QUEUE: u64 = 86_400;
/// An hour, in milliseconds.
const MAX_CONNECT_MS: u64 = 3_600_000;
