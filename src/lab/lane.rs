//! One direction of the link and its account, whatever it is that crosses it.

use std::{fmt::Debug, time::Duration};

use polyperf_memory::link::{Link, LinkConfig, Packet};

use super::{
    frame::FlowKey,
    tally::{Tally, Times, nanos},
    truth::Direction,
};

/// Something that crosses the link: one packet, or several that stay together.
pub(super) trait Load: Clone + Debug {
    /// Returns how many packets it is.
    fn packets(&self) -> usize;

    /// Returns the bytes that they take on a link.
    fn wire_len(&self) -> usize;

    /// Marks that it met congestion; false if its sender takes no marks.
    fn mark(&mut self) -> bool;

    /// Returns whether it has been marked on this link.
    fn is_marked(&self) -> bool;
}

/// One direction of the link.
#[derive(Debug)]
pub(super) struct Lane<L: Load> {
    link: Link<Counted<L>>,
    config: Known,
    tally: Tally,
    lateness: Times,
    overflows: u64,
}

/// What is asked of the link's configuration again and again.
#[derive(Debug)]
struct Known {
    per_packet: bool,
    rate: Option<u64>,
    delay: Duration,
}

/// A load, and the number of its flow.
#[derive(Debug, Clone)]
struct Counted<L> {
    load: L,
    flow: u32,
}

impl<L: Load> Packet for Counted<L> {
    fn wire_len(&self) -> usize {
        self.load.wire_len()
    }

    fn mark(&mut self) -> bool {
        self.load.mark()
    }
}

impl<L: Load> Lane<L> {
    /// Returns an empty link.
    pub(super) fn new(config: LinkConfig) -> Self {
        let known = Known {
            per_packet: config.is_per_packet(),
            rate: config.mean_rate().map(|rate| rate.bits_per_second()),
            delay: config.delay,
        };
        Self {
            link: Link::new(config).keep_lost(),
            config: known,
            tally: Tally::new(),
            lateness: Times::new(),
            overflows: 0,
        }
    }

    /// Returns whether each packet has to be put on the link by itself.
    pub(super) fn is_per_packet(&self) -> bool {
        self.config.per_packet
    }

    /// Returns the number under which a flow's loads are put on the link.
    pub(super) fn flow(&mut self, key: &FlowKey) -> u32 {
        self.tally.number(key)
    }

    /// Puts a load on the link; gives it back if there is no room for it in this machine.
    pub(super) fn put(&mut self, now: Duration, flow: u32, load: L) -> Option<L> {
        let packets = count(load.packets());
        self.tally.put(flow, packets, count(load.wire_len()));
        // A queue without a limit must not take all of the machine's memory.
        if self.link.bytes_in_flight() > MOST_BYTES || self.link.in_flight() > MOST_LOADS {
            self.overflows += packets;
            return Some(load);
        }
        self.link.push(now, Counted { load, flow });
        None
    }

    /// Returns the next load that is due.
    pub(super) fn next(&mut self, now: Duration) -> Option<L> {
        let arrival = self.link.pop(now)?;
        let Counted { load, flow } = arrival.packet;
        let packets = count(load.packets());
        self.lateness.record(nanos(now.saturating_sub(arrival.due)), packets);
        let bytes = count(load.wire_len());
        self.tally.deliver(flow, packets, bytes, load.is_marked(), arrival.queued);
        Some(load)
    }

    /// Returns a load that the link has lost: to be asked for after each of the others.
    pub(super) fn next_lost(&mut self) -> Option<L> {
        let (Counted { load, flow }, cause) = self.link.take_lost()?;
        self.tally.lose(flow, count(load.packets()), cause);
        Some(load)
    }

    /// Returns when to ask for a load next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.link.next_deadline()
    }

    /// Returns what became of all loads so far, as far as it is known here.
    pub(super) fn truth(&self) -> Direction {
        let stats = self.link.stats();
        Direction {
            rate: self.config.rate,
            delay: self.config.delay,
            per_packet: self.config.per_packet,
            total: self.tally.total(),
            duplicated: stats.duplicated,
            reordered: stats.reordered,
            longest_queue_packets: count(stats.longest_queue_packets),
            longest_queue_bytes: count(stats.longest_queue_bytes),
            lateness: self.lateness.show(),
            overflows: self.overflows,
            flows: self.tally.flows(),
            other_flows: self.tally.others(),
            ..Direction::default()
        }
    }
}

pub(super) fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// What a link may hold: half a second of 8 Gbit/s.
const MOST_BYTES: usize = 512 << 20;
/// Small packets take more than their bytes.
const MOST_LOADS: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use polyperf_memory::link::{BitRate, QueueLimit};

    use super::*;

    #[derive(Debug, Clone)]
    struct Packets(usize, usize);

    impl Load for Packets {
        fn packets(&self) -> usize {
            self.0
        }

        fn wire_len(&self) -> usize {
            self.1
        }

        fn mark(&mut self) -> bool {
            false
        }

        fn is_marked(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_is_put_on_the_link_is_delivered_lost_or_refused() {
        let config = LinkConfig::perfect()
            .rate(BitRate::mbps(12))
            .queue(QueueLimit::Packets(3))
            .delay(Duration::from_millis(5));
        let mut lane = Lane::new(config);
        let flow = lane.flow(&FlowKey::OTHER);
        for _ in 0..10 {
            assert!(lane.put(Duration::ZERO, flow, Packets(1, 1500)).is_none());
            while lane.next_lost().is_some() {}
        }
        // One of 1 ms is being sent, three wait, and the others found no room.
        let late = Duration::from_millis(9);
        while lane.next(late + Duration::from_millis(1)).is_some() {}
        let truth = lane.truth();
        assert_eq!((truth.total.delivered, truth.total.drops.queue), (4, 6));
        assert_eq!((truth.rate, truth.longest_queue_packets), (Some(12_000_000), 3));
        assert_eq!(truth.lateness.unwrap().count, 4);
        assert!(truth.lateness.unwrap().max >= Duration::from_millis(3));
    }

    #[test]
    fn a_queue_without_a_limit_ends_with_the_machines_room() {
        let mut lane = Lane::new(LinkConfig::perfect().rate(BitRate::mbps(1)));
        let flow = lane.flow(&FlowKey::OTHER);
        let refused =
            (0..600).filter_map(|_| lane.put(Duration::ZERO, flow, Packets(700, 1 << 20)));
        let refused = refused.count();
        assert!(refused > 80, "{refused}");
        let truth = lane.truth();
        assert_eq!(truth.overflows, 700 * refused as u64);
        assert_eq!(truth.total.packets, 600 * 700);
    }
}
