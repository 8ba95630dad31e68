//! What the two ends of a running test have in common: a control connection, the flows, and a
//! record of what was counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    control::{Control, Heard},
    engine::{Clock, Drive, Flow, Test, TestEvent},
    event::{Bus, Event, IntervalEvent},
    measure::{FlowId, Interval, Pairing, Role, Sample, SideSummary},
    outcome::{Ended, Failure, FailureCode, FlowInfo, Outcome, Side, TestInfo},
    protocol::native::{Action, Input, Message, Results},
    spec::TestSpec,
};

/// A control connection and the test that it controls, once that has begun.
#[derive(Debug)]
pub(crate) struct Session {
    control: Control,
    clock: Clock,
    test: Option<Test>,
    record: Option<Record>,
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

impl Session {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, clock: Clock::start(), test: None, record: None }
    }

    /// Returns the time since the session began.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Returns how long the test has been running.
    pub(crate) fn test_time(&self) -> Option<Duration> {
        self.test.as_ref().map(|test| test.epoch().elapsed())
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.record.is_some()
    }

    /// Waits for something that the machine must be told, until `deadline` at the latest (`None`).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, deadline: Option<Duration>) -> Option<Input> {
        loop {
            self.emit_ready();
            let paired = self.record.as_ref().and_then(|record| record.pairing.deadline());
            let until = [deadline, paired].into_iter().flatten().min();
            let event = tokio::select! {
                biased;
                event = next_event(&mut self.test) => event,
                heard = self.control.next() => return Some(self.heard(heard)),
                () = sleep_until(until.map(|until| self.clock.at(until))) => {
                    if deadline.is_some_and(|deadline| self.now() >= deadline) {
                        return None;
                    }
                    continue;
                }
            };
            return Some(self.translate(event));
        }
    }

    /// Starts the test, and tells the bus so.
    pub(crate) fn begin(
        &mut self,
        info: TestInfo,
        flows: Vec<Flow>,
        drive: Drive,
        bus: &Bus,
        keep: bool,
    ) {
        let info = Arc::new(info);
        let patience = info.spec.interval.map_or(PATIENCE, |interval| interval.min(PATIENCE));
        bus.emit(Event::Connected(Arc::clone(&info)));
        self.test = Some(Test::begin(&info.spec, flows, drive));
        self.record = Some(Record {
            info,
            pairing: Pairing::new(patience),
            intervals: Vec::new(),
            keep,
            bus: bus.clone(),
        });
    }

    /// Does what both ends do alike. Returns what the machine must be told in turn.
    pub(crate) fn perform(&mut self, action: Action) -> Option<Input> {
        match (action, &mut self.test) {
            (Action::Send(message), _) => self.control.queue(&message).err().map(Input::Lost),
            (Action::Progress(sample), _) => {
                if let Some(record) = &mut self.record {
                    record.pairing.remote(sample);
                }
                None
            }
            (Action::Expect(sent), Some(test)) => {
                test.expect(&sent);
                None
            }
            (Action::CloseBooks, Some(test)) => {
                test.close_books();
                None
            }
            (Action::Halt, Some(test)) => {
                test.halt();
                None
            }
            _ => None,
        }
    }

    /// Returns what the test came to so far; `None` if it has not begun.
    pub(crate) fn outcome(&self, ended: Ended, remote: Option<Box<Results>>) -> Option<Outcome> {
        let record = self.record.as_ref()?;
        let (remote, server_output) = remote.map_or((None, None), |r| (Some(r.summary), r.output));
        Some(Outcome {
            info: Arc::clone(&record.info),
            intervals: record.intervals.clone(),
            local: self.summary(),
            remote,
            ended,
            server_output,
        })
    }

    /// Ends the test, and returns what it came to; `None` if it had not begun.
    pub(crate) fn finish(&mut self, ended: Ended, remote: Option<Box<Results>>) -> Option<Outcome> {
        let now = self.now();
        if let Some(test) = &mut self.test {
            test.halt();
            if let (Some(sample), Some(record)) = (test.last_sample(), &mut self.record) {
                record.pairing.local(sample, now);
            }
        }
        if let Some(record) = &mut self.record {
            while let Some(interval) = record.pairing.flush() {
                record.emit(interval);
            }
        }
        self.outcome(ended, remote)
    }

    /// Sends what is still queued, and takes leave of the other end.
    pub(crate) async fn close(self, limit: Duration) {
        drop(self.test);
        self.control.close(limit).await;
    }

    /// Stops the flows and waits until they have, within a bound: one may sit in a system call.
    pub(crate) async fn stop_flows(&mut self) {
        if let Some(test) = &mut self.test {
            test.halt();
            let _ = tokio::time::timeout(STOPPING, test.stopped()).await;
        }
    }

    fn heard(&self, heard: Heard) -> Input {
        match heard {
            Heard::Lost(reason) => Input::Lost(reason),
            Heard::Garbage(what) => protocol_failure(&what),
            Heard::Message(message) => {
                let checked = self.record.as_ref().map_or(Ok(()), |Record { info, .. }| {
                    check_figures(&message, &info.spec, info.side.other())
                });
                match checked {
                    Ok(()) => Input::Message(message),
                    Err(what) => protocol_failure(&what),
                }
            }
        }
    }

    fn summary(&self) -> SideSummary {
        self.test.as_ref().map(Test::summary).unwrap_or_default()
    }

    fn translate(&mut self, event: TestEvent) -> Input {
        match event {
            TestEvent::Sample(sample) => self.sampled(sample),
            TestEvent::Received(bytes) => Input::Received(bytes),
            TestEvent::SendingDone(sent) => Input::SendingDone(sent),
            TestEvent::Done => Input::Done(Box::new(Results::new(self.summary()))),
            TestEvent::Failed(failure) => Input::Stop(Ended::Failed(failure)),
        }
    }

    fn sampled(&mut self, sample: Sample) -> Input {
        let now = self.now();
        if let Some(record) = &mut self.record {
            record.pairing.local(sample.clone(), now);
        }
        Input::Sample(sample)
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

/// Checks that the figures of `side` are about its own flows, each of them once: whatever shows or
/// adds them up may rely on that.
fn check_figures(message: &Message, spec: &TestSpec, side: Side) -> Result<(), String> {
    let told: Vec<(FlowId, Role)> = match message {
        Message::Progress(sample) => sample.flows.iter().map(|f| (f.flow, f.role)).collect(),
        Message::Results(results) => {
            results.summary.flows.iter().map(|f| (f.flow, f.role)).collect()
        }
        Message::Sent(sent) => sent.iter().map(|sent| (sent.flow, Role::Sender)).collect(),
        _ => return Ok(()),
    };
    let only_sent = matches!(message, Message::Sent(_));
    let due =
        (1..=spec.flows()).filter_map(|flow| Some((FlowId(flow), spec.role(side, FlowId(flow))?)));
    let mut due: BTreeMap<_, _> =
        due.filter(|(_, role)| !only_sent || *role == Role::Sender).collect();
    for (flow, role) in told {
        if due.remove(&flow) != Some(role) {
            return Err(format!(
                "its `{}` tells of stream {} what it cannot",
                message.name(),
                flow.0
            ));
        }
    }
    match due.keys().next() {
        Some(flow) => Err(format!("its `{}` says nothing of stream {}", message.name(), flow.0)),
        None => Ok(()),
    }
}

fn protocol_failure(what: &str) -> Input {
    let text = format!("the other end does not follow the control protocol: {what}");
    Input::GiveUp(Failure::new(FailureCode::Protocol, text))
}

/// Returns what is to be told of each flow.
pub(crate) fn flow_infos(flows: &[Flow]) -> Vec<FlowInfo> {
    let info = |flow: &Flow| FlowInfo {
        flow: flow.id,
        role: flow.role,
        local: flow.stream.local,
        peer: flow.stream.peer,
    };
    flows.iter().map(info).collect()
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
