//! A test at one end, whatever the dialect of its control: its flows, and a record of what was
//! counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    engine::{Clock, Drive, Flow, Framing, Means, QUIET, Setup, Test, TestEvent, Work},
    event::{Bus, Event, IntervalEvent},
    measure::{FlowId, Interval, Pairing, Role, Sample, SideSummary},
    outcome::{Ended, FlowInfo, Outcome, TestInfo},
    protocol::{iperf3::Datagrams, native::Sent},
    spec::TestSpec,
};

/// A test, once that has begun.
#[derive(Debug)]
pub(crate) struct Trial {
    clock: Clock,
    test: Option<Test>,
    /// What the test came to, once its streams are closed.
    closed: Option<SideSummary>,
    record: Option<Record>,
}

/// How a test is run and recorded.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// How this end runs it.
    pub(crate) setup: Setup,
    /// Whether to keep each interval.
    pub(crate) keep: bool,
    /// How long an interval waits for what the other end counted.
    pub(crate) patience: Duration,
    /// What the flows do, where that is not the test that was agreed on.
    pub(crate) flows_do: Option<TestSpec>,
}

/// What is known of a test that has begun.
#[derive(Debug)]
struct Record {
    info: Arc<TestInfo>,
    pairing: Pairing,
    intervals: Vec<Arc<Interval>>,
    keep: bool,
    bus: Bus,
}

impl Course {
    /// Returns the course of a test whose ends tell each other of every interval.
    pub(crate) fn native(drive: Drive, keep: bool) -> Self {
        let setup = Setup::of_bytes(drive, true);
        Self { setup, keep, patience: PATIENCE, flows_do: None }
    }

    /// Returns the course of a test under iperf3's protocol, which has no word on intervals, and in
    /// which a stream is closed when the whole test is over.
    pub(crate) fn iperf3(drive: Drive, keep: bool, flows_do: TestSpec) -> Self {
        let flows_do = Some(flows_do);
        let setup = Setup::of_bytes(drive, false);
        Self { setup, keep, patience: Duration::ZERO, flows_do }
    }

    /// Returns the course of a test whose other end tells nothing, but ends its direction of a
    /// stream when all has arrived: senders wait for that, so long at most.
    pub(crate) fn confirmed(drive: Drive, keep: bool, limit: Duration) -> Self {
        let setup = Setup { confirm: Some(limit), ..Setup::of_bytes(drive, true) };
        Self { setup, keep, patience: Duration::ZERO, flows_do: None }
    }

    /// Returns how long an interval waits for what the other end counted. The last one of a receiver
    /// that misses datagrams is over when nothing has come for a while.
    fn patience(&self, interval: Option<Duration>) -> Duration {
        if self.setup.framing.is_datagrams() && !self.patience.is_zero() {
            return self.patience + QUIET;
        }
        interval.map_or(self.patience, |interval| interval.min(self.patience))
    }

    /// Returns the same course for flows that carry this.
    pub(crate) fn carrying(mut self, framing: Framing) -> Self {
        self.setup.framing = framing;
        self
    }

    /// Returns the same course with what this end brings of its own.
    pub(crate) fn with(mut self, means: Means) -> Self {
        self.setup.means = means;
        self
    }
}

impl Trial {
    pub(crate) fn new() -> Self {
        Self { clock: Clock::start(), test: None, closed: None, record: None }
    }

    /// Returns the time since the session began.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Returns the moment that is so long after the session began.
    pub(crate) fn at(&self, time: Duration) -> Instant {
        self.clock.at(time)
    }

    /// Returns how long the test has been running.
    pub(crate) fn test_time(&self) -> Option<Duration> {
        self.test.as_ref().map(|test| test.epoch().elapsed())
    }

    /// Returns how many bytes this end has sent, or received, so far.
    pub(crate) fn moved(&self, role: Role) -> u64 {
        self.test.as_ref().map_or(0, |test| test.moved(role))
    }

    /// Returns how many bytes a server has moved in the test so far, in both directions.
    pub(crate) fn served(&self) -> u64 {
        let requests = self.moved(Role::Receiver);
        let exchange = self.info().and_then(|info| info.spec.workload.exchange());
        // A server counts requests alone, each of which it has answered, or is about to.
        let responses = exchange.map_or(0, |exchange| {
            (requests / u64::from(exchange.request.max(1)))
                .saturating_mul(u64::from(exchange.response))
        });
        let probes = self.moved(Role::Probed).saturating_mul(2);
        [requests, responses, probes, self.moved(Role::Sender)]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.record.is_some()
    }

    pub(crate) fn info(&self) -> Option<&Arc<TestInfo>> {
        self.record.as_ref().map(|record| &record.info)
    }

    /// Waits for the next event of the test, and tells the bus of intervals meanwhile. Waits for
    /// ever while no test runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> TestEvent {
        loop {
            self.emit_ready();
            let due = self.record.as_ref().and_then(|record| record.pairing.deadline());
            let event = tokio::select! {
                event = next_event(&mut self.test) => event,
                () = sleep_until(due.map(|due| self.clock.at(due))) => continue,
            };
            if let TestEvent::Sample(sample) = &event {
                self.local(sample.clone());
                self.emit_ready();
            }
            return event;
        }
    }

    /// Starts the test, and tells the bus so.
    pub(crate) fn begin(
        &mut self,
        mut info: TestInfo,
        work: impl Into<Work>,
        course: Course,
        bus: &Bus,
    ) -> Arc<TestInfo> {
        for flow in &mut info.flows {
            flow.datagrams = course.setup.framing.is_datagrams();
        }
        let info = Arc::new(info);
        let patience = course.patience(info.spec.interval);
        bus.emit(Event::Connected(Arc::clone(&info)));
        let spec = course.flows_do.as_ref().unwrap_or(&info.spec);
        self.test = Some(Test::begin(spec, work, course.setup));
        self.record = Some(Record {
            info: Arc::clone(&info),
            pairing: Pairing::new(patience),
            intervals: Vec::new(),
            keep: course.keep,
            bus: bus.clone(),
        });
        info
    }

    /// Takes note of what the other end counted in an interval.
    pub(crate) fn remote(&mut self, sample: Sample) {
        if let Some(record) = &mut self.record {
            record.pairing.remote(sample);
        }
    }

    /// Takes note of what the other end has sent.
    pub(crate) fn expect(&mut self, sent: &[Sent]) {
        if let Some(test) = &mut self.test {
            test.expect(sent);
        }
    }

    /// Stops waiting for what has not arrived.
    pub(crate) fn close_books(&mut self) {
        if let Some(test) = &mut self.test {
            test.close_books();
        }
    }

    /// Stops sending and receiving.
    pub(crate) fn halt(&mut self) {
        if let Some(test) = &mut self.test {
            test.halt();
        }
    }

    /// Stops the flows and waits until they have, within a bound: one may sit in a system call.
    pub(crate) async fn stop_flows(&mut self) {
        if let Some(test) = &mut self.test {
            test.halt();
            let _ = tokio::time::timeout(STOPPING, test.stopped()).await;
        }
    }

    /// Closes the streams of a test that is done, and keeps what it came to.
    pub(crate) fn close_streams(&mut self) {
        self.finish();
        self.closed = self.test.take().map(|test| test.summary());
    }

    /// Ends the test, and tells the bus of the intervals that were still waited for.
    pub(crate) fn finish(&mut self) {
        let last = self.test.as_mut().and_then(|test| {
            test.halt();
            test.last_sample()
        });
        if let Some(sample) = last {
            self.local(sample);
        }
        if let Some(record) = &mut self.record {
            while let Some(interval) = record.pairing.flush() {
                record.emit(interval);
            }
        }
    }

    /// Returns what the test came to so far; `None` if it has not begun.
    pub(crate) fn outcome(
        &self,
        ended: Ended,
        remote: Option<SideSummary>,
        server_output: Option<String>,
    ) -> Option<Outcome> {
        let record = self.record.as_ref()?;
        Some(Outcome {
            info: Arc::clone(&record.info),
            intervals: record.intervals.clone(),
            local: self.summary(),
            remote,
            ended,
            server_output,
            link: None,
        })
    }

    /// Returns what this end counted so far.
    pub(crate) fn summary(&self) -> SideSummary {
        let running = self.test.as_ref().map(Test::summary);
        running.or_else(|| self.closed.clone()).unwrap_or_default()
    }

    /// Returns what iperf3 would make of each flow of datagrams.
    pub(crate) fn iperf3_datagrams(&self) -> BTreeMap<FlowId, Datagrams> {
        self.test.as_ref().map(Test::iperf3_datagrams).unwrap_or_default()
    }

    fn local(&mut self, sample: Sample) {
        let now = self.now();
        if let Some(record) = &mut self.record {
            record.pairing.local(sample, now);
        }
    }

    fn emit_ready(&mut self) {
        let now = self.now();
        if let Some(record) = &mut self.record {
            while let Some(interval) = record.pairing.poll(now) {
                record.emit(interval);
            }
        }
    }
}

impl Record {
    fn emit(&mut self, interval: Interval) {
        let interval = Arc::new(interval);
        if self.keep && self.intervals.len() < MAX_KEPT {
            self.intervals.push(Arc::clone(&interval));
        }
        self.bus.emit(Event::Interval(IntervalEvent { info: Arc::clone(&self.info), interval }));
    }
}

/// Returns what is to be told of each flow of the load.
pub(crate) fn flow_infos(flows: &[Flow]) -> Vec<FlowInfo> {
    let info = |flow: &Flow| FlowInfo {
        flow: flow.id,
        role: flow.role,
        datagrams: false,
        local: flow.stream.local,
        peer: flow.stream.peer,
    };
    flows.iter().filter(|flow| flow.role.is_of_load()).map(info).collect()
}

/// Returns the time since the Unix epoch.
pub(crate) fn unix_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

async fn next_event(test: &mut Option<Test>) -> TestEvent {
    match test {
        Some(test) => test.next().await,
        None => std::future::pending().await,
    }
}

pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How long an interval waits for what the other end counted.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long flows may take to notice that they are to stop.
const STOPPING: Duration = Duration::from_millis(500);
/// The most intervals that are kept for an outcome: a day of seconds.
const MAX_KEPT: usize = 86_400;
