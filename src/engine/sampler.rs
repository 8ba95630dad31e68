use std::time::Duration;

use super::{
    counters::{Counters, Tally},
    watch::{Ending, Watch},
};
use crate::{
    measure::{FlowSample, FlowSummary, Sample},
    spec::{Limit, TestSpec},
};

/// Turns counters into intervals and totals, on this end's clock.
#[derive(Debug)]
pub(crate) struct Sampler {
    interval: Option<Duration>,
    omit: Duration,
    /// When time ends the test: no interval ends there, the last one ends with the last flow.
    end: Option<Duration>,
    index: u32,
    start: Duration,
    flows: Vec<Watch>,
}

impl Sampler {
    pub(crate) fn new(spec: &TestSpec, flows: Vec<Watch>) -> Self {
        let end = match spec.limit {
            Limit::Time(_) => spec.duration(),
            Limit::Bytes(_) | Limit::Blocks(_) | Limit::Endless => None,
        };
        let sampler = Self {
            interval: spec.interval,
            omit: spec.omitted(),
            end,
            index: 0,
            start: Duration::ZERO,
            flows,
        };
        sampler.announce();
        sampler
    }

    /// Returns when the current interval ends; `None` if only the end of the test ends it.
    pub(crate) fn due(&self) -> Option<Duration> {
        let omitting = self.start < self.omit;
        let by_interval = self.interval.map(|interval| self.start + interval);
        let due = if omitting {
            Some(by_interval.map_or(self.omit, |due| due.min(self.omit)))
        } else {
            by_interval
        };
        due.filter(|due| self.end.is_none_or(|end| *due < end))
    }

    /// Ends the current interval where it was due.
    pub(crate) fn tick(&mut self) -> Option<Sample> {
        let end = self.due()?;
        let sample = self.cut(end, Counters::at_cut);
        self.announce();
        if end == self.omit {
            self.flows.iter_mut().for_each(Watch::begin_totals);
        }
        // Whoever wants no reports still has its omitted time cut off.
        self.interval.map(|_| sample)
    }

    /// Ends the last interval at `now`; `None` if there is nothing in it.
    pub(crate) fn finish(&mut self, now: Duration) -> Option<Sample> {
        let interval = self.interval?;
        let sample = self.cut(now.max(self.start), Counters::tally);
        let loses = |flow: &FlowSample| flow.datagrams.is_some_and(|counts| counts.lost > Some(0));
        let empty = sample.flows.iter().all(|flow| flow.bytes == 0 && !loses(flow));
        (!empty || sample.duration() >= interval / 10).then_some(sample)
    }

    /// Returns what each flow came to, given when and why each ended.
    pub(crate) fn summary<'a>(
        &self,
        mut ended: impl FnMut(&Watch) -> Ending<'a>,
    ) -> Vec<FlowSummary> {
        let summarize = |flow: &Watch| flow.summary(self.omit, ended(flow));
        self.flows.iter().map(summarize).collect()
    }

    /// Looks at the senders' paths between intervals, where those are far apart.
    pub(crate) fn glance(&mut self) {
        for flow in self.flows.iter_mut().filter(|flow| flow.role.sends()) {
            flow.glance();
        }
    }

    /// Returns when time ends the test, if it does.
    pub(crate) fn end(&self) -> Option<Duration> {
        self.end
    }

    pub(crate) fn flows(&self) -> &[Watch] {
        &self.flows
    }

    /// Tells the flows when the current interval ends.
    fn announce(&self) {
        let due = self.due();
        self.flows.iter().for_each(|flow| flow.counters.cut_at(due));
    }

    fn cut(&mut self, end: Duration, tally: fn(&Counters) -> Tally) -> Sample {
        let start = std::mem::replace(&mut self.start, end);
        let index = self.index;
        self.index += 1;
        let flows = self.flows.iter_mut().map(|flow| flow.sample(tally(&flow.counters)));
        // A probe is no part of the load, which intervals are of.
        let flows = flows.filter(|flow| flow.role.is_of_load()).collect();
        Sample { index, start, end, omitted: start < self.omit, flows }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::sync::atomic::{AtomicU64, Ordering};

    use polyperf_transport::{Path, PathStats, Security, Setting, Tuning};

    use super::*;
    use crate::{
        engine::Framing,
        measure::{FlowId, Role},
        spec::SpecFields,
    };

    #[derive(Debug)]
    struct Still;

    /// A path that meets with as much more of everything each time that it is looked at.
    #[derive(Debug, Default)]
    struct Troubled(AtomicU64);

    impl Path for Troubled {
        fn stats(&self) -> PathStats {
            let looks = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            PathStats {
                connection: Some(1),
                packets_lost: Some(10 * looks),
                congestion_events: Some(looks),
                window_blocked: Some(100 * looks),
                security: Some(Security::default()),
                ..PathStats::default()
            }
        }

        fn tune(&self, _: &Tuning) -> Vec<Setting> {
            Vec::new()
        }

        fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
            None
        }
    }

    impl Path for Still {
        fn stats(&self) -> PathStats {
            PathStats { retransmits: Some(3), ..PathStats::default() }
        }

        fn tune(&self, _: &Tuning) -> Vec<Setting> {
            Vec::new()
        }

        fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
            None
        }
    }

    fn sampler(omit: u64, interval: Option<u64>) -> Sampler {
        sampler_of(Arc::new(Still), Role::Sender, omit, interval)
    }

    fn sampler_of(path: Arc<dyn Path>, role: Role, omit: u64, interval: Option<u64>) -> Sampler {
        let spec = TestSpec::try_from(SpecFields {
            omit: Duration::from_millis(omit),
            interval: interval.map(Duration::from_millis),
            limit: Limit::Time(Duration::from_secs(2)),
            ..SpecFields::default()
        });
        let counters = Arc::new(Counters::new());
        let watch = Watch::new(FlowId(1), role, Framing::Bytes, counters, path);
        Sampler::new(&spec.unwrap(), vec![watch])
    }

    fn ended(at: u64) -> Ending<'static> {
        Ending { at: Duration::from_millis(at), error: None, record: None }
    }

    fn move_bytes(sampler: &Sampler, bytes: usize) {
        move_bytes_at(sampler, bytes, 0);
    }

    fn move_bytes_at(sampler: &Sampler, bytes: usize, millis: u64) {
        sampler.flows[0].counters.add(bytes, Duration::from_millis(millis));
    }

    #[test]
    fn intervals_end_where_the_omitted_time_does() {
        let mut sampler = sampler(1500, Some(1000));
        let mut ends = Vec::new();
        while let Some(sample) = sampler.tick() {
            ends.push((sample.index, sample.end.as_millis(), sample.omitted));
        }
        assert_eq!(ends, [(0, 1000, true), (1, 1500, true), (2, 2500, false)]);
        assert_eq!(sampler.due(), None, "the end of the test ends the last one");
    }

    #[test]
    fn totals_leave_out_what_is_omitted() {
        let mut sampler = sampler(1000, None);
        move_bytes(&sampler, 70);
        assert_eq!(sampler.due(), Some(Duration::from_secs(1)));
        assert_eq!(sampler.tick(), None, "no reports are wanted");
        move_bytes(&sampler, 30);
        let total = &sampler.summary(|_| ended(3000))[0];
        assert_eq!((total.bytes, total.omitted_bytes), (30, 70));
        assert_eq!(total.duration, Duration::from_secs(2));
        assert_eq!(total.retransmits, Some(0), "a measured zero is a zero");
    }

    #[test]
    fn what_a_path_meets_with_before_the_totals_begin_is_not_in_them() {
        let mut sampler = sampler_of(Arc::new(Troubled::default()), Role::Sender, 1000, Some(1000));
        let lost = |sample: Option<Sample>| sample.map(|sample| sample.flows[0].packets_lost);
        assert_eq!(lost(sampler.tick()), Some(Some(10)), "the handshake's are not the test's");
        let total = &sampler.summary(|_| ended(2000))[0];
        assert_eq!((total.packets_lost, total.retransmits), (Some(10), None));
        assert_eq!((total.congestion_events, total.window_blocked), (Some(1), Some(100)));
        assert_eq!(total.path.packets_lost, Some(30), "the path counts on");
    }

    #[test]
    fn a_receiver_has_none_of_the_senders_troubles() {
        let sampler = sampler_of(Arc::new(Troubled::default()), Role::Receiver, 0, Some(1000));
        let total = &sampler.summary(|_| ended(2000))[0];
        assert_eq!((total.packets_lost, total.congestion_events), (None, None));
        assert_eq!(total.window_blocked, None);
    }

    #[test]
    fn what_protects_a_path_is_told_with_the_totals_alone() {
        let mut sampler = sampler_of(Arc::new(Troubled::default()), Role::Sender, 0, Some(1000));
        let sample = sampler.tick().unwrap();
        let path = sample.flows[0].path.as_ref().unwrap();
        assert_eq!((path.connection, &path.security), (Some(1), &None));
        assert!(sampler.summary(|_| ended(2000))[0].path.security.is_some());
    }

    #[test]
    fn a_late_look_takes_nothing_from_the_next_interval() {
        let mut sampler = sampler(0, Some(500));
        for (bytes, millis) in [(70, 499), (30, 500), (5, 520)] {
            move_bytes_at(&sampler, bytes, millis);
        }
        assert_eq!(sampler.tick().map(|sample| sample.flows[0].bytes), Some(70));
        move_bytes_at(&sampler, 1, 1000);
        assert_eq!(sampler.tick().map(|sample| sample.flows[0].bytes), Some(35));
        let rest = sampler.finish(Duration::from_secs(2));
        assert_eq!(rest.map(|sample| sample.flows[0].bytes), Some(1));
    }

    #[test]
    fn a_flow_that_ended_early_counts_nothing_twice() {
        let mut sampler = sampler(1000, None);
        move_bytes(&sampler, 70);
        let total = &sampler.summary(|_| ended(500))[0];
        assert_eq!((total.bytes, total.omitted_bytes, total.duration), (0, 70, Duration::ZERO));
        assert!(sampler.finish(Duration::from_millis(500)).is_none());
    }

    #[test]
    fn an_empty_rest_is_not_an_interval() {
        let mut sampler = sampler(0, Some(1000));
        move_bytes(&sampler, 10);
        assert_eq!(sampler.tick().map(|sample| sample.flows[0].bytes), Some(10));
        assert_eq!(sampler.finish(Duration::from_millis(1010)), None);
    }
}
