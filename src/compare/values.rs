//! What a test comes to, as figures that can be compared.

use std::time::Duration;

use super::{
    Figures, Metric, Target,
    cross::{Competitor, jain},
    experiment::{LimitedBy, PartKind},
    figures::{link_time, received_in_all},
};
use crate::{
    lab::Truth,
    measure::{CpuScope, ExchangeSummary, Latencies, LatencySummary, Role},
    outcome::{Outcome, Side},
    report::connection,
};

/// Returns what a test that ran to its end is compared by.
pub(super) fn of(part: PartKind, outcome: &Outcome, target: &Target) -> Vec<(Metric, f64)> {
    let latency = |summary: &ExchangeSummary| summary.latency.clone();
    let found = match part {
        PartKind::Churn => {
            let first = latencies(outcome, latency);
            vec![
                (Metric::FirstReply, quantile(first.as_ref(), 0.5)),
                (Metric::Connections, per_second(outcome)),
            ]
        }
        PartKind::Resumed => {
            let first = granted(outcome, |summary| summary.resumed);
            vec![(Metric::FirstReplyResumed, quantile(first.as_ref(), 0.5))]
        }
        PartKind::ZeroRtt => {
            let first = granted(outcome, |summary| summary.early);
            vec![(Metric::FirstReplyZeroRtt, quantile(first.as_ref(), 0.5))]
        }
        PartKind::Idle => {
            let idle = latencies(outcome, latency);
            vec![
                (Metric::Transactions, per_second(outcome)),
                (Metric::IdleP50, quantile(idle.as_ref(), 0.5)),
                (Metric::IdleP95, quantile(idle.as_ref(), 0.95)),
                (Metric::IdleP99, quantile(idle.as_ref(), 0.99)),
            ]
        }
        PartKind::Up => up(outcome, target),
        PartKind::Down => vec![(Metric::GoodputDown, outcome.goodput(Side::Client))],
        PartKind::Transfer10k => transfer(Metric::Complete10k, outcome),
        PartKind::Transfer1m => transfer(Metric::Complete1m, outcome),
        PartKind::Transfer10m => transfer(Metric::Complete10m, outcome),
    };
    let known = found.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
    known.filter(|(_, value)| value.is_finite()).collect()
}

fn up(outcome: &Outcome, target: &Target) -> Vec<(Metric, Option<f64>)> {
    let figures = Figures::of(outcome, target);
    let loaded = latencies(outcome, |summary| summary.latency.clone());
    let idle = latencies(outcome, |summary| summary.idle.clone());
    let at = |part| quantile(loaded.as_ref(), part);
    let added = at(0.5).zip(quantile(idle.as_ref(), 0.5)).map(|(loaded, idle)| loaded - idle);
    let gigabytes = received(outcome).map(|bytes| bytes / 1e9).filter(|bytes| *bytes > 0.0);
    let repeated = figures.retransmits.or(figures.packets_lost);
    let start = StartUp::of(outcome);
    let truth = outcome.link.as_ref().and_then(|link| link.truth.as_ref());
    let queueing = truth.and_then(|truth| truth.to_far.total.queueing);
    let spurious = spurious(repeated, truth);
    vec![
        (Metric::GoodputUp, figures.goodput_bps),
        (Metric::LoadedP50, at(0.5)),
        (Metric::LoadedP95, at(0.95)),
        (Metric::LoadedP99, at(0.99)),
        (Metric::LatencyIncrease, added),
        (Metric::Responsiveness, loaded.as_ref().and_then(responsiveness)),
        (Metric::Loss, figures.loss),
        (Metric::Retransmits, repeated.zip(gigabytes).map(|(count, size)| as_f64(count) / size)),
        (Metric::WireOverhead, wire_overhead(outcome)),
        (Metric::QueueP95, queueing.map(|times| times.p95.as_secs_f64())),
        (Metric::Spurious, spurious.zip(gigabytes).map(|(count, size)| as_f64(count) / size)),
        (Metric::CpuPerGb, figures.cpu_per_gb),
        (Metric::ToHalf, start.as_ref().and_then(|start| start.until(0.5))),
        (Metric::ToNineTenths, start.as_ref().and_then(|start| start.until(0.9))),
    ]
}

fn transfer(metric: Metric, outcome: &Outcome) -> Vec<(Metric, Option<f64>)> {
    let all = latencies(outcome, |summary| summary.latency.clone());
    vec![(metric, quantile(all.as_ref(), 0.5))]
}

/// Returns what was recorded of all flows on which the client asked; `None` of nothing.
fn latencies(
    outcome: &Outcome,
    pick: impl Fn(&ExchangeSummary) -> Option<LatencySummary>,
) -> Option<Latencies> {
    let flows = &outcome.side(Side::Client)?.flows;
    let told = flows.iter().filter_map(|flow| pick(flow.exchanges.as_ref()?)?.latencies());
    told.reduce(|mut all, other| {
        all.merge(&other);
        all
    })
}

/// Returns how long exchanges took if nearly all of their connections were what they were asked to be;
/// what a few others take does not move a median.
fn granted(
    outcome: &Outcome,
    count: impl Fn(&ExchangeSummary) -> Option<u64>,
) -> Option<Latencies> {
    let flows = &outcome.side(Side::Client)?.flows;
    let told = flows.iter().filter_map(|flow| flow.exchanges.as_ref());
    let (granted, replies) = told.fold((0, 0), |(granted, replies), summary| {
        (granted + count(summary).unwrap_or(0), replies + summary.replies)
    });
    let nearly_all = granted > 0 && granted >= replies - replies / TENTH;
    latencies(outcome, |summary| summary.latency.clone()).filter(|_| nearly_all)
}

fn quantile(latencies: Option<&Latencies>, part: f64) -> Option<f64> {
    Some(latencies?.quantile(part)?.as_secs_f64())
}

/// Returns round trips a minute at the mean latency.
fn responsiveness(loaded: &Latencies) -> Option<f64> {
    let mean = Duration::from_nanos(loaded.summary()?.mean_ns).as_secs_f64();
    (mean > 0.0).then(|| 60.0 / mean)
}

/// Returns the responses a second of all flows together.
fn per_second(outcome: &Outcome) -> Option<f64> {
    let flows = outcome.side(Side::Client)?.flows.iter();
    let rates = flows.filter_map(|flow| {
        let seconds = flow.duration.as_secs_f64();
        let replies = flow.exchanges.as_ref()?.replies;
        (seconds > 0.0).then(|| as_f64(replies) / seconds)
    });
    rates.reduce(|sum, rate| sum + rate)
}

fn received(outcome: &Outcome) -> Option<f64> {
    let (bytes, _) = outcome.side(Side::Server)?.total(Role::Receiver)?;
    Some(as_f64(bytes))
}

/// Returns what a test of bulk came to beside competitors.
pub(super) fn beside(outcome: &Outcome, competitors: &[Competitor]) -> Vec<(Metric, f64)> {
    let Some(own) = outcome.goodput(Side::Server) else { return Vec::new() };
    let rates = competitors.iter().map(|one| Some((one.streams, one.goodput_bps?)));
    let Some(rates) = rates.collect::<Option<Vec<(u16, f64)>>>() else { return Vec::new() };
    if rates.is_empty() {
        return Vec::new();
    }
    let others: f64 = rates.iter().map(|(_, rate)| rate).sum();
    let streams = [(outcome.info.spec.streams, own)].into_iter().chain(rates);
    let each = |(count, rate): (u16, f64)| {
        std::iter::repeat_n(rate / f64::from(count.max(1)), count.into())
    };
    let each: Vec<f64> = streams.flat_map(each).collect();
    let share = (own + others > 0.0).then(|| own / (own + others));
    let told = [(Metric::ShareOfLink, share), (Metric::Fairness, jain(&each))];
    told.into_iter().filter_map(|(metric, value)| Some((metric, value?))).collect()
}

/// Returns how many of the packets that were sent again the emulated link had not lost.
fn spurious(repeated: Option<u64>, truth: Option<&Truth>) -> Option<u64> {
    Some(repeated?.saturating_sub(truth?.to_far.total.drops.total()))
}

/// Returns what the sender put on the wire over what arrived: as an emulated link has seen it, with
/// what control and probes took, or else as the transport says.
fn wire_overhead(outcome: &Outcome) -> Option<f64> {
    if let Some(truth) = outcome.link.as_ref().and_then(|link| link.truth.as_ref()) {
        let arrived = received_in_all(outcome, Side::Server).filter(|bytes| *bytes > 0)?;
        return Some(as_f64(truth.to_far.total.bytes) / as_f64(arrived));
    }
    let connections = connection::of_test(outcome);
    if let Some(beyond) = connection::wire_overhead(&connections, Side::Client) {
        return Some(1.0 + beyond);
    }
    let sent = outcome.side(Side::Client)?.with_role(Role::Sender);
    let wire = sent.map(|flow| flow.path.wire_bytes_sent).sum::<Option<u64>>()?;
    let arrived = received_in_all(outcome, Side::Server).filter(|bytes| *bytes > 0)?;
    Some(as_f64(wire) / as_f64(arrived))
}

/// How a test's rate grew, interval by interval.
struct StartUp {
    /// When the load began.
    begins: Duration,
    /// When each interval ended, and its rate.
    rates: Vec<(Duration, f64)>,
    /// The median of the intervals that count.
    settled: f64,
}

impl StartUp {
    fn of(outcome: &Outcome) -> Option<Self> {
        let spec = &outcome.info.spec;
        let begins = spec.load_begins();
        let mut rates = Vec::new();
        let mut counted = Vec::new();
        let known = outcome.intervals.iter().filter_map(|interval| interval.remote.as_ref());
        // What a lost packet has kept from being told in time leaves a gap; many leave nothing to see.
        if known.clone().count() < outcome.intervals.len() / 4 * 3 {
            return None;
        }
        for seen in known {
            let length = seen.duration().as_secs_f64();
            if length <= 0.0 || seen.end <= begins {
                continue;
            }
            let received = seen.flows.iter().filter(|flow| flow.role == Role::Receiver);
            let bytes = received.map(|flow| flow.bytes).fold(0, u64::saturating_add);
            let rate = as_f64(bytes) / length;
            rates.push((seen.end, rate));
            if !seen.omitted {
                counted.push(rate);
            }
        }
        counted.sort_by(f64::total_cmp);
        let settled = *counted.get(counted.len() / 2)?;
        (settled > 0.0).then_some(Self { begins, rates, settled })
    }

    /// Returns the seconds to the end of the first interval that reached `part` of the final rate.
    fn until(&self, part: f64) -> Option<f64> {
        let (end, _) = self.rates.iter().find(|(_, rate)| *rate >= part * self.settled)?;
        Some(end.saturating_sub(self.begins).as_secs_f64())
    }
}

/// Returns what held the sender back, where that can be told.
pub(super) fn limited_by(outcome: &Outcome) -> Option<LimitedBy> {
    let spec = &outcome.info.spec;
    if spec.rate.is_some() {
        return Some(LimitedBy::Pacing);
    }
    let sent: Vec<_> = outcome.side(Side::Client)?.with_role(Role::Sender).collect();
    let share = |time: Option<Duration>, of: Duration| {
        time.is_some_and(|time| time.as_secs_f64() > HELD_BACK * of.as_secs_f64())
    };
    let whole = |flow: &crate::measure::FlowSummary| flow.duration + spec.omitted();
    if sent.iter().any(|flow| share(flow.path.rwnd_limited, whole(flow))) {
        return Some(LimitedBy::FlowControl);
    }
    if [Side::Client, Side::Server].iter().any(|side| is_busy(outcome, *side)) {
        return Some(LimitedBy::Cpu);
    }
    if sent.iter().any(|flow| flow.window_blocked.is_some_and(|times| times > 0)) {
        return Some(LimitedBy::FlowControl);
    }
    let lost = |flow: &&crate::measure::FlowSummary| {
        [flow.retransmits, flow.packets_lost, flow.congestion_events].iter().any(|c| *c > Some(0))
    };
    let full = |flow: &&crate::measure::FlowSummary| {
        flow.path
            .in_flight
            .zip(flow.path.cwnd)
            .is_some_and(|(flight, cwnd)| flight >= cwnd / 10 * 9)
    };
    sent.iter().any(|flow| lost(flow) || full(flow)).then_some(LimitedBy::Congestion)
}

/// Returns whether the processor was what `side` waited for: each of its threads' own, or, where
/// only the whole process is known, one.
fn is_busy(outcome: &Outcome, side: Side) -> bool {
    let Some(cpu) = outcome.side(side).and_then(|summary| summary.cpu) else { return false };
    let threads = match cpu.scope {
        CpuScope::DataThreads => f64::from(outcome.info.spec.load_flows().max(1)),
        CpuScope::Process => 1.0,
    };
    let used = cpu.user.saturating_add(cpu.system);
    let used = match cpu.scope {
        CpuScope::DataThreads => used,
        CpuScope::Process => used.saturating_sub(link_time(outcome)),
    };
    !cpu.wall.is_zero() && used.as_secs_f64() * 100.0 >= BUSY * threads * cpu.wall.as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "2^53 is more than any test counts")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The part of a test's time in which a window must have held it back.
const HELD_BACK: f64 = 0.5;
/// Percent of a processor.
const BUSY: f64 = 85.0;
/// The part of all connections that may be made otherwise than was asked for.
const TENTH: u64 = 10;
