use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Latencies, LatencySummary,
    clocks::{Clocks, RoundTrip, Tie},
    histogram::nanos,
    stamp::Stamp,
};

/// How long requests took to the server and responses from it, each way by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OneWaySummary {
    /// From when a request was asked to when the server had read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<LatencySummary>,
    /// From when the server handed over the response to when the last of it had come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward: Option<LatencySummary>,
    /// As `forward`, before the load began, where the requests probe a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_forward: Option<LatencySummary>,
    /// As `backward`, before the load began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_backward: Option<LatencySummary>,
    /// How many exchanges `forward` and `backward` stand for: where these count fewer, they are of a
    /// random sample, in which each exchange is as likely as any other.
    pub exchanges: u64,
    /// How far the server's clock was ahead of the client's at the exchange that took the least, in
    /// nanoseconds. Each counts from about when the test began at its end.
    pub offset_ns: i64,
    /// How much faster the server's clock runs, in parts in 10^9; `None`: the test was too short, or
    /// too busy, to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_ppb: Option<i64>,
    /// The standard error of the drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_error_ppb: Option<i64>,
    /// How much longer than told each way may have taken, and the other shorter, in nanoseconds: at
    /// any time of the test, however unequal the ways are.
    pub uncertainty_ns: u64,
    /// What ties the clocks.
    pub tied_by: TiedBy,
    /// Delays that came out below zero by more than the uncertainty, which no clock that runs evenly
    /// makes. They count as zero.
    pub negative: u64,
}

/// What two clocks are tied by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TiedBy {
    /// The exchange that took the least, both clocks taken to run alike.
    #[default]
    SmallestRoundTrip,
    /// The same, and a line through the exchanges that took the least in each part of the test, for
    /// how the clocks drift apart.
    SmallestRoundTrips,
}

/// Why the ways could not be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OneWayMissing {
    /// A response has no room for what the server tells of its clock.
    NoRoom,
    /// The server tells nothing of its clock: it is an older one.
    NotStamped,
}

/// Exchanges with the server's times, as they come.
///
/// How the clocks are tied is known at the end alone. Until then a bounded number of exchanges is
/// kept as they are, and each of them is corrected by itself: all, or a random sample of so many.
/// Nothing is allocated after construction.
#[derive(Debug)]
pub struct OneWay {
    clocks: Clocks,
    counted: Sample,
    idle: Option<Sample>,
}

/// As many of all exchanges as there is room for, each as likely as any other (J. Vitter, "Random
/// Sampling with a Reservoir", 1985, algorithm R).
#[derive(Debug)]
struct Sample {
    kept: Vec<RoundTrip>,
    room: usize,
    seen: u64,
    random: SmallRng,
}

/// Which part of a test an exchange counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The test itself.
    Counted,
    /// The time before the load begins.
    Idle,
    /// What is omitted. It ties the clocks like any other.
    Omitted,
}

impl OneWay {
    /// Returns a record of a test in which so many flows ask. `probes`: it has an idle part.
    #[must_use]
    pub fn new(flows: u16, probes: bool) -> Self {
        let room = (ROOM / usize::from(flows.max(1))).max(LEAST);
        let idle = probes.then(|| Sample::new(room));
        Self { clocks: Clocks::new(), counted: Sample::new(room), idle }
    }

    /// Takes note of an exchange that was asked and answered at these times of this end's clock.
    #[inline]
    pub fn note(&mut self, stamp: Stamp, asked: Duration, answered: Duration, part: Part) {
        let Some(exchange) = stamp.round_trip(nanos(asked), nanos(answered)) else { return };
        self.clocks.note(&exchange);
        match (part, &mut self.idle) {
            (Part::Counted, _) => self.counted.note(exchange),
            (Part::Idle, Some(idle)) => idle.note(exchange),
            _ => {}
        }
    }

    /// Returns how long each way took; `None` if nothing ties the clocks.
    #[must_use]
    pub fn summary(&self) -> Option<OneWaySummary> {
        let tie = self.clocks.tie()?;
        let (counted, mut negative) = self.counted.ways(&tie);
        let idle = self.idle.as_ref().map(|idle| idle.ways(&tie));
        negative += idle.as_ref().map_or(0, |(_, negative)| *negative);
        let [forward, backward] = counted.map(|way| way.summary());
        let [idle_forward, idle_backward] =
            idle.map_or([None, None], |(ways, _)| ways.map(|way| way.summary()));
        Some(OneWaySummary {
            forward,
            backward,
            idle_forward,
            idle_backward,
            exchanges: self.counted.seen,
            offset_ns: tie.offset,
            drift_ppb: tie.drift.map(|drift| billionths(drift.rate)),
            drift_error_ppb: tie.drift.map(|drift| billionths(drift.error)),
            uncertainty_ns: tie.uncertainty,
            tied_by: match tie.drift {
                Some(_) => TiedBy::SmallestRoundTrips,
                None => TiedBy::SmallestRoundTrip,
            },
            negative,
        })
    }
}

impl OneWaySummary {
    /// Returns the distributions that it has.
    pub(super) fn distributions(&mut self) -> [&mut Option<LatencySummary>; 4] {
        [&mut self.forward, &mut self.backward, &mut self.idle_forward, &mut self.idle_backward]
    }
}

impl Sample {
    fn new(room: usize) -> Self {
        let random = SmallRng::seed_from_u64(SEED);
        Self { kept: Vec::with_capacity(room), room, seen: 0, random }
    }

    fn note(&mut self, exchange: RoundTrip) {
        self.seen += 1;
        if self.kept.len() < self.room {
            return self.kept.push(exchange);
        }
        let place = usize::try_from(self.random.random_range(0..self.seen));
        if let Some(place) = place.ok().and_then(|place| self.kept.get_mut(place)) {
            *place = exchange;
        }
    }

    /// Returns how long each way took, and how many took less than nothing by more than is
    /// uncertain.
    fn ways(&self, tie: &Tie) -> ([Latencies; 2], u64) {
        let mut ways = [Latencies::new(), Latencies::new()];
        let mut negative = 0;
        for exchange in &self.kept {
            for (way, took) in ways.iter_mut().zip(tie.ways(exchange)) {
                let impossible = took < 0 && took.unsigned_abs() > tie.uncertainty;
                negative += u64::from(impossible);
                way.record(Duration::from_nanos(u64::try_from(took).unwrap_or(0)));
            }
        }
        (ways, negative)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "what is larger becomes the largest")]
fn billionths(part: f64) -> i64 {
    (part * 1e9).round() as i64
}

/// How many exchanges all flows of a test keep together: a mebibyte of them. A percentile of so many
/// is of the next thousandth of all, at worst.
const ROOM: usize = 1 << 15;
/// How many each flow keeps, however many there are.
const LEAST: usize = 1 << 10;
const SEED: u64 = 0x6f6e_652d_7761_7921;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Notes an exchange that took so long each way, of a server whose clock is a second ahead.
    fn note(record: &mut OneWay, asked: u64, [there, back]: [u64; 2], part: Part) {
        let read = 1_000 * MS + asked + there;
        let stamp = Stamp { read, written: read + 7_000 };
        let [asked, answered] = [asked, asked + there + 7_000 + back].map(Duration::from_nanos);
        record.note(stamp, asked, answered, part);
    }

    fn close(nanos: u64, to: u64) -> bool {
        nanos.abs_diff(to) <= to / 500
    }

    #[test]
    fn each_way_has_what_was_waited_for_on_it() {
        let mut record = OneWay::new(1, true);
        for nth in 0..100 {
            note(&mut record, nth * 10 * MS, [MS, MS], Part::Idle);
        }
        for nth in 100..200 {
            note(&mut record, nth * 10 * MS, [MS, 9 * MS], Part::Omitted);
        }
        for nth in 200..300 {
            note(&mut record, nth * 10 * MS, [5 * MS, 2 * MS], Part::Counted);
        }
        let summary = record.summary().unwrap();
        let of = |way: &Option<LatencySummary>| way.as_ref().map(|way| (way.count, way.p50_ns));
        for (way, took) in [
            (&summary.forward, 5 * MS),
            (&summary.backward, 2 * MS),
            (&summary.idle_forward, MS),
            (&summary.idle_backward, MS),
        ] {
            let (count, median) = of(way).unwrap();
            assert!(count == 100 && close(median, took), "{took}: {summary:?}");
        }
        assert_eq!((summary.exchanges, summary.negative), (100, 0));
        assert_eq!(summary.offset_ns, 1_000_000_000);
    }

    #[test]
    fn more_than_there_is_room_for_are_a_fair_sample() {
        let mut record = OneWay::new(32, false);
        let all = 100_000;
        for nth in 0..all {
            // As the test goes on, requests take longer and longer.
            note(&mut record, nth * MS, [MS + nth * 100, MS], Part::Counted);
        }
        let summary = record.summary().unwrap();
        let forward = summary.forward.unwrap();
        assert_eq!((forward.count, summary.exchanges), (1024, all));
        for (part, shown) in [(50, forward.p50_ns), (90, forward.p90_ns)] {
            let real = MS + all * 100 * part / 100;
            // Three standard errors of a share of 1024.
            assert!(shown.abs_diff(real) < all * 100 / 20, "p{part}: {shown} for {real}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_told_of() {
        let mut record = OneWay::new(1, false);
        for nth in 0..1000 {
            note(&mut record, nth * MS, [MS, MS], Part::Counted);
        }
        let jump = |asked: u64| Stamp { read: asked, written: asked };
        for asked in (1000..1010).map(|nth| nth * MS) {
            let ends = [asked, asked + 2 * MS + 1].map(Duration::from_nanos);
            record.note(jump(asked), ends[0], ends[1], Part::Counted);
        }
        let summary = record.summary().unwrap();
        let told = summary.negative >= 10 || summary.uncertainty_ns > 400 * MS;
        assert!(told, "{summary:?}");
    }

    #[test]
    fn times_that_cannot_be_count_for_nothing_and_break_nothing() {
        let mut record = OneWay::new(1, true);
        let extremes = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        for part in [Part::Counted, Part::Idle, Part::Omitted] {
            for read in extremes {
                for written in extremes {
                    for ends in [[0, 0], [1, 5], [5, 1], [0, u64::MAX]] {
                        let [asked, answered] = ends.map(Duration::from_nanos);
                        record.note(Stamp { read, written }, asked, answered, part);
                    }
                }
            }
        }
        let _ = record.summary();
        let mut none = OneWay::new(1, false);
        let held = Stamp { read: 0, written: 3 };
        none.note(held, Duration::ZERO, Duration::from_nanos(2), Part::Counted);
        assert_eq!(none.summary(), None);
    }
}
