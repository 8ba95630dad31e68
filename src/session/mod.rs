//! A native control connection and the test that it controls: what both ends have in common.
//! [`iperf3`] is the same for iperf3's dialect.

pub(crate) mod iperf3;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    control::{Control, Heard},
    engine::{TestEvent, Work},
    event::Bus,
    measure::{DatagramHeader, FlowId, Role},
    outcome::{Ended, Failure, FailureCode, Outcome, Side, TestInfo},
    protocol::native::{Action, FrameError, Input, Message, Results, Sent},
    spec::TestSpec,
    trial::{Course, Trial, sleep_until},
};

/// A control connection and the test that it controls, once that has begun.
#[derive(Debug)]
pub(crate) struct Session {
    control: Control,
    trial: Trial,
}

impl Session {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, trial: Trial::new() }
    }

    /// Returns the time since the session began.
    pub(crate) fn now(&self) -> Duration {
        self.trial.now()
    }

    pub(crate) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Returns how long the test has been running.
    pub(crate) fn test_time(&self) -> Option<Duration> {
        self.trial.test_time()
    }

    /// Returns how many bytes a server has moved in the test so far, in both directions.
    pub(crate) fn served(&self) -> u64 {
        self.trial.served()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.trial.has_begun()
    }

    /// Waits for something that the machine must be told, until `deadline` at the latest (`None`).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, deadline: Option<Duration>) -> Option<Input> {
        let at = deadline.map(|deadline| self.trial.at(deadline));
        let event = tokio::select! {
            biased;
            event = self.trial.next() => event,
            heard = self.control.next() => return Some(self.heard(heard)),
            () = sleep_until(at) => return None,
        };
        Some(match event {
            TestEvent::Sample(sample) => Input::Sample(sample),
            TestEvent::Received(bytes) => Input::Received(bytes),
            TestEvent::SendingDone(sent) => Input::SendingDone(sent),
            TestEvent::Done => Input::Done(Box::new(Results::new(self.trial.summary()))),
            TestEvent::Failed(failure) => Input::Stop(Ended::Failed(failure)),
        })
    }

    /// Starts the test, and tells the bus so.
    pub(crate) fn begin(
        &mut self,
        info: TestInfo,
        work: impl Into<Work>,
        course: Course,
        bus: &Bus,
    ) -> Arc<TestInfo> {
        self.trial.begin(info, work, course, bus)
    }

    /// Does what both ends do alike. Returns what the machine must be told in turn.
    pub(crate) fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Send(message) => return self.control.queue(&message).err().map(Input::Lost),
            Action::Progress(sample) => self.trial.remote(sample),
            Action::Expect(sent) => self.trial.expect(&sent),
            Action::CloseBooks => self.trial.close_books(),
            Action::Halt => self.trial.halt(),
            _ => {}
        }
        None
    }

    /// Returns what the test came to so far; `None` if it has not begun.
    pub(crate) fn outcome(&self, ended: Ended, remote: Option<Box<Results>>) -> Option<Outcome> {
        let (remote, output) = remote.map_or((None, None), |r| (Some(r.summary), r.output));
        self.trial.outcome(ended, remote, output)
    }

    /// Ends the test, and returns what it came to; `None` if it had not begun.
    pub(crate) fn finish(&mut self, ended: Ended, remote: Option<Box<Results>>) -> Option<Outcome> {
        self.trial.finish();
        self.outcome(ended, remote)
    }

    /// Sends what is still queued, and takes leave of the other end.
    pub(crate) async fn close(self, limit: Duration) {
        drop(self.trial);
        self.control.into_wire().close(limit).await;
    }

    /// Stops the flows and waits until they have, within a bound: one may sit in a system call.
    pub(crate) async fn stop_flows(&mut self) {
        self.trial.stop_flows().await;
    }

    fn heard(&self, heard: Heard<Message, FrameError>) -> Input {
        match heard {
            Heard::Lost(reason) => Input::Lost(reason),
            Heard::Garbage(error) => protocol_failure(&error.to_string()),
            Heard::Message(message) => {
                let checked = self
                    .trial
                    .info()
                    .map_or(Ok(()), |info| check_figures(&message, &info.spec, info.side.other()));
                match checked {
                    Ok(()) => Input::Message(message),
                    Err(what) => protocol_failure(&what),
                }
            }
        }
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
        Message::Sent(sent) => {
            let role = |flow| spec.role(side, flow).filter(|role| role.sends());
            sent.iter().map(|sent| (sent.flow, role(sent.flow).unwrap_or(Role::Sender))).collect()
        }
        _ => return Ok(()),
    };
    let told_of: fn(&Role) -> bool = match message {
        Message::Progress(_) => |role| role.is_of_load(),
        Message::Sent(_) => |role| role.sends(),
        _ => |_| true,
    };
    let role = |flow| Some((FlowId(flow), spec.role(side, FlowId(flow))?));
    let due = (1..=spec.flows()).filter_map(role);
    let mut due: BTreeMap<_, _> = due.filter(|(_, role)| told_of(role)).collect();
    for (flow, role) in told {
        if due.remove(&flow) != Some(role) {
            return Err(format!(
                "its `{}` tells of stream {} what it cannot",
                message.name(),
                flow.0
            ));
        }
    }
    check_datagrams(message)?;
    match due.keys().next() {
        Some(flow) => Err(format!("its `{}` says nothing of stream {}", message.name(), flow.0)),
        None => Ok(()),
    }
}

/// Checks that as many datagrams fit into the bytes: a receiver takes this count at its word.
fn check_datagrams(message: &Message) -> Result<(), String> {
    let Message::Sent(sent) = message else { return Ok(()) };
    let fits = |sent: &Sent| {
        let most = sent.bytes / DatagramHeader::LEN as u64;
        sent.datagrams.is_none_or(|datagrams| datagrams <= most)
    };
    match sent.iter().find(|sent| !fits(sent)) {
        Some(Sent { flow, .. }) => {
            Err(format!("its `sent` tells of more datagrams than bytes of stream {}", flow.0))
        }
        None => Ok(()),
    }
}

fn protocol_failure(what: &str) -> Input {
    let text = format!("the other end does not follow the control protocol: {what}");
    Input::GiveUp(Failure::new(FailureCode::Protocol, text))
}
