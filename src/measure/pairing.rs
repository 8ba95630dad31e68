use std::{collections::VecDeque, time::Duration};

use super::{Interval, Sample};

/// Joins what this end counted in each interval with what the other end says of the same one.
///
/// The other end's word comes over the network and may be late, or never come. An interval waits
/// for it up to a bound, so that reports are in order, complete where they can be, and never stuck.
#[derive(Debug)]
pub struct Pairing {
    patience: Duration,
    local: VecDeque<(Duration, Sample)>,
    remote: VecDeque<Sample>,
    next: u32,
}

impl Pairing {
    /// Returns an empty pairing that waits no longer than `patience` for the other end.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, local: VecDeque::new(), remote: VecDeque::new(), next: 0 }
    }

    /// Takes what this end counted, at time `now`.
    pub fn local(&mut self, sample: Sample, now: Duration) {
        self.local.push_back((now, sample));
    }

    /// Takes what the other end counted. A sample of an interval that is already out, or that would
    /// take the order back, is dropped: late news never rolls a report back.
    pub fn remote(&mut self, sample: Sample) {
        let newest = self.remote.back().map_or(self.next, |last| last.index.saturating_add(1));
        if sample.index >= newest && self.remote.len() < MAX_AHEAD {
            self.remote.push_back(sample);
        }
    }

    /// Returns the next interval that is complete, or has waited long enough at time `now`.
    pub fn poll(&mut self, now: Duration) -> Option<Interval> {
        let (since, local) = self.local.front()?;
        while self.remote.front().is_some_and(|remote| remote.index < local.index) {
            self.remote.pop_front();
        }
        let matched = self.remote.front().is_some_and(|remote| remote.index == local.index);
        let overtaken = !matched && !self.remote.is_empty();
        if matched || overtaken || now >= *since + self.patience {
            self.take(matched)
        } else {
            None
        }
    }

    /// Returns the next interval whether or not the other end has said anything.
    pub fn flush(&mut self) -> Option<Interval> {
        let index = self.local.front()?.1.index;
        self.remote.retain(|remote| remote.index >= index);
        let matched = self.remote.front().is_some_and(|remote| remote.index == index);
        self.take(matched)
    }

    /// Returns when [`poll`](Self::poll) has something at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.local.front().map(|(since, _)| *since + self.patience)
    }

    fn take(&mut self, matched: bool) -> Option<Interval> {
        let (_, local) = self.local.pop_front()?;
        self.next = local.index.saturating_add(1);
        Some(Interval { local, remote: if matched { self.remote.pop_front() } else { None } })
    }
}

/// How many intervals the other end may be ahead before its samples are dropped: they are kept in
/// memory, and it decides how many it sends.
const MAX_AHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: u32) -> Sample {
        let start = Duration::from_secs(u64::from(index));
        let end = start + Duration::from_secs(1);
        Sample { index, start, end, omitted: false, flows: Vec::new() }
    }

    const PATIENCE: Duration = Duration::from_millis(500);
    const AT: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn an_interval_waits_for_the_other_end() {
        let mut pairing = Pairing::new(PATIENCE);
        pairing.local(sample(0), AT(1000));
        assert_eq!(pairing.poll(AT(1000)), None);
        assert_eq!(pairing.deadline(), Some(AT(1500)));
        pairing.remote(sample(0));
        let interval = pairing.poll(AT(1010)).unwrap();
        assert_eq!(interval.remote, Some(sample(0)));
        assert_eq!(pairing.deadline(), None);
    }

    #[test]
    fn an_interval_does_not_wait_for_ever() {
        let mut pairing = Pairing::new(PATIENCE);
        pairing.local(sample(0), AT(1000));
        assert_eq!(pairing.poll(AT(1500)).unwrap().remote, None);
        pairing.remote(sample(0));
        pairing.local(sample(1), AT(2000));
        pairing.remote(sample(1));
        assert_eq!(pairing.poll(AT(2000)).unwrap().remote, Some(sample(1)), "late news is dropped");
    }

    #[test]
    fn the_other_end_may_be_first_and_may_skip_one() {
        let mut pairing = Pairing::new(PATIENCE);
        pairing.remote(sample(1));
        pairing.local(sample(0), AT(1000));
        assert_eq!(pairing.poll(AT(1000)).unwrap().remote, None, "0 will not come any more");
        pairing.local(sample(1), AT(2000));
        assert_eq!(pairing.poll(AT(2000)).unwrap().remote, Some(sample(1)));
    }

    #[test]
    fn repeated_and_older_samples_change_nothing() {
        let mut pairing = Pairing::new(PATIENCE);
        for index in [2, 2, 1, 0] {
            pairing.remote(sample(index));
        }
        pairing.local(sample(2), AT(1000));
        assert_eq!(pairing.poll(AT(1000)).unwrap().remote, Some(sample(2)));
        assert_eq!(pairing.flush(), None);
    }

    #[test]
    fn a_peer_that_runs_ahead_costs_bounded_memory() {
        let mut pairing = Pairing::new(PATIENCE);
        for index in 0..10_000 {
            pairing.remote(sample(index));
        }
        assert_eq!(pairing.remote.len(), MAX_AHEAD);
    }

    #[test]
    fn a_flush_returns_what_is_left_in_order() {
        let mut pairing = Pairing::new(PATIENCE);
        pairing.local(sample(0), AT(1000));
        pairing.local(sample(1), AT(2000));
        pairing.remote(sample(1));
        assert_eq!(pairing.flush().map(|i| (i.local.index, i.remote.is_some())), Some((0, false)));
        assert_eq!(pairing.flush().map(|i| (i.local.index, i.remote.is_some())), Some((1, true)));
        assert_eq!(pairing.flush(), None);
    }
}
