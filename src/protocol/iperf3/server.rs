use std::{mem, time::Duration};

use super::{
    Action, BadResults, Deadlines, ErrorCode, Expect, FrameError, Input, Message, Refusal, Results,
    State, core::Core, run::Run, running::Running,
};
use crate::{
    outcome::{Ended, Failure, FailureCode, Side},
    spec::TestSpec,
};

/// The server's side of iperf3's protocol, from behind the cookie to the goodbye.
///
/// The client alone ends a test: whatever its limit, this end sends and receives until it is told
/// to halt. Time is since an epoch that the caller chose, and never goes back.
#[derive(Debug)]
pub struct Server {
    core: Core,
    phase: Phase,
    max_duration: Duration,
}

/// What became of the parameters.
///
/// There is no word for a queue: a server that lets a client wait says nothing meanwhile.
#[derive(Debug, Clone)]
pub enum Admission {
    /// The test may run, like this.
    Grant(Box<TestSpec>),
    /// There is no room.
    Busy,
    /// The test may not run.
    Deny(Refusal),
}

#[derive(Debug)]
enum Phase {
    /// The parameters are asked for.
    Asking { by: Duration },
    /// They are being looked at.
    Admitting { by: Duration },
    /// The client opens its streams.
    Opening { by: Duration, spec: Box<TestSpec> },
    /// Bytes move.
    Running(Run),
    /// The client has ended the test.
    Exchanging(Exchange),
    /// Both ends have everything; the client's goodbye is due.
    Leaving { by: Duration, ended: Ended, theirs: Option<Box<Results>> },
}

#[derive(Debug)]
struct Exchange {
    by: Duration,
    spec: Box<TestSpec>,
    ended: Ended,
    ours: Option<Box<Results>>,
    theirs: Option<Box<Results>>,
}

impl Server {
    /// Returns a server that has read a client's cookie, and asks for parameters. A test that time
    /// does not end is ended after `max_duration`.
    #[must_use]
    pub fn new(max_duration: Duration, deadlines: Deadlines, now: Duration) -> Self {
        let phase = Phase::Asking { by: now + deadlines.answer };
        let mut core = Core::new(deadlines);
        core.send(State::ParamExchange);
        Self { core, phase, max_duration }
    }

    /// Takes note of something that happened at `now`.
    pub fn handle(&mut self, input: Input, now: Duration) {
        if self.core.is_over() {
            return;
        }
        match input {
            Input::Message(message) => self.hear(message, now),
            Input::Garbage(error) => self.garbage(&error),
            Input::StreamsOpen => self.begin(now),
            Input::Sample(sample) => {
                if let Phase::Running(run) = &mut self.phase {
                    run.running.sampled(&sample, now);
                }
            }
            Input::Received(bytes) => {
                if let Phase::Running(run) = &mut self.phase {
                    run.running.received(bytes, now);
                    if run.is_drained(bytes) {
                        self.exchange(now);
                    }
                }
            }
            Input::Sent(bytes) => {
                if let Phase::Running(run) = &mut self.phase {
                    run.running.sent(bytes, now);
                }
            }
            Input::Done(results) => self.done(results, now),
            Input::Stop(ended) => self.stop(ended, now),
            Input::GiveUp(failure) => self.give_up(failure.into()),
            Input::Lost(reason) => self.lost(&reason),
            // The client will say when the test is over.
            Input::SendingDone => {}
        }
    }

    /// Has the test run no longer than this, which begins later.
    pub fn permit(&mut self, max_duration: Duration) {
        self.max_duration = max_duration;
    }

    /// Takes note of what became of the parameters.
    pub fn admission(&mut self, admission: Admission, now: Duration) {
        if self.core.is_over() || !matches!(self.phase, Phase::Admitting { .. }) {
            return;
        }
        match admission {
            Admission::Busy => self.busy("the server has no room"),
            Admission::Deny(refusal) => self.give_up(refusal),
            Admission::Grant(spec) => {
                self.core.send(State::CreateStreams);
                self.phase = Phase::Opening { by: now + self.core.deadlines.streams, spec };
            }
        }
    }

    /// Does what is due at `now`. `attached` of the test's streams have been opened so far.
    pub fn check(&mut self, attached: usize, now: Duration) {
        if self.core.is_over() || self.deadline().is_none_or(|at| now < at) {
            return;
        }
        match &mut self.phase {
            Phase::Asking { .. } => {
                let text = format!("no parameters came within {:?}", self.core.deadlines.answer);
                let failure = Failure::new(FailureCode::Timeout, text);
                self.give_up(Refusal { code: ErrorCode::ReceiveParams, failure });
            }
            Phase::Admitting { .. } => self.busy("the test was not admitted in time"),
            Phase::Opening { spec, .. } => {
                let (wanted, within) = (spec.flows(), self.core.deadlines.streams);
                let text = format!("{attached} of {wanted} streams were opened within {within:?}");
                self.give_up(Refusal::new(ErrorCode::StreamAccept, text));
            }
            Phase::Running(_) => self.overdue(now),
            Phase::Exchanging(exchange) => {
                let who = if exchange.ours.is_some() { "the client did" } else { "this end did" };
                let text =
                    format!("{who} not tell its results within {:?}", self.core.deadlines.results);
                let failure = Failure::new(FailureCode::Timeout, text);
                self.give_up(Refusal { code: ErrorCode::ReceiveResults, failure });
            }
            Phase::Leaving { .. } => self.complete(),
        }
    }

    /// Returns the next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.core.pop()
    }

    /// Returns what the client may send next.
    #[must_use]
    pub fn expects(&self) -> Expect {
        match &self.phase {
            Phase::Asking { .. } => Expect::Params,
            Phase::Exchanging(Exchange { theirs: None, .. }) => Expect::Results,
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
            Phase::Asking { by }
            | Phase::Admitting { by }
            | Phase::Opening { by, .. }
            | Phase::Leaving { by, .. } => *by,
            Phase::Running(run) => run.deadline(),
            Phase::Exchanging(exchange) => exchange.by,
        })
    }

    fn hear(&mut self, message: Message, now: Duration) {
        match (&mut self.phase, message) {
            (_, Message::State(State::TestStart)) => {}
            (_, Message::State(State::ClientTerminate)) => {
                self.client_left("the client was told to stop");
            }
            (Phase::Leaving { .. }, Message::State(State::IperfDone)) => self.complete(),
            (_, Message::State(State::IperfDone)) => {
                self.client_left("the client left before the results were exchanged");
            }
            (Phase::Running(run), Message::State(State::TestEnd)) => {
                let grace = self.core.deadlines.grace;
                if !run.drains(now, grace) {
                    self.exchange(now);
                }
            }
            // Said twice, it is as true as before.
            (Phase::Exchanging(_) | Phase::Leaving { .. }, Message::State(State::TestEnd)) => {}
            (Phase::Asking { .. }, Message::Params(params)) => {
                self.phase = Phase::Admitting { by: now + self.core.deadlines.admission };
                self.core.push(Action::Admit(params));
            }
            (Phase::Exchanging(exchange), Message::Results(results))
                if exchange.theirs.is_none() =>
            {
                self.results(results, now);
            }
            (_, other) => {
                let text = format!("the client sent {} while {}", other.name(), self.state());
                self.give_up(Refusal::new(ErrorCode::UnknownMessage, text));
            }
        }
    }

    fn garbage(&mut self, error: &FrameError) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            return self.complete();
        }
        let code = error.code();
        let text = format!("while {}, what the client sent is refused: {error}", self.state());
        let kind = match error {
            FrameError::Params(_) => code.kind(),
            _ => FailureCode::Protocol,
        };
        self.give_up(Refusal { code, failure: Failure::new(kind, text) });
    }

    fn begin(&mut self, now: Duration) {
        let Phase::Opening { spec, .. } = &self.phase else { return };
        let spec = spec.clone();
        let lasts = match spec.duration() {
            Some(duration) => duration + self.core.deadlines.overrun,
            None => self.max_duration,
        };
        self.core.send(State::TestStart);
        self.core.send(State::TestRunning);
        self.core.push(Action::Begin);
        let running = Running::new(&spec, &self.core.deadlines, now);
        let ends = now + lasts;
        self.phase = Phase::Running(Run { running, ends, spec, ours: None, drained_by: None });
    }

    fn exchange(&mut self, now: Duration) {
        let by = now + self.core.deadlines.results;
        let Phase::Running(run) = &mut self.phase else { return };
        let (spec, ours) = (run.spec.clone(), run.ours.take());
        let ended = run.running.unexplained().map_or(Ended::Complete, Ended::Failed);
        if ours.is_none() {
            self.core.push(Action::Halt);
        }
        self.core.send(State::ExchangeResults);
        self.phase = Phase::Exchanging(Exchange { by, spec, ended, ours, theirs: None });
    }

    fn done(&mut self, results: Box<Results>, now: Duration) {
        match &mut self.phase {
            Phase::Running(run) => drop(run.ours.get_or_insert(results)),
            Phase::Exchanging(exchange) => {
                exchange.ours.get_or_insert(results);
                self.answer(now);
            }
            _ => {}
        }
    }

    fn results(&mut self, results: Box<Results>, now: Duration) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        if let Err(bad) = results.check(&exchange.spec) {
            return self.bad_results(&bad);
        }
        exchange.theirs = Some(results);
        self.answer(now);
    }

    fn bad_results(&mut self, bad: &BadResults) {
        let failure = Failure::new(FailureCode::Protocol, bad.to_string());
        self.give_up(Refusal { code: bad.code(), failure });
    }

    /// Tells the client our results once both are there.
    fn answer(&mut self, now: Duration) {
        let Phase::Exchanging(exchange) = &mut self.phase else { return };
        if exchange.theirs.is_none() {
            return;
        }
        let Some(ours) = exchange.ours.take() else { return };
        let theirs = exchange.theirs.take();
        let ended = mem::replace(&mut exchange.ended, Ended::Complete);
        self.core.push(Action::Send(Message::Results(ours)));
        self.core.send(State::DisplayResults);
        self.phase = Phase::Leaving { by: now + self.core.deadlines.goodbye, ended, theirs };
    }

    fn overdue(&mut self, now: Duration) {
        let Phase::Running(run) = &mut self.phase else { return };
        if run.drained_by.is_some_and(|by| now >= by) {
            return self.exchange(now);
        }
        if let Some(failure) = run.running.verdict(now) {
            return self.give_up(failure.into());
        }
        if now >= run.ends {
            let ran = now.saturating_sub(run.running.started);
            let text = format!("the client did not end the test after {ran:.0?}");
            return self.give_up(Refusal::new(ErrorCode::DurationExpired, text));
        }
        if let Some(failure) = run.running.stalled(now) {
            self.give_up(Refusal { code: ErrorCode::NoMessage, failure });
        }
    }

    fn stop(&mut self, ended: Ended, now: Duration) {
        let by = now + self.core.deadlines.verdict;
        match (&mut self.phase, ended) {
            // The end is near, and bounded.
            (Phase::Exchanging(_) | Phase::Leaving { .. }, _) => {}
            (Phase::Running(run), Ended::Failed(failure)) if is_of_stream(&failure) => {
                run.running.fail(failure, by);
            }
            (_, Ended::Failed(failure)) => self.give_up(failure.into()),
            (Phase::Running(_), ended @ Ended::Stopped { .. }) => {
                self.core.send(State::ServerTerminate);
                self.core.conclude(ended, None);
            }
            _ => {
                let text = "the server is about to stop";
                self.give_up(Refusal::new(ErrorCode::ServerTerminated, text));
            }
        }
    }

    fn client_left(&mut self, reason: &str) {
        let ended = Ended::Stopped { by: Side::Client, reason: reason.to_owned() };
        let theirs = self.theirs();
        self.core.conclude(ended, theirs);
    }

    fn lost(&mut self, reason: &str) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            return self.complete();
        }
        let unexplained = match &mut self.phase {
            Phase::Running(run) => run.running.unexplained(),
            _ => None,
        };
        let failure = unexplained.unwrap_or_else(|| {
            let text = format!("the control connection was lost while {}: {reason}", self.state());
            Failure::new(FailureCode::PeerLost, text)
        });
        let theirs = self.theirs();
        self.core.conclude(Ended::Failed(failure), theirs);
    }

    fn busy(&mut self, text: &str) {
        self.core.send(State::AccessDenied);
        self.core.conclude(Ended::Failed(Failure::new(FailureCode::Busy, text)), None);
    }

    /// Tells the client why there is no going on, and ends.
    fn give_up(&mut self, refusal: Refusal) {
        // Whatever went wrong with the goodbye: both ends have everything.
        if matches!(self.phase, Phase::Leaving { .. }) {
            return self.complete();
        }
        let code = refusal.code.number();
        self.core.push(Action::Send(Message::Error { code, errno: 0 }));
        let theirs = self.theirs();
        self.core.conclude(Ended::Failed(refusal.failure), theirs);
    }

    fn complete(&mut self) {
        let ended = match &mut self.phase {
            Phase::Leaving { ended, .. } => mem::replace(ended, Ended::Complete),
            _ => Ended::Complete,
        };
        let theirs = self.theirs();
        self.core.conclude(ended, theirs);
    }

    fn theirs(&mut self) -> Option<Box<Results>> {
        match &mut self.phase {
            Phase::Exchanging(Exchange { theirs, .. }) | Phase::Leaving { theirs, .. } => {
                mem::take(theirs)
            }
            _ => None,
        }
    }

    fn state(&self) -> &'static str {
        match &self.phase {
            Phase::Asking { .. } => "its parameters were due",
            Phase::Admitting { .. } => "the test waited to be admitted",
            Phase::Opening { .. } => "streams were being opened",
            Phase::Running(_) => "the test was running",
            Phase::Exchanging(_) => "its results were due",
            Phase::Leaving { .. } => "its goodbye was due",
        }
    }
}

/// Returns whether the client may be about to explain this: it closes its streams when it leaves.
fn is_of_stream(failure: &Failure) -> bool {
    matches!(failure.code, FailureCode::Stream | FailureCode::PeerLost)
}
