use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;

use crate::{
    measure::{Interval, Role, Sample, bits_per_second},
    outcome::{Outcome, Side, TestInfo},
};

/// What was measured in a while, for a chart. What nobody knows is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(in crate::web) struct Point {
    /// When that while ended, in seconds since the test's start.
    t: f64,
    /// Goodput towards the server, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<f64>,
    /// Goodput towards the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    down: Option<f64>,
    /// The longest round-trip time of any stream at its end, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    /// Packets sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    resent: Option<u64>,
    /// Datagrams that did not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    /// Datagrams that did.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
}

/// Intervals that are added up until somebody looks.
#[derive(Debug, Clone, Default)]
pub(in crate::web) struct Tally {
    end: Duration,
    up: Option<(u64, Duration)>,
    down: Option<(u64, Duration)>,
    rtt: Option<Duration>,
    resent: Option<u64>,
    lost: Option<u64>,
    received: Option<u64>,
}

/// What a whole test came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::web) struct Total {
    /// Goodput towards the server, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<f64>,
    /// Goodput towards the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    down: Option<f64>,
}

impl Tally {
    pub(in crate::web) fn add(&mut self, info: &TestInfo, interval: &Interval) {
        let of =
            |side| if side == info.side { Some(&interval.local) } else { interval.remote.as_ref() };
        self.end = self.end.max(interval.local.end);
        let receives = |sample: Option<&Sample>| sample.and_then(received);
        add(&mut self.up, receives(of(Side::Server).filter(|_| info.spec.client_sends())));
        add(&mut self.down, receives(of(Side::Client).filter(|_| info.spec.server_sends())));
        let samples = || [of(Side::Server), of(Side::Client)].into_iter().flatten();
        let rtt =
            samples().flat_map(|sample| &sample.flows).filter_map(|flow| flow.path.as_ref()?.rtt);
        self.rtt = rtt.max().or(self.rtt);
        for sample in samples() {
            count(&mut self.resent, resent(sample));
            let datagrams = || sample.flows.iter().filter_map(|flow| flow.datagrams.as_ref());
            count(&mut self.lost, sum(datagrams().map(|datagrams| datagrams.lost)));
            count(&mut self.received, sum(datagrams().map(|datagrams| Some(datagrams.received))));
        }
    }

    pub(in crate::web) fn point(&self) -> Point {
        let rate = |counted: Option<(u64, Duration)>| {
            counted.and_then(|(bytes, time)| bits_per_second(bytes, time))
        };
        Point {
            t: self.end.as_secs_f64(),
            up: rate(self.up),
            down: rate(self.down),
            rtt: self.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            resent: self.resent,
            lost: self.lost,
            received: self.received,
        }
    }
}

impl Total {
    pub(in crate::web) fn of(outcome: &Outcome) -> Self {
        let spec = &outcome.info.spec;
        Self {
            up: outcome.goodput(Side::Server).filter(|_| spec.client_sends()),
            down: outcome.goodput(Side::Client).filter(|_| spec.server_sends()),
        }
    }
}

/// Returns the bytes that an end received in an interval, and how long it was.
fn received(sample: &Sample) -> Option<(u64, Duration)> {
    let bytes = sum(sample
        .flows
        .iter()
        .filter(|flow| flow.role == Role::Receiver)
        .map(|flow| Some(flow.bytes)));
    Some((bytes?, sample.duration()))
}

/// Returns what an end sent again: once for each connection, where streams share one.
fn resent(sample: &Sample) -> Option<u64> {
    let mut seen = BTreeSet::new();
    let own = sample.flows.iter().filter(|flow| {
        let shared = flow.path.as_ref().and_then(|path| path.connection);
        shared.is_none_or(|connection| seen.insert(connection))
    });
    sum(own.map(|flow| flow.retransmits))
}

/// Returns the sum of what is known; `None` if nothing is.
fn sum(counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    counts.flatten().reduce(u64::saturating_add)
}

fn count(total: &mut Option<u64>, further: Option<u64>) {
    *total = sum([*total, further].into_iter());
}

fn add(total: &mut Option<(u64, Duration)>, further: Option<(u64, Duration)>) {
    let Some((bytes, time)) = further else { return };
    let (before, since) = total.unwrap_or_default();
    *total = Some((before.saturating_add(bytes), since + time));
}
