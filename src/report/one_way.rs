//! What reports say of each way of requests and responses by itself.

use std::time::Duration;

use super::figure;
use crate::measure::{FlowSummary, LatencySummary, OneWayMissing, OneWaySummary, Stamp};

/// Returns a line for each way of a flow on which this end, or the other, asked for responses of so
/// many bytes; or why there is none.
pub(super) fn lines(flow: &FlowSummary, response: u32) -> Vec<String> {
    let Some(exchanges) = flow.exchanges.as_deref() else { return Vec::new() };
    let name = format!("[{:>3}] One-way delay", flow.flow.0);
    match (&exchanges.one_way, exchanges.one_way_missing) {
        (Some(ways), _) => of_ways(&name, ways),
        (None, Some(missing)) => vec![format!("{name} unknown: {}", why(missing, response))],
        (None, None) => Vec::new(),
    }
}

fn of_ways(name: &str, ways: &OneWaySummary) -> Vec<String> {
    let loaded = if ways.idle_forward.is_some() { ", loaded" } else { "" };
    let within = figure::millis(Duration::from_nanos(ways.uncertainty_ns));
    let shown = [
        ("to the server", ", idle", &ways.idle_forward),
        ("from the server", ", idle", &ways.idle_backward),
        ("to the server", loaded, &ways.forward),
        ("from the server", loaded, &ways.backward),
    ];
    let line = |(way, when, delays): (&str, &str, &Option<LatencySummary>)| {
        let delays = delays.as_ref()?;
        let way = format!("{way}{when}");
        let [p50, p99, max] = [delays.p50_ns, delays.p99_ns, delays.max_ns]
            .map(|nanos| figure::millis(Duration::from_nanos(nanos)));
        Some(format!("{name} {way:<23}  p50 {p50}  p99 {p99}  max {max} ms (± {within} ms)"))
    };
    let negative = (ways.negative > 0).then(|| {
        let count = ways.negative;
        format!("{name}: {count} came out below zero by more than that; a clock was set")
    });
    shown.into_iter().filter_map(line).chain(negative).collect()
}

fn why(missing: OneWayMissing, response: u32) -> String {
    match missing {
        OneWayMissing::NoRoom => format!(
            "a response of {response} bytes has no room for the server's clock ({} bytes; with a \
             datagram's header {})",
            Stamp::LEN,
            Stamp::offset(true) + Stamp::LEN
        ),
        OneWayMissing::NotStamped => "the server tells nothing of its clock".to_owned(),
    }
}
