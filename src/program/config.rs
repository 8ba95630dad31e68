//! From what was asked for on the command line to what the library takes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use polyperf_transport::{Delivery, HostSockets, Processors, Sockets};

use crate::{
    cli::{self, ClientArgs, Local, Report, ServerArgs},
    client,
    registry::{Registry, Security},
    report, server,
    spec::{Rate, TestSpec},
};

/// iperf3's default for UDP, in bits per second.
const DATAGRAM_RATE: u64 = 1 << 20;

pub(super) fn client(args: &ClientArgs, transports: Registry) -> client::Config {
    let spec = with_default_rate(args, &transports);
    let default = client::Config::new(&args.target.host, spec);
    client::Config {
        port: args.target.port,
        family: args.local.family.map(|family| match family {
            cli::Family::V4 => client::Family::V4,
            cli::Family::V6 => client::Family::V6,
        }),
        bind: args.local.bind,
        client_port: args.client_port,
        connect_timeout: args.connect_timeout.unwrap_or(default.connect_timeout),
        queue_timeout: args.queue_timeout,
        transports,
        control: args.control.clone(),
        perf: args.perf_alpn,
        keep_alive: args.keep_alive,
        affinity: args.affinity,
        file: args.file.clone(),
        // Only the JSON document shows intervals after the event.
        keep_intervals: args.output.report == Report::Json,
        ..default
    }
}

/// Datagrams that nothing holds back would flood a network: unless told, they go as slowly as
/// iperf3's.
fn with_default_rate(args: &ClientArgs, transports: &Registry) -> TestSpec {
    let delivery = transports.get(&args.spec.transport).map(|transport| transport.delivery());
    let spec = args.spec.clone();
    match delivery {
        Some(Delivery::Messages { controlled: false, .. })
            if !args.rate_given && spec.rate.is_none() && spec.workload.is_bulk() =>
        {
            let mut fields = spec.clone().into_fields();
            fields.rate = Some(Rate { bits_per_second: DATAGRAM_RATE, burst: None });
            fields.try_into().unwrap_or(spec)
        }
        _ => spec,
    }
}

pub(super) fn server(args: &ServerArgs, security: Security) -> server::Config {
    server::Config {
        listen: vec![SocketAddr::new(listen_ip(&args.local), args.port)],
        transports: transports(&args.local, args.data_processors.as_ref(), security),
        limits: limits(args),
        data_processors: args.data_processors.clone(),
        one_off: args.one_off,
        idle_timeout: args.idle_timeout,
        keep_intervals: args.report == Report::Json,
        ..server::Config::default()
    }
}

/// Returns what the server permits, which can be changed while it runs.
pub(super) fn limits(args: &ServerArgs) -> server::Limits {
    server::Limits {
        max_sessions: NonZeroUsize::new(args.max_sessions).unwrap_or(NonZeroUsize::MIN),
        max_queue: args.max_queue,
        max_duration: args.max_duration,
        max_rate: args.max_rate,
    }
}

pub(super) fn report_format(report: Report) -> report::Format {
    match report {
        Report::Text => report::Format::Text,
        Report::Json => report::Format::Json,
        Report::JsonStream => report::Format::JsonStream,
        Report::Csv => report::Format::Csv,
    }
}

pub(super) fn report_unit(unit: cli::Unit) -> Option<report::Unit> {
    let letter = match unit.prefix {
        cli::Prefix::Kilo => "k",
        cli::Prefix::Mega => "m",
        cli::Prefix::Giga => "g",
        cli::Prefix::Tera => "t",
    };
    let letter = if unit.bytes { letter.to_ascii_uppercase() } else { letter.to_owned() };
    letter.parse().ok()
}

/// Returns the transports over this host's sockets, whose threads keep to these processors.
pub(super) fn transports(
    local: &Local,
    processors: Option<&Processors>,
    security: Security,
) -> Registry {
    let v6_only = local.family == Some(cli::Family::V6);
    let sockets = HostSockets::new().v6_only(v6_only).device(local.device.clone());
    let sockets = sockets.on_processors(processors.cloned());
    Registry::secured(&(Arc::new(sockets) as Arc<dyn Sockets>), security)
}

fn listen_ip(local: &Local) -> IpAddr {
    local.bind.unwrap_or(match local.family {
        Some(cli::Family::V4) => Ipv4Addr::UNSPECIFIED.into(),
        Some(cli::Family::V6) | None => Ipv6Addr::UNSPECIFIED.into(),
    })
}
