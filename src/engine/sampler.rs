use std::{sync::Arc, time::Duration};

use polyperf_transport::{Path, PathStats};

use super::{counters::Counters, flow::Record, framing::Framing};
use crate::{
    measure::{
        DatagramCounts, DatagramSummary, FlowId, FlowSample, FlowSummary, Role, RttSummary, Sample,
    },
    protocol::{
        iperf3::{Datagrams, Omitted},
        native::Sent,
    },
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

/// One flow as the sampler sees it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) id: FlowId,
    pub(crate) role: Role,
    framing: Framing,
    pub(crate) counters: Arc<Counters>,
    pub(crate) path: Arc<dyn Path>,
    /// At the end of the last interval, and at the end of what is omitted.
    last: Mark,
    base: Mark,
    rtt: RttTally,
    max_cwnd: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    bytes: u64,
    retransmits: Option<u64>,
    datagrams: DatagramCounts,
}

/// When and why a flow ended, and what it kept; of one that still runs, how far it has got.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    pub(crate) at: Duration,
    pub(crate) error: Option<String>,
    pub(crate) record: Option<&'a Record>,
}

#[derive(Debug, Clone, Copy, Default)]
struct RttTally {
    min: Option<Duration>,
    max: Duration,
    sum: Duration,
    count: u32,
}

impl Sampler {
    pub(crate) fn new(spec: &TestSpec, flows: Vec<Watch>) -> Self {
        let end = match spec.limit {
            Limit::Time(_) => spec.duration(),
            Limit::Bytes(_) | Limit::Blocks(_) | Limit::Endless => None,
        };
        Self {
            interval: spec.interval,
            omit: spec.omit,
            end,
            index: 0,
            start: Duration::ZERO,
            flows,
        }
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
        let sample = self.cut(end);
        if end == self.omit {
            for flow in &mut self.flows {
                flow.base = flow.last;
                flow.rtt = RttTally::default();
                flow.max_cwnd = None;
            }
        }
        // Whoever wants no reports still has its omitted time cut off.
        self.interval.map(|_| sample)
    }

    /// Ends the last interval at `now`; `None` if there is nothing in it.
    pub(crate) fn finish(&mut self, now: Duration) -> Option<Sample> {
        let interval = self.interval?;
        let sample = self.cut(now.max(self.start));
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
        for flow in self.flows.iter_mut().filter(|flow| flow.role == Role::Sender) {
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

    fn cut(&mut self, end: Duration) -> Sample {
        let start = std::mem::replace(&mut self.start, end);
        let index = self.index;
        self.index += 1;
        let flows = self.flows.iter_mut().map(Watch::sample).collect();
        Sample { index, start, end, omitted: start < self.omit, flows }
    }
}

impl Watch {
    pub(crate) fn new(
        id: FlowId,
        role: Role,
        framing: Framing,
        counters: Arc<Counters>,
        path: Arc<dyn Path>,
    ) -> Self {
        let mut watch = Self {
            id,
            role,
            framing,
            counters,
            path,
            last: Mark::default(),
            base: Mark::default(),
            rtt: RttTally::default(),
            max_cwnd: None,
        };
        // What the handshake and the hello cost is not the test's.
        watch.last.retransmits = watch.path.stats().retransmits;
        watch.base = watch.last;
        watch
    }

    /// Returns what this end has sent so far.
    pub(crate) fn sent(&self) -> Sent {
        let datagrams = self.carries_datagrams(Role::Sender);
        Sent {
            flow: self.id,
            bytes: self.counters.bytes(),
            datagrams: datagrams.then(|| self.counters.datagrams().received),
        }
    }

    /// Returns what iperf3 is told of a flow that it does not know more of.
    pub(crate) fn iperf3_datagrams(&self) -> Datagrams {
        let (base, counts) = (&self.base.datagrams, self.counters.datagrams());
        let counted = counts.since(base);
        Datagrams {
            packets: counted.expected,
            lost: counted.lost,
            out_of_order: None,
            jitter: self.counters.jitter().unwrap_or_default(),
            omitted: Some(Omitted { packets: base.expected, lost: base.lost }),
        }
    }

    fn carries_datagrams(&self, role: Role) -> bool {
        self.framing.is_datagrams() && self.role == role
    }

    fn glance(&mut self) -> PathStats {
        let stats = self.path.stats();
        self.rtt.add(stats.rtt);
        self.max_cwnd = self.max_cwnd.max(stats.cwnd);
        stats
    }

    fn sample(&mut self) -> FlowSample {
        let bytes = self.counters.bytes();
        let delta = bytes.saturating_sub(self.last.bytes);
        let datagrams = self.counters.datagrams();
        let counted = datagrams.since(&self.last.datagrams);
        let received = || DatagramSummary::counted(&counted, self.counters.jitter());
        let received = self.carries_datagrams(Role::Receiver).then(received);
        let sends = self.role == Role::Sender;
        let path = sends.then(|| self.glance());
        let retransmits = path.as_ref().and_then(|path| path.retransmits);
        let sample = FlowSample {
            flow: self.id,
            role: self.role,
            bytes: delta,
            retransmits: difference(retransmits, self.last.retransmits),
            path,
            datagrams_sent: self.carries_datagrams(Role::Sender).then_some(counted.received),
            datagrams: received,
        };
        self.last = Mark { bytes, retransmits, datagrams };
        sample
    }

    fn summary(&self, omit: Duration, ending: Ending<'_>) -> FlowSummary {
        let path = self.path.stats();
        let (bytes, datagrams) = (self.counters.bytes(), self.counters.datagrams());
        // A flow that did not get beyond what is omitted counts nothing.
        let counted = ending.at >= omit;
        let base = if counted { self.base.bytes } else { bytes };
        let base_datagrams = if counted { self.base.datagrams } else { datagrams };
        let sends = self.role == Role::Sender;
        let mut rtt = self.rtt;
        if rtt.count == 0 {
            rtt.add(path.rtt);
        }
        FlowSummary {
            flow: self.id,
            role: self.role,
            bytes: bytes.saturating_sub(base),
            omitted_bytes: base,
            duration: ending.at.saturating_sub(omit),
            retransmits: difference(path.retransmits, self.base.retransmits).filter(|_| sends),
            rtt: rtt.summary(path.min_rtt).filter(|_| sends),
            max_cwnd: self.max_cwnd.max(path.cwnd).filter(|_| sends),
            datagrams_sent: self
                .carries_datagrams(Role::Sender)
                .then(|| datagrams.since(&base_datagrams).received),
            datagrams: self
                .carries_datagrams(Role::Receiver)
                .then(|| self.received(&base_datagrams, ending.record)),
            lateness: ending
                .record
                .and_then(|record| record.lateness.as_ref())
                .and_then(|lateness| lateness.summary()),
            path,
            settings: Vec::new(),
            error: ending.error,
        }
    }

    /// Runs of losses and delays are known once the flow has ended.
    fn received(&self, base: &DatagramCounts, record: Option<&Record>) -> DatagramSummary {
        match record.and_then(|record| record.account.as_ref()) {
            Some(account) => account.summary(base),
            None => {
                let counted = self.counters.datagrams().since(base);
                DatagramSummary::counted(&counted, self.counters.jitter())
            }
        }
    }
}

impl RttTally {
    fn add(&mut self, rtt: Option<Duration>) {
        let Some(rtt) = rtt else { return };
        self.min = Some(self.min.map_or(rtt, |min| min.min(rtt)));
        self.max = self.max.max(rtt);
        self.sum += rtt;
        self.count += 1;
    }

    /// The transport may have seen a smaller one between the samples.
    fn summary(&self, min: Option<Duration>) -> Option<RttSummary> {
        let sampled = self.min?;
        let min = min.map_or(sampled, |min| min.min(sampled));
        Some(RttSummary { min, mean: self.sum / self.count, max: self.max })
    }
}

fn difference(now: Option<u64>, then: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(then.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use polyperf_transport::{Setting, Tuning};

    use super::*;
    use crate::spec::SpecFields;

    #[derive(Debug)]
    struct Still;

    impl Path for Still {
        fn stats(&self) -> PathStats {
            PathStats { retransmits: Some(3), ..PathStats::default() }
        }

        fn tune(&self, _: &Tuning) -> Vec<Setting> {
            Vec::new()
        }
    }

    fn sampler(omit: u64, interval: Option<u64>) -> Sampler {
        let spec = TestSpec::try_from(SpecFields {
            omit: Duration::from_millis(omit),
            interval: interval.map(Duration::from_millis),
            limit: Limit::Time(Duration::from_secs(2)),
            ..SpecFields::default()
        });
        let counters = Arc::new(Counters::new());
        let watch = Watch::new(FlowId(1), Role::Sender, Framing::Bytes, counters, Arc::new(Still));
        Sampler::new(&spec.unwrap(), vec![watch])
    }

    fn ended(at: u64) -> Ending<'static> {
        Ending { at: Duration::from_millis(at), error: None, record: None }
    }

    fn move_bytes(sampler: &Sampler, bytes: usize) {
        sampler.flows[0].counters.add(bytes, Duration::ZERO);
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
