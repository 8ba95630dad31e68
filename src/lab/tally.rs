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
    pub(super) fn show(&self) -> Option<Spread> {
        let at = |part| Duration::from_nanos(self.0.value_at_quantile(part));
        (!self.0.is_empty()).then(|| Spread {
            count: self.0.len(),
            mean: Duration::try_from_secs_f64(self.0.mean() / NANOS).unwrap_or_default(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: Duration::from_nanos(self.0.max()),
        })
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
const NANOS: f64 = 1e9;

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
