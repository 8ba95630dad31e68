//! What reports say of requests and their responses.

use std::time::Duration;

use serde::Serialize;

use super::{
    figure::{self, UNKNOWN},
    one_way,
};
use crate::{
    measure::{ExchangeSummary, FlowId, FlowSummary, Latencies, LatencySummary, Role},
    outcome::Outcome,
    spec::Probe,
};

/// Returns a table of what came of requests, where a test has some.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let spec = &outcome.info.spec;
    let mut lines = Vec::new();
    let asked: Vec<_> = asked(outcome, Role::Sender).collect();
    if let Some(exchange) = spec.workload.exchange().filter(|_| !asked.is_empty()) {
        lines.push(format!(
            "Requests of {} bytes, responses of {}, {}",
            exchange.request,
            exchange.response,
            match exchange.per_second {
                Some(rate) =>
                    format!("{rate} a second on each stream; latency from when one was due"),
                None => format!("{} at once on each stream", exchange.in_flight),
            }
        ));
        lines.push(header("Replies/s"));
        lines.extend(asked.iter().map(|flow| of_flow(flow)));
        lines.extend((asked.len() > 1).then(|| of_all(&asked)));
        lines.extend(asked.iter().flat_map(|flow| one_way::lines(flow, exchange.response)));
    }
    if let (Some(probe), Some(flow)) = (spec.probe, self::asked(outcome, Role::Prober).next()) {
        lines.extend(of_probe(&probe, flow));
        lines.extend(one_way::lines(flow, probe.size));
    }
    lines
}

/// What came of requests as cells of a table for programs.
#[derive(Debug, Default, Serialize)]
pub(super) struct ExchangeCells {
    requests: Option<u64>,
    replies: Option<u64>,
    /// Requests without a response.
    requests_lost: Option<u64>,
    latency_p50_ns: Option<u64>,
    latency_p90_ns: Option<u64>,
    latency_p99_ns: Option<u64>,
    latency_p999_ns: Option<u64>,
    latency_max_ns: Option<u64>,
    /// Before the load began, where requests probe one.
    idle_p50_ns: Option<u64>,
    idle_p99_ns: Option<u64>,
    /// From the client to the server.
    forward_p50_ns: Option<u64>,
    forward_p99_ns: Option<u64>,
    /// From the server to the client.
    backward_p50_ns: Option<u64>,
    backward_p99_ns: Option<u64>,
    /// How far each of both ways may be off.
    one_way_uncertainty_ns: Option<u64>,
}

impl ExchangeCells {
    /// The names of the cells.
    pub(super) const COLUMNS: [&str; 15] = [
        "requests",
        "replies",
        "requests_lost",
        "latency_p50_ns",
        "latency_p90_ns",
        "latency_p99_ns",
        "latency_p999_ns",
        "latency_max_ns",
        "idle_p50_ns",
        "idle_p99_ns",
        "forward_p50_ns",
        "forward_p99_ns",
        "backward_p50_ns",
        "backward_p99_ns",
        "one_way_uncertainty_ns",
    ];

    /// Returns what came of the requests of `flow`, if there were any.
    pub(super) fn of_flow(outcome: &Outcome, flow: FlowId, role: Role) -> Self {
        let summary = outcome.flow(flow, role).and_then(|flow| flow.exchanges.as_deref());
        summary.map(Self::of).unwrap_or_default()
    }

    fn of(exchanges: &ExchangeSummary) -> Self {
        let ExchangeSummary { requests, replies, lost, latency, idle, .. } = exchanges;
        let (latency, idle) = (latency.as_ref(), idle.as_ref());
        let one_way = exchanges.one_way.as_ref();
        let forward = one_way.and_then(|ways| ways.forward.as_ref());
        let backward = one_way.and_then(|ways| ways.backward.as_ref());
        Self {
            requests: Some(*requests),
            replies: Some(*replies),
            requests_lost: Some(*lost),
            latency_p50_ns: latency.map(|latency| latency.p50_ns),
            latency_p90_ns: latency.map(|latency| latency.p90_ns),
            latency_p99_ns: latency.map(|latency| latency.p99_ns),
            latency_p999_ns: latency.map(|latency| latency.p999_ns),
            latency_max_ns: latency.map(|latency| latency.max_ns),
            idle_p50_ns: idle.map(|idle| idle.p50_ns),
            idle_p99_ns: idle.map(|idle| idle.p99_ns),
            forward_p50_ns: forward.map(|forward| forward.p50_ns),
            forward_p99_ns: forward.map(|forward| forward.p99_ns),
            backward_p50_ns: backward.map(|backward| backward.p50_ns),
            backward_p99_ns: backward.map(|backward| backward.p99_ns),
            one_way_uncertainty_ns: one_way.map(|ways| ways.uncertainty_ns),
        }
    }
}

/// Returns the flow that probes the load, if the test has one and the end that asks has told of it.
pub(super) fn prober(outcome: &Outcome) -> Option<FlowId> {
    asked(outcome, Role::Prober).next().map(|flow| flow.flow)
}

/// Returns the flows on which the end that asks has this role, as it counted.
fn asked(outcome: &Outcome, role: Role) -> impl Iterator<Item = &FlowSummary> {
    let ends = [Some(&outcome.local), outcome.remote.as_ref()];
    let flows = ends.into_iter().flatten().flat_map(|side| &side.flows);
    flows.filter(move |flow| flow.role == role && flow.exchanges.is_some())
}

fn header(rate: &str) -> String {
    let quantiles = ["min", "mean", "p50", "p90", "p99", "p99.9", "max"];
    let quantiles = quantiles.map(|name| format!("{name:>8}")).concat();
    format!("[ ID] {:>10} {:>10} {:>8} {rate:>11}{quantiles} ms", "Requests", "Replies", "Lost")
}

fn of_flow(flow: &FlowSummary) -> String {
    let Some(exchanges) = flow.exchanges.as_deref() else { return String::new() };
    let name = format!("[{:>3}]", flow.flow.0);
    let rate = per_second(exchanges.replies, flow.duration);
    row(&name, exchanges, &rate, exchanges.latency.as_ref())
}

/// Returns the sum over all flows; its latencies are of all requests together.
fn of_all(flows: &[&FlowSummary]) -> String {
    let mut sum = ExchangeSummary::default();
    let mut together = Some(Latencies::new());
    for exchanges in flows.iter().filter_map(|flow| flow.exchanges.as_deref()) {
        sum.requests = sum.requests.saturating_add(exchanges.requests);
        sum.replies = sum.replies.saturating_add(exchanges.replies);
        sum.lost = sum.lost.saturating_add(exchanges.lost);
        let Some(latency) = &exchanges.latency else { continue };
        // What lacks a part is unknown.
        together = together.zip(latency.latencies()).map(|(mut all, latencies)| {
            all.merge(&latencies);
            all
        });
    }
    let longest = flows.iter().map(|flow| flow.duration).max().unwrap_or_default();
    let latency = together.and_then(|together| together.summary());
    row("[SUM]", &sum, &per_second(sum.replies, longest), latency.as_ref())
}

fn of_probe(probe: &Probe, flow: &FlowSummary) -> Vec<String> {
    let Some(exchanges) = flow.exchanges.as_deref() else { return Vec::new() };
    let name = format!("[{:>3}]", flow.flow.0);
    let every = figure::millis(probe.every);
    let idle = exchanges.idle.as_ref();
    let replies = idle.map_or(0, |idle| idle.count);
    let before = format!(
        "{name} {UNKNOWN:>10} {replies:>10} {UNKNOWN:>8} {:>11}{}",
        "idle",
        quantiles(idle)
    );
    vec![
        format!("Probe of {} bytes, every {every} ms, before and under load", probe.size),
        header(""),
        before,
        row(&name, exchanges, "loaded", exchanges.latency.as_ref()),
    ]
}

fn row(
    name: &str,
    exchanges: &ExchangeSummary,
    rate: &str,
    latency: Option<&LatencySummary>,
) -> String {
    let ExchangeSummary { requests, replies, lost, .. } = exchanges;
    format!("{name} {requests:>10} {replies:>10} {lost:>8} {rate:>11}{}", quantiles(latency))
}

fn quantiles(latency: Option<&LatencySummary>) -> String {
    let shown = |nanos: fn(&LatencySummary) -> u64| {
        let time = latency.map(|latency| Duration::from_nanos(nanos(latency)));
        format!("{:>8}", time.map_or(UNKNOWN.to_owned(), figure::millis))
    };
    [
        shown(|latency| latency.min_ns),
        shown(|latency| latency.mean_ns),
        shown(|latency| latency.p50_ns),
        shown(|latency| latency.p90_ns),
        shown(|latency| latency.p99_ns),
        shown(|latency| latency.p999_ns),
        shown(|latency| latency.max_ns),
    ]
    .concat()
}

/// Returns so many in this time as so many a second.
#[allow(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn per_second(count: u64, time: Duration) -> String {
    if time.is_zero() {
        return UNKNOWN.to_owned();
    }
    let rate = count as f64 / time.as_secs_f64();
    if rate < 99.95 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
