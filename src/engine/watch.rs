use std::{collections::BTreeMap, sync::Arc, time::Duration};

use polyperf_transport::{Path, PathStats};

use super::{
    counters::{Counters, Tally},
    flow::Record,
    framing::Framing,
};
use crate::{
    measure::{DatagramCounts, DatagramSummary, FlowId, FlowSample, FlowSummary, Role, RttSummary},
    protocol::{
        iperf3::{Datagrams, Omitted},
        native::Sent,
    },
};

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
    troubles: Troubles,
    datagrams: DatagramCounts,
}

/// What a path has met with so far, as far as it tells.
#[derive(Debug, Clone, Copy, Default)]
struct Troubles {
    retransmits: Option<u64>,
    packets_lost: Option<u64>,
    congestion_events: Option<u64>,
    window_blocked: Option<u64>,
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
        watch.last.troubles = Troubles::of(&watch.path.stats());
        watch.base = watch.last;
        watch
    }

    /// Returns what this end has sent so far.
    pub(crate) fn sent(&self) -> Sent {
        let datagrams = self.sends_datagrams();
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

    /// Leaves out of the totals what was counted so far.
    pub(super) fn begin_totals(&mut self) {
        self.base = self.last;
        self.rtt = RttTally::default();
        self.max_cwnd = None;
    }

    fn sends_datagrams(&self) -> bool {
        self.framing.is_datagrams() && self.role.sends()
    }

    fn receives_datagrams(&self) -> bool {
        self.framing.is_datagrams() && !self.role.sends()
    }

    pub(super) fn glance(&mut self) -> PathStats {
        let stats = self.path.stats();
        self.rtt.add(stats.rtt);
        self.max_cwnd = self.max_cwnd.max(stats.cwnd);
        stats
    }

    /// Ends an interval, by whose end there was so much.
    pub(super) fn sample(&mut self, tally: Tally) -> FlowSample {
        let Tally { bytes, datagrams, jitter } = tally;
        let delta = bytes.saturating_sub(self.last.bytes);
        let counted = datagrams.since(&self.last.datagrams);
        let received = || DatagramSummary::counted(&counted, jitter);
        let received = self.receives_datagrams().then(received);
        let sends = self.role.sends();
        // What stays the same is told once, at the end.
        let path = sends.then(|| PathStats {
            security: None,
            parameters: BTreeMap::new(),
            ..self.glance()
        });
        let troubles = path.as_ref().map(Troubles::of).unwrap_or_default();
        let met = troubles.since(&self.last.troubles);
        let sample = FlowSample {
            flow: self.id,
            role: self.role,
            bytes: delta,
            retransmits: met.retransmits,
            packets_lost: met.packets_lost,
            path,
            datagrams_sent: self.sends_datagrams().then_some(counted.received),
            datagrams: received,
        };
        self.last = Mark { bytes, troubles, datagrams };
        sample
    }

    pub(super) fn summary(&self, omit: Duration, ending: Ending<'_>) -> FlowSummary {
        let path = self.path.stats();
        let (bytes, datagrams) = (self.counters.bytes(), self.counters.datagrams());
        // A flow that did not get beyond what is omitted counts nothing.
        let counted = ending.at >= omit;
        let base = if counted { self.base.bytes } else { bytes };
        let base_datagrams = if counted { self.base.datagrams } else { datagrams };
        let sends = self.role.sends();
        let met = sends.then(|| Troubles::of(&path).since(&self.base.troubles));
        let met = met.unwrap_or_default();
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
            retransmits: met.retransmits,
            packets_lost: met.packets_lost,
            congestion_events: met.congestion_events,
            window_blocked: met.window_blocked,
            rtt: rtt.summary(path.min_rtt).filter(|_| sends),
            max_cwnd: self.max_cwnd.max(path.cwnd).filter(|_| sends),
            datagrams_sent: self
                .sends_datagrams()
                .then(|| datagrams.since(&base_datagrams).received),
            datagrams: self
                .receives_datagrams()
                .then(|| self.received(&base_datagrams, ending.record)),
            lateness: ending
                .record
                .and_then(|record| record.lateness.as_ref())
                .and_then(|lateness| lateness.summary()),
            pacing: ending
                .record
                .and_then(|record| record.pacing.as_ref())
                .and_then(|pacing| pacing.summary()),
            exchanges: ending.record.and_then(Record::exchanges).map(Box::new),
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

impl Troubles {
    fn of(path: &PathStats) -> Self {
        Self {
            retransmits: path.retransmits,
            packets_lost: path.packets_lost,
            congestion_events: path.congestion_events,
            window_blocked: path.window_blocked,
        }
    }

    fn since(self, then: &Self) -> Self {
        Self {
            retransmits: difference(self.retransmits, then.retransmits),
            packets_lost: difference(self.packets_lost, then.packets_lost),
            congestion_events: difference(self.congestion_events, then.congestion_events),
            window_blocked: difference(self.window_blocked, then.window_blocked),
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
