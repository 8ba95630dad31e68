//! The options of what streams do besides bulk: requests and responses, and probes.

use std::time::Duration;

use clap::Args;

use super::{
    raw::RawClient,
    values::{Mistakes, natural, one_of, size},
};
use crate::spec::{Exchange, MAX_IN_FLIGHT, Probe, Workload};

#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(super) struct RawExchange {
    /// What streams do: bulk; rr, which is requests and responses; or churn, where each stands for one
    /// connection after another with one request each [default: bulk].
    #[arg(long, value_name = "NAME")]
    pub(super) workload: Option<String>,
    /// Bytes of a request; 64 if not given.
    #[arg(long, value_name = "N[KM]")]
    pub(super) request: Option<String>,
    /// Bytes of its response; 64 if not given.
    #[arg(long, value_name = "N[KM]")]
    pub(super) response: Option<String>,
    /// Requests under way at once on each stream, 1 to 1024; if not given 1, or with
    /// --requests-per-second 1024.
    #[arg(long, value_name = "N")]
    pub(super) in_flight: Option<String>,
    /// Requests a second on each stream, whether or not responses have come; latency counts from when
    /// a request was due.
    #[arg(long, value_name = "N")]
    pub(super) requests_per_second: Option<String>,
    /// Ask on a stream of its own while others carry bulk, and for a second before: a request each so
    /// many milliseconds, 10 if not given.
    #[arg(
        long,
        value_name = "MS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10"
    )]
    pub(super) probe: Option<String>,
}

/// Checks what the streams are to do.
pub(super) fn workload(raw: &RawClient, mistakes: &mut Mistakes) -> Workload {
    let RawExchange { workload, request, response, in_flight, requests_per_second, .. } =
        &raw.exchange;
    let named = mistakes.value("--workload", workload.as_ref(), |text| one_of(text, &NAMES));
    let exchange = exchange(&raw.exchange, mistakes);
    match named.as_deref() {
        Some(RR) => {
            refuse_what_bulk_has(raw, RR, mistakes);
            return Workload::Rr(exchange);
        }
        Some(CHURN) => {
            refuse_what_bulk_has(raw, CHURN, mistakes);
            if in_flight.is_some() {
                let remedy = "each connection has one request; -P makes more at once";
                mistakes.add(format!("--in-flight is of no use with --workload {CHURN}: {remedy}"));
            }
            return Workload::Churn(Exchange { in_flight: 1, ..exchange });
        }
        _ => {}
    }
    for (option, given) in [
        ("--request", request.is_some()),
        ("--response", response.is_some()),
        ("--in-flight", in_flight.is_some()),
        ("--requests-per-second", requests_per_second.is_some()),
    ] {
        // Of a workload that is none, nothing is known.
        if given && (workload.is_none() || named.is_some()) {
            mistakes.add(format!(
                "{option} is of no use without requests: add --workload {RR} or {CHURN}"
            ));
        }
    }
    Workload::Bulk
}

/// Checks what probes the load, if something does.
pub(super) fn probe(raw: &RawClient, mistakes: &mut Mistakes) -> Option<Probe> {
    let every = mistakes.value("--probe", raw.exchange.probe.as_ref(), natural)?;
    let every = Duration::from_millis(every.min(FAR));
    let workload = raw.exchange.workload.as_deref();
    if let Some(workload) = workload.filter(|workload| [RR, CHURN].contains(workload)) {
        let remedy = "requests tell how long they take themselves";
        mistakes.add(format!("--probe is of no use with --workload {workload}: {remedy}"));
        return None;
    }
    Some(Probe { every, ..Probe::default() })
}

fn exchange(raw: &RawExchange, mistakes: &mut Mistakes) -> Exchange {
    let default = Exchange::default();
    let capped = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
    let request = mistakes.value("--request", raw.request.as_ref(), size).map(capped);
    let response = mistakes.value("--response", raw.response.as_ref(), size).map(capped);
    let in_flight = mistakes.value("--in-flight", raw.in_flight.as_ref(), natural);
    let per_second = raw.requests_per_second.as_ref();
    let per_second = mistakes.value("--requests-per-second", per_second, natural).map(capped);
    // On a schedule, what is under way holds nothing up unless that is asked for.
    let usual = if per_second.is_some() { MAX_IN_FLIGHT } else { default.in_flight };
    Exchange {
        request: request.unwrap_or(default.request),
        response: response.unwrap_or(default.response),
        in_flight: in_flight.map_or(usual, |count| u16::try_from(count).unwrap_or(u16::MAX)),
        per_second,
    }
}

/// Refuses options that say how bulk goes.
fn refuse_what_bulk_has(raw: &RawClient, workload: &str, mistakes: &mut Mistakes) {
    let RawClient { test, streams, packets, quic, .. } = raw;
    let asks = "the client asks, and the server answers";
    for (option, given, why) in [
        ("-R", test.reverse, asks),
        ("--bidir", test.bidir, asks),
        ("-l", streams.length.is_some(), "--request and --response say how long messages are"),
        ("-b", streams.bitrate.is_some(), "--requests-per-second says how fast they go"),
        ("-F", packets.file.is_some(), "what is exchanged is no copy of anything"),
        ("--perf-alpn", quic.perf_alpn, "its servers have bulk alone"),
    ] {
        if given {
            mistakes.add(format!(
                "{option} is of no use with --workload {workload}: {why}; leave it out"
            ));
        }
    }
}

const BULK: &str = "bulk";
const RR: &str = "rr";
const CHURN: &str = "churn";
const NAMES: [&str; 3] = [BULK, RR, CHURN];
/// Longer than a probe may leave between two requests, in milliseconds.
const FAR: u64 = 1 << 32;
