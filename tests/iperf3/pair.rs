//! A client and a server with bytes between them, in a time of their own.

use std::{collections::BTreeMap, time::Duration};

use polyperf::{
    measure::{FlowId, FlowSample, FlowSummary, Role, Sample, SideSummary},
    outcome::{Ended, Side},
    protocol::iperf3::{
        Action, Admission, Client, Deadlines, Decoder, Extras, Input, Message, Params, Results,
        Server, encode,
    },
    spec::{Direction, Limit, SpecFields, TestSpec},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const LATENCY: Duration = Duration::from_millis(10);
const BYTES_PER_MS: u64 = 1000;

/// Both ends of a test, and what happens to them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    /// Who sent what, in order.
    pub(crate) log: Vec<String>,
    /// What the server makes of the parameters; `None` is a grant.
    pub(crate) verdict: Option<Admission>,
    /// When it does.
    pub(crate) admits_after: Duration,
    /// Whether the client ever opens its streams.
    pub(crate) opens: bool,
    /// When bytes cease to move.
    pub(crate) broken_at: Duration,
    pub(crate) now: Duration,
}

#[derive(Debug)]
pub(crate) struct End {
    side: Side,
    spec: TestSpec,
    machine: Machine,
    decoder: Decoder,
    flying: Vec<(Duration, Packet)>,
    /// How many bytes leave this end, and what follows them.
    pub(crate) cut: Option<(usize, Cut)>,
    pub(crate) sent: usize,
    pub(crate) due: Vec<(Duration, Due)>,
    pub(crate) begun: Option<Duration>,
    pub(crate) halted: bool,
    /// When it ended, how, and what the other end counted.
    pub(crate) conclusion: Option<(Duration, Ended, Option<Box<Results>>)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// Nothing more, for ever.
    Stall,
    /// The end of the connection.
    End,
}

#[derive(Debug, Clone)]
pub(crate) enum Due {
    Tell(Input),
    Admit(Box<TestSpec>),
    Tick,
}

#[derive(Debug, Clone)]
enum Packet {
    Bytes(Vec<u8>),
    End,
}

#[derive(Debug)]
enum Machine {
    Client(Box<Client>),
    Server(Box<Server>),
}

/// A test of two streams in each direction.
pub(crate) fn spec(direction: Direction, limit: Limit) -> TestSpec {
    let fields = SpecFields { direction, limit, streams: 2, ..SpecFields::default() };
    fields.try_into().unwrap()
}

pub(crate) fn timed(direction: Direction) -> TestSpec {
    spec(direction, Limit::Time(3 * SECOND))
}

pub(crate) fn stopped(by: Side) -> Ended {
    Ended::Stopped { by, reason: "interrupted".to_owned() }
}

/// What this end tells of each of its flows.
pub(crate) fn results(spec: &TestSpec, side: Side, bytes: u64) -> Box<Results> {
    let flow = |flow| {
        Some(FlowSummary {
            flow: FlowId(flow),
            role: spec.role(side, FlowId(flow))?,
            bytes,
            omitted_bytes: 0,
            duration: SECOND,
            retransmits: None,
            packets_lost: None,
            congestion_events: None,
            window_blocked: None,
            rtt: None,
            max_cwnd: None,
            datagrams_sent: None,
            datagrams: None,
            lateness: None,
            pacing: None,
            exchanges: None,
            path: polyperf::transport::PathStats::default(),
            settings: Vec::new(),
            error: None,
        })
    };
    let flows = (1..=spec.flows()).filter_map(flow).collect();
    Box::new(Results::new(&SideSummary { flows, cpu: None }, &BTreeMap::new()))
}

pub(crate) fn sample(bytes: u64) -> Sample {
    let (flow, role) = (FlowId(1), Role::Sender);
    let flows = vec![FlowSample {
        flow,
        role,
        bytes,
        retransmits: None,
        packets_lost: None,
        path: None,
        datagrams_sent: None,
        datagrams: None,
    }];
    Sample { index: 0, start: Duration::ZERO, end: SECOND, omitted: false, flows }
}

impl Pair {
    /// Returns both ends right after the cookie.
    pub(crate) fn new(spec: &TestSpec) -> Self {
        let (now, deadlines) = (Duration::ZERO, Deadlines::default());
        let params = Params::new(spec, Extras::of_client("test")).unwrap();
        let client = Machine::Client(Box::new(Client::new(params, deadlines.clone(), now)));
        let server = Machine::Server(Box::new(Server::new(600 * SECOND, deadlines, now)));
        Self {
            client: End::new(Side::Client, client, spec),
            server: End::new(Side::Server, server, spec),
            log: Vec::new(),
            verdict: None,
            admits_after: Duration::ZERO,
            opens: true,
            broken_at: Duration::MAX,
            now,
        }
    }

    /// Tells an end something at a certain time.
    pub(crate) fn tell(mut self, side: Side, at: Duration, input: Input) -> Self {
        self.end(side).due.push((at, Due::Tell(input)));
        self
    }

    pub(crate) fn stop(self, side: Side, at: Duration) -> Self {
        self.tell(side, at, Input::Stop(stopped(side)))
    }

    /// Lets time pass until both ends have concluded.
    pub(crate) fn run(mut self) -> Self {
        self.act();
        while self.client.conclusion.is_none() || self.server.conclusion.is_none() {
            let next = [self.client.next(), self.server.next()].into_iter().flatten().min();
            self.now = self.now.max(next.unwrap_or_else(|| panic!("for ever: {self:#?}")));
            assert!(self.now < 1000 * SECOND, "did not end: {:?}", self.log);
            for side in [Side::Client, Side::Server] {
                self.step(side);
            }
        }
        self
    }

    pub(crate) fn endings(&self) -> (&Ended, &Ended) {
        (self.client.ended(), self.server.ended())
    }

    pub(crate) fn end(&mut self, side: Side) -> &mut End {
        if side == Side::Client { &mut self.client } else { &mut self.server }
    }

    fn step(&mut self, side: Side) {
        let now = self.now;
        while let Some(packet) = self.end(side.other()).arrived(now) {
            self.end(side).hear(packet, now);
            self.act();
        }
        while let Some(due) = self.end(side).take_due(now) {
            self.do_due(side, due);
            self.act();
        }
        self.end(side).machine.check(now);
        self.act();
        let deadline = self.end(side).machine.deadline();
        assert!(deadline.is_none_or(|at| at > now), "{side:?} is due for ever: {self:#?}");
    }

    fn do_due(&mut self, side: Side, due: Due) {
        let (now, broken_at, verdict) = (self.now, self.broken_at, self.verdict.clone());
        let end = self.end(side);
        match due {
            Due::Tell(input) => end.machine.handle(input, now),
            Due::Admit(spec) => {
                end.machine.admission(verdict.unwrap_or(Admission::Grant(spec)), now);
            }
            Due::Tick if end.halted => {}
            Due::Tick => {
                end.due.push((now + SECOND, Due::Tick));
                let bytes = if now < broken_at { end.moved(now) } else { 0 };
                if end.roles().any(|role| role == Role::Receiver) {
                    end.machine.handle(Input::Received(bytes), now);
                }
                end.machine.handle(Input::Sample(sample(bytes.min(1))), now);
            }
        }
    }

    /// Does what the machines ask for, until they ask for nothing more.
    fn act(&mut self) {
        for side in [Side::Client, Side::Server, Side::Client] {
            while let Some(action) = self.end(side).machine.poll() {
                assert!(self.end(side).conclusion.is_none(), "{action:?} after the end");
                self.perform(side, action);
            }
        }
    }

    fn perform(&mut self, side: Side, action: Action) {
        let now = self.now;
        match action {
            Action::Send(message) => {
                let who = if side == Side::Client { "client" } else { "server" };
                self.log.push(format!("{who} {}", message.name()));
                self.end(side).send(&message, now);
            }
            Action::Admit(params) => {
                let at = now + self.admits_after;
                self.server.due.push((at, Due::Admit(Box::new(params.spec))));
            }
            Action::Open if !self.opens => {}
            Action::Open => {
                self.client.due.push((now + 50 * MS, Due::Tell(Input::StreamsOpen)));
                self.server.due.push((now + 60 * MS, Due::Tell(Input::StreamsOpen)));
            }
            Action::Begin => self.end(side).begin(now),
            Action::Halt => self.end(side).halt(now),
            Action::Conclude(ended, results) => {
                let end = self.end(side);
                end.conclusion = Some((now, ended, results));
                end.fly(Packet::End, now);
            }
        }
    }
}

impl End {
    fn new(side: Side, machine: Machine, spec: &TestSpec) -> Self {
        Self {
            side,
            spec: spec.clone(),
            machine,
            decoder: Decoder::new(side.other()),
            flying: Vec::new(),
            cut: None,
            sent: 0,
            due: Vec::new(),
            begun: None,
            halted: false,
            conclusion: None,
        }
    }

    pub(crate) fn ended(&self) -> &Ended {
        &self.conclusion.as_ref().expect("it is over").1
    }

    pub(crate) fn theirs(&self) -> Option<&Results> {
        self.conclusion.as_ref().expect("it is over").2.as_deref()
    }

    fn begin(&mut self, now: Duration) {
        assert!(self.begun.replace(now).is_none(), "a test begins once");
        self.due.push((now + SECOND, Due::Tick));
        let lasts = match self.spec.limit {
            Limit::Time(time) => time + self.spec.omit,
            Limit::Bytes(bytes) => MS * u32::try_from(bytes / BYTES_PER_MS).unwrap(),
            Limit::Blocks(_) | Limit::Endless => return,
        };
        // As the engine does it, which a server's machine is not to be disturbed by.
        if self.roles().any(|role| role == Role::Sender) {
            self.due.push((now + lasts, Due::Tell(Input::SendingDone)));
        }
    }

    fn halt(&mut self, now: Duration) {
        assert!(!self.halted, "halted twice");
        self.halted = true;
        let results = results(&self.spec, self.side, self.moved(now));
        self.due.push((now + MS, Due::Tell(Input::Done(results))));
    }

    fn send(&mut self, message: &Message, now: Duration) {
        let mut bytes = encode(message);
        let room = self.cut.map_or(usize::MAX, |(at, _)| at.saturating_sub(self.sent));
        let is_cut = bytes.len() > room;
        self.sent += bytes.len();
        bytes.truncate(room);
        // Each byte for itself: nobody may rely on what shares a segment.
        bytes.iter().for_each(|&byte| self.flying.push((now + LATENCY, Packet::Bytes(vec![byte]))));
        if is_cut && matches!(self.cut, Some((_, Cut::End))) {
            self.flying.push((now + LATENCY, Packet::End));
        }
    }

    fn fly(&mut self, packet: Packet, now: Duration) {
        if self.cut.is_none_or(|(at, _)| self.sent <= at) {
            self.flying.push((now + LATENCY, packet));
        }
    }

    fn arrived(&mut self, now: Duration) -> Option<Packet> {
        let at = self.flying.iter().position(|(at, _)| *at <= now)?;
        Some(self.flying.remove(at).1)
    }

    fn hear(&mut self, packet: Packet, now: Duration) {
        let Packet::Bytes(bytes) = packet else {
            return self.machine.handle(Input::Lost("closed".to_owned()), now);
        };
        self.decoder.feed(&bytes);
        loop {
            match self.decoder.next(self.machine.expects()) {
                Ok(Some(message)) => self.machine.handle(Input::Message(message), now),
                Ok(None) => return,
                Err(error) => return self.machine.handle(Input::Garbage(error), now),
            }
        }
    }

    fn take_due(&mut self, now: Duration) -> Option<Due> {
        let next = self.due.iter().map(|(at, _)| *at).filter(|at| *at <= now).min()?;
        let index = self.due.iter().position(|(at, _)| *at == next)?;
        Some(self.due.remove(index).1)
    }

    fn next(&self) -> Option<Duration> {
        let due = self.due.iter().map(|(at, _)| *at).min();
        let arrival = self.flying.iter().map(|(at, _)| *at).min();
        [self.machine.deadline(), due, arrival].into_iter().flatten().min()
    }

    fn moved(&self, now: Duration) -> u64 {
        let time = self.begun.map_or(Duration::ZERO, |begun| now.saturating_sub(begun));
        u64::try_from(time.as_millis()).unwrap() * BYTES_PER_MS
    }

    fn roles(&self) -> impl Iterator<Item = Role> {
        (1..=self.spec.flows()).filter_map(|flow| self.spec.role(self.side, FlowId(flow)))
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

    fn expects(&self) -> polyperf::protocol::iperf3::Expect {
        match self {
            Self::Client(client) => client.expects(),
            Self::Server(server) => server.expects(),
        }
    }
}
