use std::{mem, time::Duration};

use super::{
    Action, Agree, Busy, Deadlines, Input, KEY, Message, Propose, Prover, Token, Welcome,
    live::Core, run::Run,
};
use crate::{
    outcome::{Ended, Failure, FailureCode, Side},
    spec::{SpecFields, TestSpec},
};

/// The client's side of the control protocol, from the hello to the goodbye.
///
/// Time is since an epoch that the caller chose, and never goes back.
#[derive(Debug)]
pub struct Client {
    core: Core,
    state: State,
    propose: Propose,
    queue: Duration,
    welcome: Option<Welcome>,
    prover: Option<Prover>,
    /// The proposal as it was proved.
    proved: Option<String>,
}

#[derive(Debug)]
enum State {
    /// The hello is out.
    Greeting {
        by: Duration,
    },
    /// The proposal is out.
    Proposing {
        by: Duration,
    },
    /// In the server's queue.
    Queued {
        by: Duration,
        retry_after: Option<Duration>,
    },
    /// Opening streams; the server may see the last of them before we do, and start, and be done.
    Opening {
        by: Duration,
        spec: Box<TestSpec>,
        open: bool,
        started: bool,
        early: Vec<Message>,
    },
    Running(Box<Run>),
}

impl Client {
    /// Returns a client that has just sent its hello and wants to run this test. It waits in a
    /// queue for `queue` at most.
    #[must_use]
    pub fn new(propose: Propose, queue: Duration, deadlines: Deadlines, now: Duration) -> Self {
        let state = State::Greeting { by: now + deadlines.answer };
        let core = Core::new(deadlines, now);
        Self { core, state, propose, queue, welcome: None, prover: None, proved: None }
    }

    /// Has the client prove who it is, and the server that it knows the same key, if that is one that
    /// both know.
    #[must_use]
    pub fn proving(mut self, prover: Prover) -> Self {
        self.prover = Some(prover);
        self
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
            (State::Opening { open, .. }, Input::StreamsOpen) => {
                *open = true;
                self.start(now);
            }
            (_, Input::GiveUp(failure)) => self.core.give_up(failure, now),
            (_, Input::Stop(ended)) => self.core.give_up(too_early(ended), now),
            (_, Input::Lost(reason)) => {
                let text =
                    format!("the control connection was lost while {}: {reason}", self.state());
                let failure = Failure::new(FailureCode::PeerLost, text);
                self.core.conclude(Ended::Failed(failure), None);
            }
            _ => {}
        }
    }

    /// Does what is due at `now`.
    pub fn check(&mut self, now: Duration) {
        if self.core.is_over() {
            return;
        }
        match &mut self.state {
            State::Running(run) => run.check(&mut self.core, now),
            State::Greeting { by }
            | State::Proposing { by }
            | State::Queued { by, .. }
            | State::Opening { by, .. } => {
                if now >= *by {
                    self.too_late(now);
                }
            }
        }
        // Before the welcome nobody may be there who understands a sign of life.
        if !self.core.is_over() && !matches!(self.state, State::Greeting { .. }) {
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
            State::Greeting { by } => return Some(*by),
            State::Proposing { by } | State::Queued { by, .. } | State::Opening { by, .. } => {
                Some(*by)
            }
        };
        Some(own.map_or(self.core.deadline(), |own| own.min(self.core.deadline())))
    }

    /// Returns what the server has said of itself.
    #[must_use]
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    fn hear(&mut self, message: Message, now: Duration) {
        match (&mut self.state, message) {
            (State::Greeting { .. }, Message::Welcome(welcome)) => self.greeted(welcome, now),
            (State::Proposing { .. } | State::Queued { .. }, Message::Busy(busy)) => {
                self.queued(busy, now);
            }
            (State::Proposing { .. } | State::Queued { .. }, Message::Agree(agree)) => {
                self.agreed(agree, now);
            }
            (State::Opening { started, .. }, Message::Start) if !*started => {
                *started = true;
                self.start(now);
            }
            (State::Opening { started: true, early, .. }, message)
                if is_of_a_run(&message) && early.len() < MAX_EARLY_MESSAGES =>
            {
                early.push(message);
            }
            // A report or two less is better than no test.
            (State::Opening { started: true, .. }, Message::Progress(_)) => {}
            (
                State::Proposing { .. } | State::Queued { .. } | State::Opening { .. },
                Message::Ping { .. },
            ) => {}
            (_, Message::Fail(failure)) => self.core.conclude(Ended::Failed(failure), None),
            (_, other) => {
                let state = self.state();
                self.core.unexpected(&other, state, now);
            }
        }
    }

    fn greeted(&mut self, welcome: Welcome, now: Duration) {
        let wanted = &self.propose.spec.transport;
        if !welcome.transports.iter().any(|offered| offered.name == *wanted) {
            let names: Vec<_> = welcome.transports.iter().map(|t| t.name.as_str()).collect();
            let text =
                format!("the server does not offer {wanted}; it offers {}", names.join(", "));
            return self.core.give_up(Failure::new(FailureCode::Unsupported, text), now);
        }
        match self.proposal(&welcome) {
            Ok(message) => self.core.send(message, now),
            Err(failure) => return self.core.give_up(failure, now),
        }
        self.welcome = Some(welcome);
        self.state = State::Proposing { by: now + self.core.deadlines.answer };
    }

    /// Returns the proposal, with a proof of who makes it where that is wanted.
    fn proposal(&mut self, welcome: &Welcome) -> Result<Message, Failure> {
        let challenge = welcome.challenge.as_ref();
        let Some(prover) = &self.prover else {
            return Ok(Message::Propose(Box::new(self.propose.clone())));
        };
        let method = prover.method();
        let challenge = challenge.filter(|challenge| challenge.has(method));
        let challenge = challenge.ok_or_else(|| not_taken(method))?;
        let propose = serde_json::to_string(&self.propose).map_err(|error| {
            Failure::new(FailureCode::Internal, format!("a proposal that is no JSON: {error}"))
        })?;
        let proved = prover.prove(challenge, propose.clone());
        let proved =
            proved.map_err(|error| Failure::new(FailureCode::LocalIo, error.to_string()))?;
        self.proved = Some(propose);
        Ok(Message::Prove(Box::new(proved)))
    }

    /// Returns whether the server knows the key that both are to know, if this client has proved itself
    /// with one.
    fn is_convinced(&self, agree: &Agree) -> bool {
        let challenge = self.welcome.as_ref().and_then(|welcome| welcome.challenge.as_ref());
        match (&self.prover, challenge, &self.proved) {
            (None, ..) => true,
            (Some(prover), Some(challenge), Some(propose)) => {
                prover.convinced(challenge, propose, agree.proof.as_deref())
            }
            (Some(_), ..) => false,
        }
    }

    fn queued(&mut self, busy: Busy, now: Duration) {
        let by = match self.state {
            State::Queued { by, .. } => by,
            // The server should have refused, and may be too old to know that.
            _ if self.propose.no_queue => now,
            _ => now + self.queue,
        };
        self.state = State::Queued { by, retry_after: busy.retry_after };
        self.core.push(Action::Queued(busy));
    }

    fn agreed(&mut self, agree: Box<Agree>, now: Duration) {
        if !self.is_convinced(&agree) {
            let text = "the server did not prove that it knows the pre-shared key: somebody may be in its place";
            return self.core.give_up(Failure::new(FailureCode::Denied, text), now);
        }
        let token = Token::parse(agree.token.as_bytes()).ok_or("a token that is none");
        if let Err(text) = token.map_err(str::to_owned).and_then(|_| self.acceptable(&agree.spec)) {
            let text = format!("the other end sent `agree` with {text}");
            return self.core.give_up(Failure::new(FailureCode::Protocol, text), now);
        }
        self.state = State::Opening {
            by: now + self.core.deadlines.streams,
            spec: Box::new(agree.spec.clone()),
            open: false,
            started: false,
            early: Vec::new(),
        };
        self.core.push(Action::Open(agree));
    }

    fn start(&mut self, now: Duration) {
        let State::Opening { spec, open: true, started: true, early, .. } = &mut self.state else {
            return;
        };
        let early = mem::take(early);
        let mut run = Run::new(Side::Client, spec, None, &self.core, now);
        self.core.push(Action::Begin);
        for message in early {
            if !self.core.is_over() {
                run.handle(Input::Message(message), &mut self.core, now);
            }
        }
        self.state = State::Running(Box::new(run));
    }

    fn too_late(&mut self, now: Duration) {
        let Deadlines { answer, streams, .. } = self.core.deadlines;
        let failure = match &self.state {
            State::Queued { retry_after, .. } => {
                let waited = if self.propose.no_queue { Duration::ZERO } else { self.queue };
                let text = format!("the server had no room within {waited:?}");
                Failure { retry_after: *retry_after, ..Failure::new(FailureCode::Busy, text) }
            }
            State::Opening { open: false, .. } => {
                let text = format!("not all streams could be opened within {streams:?}");
                Failure::new(FailureCode::Timeout, text)
            }
            State::Opening { .. } => {
                let text = format!("the server did not start the test within {streams:?}");
                Failure::new(FailureCode::Timeout, text)
            }
            _ => {
                let state = self.state();
                let text = format!("the server did not answer within {answer:?} while {state}");
                Failure::new(FailureCode::Timeout, text)
            }
        };
        self.core.give_up(failure, now);
    }

    /// Checks that the server changed nothing but what it may fill in or lower: block and rate.
    fn acceptable(&self, agreed: &TestSpec) -> Result<(), String> {
        let asked = &self.propose.spec;
        let rate_ok = match (asked.rate, agreed.rate) {
            (Some(asked), Some(agreed)) => agreed.bits_per_second <= asked.bits_per_second,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let checks = [
            ("transport", asked.transport == agreed.transport),
            ("direction", asked.direction == agreed.direction),
            ("number of streams", asked.streams == agreed.streams),
            ("limit", asked.limit == agreed.limit),
            ("omitted time", asked.omit == agreed.omit),
            ("block", asked.block == 0 || asked.block == agreed.block),
            ("rate", rate_ok),
        ];
        if let Some((field, _)) = checks.iter().find(|(_, same)| !same) {
            return Err(format!("another {field} than was asked for"));
        }
        let rest = SpecFields { block: agreed.block, rate: agreed.rate, ..(**asked).clone() };
        if rest == **agreed { Ok(()) } else { Err("other settings than were asked for".to_owned()) }
    }

    fn state(&self) -> &'static str {
        match &self.state {
            State::Greeting { .. } => "its greeting was due",
            State::Proposing { .. } => "its answer to the proposal was due",
            State::Queued { .. } => "the test was in its queue",
            State::Opening { open: false, .. } => "streams were being opened",
            State::Opening { open: true, .. } => "its start was due",
            State::Running(run) => run.state(),
        }
    }
}

/// Says that a server takes no proof of this kind.
fn not_taken(method: &str) -> Failure {
    let text = if method == KEY {
        "the server takes no keys of clients: it knows none, or is older than they are; leave out --key-file, or start it with --authorized-keys"
    } else {
        "the server takes no pre-shared keys: it has none, or is older than they are; leave out --psk-file, or start it with its own"
    };
    Failure::new(FailureCode::Denied, text)
}

/// Returns whether a server sends this to a client once it has started the test.
fn is_of_a_run(message: &Message) -> bool {
    matches!(message, Message::Progress(_) | Message::Sent(_) | Message::Stop(_))
}

fn too_early(ended: Ended) -> Failure {
    match ended {
        Ended::Failed(failure) => failure,
        Ended::Stopped { reason, .. } => {
            Failure::new(FailureCode::Cancelled, format!("stopped before the test began: {reason}"))
        }
        Ended::Complete => Failure::new(FailureCode::Internal, "complete before it began"),
    }
}

/// How many messages of a test that the server has started are kept until our streams are open.
const MAX_EARLY_MESSAGES: usize = 16;
