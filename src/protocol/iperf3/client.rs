use std::{mem, time::Duration};

use super::{
    Action, Deadlines, ErrorCode, Expect, FrameError, Input, Message, Params, Results, State,
    core::Core, end::End, running::Running,
};
use crate::outcome::{Ended, Failure, FailureCode, Side};

/// The client's side of iperf3's protocol, from behind the cookie to the goodbye.
///
/// It alone ends the test: when this end has sent everything, or received what it wants, or when
/// time is up. Time is since an epoch that the caller chose, and never goes back.
#[derive(Debug)]
pub struct Client {
    core: Core,
    params: Params,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The cookie is out.
    Greeting { by: Duration },
    /// The parameters are out.
    Asking { by: Duration },
    /// Opening streams; the server may see the last of them before we do.
    Opening { by: Duration, open: bool, running: bool },
    /// Bytes move.
    Running { running: Running, end: End },
    /// The server was told that the test is over.
    Ending(Ending),
}

/// From the end of the test to the goodbye.
#[derive(Debug)]
struct Ending {
    by: Duration,
    ended: Ended,
    /// Whether the server has asked for results.
    asked: bool,
    ours: Option<Box<Results>>,
    /// Whether ours are out.
    told: bool,
    theirs: Option<Box<Results>>,
}

impl Client {
    /// Returns a client that has just sent its cookie, and wants to run this test.
    #[must_use]
    pub fn new(params: Params, deadlines: Deadlines, now: Duration) -> Self {
        let phase = Phase::Greeting { by: now + deadlines.answer };
        Self { core: Core::new(deadlines), params, phase }
    }

    /// Takes note of something that happened at `now`.
    pub fn handle(&mut self, input: Input, now: Duration) {
        if self.core.is_over() {
            return;
        }
        match input {
            Input::Message(message) => self.hear(message, now),
            Input::Garbage(error) => self.garbage(&error),
            Input::StreamsOpen => {
                if let Phase::Opening { open, .. } = &mut self.phase {
                    *open = true;
                }
                self.begin(now);
            }
            Input::Sample(sample) => {
                if let Phase::Running { running, .. } = &mut self.phase {
                    running.sampled(&sample, now);
                }
            }
            Input::Received(bytes) => self.received(bytes, now),
            Input::Sent(bytes) => {
                if let Phase::Running { running, .. } = &mut self.phase {
                    running.sent(bytes, now);
                }
            }
            Input::SendingDone => self.sending_done(now),
            Input::Done(results) => self.done(results, now),
            Input::Stop(ended) => self.stop(ended, now),
            Input::GiveUp(failure) => self.give_up(failure),
            Input::Lost(reason) => self.lost(&reason),
        }
    }

    /// Does what is due at `now`.
    pub fn check(&mut self, now: Duration) {
        if self.core.is_over() || self.deadline().is_none_or(|at| now < at) {
            return;
        }
        let Deadlines { answer, admission, streams, results, .. } = self.core.deadlines;
        let text = match &self.phase {
            Phase::Running { .. } => return self.overdue(now),
            Phase::Ending(ending) if ending.theirs.is_some() => return self.complete(),
            Phase::Greeting { .. } => format!("the server did not answer within {answer:?}"),
            Phase::Asking { .. } => {
                format!("the server did not take up the test within {admission:?}")
            }
            Phase::Opening { open: false, .. } => {
                format!("not all streams could be opened within {streams:?}")
            }
            Phase::Opening { .. } => {
                format!("the server did not start the test within {streams:?}")
            }
            Phase::Ending(_) => {
                format!("the results were not exchanged within {results:?}")
            }
        };
        self.give_up(Failure::new(FailureCode::Timeout, text));
    }

    /// Returns the next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.core.pop()
    }

    /// Returns what the server may send next.
    #[must_use]
    pub fn expects(&self) -> Expect {
        match &self.phase {
            Phase::Ending(Ending { told: true, theirs: None, .. }) => Expect::Results,
            _ => Expect::State,
        }
    }

    /// Returns when [`check`](Self::check) has something to do at the latest; `None` once it is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.core.is_over() {
            return None;
        }
        Some(match &self.phase {
            Phase::Greeting { by } | Phase::Asking { by } | Phase::Opening { by, .. } => *by,
            Phase::Running { running, end } => {
                end.at.map_or(running.deadline(), |at| running.deadline().min(at))
            }
            Phase::Ending(ending) => ending.by,
        })
    }

    fn hear(&mut self, message: Message, now: Duration) {
        match message {
            Message::State(State::IperfDone) => {}
            Message::State(State::AccessDenied) => {
                let text = format!("the server refused the test: {}", ErrorCode::AccessDenied);
                self.conclude(Ended::Failed(Failure::new(FailureCode::Busy, text)));
            }
            Message::State(State::ServerTerminate) => self.server_left(),
            // A server may send what went wrong in an earlier test when it closes this one.
            Message::Error { .. } if self.has_theirs() => self.complete(),
            Message::Error { code, .. } => {
                self.conclude(Ended::Failed(ErrorCode::failure_of(code)));
            }
            Message::State(state) => self.advance(state, now),
            Message::Results(results) => self.results(results, now),
            Message::Params(_) => self.unexpected("parameters"),
        }
    }

    /// Follows the server to the next step.
    fn advance(&mut self, state: State, now: Duration) {
        match (&mut self.phase, state) {
            (Phase::Greeting { .. }, State::ParamExchange) => {
                let params = Box::new(self.params.clone());
                self.core.push(Action::Send(Message::Params(params)));
                self.phase = Phase::Asking { by: now + self.core.deadlines.admission };
            }
            (Phase::Asking { .. }, State::CreateStreams) => {
                let by = now + self.core.deadlines.streams;
                self.core.push(Action::Open);
                self.phase = Phase::Opening { by, open: false, running: false };
            }
            (Phase::Opening { .. }, State::TestStart) => {}
            (Phase::Opening { running, .. }, State::TestRunning) => {
                *running = true;
                self.begin(now);
            }
            (Phase::Ending(ending), State::ExchangeResults) if !ending.asked => {
                ending.asked = true;
                self.tell();
            }
            (Phase::Ending(Ending { theirs: Some(_), .. }), State::DisplayResults) => {
                self.complete();
            }
            _ => self.unexpected(state.name()),
        }
    }

    fn begin(&mut self, now: Duration) {
        let Phase::Opening { open: true, running: true, .. } = self.phase else { return };
        let spec = &self.params.spec;
        let running = Running::new(spec, &self.core.deadlines, now);
        self.phase = Phase::Running { running, end: End::new(spec, now) };
        self.core.push(Action::Begin);
    }

    fn received(&mut self, bytes: u64, now: Duration) {
        let Phase::Running { running, end } = &mut self.phase else { return };
        running.received(bytes, now);
        if end.is_reached(bytes, now) {
            self.end(Ended::Complete, now);
        }
    }

    fn sending_done(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Running { .. }) {
            self.end(Ended::Complete, now);
        }
    }

    /// Ends the test: whatever has not arrived at either end is not waited for.
    fn end(&mut self, mut ended: Ended, now: Duration) {
        let by = now + self.core.deadlines.results;
        if let Phase::Running { running, .. } = &mut self.phase
            && let Some(failure) = running.unexplained()
        {
            ended = Ended::Failed(failure);
        }
        self.core.push(Action::Halt);
        self.core.send(State::TestEnd);
        let (asked, told) = (false, false);
        self.phase = Phase::Ending(Ending { by, ended, asked, ours: None, told, theirs: None });
    }

    fn done(&mut self, results: Box<Results>, now: Duration) {
        match &mut self.phase {
            // Everything has been sent, and nothing was to be received.
            Phase::Running { .. } => {
                self.end(Ended::Complete, now);
                self.done(results, now);
            }
            Phase::Ending(ending) if ending.ours.is_none() && !ending.told => {
                ending.ours = Some(results);
                self.tell();
            }
            _ => {}
        }
    }

    /// Tells the server our results once it has asked and they are there.
    fn tell(&mut self) {
        let Phase::Ending(ending) = &mut self.phase else { return };
        if !ending.asked {
            return;
        }
        if let Some(ours) = ending.ours.take() {
            ending.told = true;
            self.core.push(Action::Send(Message::Results(ours)));
        }
    }

    fn results(&mut self, results: Box<Results>, now: Duration) {
        let goodbye = now + self.core.deadlines.goodbye;
        let Phase::Ending(ending @ Ending { told: true, theirs: None, .. }) = &mut self.phase
        else {
            return self.unexpected("results");
        };
        if let Err(bad) = results.check(&self.params.spec) {
            return self.give_up(Failure::new(FailureCode::Protocol, bad.to_string()));
        }
        ending.theirs = Some(results);
        ending.by = goodbye;
    }

    fn overdue(&mut self, now: Duration) {
        let Phase::Running { running, end } = &mut self.phase else { return };
        if let Some(failure) = running.verdict(now) {
            return self.give_up(failure);
        }
        if end.at.is_some_and(|at| now >= at) {
            return self.end(Ended::Complete, now);
        }
        if let Some(failure) = running.stalled(now) {
            self.give_up(failure);
        }
    }

    fn stop(&mut self, ended: Ended, now: Duration) {
        let by = now + self.core.deadlines.verdict;
        match (&mut self.phase, ended) {
            // The server may be about to say why it closes everything.
            (Phase::Running { running, .. }, Ended::Failed(failure)) => running.fail(failure, by),
            // Both ends' figures up to now are worth more than a word that stops at once.
            (Phase::Running { .. }, ended) => self.end(ended, now),
            (Phase::Ending(_), Ended::Failed(_)) => {}
            // Asked a second time, it does stop at once.
            (Phase::Ending(_), ended) => {
                self.core.send(State::ClientTerminate);
                self.conclude(ended);
            }
            (_, Ended::Failed(failure)) => self.give_up(failure),
            (_, Ended::Stopped { reason, .. }) => {
                let text = format!("stopped before the test began: {reason}");
                self.give_up(Failure::new(FailureCode::Cancelled, text));
            }
            (_, Ended::Complete) => {
                self.give_up(Failure::new(FailureCode::Internal, "complete before it began"));
            }
        }
    }

    fn server_left(&mut self) {
        let reason = "the server was told to stop".to_owned();
        match &self.phase {
            Phase::Running { .. } | Phase::Ending(_) => {
                self.conclude(Ended::Stopped { by: Side::Server, reason });
            }
            _ => self.conclude(Ended::Failed(Failure::new(FailureCode::Draining, reason))),
        }
    }

    fn garbage(&mut self, error: &FrameError) {
        let text = format!("while {}, the server sent {error}", self.state());
        self.give_up(Failure::new(FailureCode::Protocol, text));
    }

    fn unexpected(&mut self, what: &str) {
        let text = format!("the server sent {what} while {}", self.state());
        self.give_up(Failure::new(FailureCode::Protocol, text));
    }

    fn lost(&mut self, reason: &str) {
        let unexplained = match &mut self.phase {
            Phase::Ending(Ending { theirs: Some(_), .. }) => return self.complete(),
            Phase::Running { running, .. } => running.unexplained(),
            _ => None,
        };
        let failure = unexplained.unwrap_or_else(|| {
            let mut text =
                format!("the control connection was lost while {}: {reason}", self.state());
            if matches!(self.phase, Phase::Greeting { .. }) {
                text.push_str("; an iperf3 server that is busy may do so");
            }
            Failure::new(FailureCode::PeerLost, text)
        });
        self.conclude(Ended::Failed(failure));
    }

    /// Says that there is no going on, in the one word that the protocol has for it, and ends.
    fn give_up(&mut self, failure: Failure) {
        // Whatever went wrong with the goodbye: both ends have everything.
        if self.has_theirs() {
            return self.complete();
        }
        self.core.send(State::ClientTerminate);
        self.conclude(Ended::Failed(failure));
    }

    fn complete(&mut self) {
        self.core.send(State::IperfDone);
        let ended = match &mut self.phase {
            Phase::Ending(ending) => mem::replace(&mut ending.ended, Ended::Complete),
            _ => Ended::Complete,
        };
        self.conclude(ended);
    }

    fn conclude(&mut self, ended: Ended) {
        let theirs = match &mut self.phase {
            Phase::Ending(ending) => ending.theirs.take(),
            _ => None,
        };
        self.core.conclude(ended, theirs);
    }

    fn has_theirs(&self) -> bool {
        matches!(self.phase, Phase::Ending(Ending { theirs: Some(_), .. }))
    }

    fn state(&self) -> &'static str {
        match &self.phase {
            Phase::Greeting { .. } => "its request for parameters was due",
            Phase::Asking { .. } => "its answer to the parameters was due",
            Phase::Opening { open: false, .. } => "streams were being opened",
            Phase::Opening { .. } => "its start was due",
            Phase::Running { .. } => "the test was running",
            Phase::Ending(Ending { asked: false, .. }) => "its request for results was due",
            Phase::Ending(Ending { theirs: None, .. }) => "its results were due",
            Phase::Ending(_) => "its leave was due",
        }
    }
}
