use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Weak,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{Parcel, PortOptions, Tag};
use crate::Endpoint;

/// Which source has, or had a moment ago, which flow.
#[derive(Debug)]
pub(super) struct Table {
    open: HashMap<SocketAddr, Entry>,
    ended: HashMap<SocketAddr, (Tag, Instant)>,
    /// The ends in their order. One whose time is not that of the map is out of date.
    ends: VecDeque<(SocketAddr, Instant)>,
    max_flows: usize,
    linger: Duration,
    allowance: Allowance,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) tag: Tag,
    pub(super) inbox: mpsc::Sender<Parcel>,
    pub(super) endpoint: Weak<Endpoint>,
}

impl Table {
    pub(super) fn new(options: &PortOptions, now: Instant) -> Self {
        Self {
            open: HashMap::new(),
            ended: HashMap::new(),
            ends: VecDeque::new(),
            max_flows: options.max_flows,
            linger: options.linger,
            allowance: Allowance::new(options.max_flows_per_second, now),
        }
    }

    /// Returns whether there is room for another flow at `now`, which thereby is taken.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        self.open.len() < self.max_flows && self.allowance.take(now)
    }

    pub(super) fn insert(&mut self, source: SocketAddr, entry: Entry) {
        self.ended.remove(&source);
        self.open.insert(source, entry);
    }

    pub(super) fn close(&mut self, source: SocketAddr, now: Instant) {
        let Some(Entry { tag, .. }) = self.open.remove(&source) else { return };
        self.forget(now);
        self.ended.insert(source, (tag, now));
        self.ends.push_back((source, now));
    }

    pub(super) fn get(&self, source: SocketAddr) -> Option<&Entry> {
        self.open.get(&source)
    }

    /// Returns the flow that `source` had until less than the linger time before `now`.
    pub(super) fn ended(&mut self, source: SocketAddr, now: Instant) -> Option<Tag> {
        self.forget(now);
        self.ended.get(&source).map(|(tag, _)| *tag)
    }

    /// Returns whether `source` has a flow, or had one until less than the linger time before `now`.
    pub(super) fn is_known(&mut self, source: SocketAddr, now: Instant) -> bool {
        self.forget(now);
        self.open.contains_key(&source) || self.ended.contains_key(&source)
    }

    /// Returns how many flows are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns how many sources have a flow, or had one and are not forgotten yet.
    pub(super) fn known(&self) -> usize {
        self.open.len() + self.ended.len()
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&(source, end)) = self.ends.front() {
            if now.saturating_duration_since(end) < self.linger {
                return;
            }
            self.ends.pop_front();
            if self.ended.get(&source).is_some_and(|&(_, newest)| newest == end) {
                self.ended.remove(&source);
            }
        }
    }
}

/// So many in a second, and no more than that at once.
#[derive(Debug)]
struct Allowance {
    per_second: u32,
    left: f64,
    since: Instant,
}

impl Allowance {
    fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: f64::from(per_second), since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let most = f64::from(self.per_second);
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * most).min(most);
        self.since = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

    fn table(now: Instant) -> Table {
        let options =
            PortOptions { max_flows: 2, max_flows_per_second: 3, ..PortOptions::default() };
        Table::new(&options, now)
    }

    fn entry(tag: u8) -> Entry {
        Entry { tag: [tag; 16], inbox: mpsc::channel(1).0, endpoint: Weak::new() }
    }

    #[test]
    fn a_flow_that_ended_is_known_for_a_while() {
        let start = Instant::now();
        let mut table = table(start);
        table.insert(SOURCE, entry(1));
        assert_eq!(table.ended(SOURCE, start), None);
        table.close(SOURCE, start);
        assert!(table.get(SOURCE).is_none());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(table.ended(SOURCE, at(2999)), Some([1; 16]));
        assert_eq!(table.ended(SOURCE, at(3000)), None);
        assert!(table.ends.is_empty());
        assert_eq!(table.known(), 0);
    }

    #[test]
    fn a_source_is_known_from_the_beginning_of_its_flow_until_after_its_end() {
        let start = Instant::now();
        let mut table = table(start);
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!table.is_known(SOURCE, at(0)));
        table.insert(SOURCE, entry(1));
        assert!(table.is_known(SOURCE, at(10_000)));
        table.close(SOURCE, at(10_000));
        assert_eq!(table.known(), 1);
        assert!(table.is_known(SOURCE, at(12_999)));
        assert!(!table.is_known(SOURCE, at(13_000)));
    }

    #[test]
    fn a_source_that_comes_back_is_forgotten_at_its_own_time() {
        let start = Instant::now();
        let mut table = table(start);
        let at = |millis| start + Duration::from_millis(millis);
        table.insert(SOURCE, entry(1));
        table.close(SOURCE, at(0));
        table.insert(SOURCE, entry(2));
        assert_eq!(table.ended(SOURCE, at(1)), None);
        table.close(SOURCE, at(2000));
        assert_eq!(table.ended(SOURCE, at(3500)), Some([2; 16]));
        assert_eq!(table.ended(SOURCE, at(5000)), None);
    }

    #[test]
    fn flows_are_limited_in_number_and_rate() {
        let start = Instant::now();
        let mut table = table(start);
        let second = Duration::from_secs(1);
        assert!((0..3).all(|_| table.admit(start)));
        assert!(!table.admit(start), "three in a second");
        assert!(table.admit(start + second));
        table.insert(SOURCE, entry(1));
        table.insert(SocketAddr::new(SOURCE.ip(), 8), entry(2));
        assert!(!table.admit(start + 2 * second), "two at a time");
        table.close(SOURCE, start);
        assert!(table.admit(start + 2 * second));
    }
}
