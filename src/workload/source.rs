use std::{sync::Arc, time::Duration};

use super::{Budget, Pacer};
use crate::{measure::Slips, spec::TestSpec};

/// What the sender of one flow does next.
#[derive(Debug)]
pub struct Source {
    block: usize,
    /// How many blocks may go at once.
    batch: usize,
    begin: Duration,
    omit: Duration,
    end: Option<Duration>,
    budget: Option<Arc<Budget>>,
    /// What is this flow's, whatever the others claim.
    reserved: usize,
    pacer: Option<Pacer>,
    /// When what is handed over now was due.
    due: Option<Duration>,
    /// What is left of a block that the transport took only in part.
    unsent: usize,
}

/// The next step of a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send so many bytes now.
    Send(usize),
    /// Nothing is due before this time.
    Wait(Duration),
    /// Everything has been sent.
    Done,
}

impl Source {
    /// Returns the source of one flow of `spec`, which starts at time zero and writes blocks of
    /// `block` bytes. Flows of one direction share `budget`.
    #[must_use]
    pub fn new(spec: &TestSpec, block: usize, budget: Option<Arc<Budget>>) -> Self {
        Self::batched(spec, block, 1, budget)
    }

    /// Returns such a source that hands over up to `batch` blocks at once: as many as are due.
    #[must_use]
    pub fn batched(
        spec: &TestSpec,
        block: usize,
        batch: usize,
        budget: Option<Arc<Budget>>,
    ) -> Self {
        let reserve = |budget: &Arc<Budget>| budget.reserve(block, spec.streams);
        let begin = spec.load_begins();
        let pacer = |rate| Pacer::gathering(rate, block, batch, begin);
        Self {
            block,
            batch: batch.max(1),
            begin,
            omit: spec.omitted(),
            end: spec.duration(),
            reserved: budget.as_ref().map_or(0, reserve),
            budget,
            pacer: spec.rate.map(pacer),
            due: None,
            unsent: 0,
        }
    }

    /// Returns what to do at `now`.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.end.is_some_and(|end| now >= end) {
            return Step::Done;
        }
        if now < self.begin {
            return Step::Wait(self.begin);
        }
        if self.unsent > 0 {
            return Step::Send(self.unsent);
        }
        self.due = self.pacer.as_mut().map(|pacer| pacer.due(now));
        if let Some(due) = self.due.filter(|due| *due > now) {
            return Step::Wait(self.end.map_or(due, |end| due.min(end)));
        }
        self.unsent = self.claim(now);
        if self.unsent == 0 {
            return Step::Done;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.sent_batch(self.unsent, self.unsent.div_ceil(self.block));
        }
        Step::Send(self.unsent)
    }

    /// Takes note that the transport took so many bytes.
    pub fn took(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
    }

    /// Returns whether a part of what was handed over last is still to be sent.
    #[must_use]
    pub fn is_resuming(&self) -> bool {
        self.unsent > 0
    }

    /// Returns when what is to be sent now was due; `None` where there is no schedule.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Returns the bits per second of the schedule; `None` where there is none.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.pacer.as_ref().map(Pacer::rate)
    }

    /// Returns what the schedule has given up so far.
    #[must_use]
    pub fn slips(&self) -> Slips {
        self.pacer.as_ref().map(Pacer::slips).unwrap_or_default()
    }

    /// Returns the most bytes that are handed over at once.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.block.saturating_mul(self.batch)
    }

    fn claim(&mut self, now: Duration) -> usize {
        let due = self.pacer.as_ref().map_or(self.batch, Pacer::left_in_burst);
        let blocks = self.batch.min(due);
        match &self.budget {
            // What is sent before the count begins is not counted.
            Some(_) if now >= self.omit && self.reserved > 0 => std::mem::take(&mut self.reserved),
            Some(budget) if now >= self.omit => budget.claim_batch(self.block, blocks),
            _ => self.block * blocks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{Pacing, PacingSummary},
        spec::{Limit, Rate, SpecFields},
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn source(fields: SpecFields) -> Source {
        let spec = TestSpec::try_from(fields).unwrap();
        Source::new(&spec, 1000, Budget::new(spec.limit).map(Arc::new))
    }

    #[test]
    fn time_ends_it_after_what_is_omitted() {
        let mut source =
            source(SpecFields { omit: at(2), limit: Limit::Time(at(10)), ..SpecFields::default() });
        assert_eq!(source.next(Duration::from_millis(11_999)), Step::Send(1000));
        assert_eq!(source.next(at(12)), Step::Done);
    }

    #[test]
    fn short_writes_are_resumed_not_replayed() {
        let mut source = source(SpecFields { limit: Limit::Bytes(1500), ..SpecFields::default() });
        assert_eq!(source.next(at(0)), Step::Send(1000));
        source.took(400);
        assert_eq!(source.next(at(0)), Step::Send(600));
        source.took(600);
        assert_eq!(source.next(at(0)), Step::Send(500));
        source.took(500);
        assert_eq!(source.next(at(0)), Step::Done);
    }

    #[test]
    fn a_count_begins_after_what_is_omitted() {
        let limit = Limit::Blocks(1);
        let mut source = source(SpecFields { omit: at(1), limit, ..SpecFields::default() });
        for _ in 0..3 {
            assert_eq!(source.next(at(0)), Step::Send(1000));
            source.took(1000);
        }
        assert_eq!(source.next(at(1)), Step::Send(1000));
        source.took(1000);
        assert_eq!(source.next(at(1)), Step::Done);
    }

    #[test]
    fn a_paced_source_waits_no_longer_than_the_test() {
        let rate = Some(Rate { bits_per_second: 800, burst: None });
        let mut source = source(SpecFields { rate, ..SpecFields::default() });
        assert_eq!(source.next(at(0)), Step::Send(1000));
        source.took(1000);
        assert_eq!(source.next(at(0)), Step::Wait(at(10)));
        assert_eq!(source.next(at(10)), Step::Done);
    }

    fn batches(bits_per_second: Option<u64>, limit: Limit) -> Source {
        let rate = bits_per_second.map(|rate| Rate { bits_per_second: rate, burst: None });
        let spec = TestSpec::try_from(SpecFields { rate, limit, ..SpecFields::default() }).unwrap();
        Source::batched(&spec, 1000, 32, Budget::new(spec.limit).map(Arc::new))
    }

    /// Runs a source over virtual time that is as coarse as `tick`, and returns what it sent in
    /// each second, and the most at once.
    fn run(mut source: Source, seconds: u64, tick: Duration) -> (Vec<u64>, usize) {
        let (mut sent, mut most) = (vec![0; usize::try_from(seconds).unwrap()], 0);
        let mut now = Duration::ZERO;
        loop {
            match source.next(now) {
                Step::Send(len) => {
                    let second = usize::try_from(now.as_secs()).unwrap();
                    sent[second] += u64::try_from(len).unwrap();
                    most = most.max(len);
                    assert!(source.due().is_none_or(|due| due <= now), "ahead of time");
                    source.took(len);
                }
                Step::Wait(until) => {
                    while now < until {
                        now += tick;
                    }
                }
                Step::Done => return (sent, most),
            }
        }
    }

    #[test]
    fn every_second_of_a_rate_is_within_half_a_percent() {
        let limit = Limit::Time(at(5));
        for rate in [2_000_000, 100_000_000, 1_000_000_000, 40_000_000_000] {
            for tick in [1, 50, 1000].map(Duration::from_micros) {
                let (sent, most) = run(batches(Some(rate), limit), 5, tick);
                for bytes in sent {
                    assert!(bytes.abs_diff(rate / 8) <= rate / 8 / 200, "{bytes} at {rate}");
                }
                let millisecond = usize::try_from(rate / 8000).unwrap();
                assert!(most <= millisecond.clamp(1000, 32_000), "{most} at {rate}");
            }
        }
    }

    /// Runs a source over virtual time that is as coarse as `tick`, and returns how closely it kept
    /// to its rate.
    fn pacing(mut source: Source, tick: Duration) -> PacingSummary {
        let mut pacing = Pacing::new(source.rate().unwrap());
        let mut now = Duration::ZERO;
        loop {
            match source.next(now) {
                Step::Send(len) => {
                    let blocks = len.div_ceil(1000).try_into().unwrap();
                    pacing.sent(now, blocks, len.try_into().unwrap());
                    source.took(len);
                }
                Step::Wait(until) => {
                    pacing.waits();
                    while now < until {
                        now += tick;
                    }
                }
                Step::Done => {
                    pacing.slipped(source.slips());
                    pacing.ends(now);
                    return pacing.summary().unwrap();
                }
            }
        }
    }

    #[test]
    fn at_every_rate_a_sender_is_within_a_burst_and_the_clocks_tick_of_it() {
        for rate in [64_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 40_000_000_000] {
            for tick in [1, 50, 1000].map(Duration::from_micros) {
                let pacing = pacing(batches(Some(rate), Limit::Time(at(5))), tick);
                let burst = (rate / 8000).clamp(1000, 32_000);
                let late = rate / 8 * u64::try_from(tick.as_micros()).unwrap() / 1_000_000;
                let most = burst + late;
                assert!(pacing.max_token_error <= most, "{pacing:?} at {rate}, {tick:?}");
                assert!(pacing.token_error.unsigned_abs() <= most, "{pacing:?} at {rate}");
                assert!(pacing.burst_bytes.max <= burst + most, "{pacing:?} at {rate}, {tick:?}");
                assert_eq!((pacing.slips, pacing.slipped), (0, Duration::ZERO));
            }
        }
    }

    #[test]
    fn a_sender_that_was_held_off_for_too_long_owes_what_its_schedule_gave_up() {
        let mut source = batches(Some(8_000_000), Limit::Time(at(5)));
        assert_eq!(source.next(at(0)), Step::Send(1000));
        source.took(1000);
        assert!(matches!(source.next(at(2)), Step::Send(_)));
        assert_eq!((source.slips().count, source.due()), (1, Some(Duration::from_millis(1900))));
        assert_eq!(source.slips().time, Duration::from_millis(1899));
    }

    #[test]
    fn a_batch_that_was_taken_in_part_is_resumed_at_the_next_datagram() {
        let mut source = batches(None, Limit::Blocks(40));
        assert_eq!(source.next(at(0)), Step::Send(1000), "its own share comes first");
        source.took(1000);
        assert_eq!(source.next(at(0)), Step::Send(32_000));
        source.took(3000);
        assert_eq!(source.next(at(0)), Step::Send(29_000));
        source.took(29_000);
        assert_eq!(source.next(at(0)), Step::Send(7000));
        source.took(7000);
        assert_eq!(source.next(at(0)), Step::Done);
    }
}
