use std::{sync::Arc, time::Duration};

use super::{Budget, Pacer};
use crate::spec::TestSpec;

/// What the sender of one flow does next.
#[derive(Debug)]
pub struct Source {
    block: usize,
    omit: Duration,
    end: Option<Duration>,
    budget: Option<Arc<Budget>>,
    /// What is this flow's, whatever the others claim.
    reserved: usize,
    pacer: Option<Pacer>,
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
        let reserve = |budget: &Arc<Budget>| budget.reserve(block, spec.streams);
        Self {
            block,
            omit: spec.omit,
            end: spec.duration(),
            reserved: budget.as_ref().map_or(0, reserve),
            budget,
            pacer: spec.rate.map(|rate| Pacer::new(rate, Duration::ZERO)),
            unsent: 0,
        }
    }

    /// Returns what to do at `now`.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.end.is_some_and(|end| now >= end) {
            return Step::Done;
        }
        if self.unsent > 0 {
            return Step::Send(self.unsent);
        }
        if let Some(due) = self.pacer.as_mut().map(|pacer| pacer.due(now))
            && due > now
        {
            return Step::Wait(self.end.map_or(due, |end| due.min(end)));
        }
        self.unsent = match &self.budget {
            // What is sent before the count begins is not counted.
            Some(_) if now >= self.omit && self.reserved > 0 => std::mem::take(&mut self.reserved),
            Some(budget) if now >= self.omit => budget.claim(self.block),
            _ => self.block,
        };
        if self.unsent == 0 {
            return Step::Done;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.sent(self.unsent);
        }
        Step::Send(self.unsent)
    }

    /// Takes note that the transport took so many bytes.
    pub fn took(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Limit, Rate, SpecFields};

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
}
