//! A client and a server, each with its driver, and a link between them.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, Failure, FailureCode, Side},
    protocol::native::{
        Action, Admission, Busy, Client, Deadlines, Decoder, Encoder, Input, Message, Propose,
        Server,
    },
    spec::TestSpec,
};

use crate::{
    driver::{Driver, Due, Path},
    fixtures::{agree, propose, stopped, welcome},
    link::{Fault, LATENCY, Link, Packet},
};

/// Both ends of a test, in a time of their own.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    /// The client's streams, and the server's.
    pub(crate) paths: [Path; 2],
    /// Who sent what, in order.
    pub(crate) log: Vec<(Side, &'static str)>,
    now: Duration,
    limit: Duration,
    script: Script,
}

/// One end: its machine, its driver, and the direction of the link that it sends on.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) driver: Driver,
    pub(crate) link: Link,
    machine: Machine,
    encoder: Encoder,
    decoder: Decoder,
}

#[derive(Debug)]
enum Machine {
    Client(Box<Client>),
    Server(Box<Server>),
}

/// What the world outside of both machines does.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) spec: TestSpec,
    pub(crate) deadlines: Deadlines,
    /// What the server's admission says, and how long after the proposal.
    pub(crate) admission: Vec<(Duration, Verdict)>,
    pub(crate) no_queue: bool,
    pub(crate) queue: Duration,
    pub(crate) max_duration: Duration,
    /// How long the client takes to open its streams; `None` is for ever.
    pub(crate) open: Option<Duration>,
    /// How much later than the server the client notices that all streams are open.
    pub(crate) notice: Duration,
}

#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Wait(Busy),
    Grant,
    Deny(Failure),
}

impl Script {
    pub(crate) fn of(spec: TestSpec) -> Self {
        Self {
            spec,
            deadlines: Deadlines::default(),
            admission: vec![(Duration::ZERO, Verdict::Grant)],
            no_queue: false,
            queue: Duration::from_secs(600),
            max_duration: Duration::from_secs(3600),
            open: Some(Duration::from_millis(50)),
            notice: Duration::ZERO,
        }
    }
}

impl Pair {
    /// Returns both ends right after the hello.
    pub(crate) fn new(spec: TestSpec) -> Self {
        Self::with(Script::of(spec))
    }

    pub(crate) fn with(script: Script) -> Self {
        let Script { spec, deadlines, queue, max_duration, .. } = script.clone();
        let now = Duration::ZERO;
        let propose = Propose { no_queue: script.no_queue, ..propose(&spec) };
        let client = Client::new(propose, queue, deadlines.clone(), now);
        let server = Server::new(welcome(), max_duration, deadlines, now);
        let limit = spec.duration().unwrap_or_default() + TEN_MINUTES + queue.min(TEN_MINUTES);
        Self {
            client: End::new(
                Machine::Client(Box::new(client)),
                Driver::new(Side::Client, spec.clone()),
            ),
            server: End::new(Machine::Server(Box::new(server)), Driver::new(Side::Server, spec)),
            paths: Default::default(),
            log: Vec::new(),
            now,
            limit,
            script,
        }
    }

    /// Lets this happen to the n-th message that `from` sends.
    pub(crate) fn fault(mut self, from: Side, message: usize, fault: Fault) -> Self {
        self.end(from).link.fault(message, fault);
        self
    }

    /// Cuts the direction that `from` sends on.
    pub(crate) fn cut(mut self, from: Side, at: Duration) -> Self {
        self.end(from).link.cut_at(at);
        self
    }

    /// Tells an end something at a certain time.
    pub(crate) fn tell(mut self, side: Side, at: Duration, input: Input) -> Self {
        self.end(side).driver.at(at, Due::Tell(input));
        self
    }

    /// Stops an end at a certain time.
    pub(crate) fn stop(self, side: Side, at: Duration) -> Self {
        self.tell(side, at, Input::Stop(stopped(side)))
    }

    /// Lets time pass until both ends have concluded.
    pub(crate) fn run(mut self) -> Self {
        self.act();
        while self.client.driver.conclusion.is_none() || self.server.driver.conclusion.is_none() {
            let next = [self.client.next(), self.server.next()].into_iter().flatten().min();
            let next = next.unwrap_or_else(|| panic!("nothing will ever happen: {self:#?}"));
            self.now = self.now.max(next);
            assert!(self.now <= self.limit, "did not end: {:?}", self.log);
            self.step(Side::Client);
            self.step(Side::Server);
            self.act();
            self.check();
        }
        self
    }

    pub(crate) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Returns what each end sent, without signs of life and progress.
    pub(crate) fn conversation(&self) -> Vec<String> {
        let said = |(side, name): &(Side, &str)| {
            let side = if *side == Side::Client { "client" } else { "server" };
            format!("{side} {name}")
        };
        let idle = |name: &str| matches!(name, "ping" | "progress");
        self.log.iter().filter(|(_, name)| !idle(name)).map(said).collect()
    }

    /// Returns how many messages `side` sent.
    pub(crate) fn count(&self, side: Side) -> usize {
        self.log.iter().filter(|(from, _)| *from == side).count()
    }

    pub(crate) fn endings(&self) -> (&Ended, &Ended) {
        (self.client.driver.ended(), self.server.driver.ended())
    }

    /// Asserts that both ends tell the same story: the same verdict and each other's results, or
    /// failure on both sides.
    pub(crate) fn assert_agreement(&self, what: &str) {
        let (client, server) = self.endings();
        if let (Ended::Failed(_), Ended::Failed(_)) = (client, server) {
            return;
        }
        assert_eq!(client, server, "{what}: {:?}", self.log);
        self.assert_mirrored(what);
    }

    /// Asserts that each end has been told what the other one counted.
    pub(crate) fn assert_mirrored(&self, what: &str) {
        let (client, server) = (&self.client.driver, &self.server.driver);
        assert!(client.local.is_some(), "{what}: {:?}", self.log);
        assert_eq!(client.remote(), server.local.as_deref(), "{what}: {:?}", self.log);
        assert_eq!(server.remote(), client.local.as_deref(), "{what}: {:?}", self.log);
    }

    fn step(&mut self, side: Side) {
        let now = self.now;
        while let Some(packet) = self.end(side.other()).link.receive(now) {
            self.end(side).arrive(packet, now);
            self.act();
        }
        while let Some(due) = self.end(side).driver.take_due(now) {
            self.do_due(side, due);
            self.act();
        }
    }

    fn do_due(&mut self, side: Side, due: Due) {
        let now = self.now;
        let [of_client, of_server] = &self.paths;
        let (end, out, incoming) = match side {
            Side::Client => (&mut self.client, of_client, of_server),
            Side::Server => (&mut self.server, of_server, of_client),
        };
        let inputs = match due {
            Due::Tell(input) => vec![input],
            Due::Tick => end.driver.tick(out, incoming, now),
            Due::Look => end.driver.look(out, incoming, now),
            Due::Admit(admission) => {
                end.decoder.allow_large();
                return end.machine.admission(admission, now);
            }
        };
        for input in inputs {
            end.machine.handle(input, now);
        }
    }

    /// Does what the machines ask for, until they ask for nothing more.
    fn act(&mut self) {
        for side in [Side::Client, Side::Server, Side::Client] {
            while let Some(action) = self.end(side).machine.poll() {
                self.perform(side, action);
            }
        }
    }

    fn perform(&mut self, side: Side, action: Action) {
        let now = self.now;
        let path = usize::from(side == Side::Server);
        let end = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        assert!(end.driver.conclusion.is_none(), "{action:?} after the end");
        match action {
            Action::Send(message) => {
                self.log.push((side, message.name()));
                end.send(&message, now);
            }
            Action::Queued(busy) => end.driver.queued.push(busy),
            Action::Admit(_) => self.admit(),
            Action::Prove(_) => panic!("nobody was asked for a proof"),
            Action::Open(_) => self.open(),
            Action::Begin => end.driver.begin(&mut self.paths[path], now),
            Action::Progress(sample) => end.driver.progress.push(sample),
            Action::Expect(sent) => end.driver.expect(&sent, now),
            Action::CloseBooks => end.driver.close_books(now),
            Action::Halt => end.driver.halt(&mut self.paths[path], now),
            Action::Conclude(ended, results) => {
                end.driver.conclusion = Some((now, ended, results));
                end.link.close(now);
            }
        }
    }

    fn admit(&mut self) {
        for (after, verdict) in self.script.admission.clone() {
            let admission = match verdict {
                Verdict::Wait(busy) => Admission::Wait(busy),
                Verdict::Grant => Admission::Grant(Box::new(agree(&self.script.spec))),
                Verdict::Deny(failure) => Admission::Deny(failure),
            };
            self.server.driver.at(self.now + after, Due::Admit(admission));
        }
    }

    fn open(&mut self) {
        self.client.decoder.allow_large();
        let Some(open) = self.script.open.map(|open| self.now + open) else { return };
        let told = Due::Tell(Input::StreamsOpen);
        self.client.driver.at(open + self.script.notice, told.clone());
        self.server.driver.at(open + LATENCY, told);
    }

    /// Checks what is due, and that it then is not due any more.
    fn check(&mut self) {
        for side in [Side::Client, Side::Server] {
            let now = self.now;
            self.end(side).machine.check(now);
            self.act();
            let deadline = self.end(side).machine.deadline();
            assert!(deadline.is_none_or(|at| at > now), "{side:?} is due for ever: {deadline:?}");
        }
    }
}

impl End {
    fn new(machine: Machine, driver: Driver) -> Self {
        let (encoder, decoder) = (Encoder::default(), Decoder::new());
        Self { driver, link: Link::default(), machine, encoder, decoder }
    }

    fn send(&mut self, message: &Message, now: Duration) {
        let bytes = self.encoder.encode(message);
        self.link.send(bytes, now);
    }

    fn arrive(&mut self, packet: Packet, now: Duration) {
        let Packet::Bytes(bytes) = packet else {
            return self.machine.handle(Input::Lost("the connection was closed".to_owned()), now);
        };
        self.decoder.feed(&bytes);
        loop {
            match self.decoder.next() {
                Ok(Some(message)) => self.machine.handle(Input::Message(message), now),
                Ok(None) => return,
                Err(error) => {
                    let failure = Failure::new(FailureCode::Protocol, error.to_string());
                    return self.machine.handle(Input::GiveUp(failure), now);
                }
            }
        }
    }

    /// Returns when something is next to happen at this end, or to leave it.
    fn next(&self) -> Option<Duration> {
        let own = [self.machine.deadline(), self.driver.next_due(), self.link.next_arrival()];
        own.into_iter().flatten().min()
    }
}

impl Machine {
    fn handle(&mut self, input: Input, now: Duration) {
        match self {
            Self::Client(client) => client.handle(input, now),
            Self::Server(server) => server.handle(input, now),
        }
    }

    fn admission(&mut self, admission: Admission, now: Duration) {
        match self {
            Self::Client(_) => unreachable!("a client admits nobody"),
            Self::Server(server) => server.admission(admission, now),
        }
    }

    fn check(&mut self, now: Duration) {
        match self {
            Self::Client(client) => client.check(now),
            Self::Server(server) => server.check(0, now),
        }
    }

    fn poll(&mut self) -> Option<Action> {
        match self {
            Self::Client(client) => client.poll(),
            Self::Server(server) => server.poll(),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Client(client) => client.deadline(),
            Self::Server(server) => server.deadline(),
        }
    }
}

const TEN_MINUTES: Duration = Duration::from_secs(600);
