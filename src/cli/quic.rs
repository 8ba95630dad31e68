//! The options of QUIC, whose connections carry several streams and are encrypted.

use std::num::NonZeroU32;

use clap::Args;
use polyperf_certs::Provider;

use super::{
    args::Tls,
    raw::RawClient,
    values::{Mistakes, folder, natural},
};
use crate::transport::Tuning;

#[derive(Debug, Args)]
#[command(next_help_heading = "QUIC")]
pub(super) struct RawQuic {
    /// Largest packet in bytes of UDP payload, which QUIC looks for on the path from 1200 on, and RUDP
    /// sends from 100 on, up to 65507.
    #[arg(long, value_name = "N")]
    pub(super) mtu: Option<String>,
    /// Packets that a receiver may leave without an acknowledgement, 1 to 1000.
    #[arg(long, value_name = "N")]
    pub(super) ack_frequency: Option<String>,
    /// Connections to spread the streams over.
    #[arg(long, value_name = "N")]
    pub(super) connections: Option<String>,
    /// Resume an earlier connection.
    #[arg(long)]
    pub(super) resume: bool,
    /// Send the first bytes before the handshake is over.
    #[arg(long)]
    pub(super) zero_rtt: bool,
    /// Speak perf (draft-banks-quic-performance-00), to other people's servers.
    #[arg(long)]
    pub(super) perf_alpn: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "QUIC")]
pub(super) struct RawTls {
    /// Cryptography: ring or aws-lc-rs [default: ring].
    #[arg(long, value_name = "NAME")]
    pub(super) tls_provider: Option<String>,
    /// Write a log of each connection to a folder, in the form of qlog.
    #[arg(long, value_name = "DIR")]
    pub(super) qlog: Option<String>,
}

/// Adds to `tuning` what is asked for on the connections of the test.
pub(super) fn tuning(raw: &RawQuic, tuning: Tuning, mistakes: &mut Mistakes) -> Tuning {
    let RawQuic { mtu, ack_frequency, connections, .. } = raw;
    Tuning {
        mtu: mistakes.value("--mtu", mtu.as_ref(), number),
        ack_frequency: mistakes.value("--ack-frequency", ack_frequency.as_ref(), number),
        connections: mistakes.value("--connections", connections.as_ref(), number),
        resume: raw.resume,
        zero_rtt: raw.zero_rtt,
        ..tuning
    }
}

/// Checks how transports that encrypt are set up at this end.
pub(super) fn tls(raw: &RawTls, mistakes: &mut Mistakes) -> Tls {
    let provider = mistakes.value("--tls-provider", raw.tls_provider.as_ref(), provider);
    Tls {
        provider: provider.unwrap_or_default(),
        qlog: mistakes.value("--qlog", raw.qlog.as_ref(), folder),
    }
}

/// Refuses what a server of the protocol `perf` cannot be told, if that is to be spoken. Returns
/// whether it is.
pub(super) fn perf_alpn(
    raw: &RawClient,
    server_affinity: Option<u16>,
    mistakes: &mut Mistakes,
) -> bool {
    let RawClient { test, streams, packets, connection, login, output, .. } = raw;
    if !raw.quic.perf_alpn {
        return false;
    }
    if test.transport.as_deref() != Some(PERF) {
        mistakes.add(format!("--perf-alpn needs --transport {PERF}: it is spoken over that alone"));
    }
    let server_sends = test.reverse || test.bidir;
    let no_control = "it has no control connection";
    let no_users = "its servers know no users";
    for (option, given, why) in [
        ("-O", test.omit.is_some(), "its servers count nothing, so they can leave nothing out"),
        ("--get-server-output", output.get_server_output, "its servers report nothing"),
        ("--control", connection.control.is_some(), no_control),
        ("--cntl-ka", packets.cntl_ka.is_some(), no_control),
        ("--queue-timeout", connection.queue_timeout.is_some(), "its servers have no queue"),
        ("--username", login.username.is_some(), no_users),
        ("--rsa-public-key-path", login.rsa_public_key_path.is_some(), no_users),
        ("--use-pkcs1-padding", login.use_pkcs1_padding, no_users),
        ("--probe", raw.exchange.probe.is_some(), "its servers have bulk alone"),
        ("-A N,M", server_affinity.is_some(), "its servers cannot be told of a processor"),
        (
            "-b",
            streams.bitrate.is_some() && server_sends,
            "its servers send as fast as they can, and so the rate would be that of one end",
        ),
        (
            "--repeating-payload",
            packets.repeating_payload && server_sends,
            "its servers choose what they send",
        ),
    ] {
        if given {
            mistakes.add(format!("{option} is of no use with --perf-alpn: {why}; leave it out"));
        }
    }
    true
}

fn provider(text: &str) -> Result<Provider, String> {
    let names = Provider::ALL.map(Provider::name);
    text.parse().map_err(|_| format!("is not known: write {}", names.join(", ")))
}

/// Parses a count; one that is too large stays too large, for the specification to refuse.
fn number(text: &str) -> Result<NonZeroU32, String> {
    let number = u32::try_from(natural(text)?).unwrap_or(u32::MAX);
    NonZeroU32::new(number).ok_or_else(|| "is nothing: give 1 or more, or leave it out".to_owned())
}

/// What `--perf-alpn` is spoken over.
const PERF: &str = "quic";
