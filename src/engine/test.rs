use std::{collections::BTreeMap, sync::Arc, time::Duration};

use polyperf_transport::Setting;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Clock, Drive,
    churn::Work,
    cpu::CpuTime,
    flow::{FlowEnd, Stage},
    framing::Framing,
    means::Means,
    sampler::Sampler,
    signals::{Phase, Signals},
    starting,
    watch::{Ending, Watch},
};
use crate::{
    measure::{CpuScope, CpuUse, FlowId, Role, Sample, SideSummary},
    outcome::{Failure, FailureCode},
    protocol::{iperf3::Datagrams, native::Sent},
    spec::{Limit, TestSpec},
};

/// A running test at one end. Dropping it ends its flows.
#[derive(Debug)]
pub(crate) struct Test {
    stage: Stage,
    ends: mpsc::UnboundedReceiver<FlowEnd>,
    ended: Vec<FlowEnd>,
    sampler: Sampler,
    settings: Vec<Vec<Setting>>,
    next_glance: Duration,
    process_cpu: Option<CpuTime>,
    told: Told,
    /// What the other end has sent is known, or is not waited for any more.
    expected: bool,
    /// How long receivers may get nothing, until they are told what there is to come.
    patience: Option<Duration>,
    /// When the first bytes of the load are due.
    load_begins: Duration,
}

/// What has been told of a test's end so far.
#[derive(Debug, Default)]
struct Told {
    sent: bool,
    last_sample: bool,
    done: bool,
    failed: bool,
}

/// Something that happened in a running test.
#[derive(Debug)]
pub(crate) enum TestEvent {
    /// An interval is over.
    Sample(Sample),
    /// So many bytes have been received so far; told about once a second.
    Received(u64),
    /// Everything that this end had to send has been sent.
    SendingDone(Vec<Sent>),
    /// Every flow is done.
    Done,
    /// A flow has failed.
    Failed(Failure),
}

/// How one end runs a test.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// What the flows carry.
    pub(crate) framing: Framing,
    /// Where they run.
    pub(crate) drive: Drive,
    /// Whether a sender says that it is done by closing its direction.
    pub(crate) finish: bool,
    /// How long a sender that has said so waits for the other end to close its own direction; `None`
    /// does not wait.
    pub(crate) confirm: Option<Duration>,
    /// What this end brings of its own.
    pub(crate) means: Means,
}

impl Setup {
    /// Returns the setup of flows that carry bytes.
    pub(crate) fn of_bytes(drive: Drive, finish: bool) -> Self {
        Self { framing: Framing::Bytes, drive, finish, confirm: None, means: Means::default() }
    }
}

impl Test {
    /// Starts to send and to receive on streams, or to make or answer connections. Senders that are
    /// to `finish` close their direction when they are done.
    pub(crate) fn begin(spec: &TestSpec, work: impl Into<Work>, setup: Setup) -> Self {
        let work = work.into();
        let Setup { framing, drive, finish, confirm, means } = setup;
        let (sender, ends) = mpsc::unbounded_channel();
        let signals = Arc::new(Signals::new());
        let process_cpu = CpuTime::of_process();
        let settings = work.tune(spec);
        let sampler = Sampler::new(spec, work.watches(framing));
        let (clock, omit) = (Clock::start(), spec.omitted());
        let digits = spec.repeating_payload;
        // A test of so many bytes ends with the last of them, for which nobody is to wait.
        let endless = matches!(spec.limit, Limit::Time(_) | Limit::Endless);
        let bulk = finish && endless && spec.rate.is_none() && spec.workload.is_bulk();
        let stage = Stage {
            clock,
            drive,
            home: None,
            framing,
            omit,
            finish,
            confirm,
            means,
            digits,
            bulk,
            signals,
            ends: sender,
        };
        let receives = sampler.flows().iter().any(|flow| flow.role == Role::Receiver);
        let awaits = sampler.flows().iter().any(|flow| !flow.role.sends());
        starting::start(spec, work, &stage, &sampler);
        Self {
            stage,
            ends,
            ended: Vec::new(),
            sampler,
            settings,
            next_glance: GLANCE,
            process_cpu,
            told: Told::default(),
            expected: !awaits,
            patience: spec.receive_timeout.filter(|_| receives),
            load_begins: spec.load_begins(),
        }
    }

    /// Waits for something to happen.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> TestEvent {
        loop {
            if let Some(event) = self.ready() {
                return event;
            }
            let due = self.interval_due().map_or(self.next_glance, |due| due.min(self.next_glance));
            let due = self.starved_at().map_or(due, |starved| due.min(starved));
            let due = self.stage.clock.at(due);
            tokio::select! {
                end = self.ends.recv() => self.note(end),
                () = tokio::time::sleep_until(due), if !self.told.done => {
                    if let Some(event) = self.tick() {
                        return event;
                    }
                }
            }
        }
    }

    /// Takes note of what the other end has sent: a flow that has received it is done.
    pub(crate) fn expect(&mut self, sent: &[Sent]) {
        for flow in self.sampler.flows().iter().filter(|flow| !flow.role.sends()) {
            if let Some(sent) = sent.iter().find(|sent| sent.flow == flow.id) {
                flow.counters.expect(sent.bytes);
                sent.datagrams.into_iter().for_each(|count| flow.counters.expect_datagrams(count));
            }
        }
        self.settle_accounts();
        self.expected = true;
        self.stage.signals.advance(Phase::Drain);
    }

    /// Stops waiting for what has not arrived.
    pub(crate) fn close_books(&mut self) {
        self.expected = true;
        self.stage.signals.advance(Phase::Close);
    }

    /// Stops sending and receiving.
    pub(crate) fn halt(&mut self) {
        self.expected = true;
        self.stage.signals.advance(Phase::Halt);
    }

    /// Waits until every flow has ended.
    pub(crate) async fn stopped(&mut self) {
        while !self.all_ended() {
            let end = self.ends.recv().await;
            self.note(end);
        }
    }

    /// Returns how many bytes this end has sent, or received, so far.
    pub(crate) fn moved(&self, role: Role) -> u64 {
        let flows = self.sampler.flows().iter().filter(|flow| flow.role == role);
        flows.map(|flow| flow.counters.bytes()).sum()
    }

    /// Returns when the test began.
    pub(crate) fn epoch(&self) -> Instant {
        self.stage.clock.at(Duration::ZERO)
    }

    /// Returns the last interval, if it has anything in it and was not told yet.
    pub(crate) fn last_sample(&mut self) -> Option<Sample> {
        if std::mem::replace(&mut self.told.last_sample, true) {
            return None;
        }
        let ended = self
            .of_load()
            .filter_map(|flow| self.end_of(flow))
            .map(|end| end.at.max(self.sampler.end().unwrap_or_default().min(end.noticed)))
            .max();
        let at = ended.filter(|_| self.load_has_ended()).unwrap_or_else(|| self.stage.clock.now());
        self.sampler.finish(at)
    }

    /// Returns what this end counted so far, which after [`TestEvent::Done`] is all.
    pub(crate) fn summary(&self) -> SideSummary {
        let now = self.stage.clock.now();
        let mut flows = self.sampler.summary(|flow| match self.end_of(flow) {
            Some(end) => Ending {
                at: self.counted_until(flow, end),
                error: end.error.clone(),
                record: Some(&end.record),
            },
            None => Ending { at: now, error: None, record: None },
        });
        for (flow, settings) in flows.iter_mut().zip(&self.settings) {
            flow.settings.clone_from(settings);
            let end = self.ended.iter().find(|end| end.flow == flow.flow);
            flow.settings.extend(end.into_iter().flat_map(|end| end.record.settings.clone()));
            flow.settings.extend(end.and_then(|end| end.affinity.clone()));
            if flow.error.is_none() && flow.role == Role::Receiver {
                flow.error = self.missing(flow.bytes + flow.omitted_bytes, flow.flow.0);
            }
        }
        SideSummary { flows, cpu: self.cpu(now) }
    }

    /// Returns what iperf3 would make of each flow of datagrams.
    pub(crate) fn iperf3_datagrams(&self) -> BTreeMap<FlowId, Datagrams> {
        let figures = |flow: &Watch| {
            let account = self.end_of(flow).and_then(|end| end.record.account.as_ref());
            (flow.id, account.map_or_else(|| flow.iperf3_datagrams(), |account| account.iperf3()))
        };
        let flows = self.sampler.flows().iter().filter(|_| self.stage.framing.is_datagrams());
        flows.map(figures).collect()
    }

    /// Tells receivers that have ended before it was known how much there was to come.
    fn settle_accounts(&mut self) {
        for end in &mut self.ended {
            let watch = self.sampler.flows().iter().find(|watch| watch.id == end.flow);
            if let (Some(watch), Some(account)) = (watch, &mut end.record.account)
                && let Some(sent) = watch.counters.datagram_target()
            {
                account.expect(sent);
                watch.counters.publish(&account.counts(), account.jitter());
            }
        }
    }

    fn ready(&mut self) -> Option<TestEvent> {
        let failed = || self.ended.iter().find(|end| end.error.is_some());
        if !self.told.failed
            && !self.stage.signals.reached(Phase::Close)
            && let Some(end) = failed()
        {
            self.told.failed = true;
            let reason = end.error.as_deref().unwrap_or_default();
            let text = format!("stream {} failed in the middle of the test: {reason}", end.flow.0);
            return Some(TestEvent::Failed(Failure::new(FailureCode::Stream, text)));
        }
        let sent = self.sampler.flows().iter().filter(|flow| flow.role.sends());
        if !self.told.sent && sent.clone().all(|flow| self.end_of(flow).is_some()) {
            self.told.sent = true;
            let sent: Vec<_> = sent.map(Watch::sent).collect();
            if !sent.is_empty() {
                return Some(TestEvent::SendingDone(sent));
            }
        }
        if !self.told.done && self.expected && self.all_ended() {
            if let Some(sample) = self.last_sample() {
                return Some(TestEvent::Sample(sample));
            }
            self.told.done = true;
            return Some(TestEvent::Done);
        }
        None
    }

    fn tick(&mut self) -> Option<TestEvent> {
        let now = self.stage.clock.now();
        if let Some(starved) = self.starved_at()
            && now >= starved
        {
            let patience = self.patience.take().unwrap_or_default();
            let text = format!("nothing was received for {patience:?}");
            return Some(TestEvent::Failed(Failure::new(FailureCode::Stalled, text)));
        }
        if self.interval_due().is_some_and(|due| now >= due) {
            return self.sampler.tick().map(TestEvent::Sample);
        }
        if now < self.next_glance {
            return None;
        }
        self.next_glance = now + GLANCE;
        self.sampler.glance();
        Some(TestEvent::Received(self.moved(Role::Receiver)))
    }

    /// Returns when receivers will have got nothing for too long.
    fn starved_at(&self) -> Option<Duration> {
        let patience = self.patience.filter(|_| !self.expected)?;
        let received = self.sampler.flows().iter().filter(|flow| flow.role == Role::Receiver);
        let last = received.map(|flow| flow.counters.last()).max()?;
        Some(last.max(self.load_begins) + patience)
    }

    /// Returns when the current interval ends; `None` once there is nothing to be in the next one.
    fn interval_due(&self) -> Option<Duration> {
        self.sampler.due().filter(|_| !self.stage.signals.load_is_over())
    }

    /// Takes note of how a flow ended, and tells who probes the load if that is over.
    fn note(&mut self, end: Option<FlowEnd>) {
        self.ended.extend(end);
        let probes = self.sampler.flows().iter().any(|flow| !flow.role.is_of_load());
        if probes && self.load_has_ended() {
            self.stage.signals.end_load();
        }
    }

    fn of_load(&self) -> impl Iterator<Item = &Watch> {
        self.sampler.flows().iter().filter(|flow| flow.role.is_of_load())
    }

    fn load_has_ended(&self) -> bool {
        self.of_load().all(|flow| self.end_of(flow).is_some())
    }

    fn all_ended(&self) -> bool {
        self.ended.len() == self.sampler.flows().len()
    }

    fn end_of(&self, flow: &Watch) -> Option<&FlowEnd> {
        self.ended.iter().find(|end| end.flow == flow.id)
    }

    /// A sender counts until it had nothing more to do. So does a receiver, up to the time that the
    /// test was to take; beyond that, and where a count ended the test, to its last byte.
    fn counted_until(&self, flow: &Watch, end: &FlowEnd) -> Duration {
        if let Some(until) = end.record.asker.as_ref().and_then(|asker| asker.lasted_until()) {
            return until;
        }
        match flow.role {
            Role::Sender | Role::Prober => end.noticed,
            Role::Receiver | Role::Probed => {
                end.at.max(self.sampler.end().unwrap_or_default().min(end.noticed))
            }
        }
    }

    fn missing(&self, bytes: u64, flow: u16) -> Option<String> {
        if self.stage.framing.is_datagrams() {
            return None;
        }
        let watch = self.sampler.flows().iter().find(|watch| watch.id.0 == flow)?;
        let target =
            watch.counters.target().filter(|_| !self.stage.signals.reached(Phase::Halt))?;
        (bytes < target)
            .then(|| format!("{} of {target} bytes did not arrive in time", target - bytes))
    }

    fn cpu(&self, wall: Duration) -> Option<CpuUse> {
        let of_load = self.of_load().map(|flow| self.end_of(flow));
        let threads = of_load.map(|end| end?.cpu).sum_all();
        let (time, scope) = match threads {
            Some(time) => (time, CpuScope::DataThreads),
            None => (CpuTime::of_process()?.since(self.process_cpu?), CpuScope::Process),
        };
        // In the time before the load begins there was nothing to spend it on.
        let wall = wall.saturating_sub(self.load_begins);
        Some(CpuUse { user: time.user, system: time.system, wall, scope })
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        self.stage.signals.advance(Phase::Halt);
    }
}

/// Adds up processor times, if every one of them is known.
trait SumAll {
    fn sum_all(self) -> Option<CpuTime>;
}

impl<I: Iterator<Item = Option<CpuTime>>> SumAll for I {
    fn sum_all(mut self) -> Option<CpuTime> {
        self.try_fold(CpuTime::default(), |sum, time| Some(sum.plus(time?)))
    }
}

/// How often figures are looked at and a sign of progress is told, whatever the interval.
const GLANCE: Duration = Duration::from_secs(1);
