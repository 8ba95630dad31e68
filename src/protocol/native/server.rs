use std::time::Duration;

use super::{Action, Agree, Busy, Deadlines, Input, Message, Welcome, live::Core, run::Run};
use crate::{
    outcome::{Ended, Failure, FailureCode, Side},
    spec::TestSpec,
};

/// The server's side of the control protocol, from the welcome to the goodbye.
///
/// Time is since an epoch that the caller chose, and never goes back.
#[derive(Debug)]
pub struct Server {
    core: Core,
    state: State,
    max_duration: Duration,
}

/// What became of a proposal.
#[derive(Debug, Clone)]
pub enum Admission {
    /// There is no room yet.
    Wait(Busy),
    /// The test may run, like this.
    Grant(Box<Agree>),
    /// The test may not run.
    Deny(Failure),
}

#[derive(Debug)]
enum State {
    /// The welcome is out.
    Greeted {
        by: Duration,
    },
    /// The proposal is being looked at, or waits for its turn. The client bounds this.
    Waiting,
    /// The client opens its streams.
    Opening {
        by: Duration,
        spec: Box<TestSpec>,
    },
    Running(Box<Run>),
}

impl Server {
    /// Returns a server that has read a client's hello and welcomes it. No test runs longer than
    /// `max_duration`.
    #[must_use]
    pub fn new(
        welcome: Welcome,
        max_duration: Duration,
        deadlines: Deadlines,
        now: Duration,
    ) -> Self {
        let state = State::Greeted { by: now + deadlines.answer };
        let mut core = Core::new(deadlines, now);
        core.send(Message::Welcome(welcome), now);
        Self { core, state, max_duration }
    }

    /// Takes note of something that happened at `now`.
    pub fn handle(&mut self, input: Input, now: Duration) {
        if self.core.is_over() {
            return;
        }
        if matches!(input, Input::Message(_)) {
            self.core.hear(now);
        }
        match (&mut self.state, input) {
            (State::Running(run), input) => run.handle(input, &mut self.core, now),
            (_, Input::Message(message)) => self.hear(message, now),
            (State::Opening { spec, .. }, Input::StreamsOpen) => {
                self.core.send(Message::Start, now);
                let run = Run::new(Side::Server, spec, Some(self.max_duration), &self.core, now);
                self.state = State::Running(Box::new(run));
                self.core.push(Action::Begin);
            }
            (_, Input::GiveUp(failure) | Input::Stop(Ended::Failed(failure))) => {
                self.core.give_up(failure, now);
            }
            (_, Input::Stop(_)) => {
                let failure = Failure::new(FailureCode::Draining, "the server is about to stop");
                self.core.give_up(failure, now);
            }
            (_, Input::Lost(reason)) => {
                let text =
                    format!("the control connection was lost while {}: {reason}", self.state());
                let failure = Failure::new(FailureCode::PeerLost, text);
                self.core.conclude(Ended::Failed(failure), None);
            }
            _ => {}
        }
    }

    /// Has the test run no longer than this, which begins later.
    pub fn permit(&mut self, max_duration: Duration) {
        self.max_duration = max_duration;
    }

    /// Takes note of what became of the proposal.
    pub fn admission(&mut self, admission: Admission, now: Duration) {
        if self.core.is_over() || !matches!(self.state, State::Waiting) {
            return;
        }
        match admission {
            Admission::Wait(busy) => self.core.send(Message::Busy(busy), now),
            Admission::Deny(failure) => self.core.give_up(failure, now),
            Admission::Grant(agree) => {
                self.state = State::Opening {
                    by: now + self.core.deadlines.streams,
                    spec: Box::new(agree.spec.clone()),
                };
                self.core.send(Message::Agree(agree), now);
            }
        }
    }

    /// Does what is due at `now`. `attached` of the test's streams have been opened so far.
    pub fn check(&mut self, attached: usize, now: Duration) {
        if self.core.is_over() {
            return;
        }
        match &mut self.state {
            State::Running(run) => run.check(&mut self.core, now),
            State::Greeted { by } if now >= *by => {
                let text = format!("no proposal came within {:?}", self.core.deadlines.answer);
                self.core.give_up(Failure::new(FailureCode::Timeout, text), now);
            }
            State::Opening { by, spec } if now >= *by => {
                let (wanted, within) = (spec.flows(), self.core.deadlines.streams);
                let text = format!("{attached} of {wanted} streams were opened within {within:?}");
                self.core.give_up(Failure::new(FailureCode::Timeout, text), now);
            }
            State::Greeted { .. } | State::Waiting | State::Opening { .. } => {}
        }
        if !self.core.is_over() {
            let state = self.state();
            self.core.check(now, state);
        }
    }

    /// Returns the next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.core.pop()
    }

    /// Returns when [`check`](Self::check) has something to do at the latest; `None` once it is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.core.is_over() {
            return None;
        }
        let own = match &self.state {
            State::Running(run) => run.deadline(),
            State::Greeted { by } | State::Opening { by, .. } => Some(*by),
            State::Waiting => None,
        };
        Some(own.map_or(self.core.deadline(), |own| own.min(self.core.deadline())))
    }

    fn hear(&mut self, message: Message, now: Duration) {
        match (&self.state, message) {
            (State::Greeted { .. }, Message::Propose(propose)) => {
                self.state = State::Waiting;
                self.core.push(Action::Admit(propose));
            }
            (State::Greeted { .. }, Message::Prove(prove)) => {
                self.state = State::Waiting;
                self.core.push(Action::Prove(prove));
            }
            (_, Message::Ping { .. }) => {}
            (_, Message::Fail(failure)) => self.core.conclude(Ended::Failed(failure), None),
            (_, other) => {
                let state = self.state();
                self.core.unexpected(&other, state, now);
            }
        }
    }

    fn state(&self) -> &'static str {
        match &self.state {
            State::Greeted { .. } => "its proposal was due",
            State::Waiting => "the test was in the queue",
            State::Opening { .. } => "streams were being opened",
            State::Running(run) => run.state(),
        }
    }
}
