//! Counting what crosses the link in one direction.

use std::{collections::HashMap, time::Duration};

use hdrhistogram::Histogram;
use polyperf_memory::link::Cause;

use super::{
    frame::FlowKey,
    truth::{Crossing, Flow, Spread},
};

/// The flows of one direction, the first of them kept apart.
#[derive(Debug)]
pub(super) struct Tally {
    numbers: HashMap<FlowKey, u32>,
    flows: Vec<(FlowKey, Counts)>,
    /// Of those that came when there was no more room.
    others: Option<Counts>,
    total: Counts,
    /// Whose the packet before was: mostly the next one's too.
    last: Option<(FlowKey, u32)>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            flows: Vec::new(),
            others: None,
            total: Counts::new(),
            last: None,
        }
    }

    /// Returns the number of a flow.
    pub(super) fn number(&mut self, key: &FlowKey) -> u32 {
        match self.last {
            Some((last, number)) if last == *key => number,
            _ => {
                let number = self.look_up(key);
                self.last = Some((*key, number));
                number
            }
        }
    }

    pub(super) fn put(&mut self, flow: u32, packets: u64, bytes: u64) {
        self.each(flow, |counts| {
            counts.crossing.packets += packets;
            counts.crossing.bytes += bytes;
        });
    }

    pub(super) fn deliver(
        &mut self,
        flow: u32,
        packets: u64,
        bytes: u64,
        marked: bool,
        queued: Duration,
    ) {
        let queued = nanos(queued);
        self.each(flow, |counts| {
            counts.crossing.delivered += packets;
            counts.crossing.delivered_bytes += bytes;
            counts.crossing.marks += if marked { packets } else { 0 };
            counts.queueing.record(queued, packets);
        });
    }

    pub(super) fn lose(&mut self, flow: u32, packets: u64, cause: Cause) {
        self.each(flow, |counts| counts.crossing.drops.count(cause, packets));
    }

    pub(super) fn total(&self) -> Crossing {
        self.total.show()
    }

    pub(super) fn flows(&self) -> Vec<Flow> {
        let show = |(key, counts): &(FlowKey, Counts)| Flow {
            protocol: key.protocol,
            from: key.from,
            to: key.to,
            crossing: counts.show(),
        };
        self.flows.iter().map(show).collect()
    }

    pub(super) fn others(&self) -> Option<Crossing> {
        self.others.as_ref().map(Counts::show)
    }

    fn look_up(&mut self, key: &FlowKey) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        if self.flows.len() >= MOST_FLOWS {
            return OTHERS;
        }
        let number = u32::try_from(self.flows.len()).unwrap_or(OTHERS);
        self.flows.push((*key, Counts::new()));
        self.numbers.insert(*key, number);
        number
    }

    fn each(&mut self, flow: u32, mut change: impl FnMut(&mut Counts)) {
        change(&mut self.total);
        let place = usize::try_from(flow).unwrap_or(usize::MAX);
        match self.flows.get_mut(place) {
            Some((_, counts)) => change(counts),
            None => change(self.others.get_or_insert_with(Counts::new)),
        }
    }
}

/// What became of some packets.
#[derive(Debug)]
struct Counts {
    crossing: Crossing,
    queueing: Times,
}

impl Counts {
    fn new() -> Self {
        Self { crossing: Crossing::default(), queueing: Times::new() }
    }

    fn show(&self) -> Crossing {
        Crossing { queueing: self.queueing.show(), ..self.crossing.clone() }
    }
}

/// A distribution of times, to within a hundredth; of those beyond an hour, an hour.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    /// Takes a time in nanoseconds, so many times over.
    pub(super) fn record(&mut self, nanos: u64, count: u64) {
        self.0.saturating_record_n(nanos, count);
    }

    /// Returns how they spread; `None` if there are none.
    ///
    /// It looks at each step of the distribution once: whoever carries packets does not carry them
    /// meanwhile.
    pub(super) fn show(&self) -> Option<Spread> {
        let count = self.0.len();
        let mut longest = None;
        let (mut seen, mut sum) = (0, 0_u128);
        let mut parts = [(0.5, None), (0.95, None), (0.99, None)];
        for step in self.0.iter_recorded() {
            seen += step.count_at_value();
            let nanos = self.0.median_equivalent(step.value_iterated_to());
            sum += u128::from(nanos) * u128::from(step.count_at_value());
            for (part, value) in &mut parts {
                if value.is_none() && seen as f64 >= count as f64 * *part {
                    *value = Some(nanos);
                }
            }
            longest = Some(nanos);
        }
        let [p50, p95, p99] = parts.map(|(_, nanos)| Duration::from_nanos(nanos.unwrap_or(0)));
        let mean = Duration::from_nanos(u64::try_from(sum / u128::from(count.max(1))).ok()?);
        longest.map(|max| Spread { count, mean, p50, p95, p99, max: Duration::from_nanos(max) })
    }
}

/// Returns a time in nanoseconds, or the most that fit.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Flows that are kept apart, at some 25 KiB each.
const MOST_FLOWS: usize = 256;

const OTHERS: u32 = u32::MAX;
const LONGEST: u64 = 3_600_000_000_000;
const DIGITS: u8 = 2;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn key(port: u16) -> FlowKey {
        let to = SocketAddr::from(([10, 99, 0, 2], 5201));
        FlowKey { protocol: 17, from: SocketAddr::from(([10, 99, 0, 1], port)), to }
    }

    #[test]
    fn flows_are_kept_apart_and_together_make_the_total() {
        let mut tally = Tally::new();
        for port in [1, 2, 1] {
            let flow = tally.number(&key(port));
            tally.put(flow, 2, 3000);
            tally.deliver(flow, 1, 1500, true, Duration::from_millis(4));
            tally.lose(flow, 1, Cause::Queue);
        }
        let flows = tally.flows();
        let packets: Vec<_> = flows.iter().map(|flow| flow.crossing.packets).collect();
        assert_eq!(packets, [4, 2]);
        let total = tally.total();
        assert_eq!((total.packets, total.bytes, total.marks), (6, 9000, 3));
        assert_eq!((total.delivered, total.drops.queue, total.drops.total()), (3, 3, 3));
        let queueing = total.queueing.unwrap();
        assert!(queueing.p50.abs_diff(Duration::from_millis(4)) < Duration::from_micros(41));
        assert_eq!(tally.others(), None);
    }

    #[test]
    fn a_spread_is_that_of_what_was_recorded() {
        let mut times = Times::new();
        assert_eq!(times.show(), None);
        times.record(0, 99);
        times.record(7, 1);
        let mostly_none = times.show().unwrap();
        assert_eq!((mostly_none.p99, mostly_none.max), (Duration::ZERO, Duration::from_nanos(7)));
        let mut times = Times::new();
        times.record(1000, 1);
        for micros in 1..=1000 {
            times.record(micros * 1000, 1);
        }
        let spread = times.show().unwrap();
        assert_eq!(spread.count, 1001);
        let expected = [
            (spread.p50, 500),
            (spread.mean, 500),
            (spread.p95, 950),
            (spread.p99, 990),
            (spread.max, 1000),
        ];
        for (seen, micros) in expected {
            let off = seen.as_secs_f64() * 1e6 / f64::from(micros) - 1.0;
            assert!(off.abs() < 0.01, "{seen:?} for {micros} µs");
        }
    }

    #[test]
    fn more_flows_than_there_is_room_for_are_counted_together() {
        let mut tally = Tally::new();
        for port in 1..=1000 {
            let flow = tally.number(&key(port));
            tally.put(flow, 1, 100);
        }
        assert_eq!(tally.flows().len(), MOST_FLOWS);
        assert_eq!(tally.others().unwrap().packets, 1000 - MOST_FLOWS as u64);
        assert_eq!(tally.total().packets, 1000);
    }
}
