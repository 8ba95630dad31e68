mod client;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use polyperf_transport::{Delivery, Stream, Tuning};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::{debug, info, warn};

use super::{
    admission::{Place, Ticket},
    auth::Unidentified,
    census::Reject,
    churn::{self, Churn},
    governance::Permit,
    policy,
    roster::{Entry, Stage},
    shared::{PendingGuard, Shared, Urgency},
    streams::{Arrival, AttachGuard, Key, MarkGuard},
};
use crate::{
    control::{Channel, Control, Wire},
    engine::{Flow, Framing, Means, Work},
    event::{Event, FailedEvent},
    measure::FlowId,
    outcome::{Dialect, Ended, Failure, FailureCode, HostInfo, Outcome, Side, TestInfo},
    protocol::native::{
        Action, Admission, Agree, Challenge, Input, Limits, Message, Nonce, Propose, Results,
        Server as Machine, Token, TransportInfo, Welcome,
    },
    session::Session,
    spec::TestSpec,
    trial::{Course, flow_infos, sleep_until, unix_time},
};

/// One client's test, from the welcome to the goodbye.
#[derive(Debug)]
pub(super) struct ServerSession {
    shared: Arc<Shared>,
    session: Session,
    machine: Machine,
    local: SocketAddr,
    peer: SocketAddr,
    name: String,
    entry: Entry,
    /// Counts against the connections that have not asked for anything yet.
    pending: Option<PendingGuard>,
    /// What is proposed, while it is found out by whom.
    unidentified: Option<Unidentified<Propose>>,
    user: Option<String>,
    /// What makes a client's proof good for this connection alone.
    nonce: Nonce,
    /// What is known of TLS that protects the connection; empty where that does not.
    channel: Channel,
    /// This end's proof, once the client's is accepted.
    proof: Option<String>,
    /// What the client's policy permits, and counts.
    permit: Option<Permit>,
    ticket: Option<Ticket>,
    last_position: u32,
    wanted: Option<Wanted>,
    attach: Option<Attach>,
    attached: BTreeMap<FlowId, Stream>,
    /// What answers connections, where those are the test.
    churn: Option<Churn>,
    /// The client's results, where the server's report is to show them.
    theirs: Option<Box<Results>>,
    over: Option<(Ended, Option<Box<Results>>)>,
}

/// What the client asked for, and what came of it.
#[derive(Debug)]
struct Wanted {
    host: HostInfo,
    spec: TestSpec,
    changes: Vec<String>,
}

/// Where streams of this test come in.
#[derive(Debug)]
struct Attach {
    streams: mpsc::Receiver<Arrival>,
    _guard: AttachGuard,
    _mark: MarkGuard,
}

impl ServerSession {
    /// Returns the session of a client that has said hello, inside of TLS if there is a channel.
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: Stream,
        channel: Channel,
        pending: PendingGuard,
    ) -> Self {
        let (local, peer) = (stream.local, stream.peer);
        // Messages are small and often go out in pairs: the second must not wait until the first is
        // acknowledged. A transport that has no such wait says so, which is as good.
        stream.path.tune(&Tuning { no_delay: true, ..Tuning::default() });
        let session = Session::new(Control::new(Wire::new(stream)));
        let config = &shared.config;
        let nonce = Nonce::new(rand::random());
        let welcome = welcome(&shared, local, nonce);
        let deadlines = config.deadlines.clone();
        let machine = Machine::new(welcome, shared.longest(), deadlines, session.now());
        let name = shared.next_name();
        let entry = shared.roster.enter(&name, peer, Dialect::Native, Stage::Preparing);
        Self {
            session,
            entry,
            machine,
            local,
            peer,
            name,
            pending: Some(pending),
            unidentified: None,
            user: None,
            nonce,
            channel,
            proof: None,
            permit: None,
            ticket: None,
            last_position: 0,
            wanted: None,
            attach: None,
            attached: BTreeMap::new(),
            churn: None,
            theirs: None,
            over: None,
            shared,
        }
    }

    /// Serves the client until its test is over, in one way or another.
    pub(super) async fn run(mut self) {
        let mut urgency = self.shared.urgency();
        let mut stop_by = None;
        debug!(session = %self.name, peer = %self.peer, "client connected");
        loop {
            while let Some(action) = self.machine.poll() {
                self.perform(action);
            }
            if let Some((ended, results)) = self.over.take() {
                return self.conclude(ended, results).await;
            }
            let deadline = self.machine.deadline();
            tokio::select! {
                input = self.session.next(deadline) => self.told(input),
                () = moved(&mut self.ticket), if self.is_waiting() => self.place(),
                (verdict, propose) = Unidentified::verdict(&mut self.unidentified) => {
                    self.identified(verdict, propose);
                }
                stream = arrival(&mut self.attach) => self.arrived(stream),
                () = Permit::due(&mut self.permit) => self.charge(),
                reason = told_to_stop(&mut urgency, &self.entry), if stop_by.is_none() => {
                    let ended = Ended::Stopped { by: Side::Server, reason };
                    self.machine.handle(Input::Stop(ended), self.session.now());
                    stop_by = Some(Instant::now() + super::FAREWELL);
                }
                () = sleep_until(stop_by) => {
                    let reason = "it did not answer before the server stopped".to_owned();
                    self.machine.handle(Input::Lost(reason), self.session.now());
                }
            }
            self.machine.check(self.attached.len(), self.session.now());
        }
    }

    fn told(&mut self, input: Option<Input>) {
        let Some(input) = input else { return };
        if let Input::Message(Message::Results(results)) = &input
            && self.wants_output()
        {
            self.theirs = Some(results.clone());
        }
        if let Input::Received(bytes) = input
            && let Some(failure) = self.too_fast(bytes)
        {
            self.machine.handle(Input::Stop(Ended::Failed(failure)), self.session.now());
        }
        self.machine.handle(input, self.session.now());
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Admit(propose) => self.identify(*propose),
            Action::Prove(prove) => self.prove(&prove),
            Action::Begin => self.begin(),
            Action::Conclude(ended, results) => self.over = Some((ended, results)),
            Action::Send(Message::Results(mut results)) => {
                results.output = self.output();
                // The test is over: who waits need not wait for this client's goodbye.
                self.settle_account();
                self.ticket = None;
                self.send(Action::Send(Message::Results(results)));
            }
            other => self.send(other),
        }
    }

    fn send(&mut self, action: Action) {
        if let Some(input) = self.session.perform(action) {
            self.machine.handle(input, self.session.now());
        }
    }

    fn deny(&mut self, failure: Failure) {
        self.machine.admission(Admission::Deny(failure), self.session.now());
    }

    fn admit(&mut self, propose: Propose) {
        let Propose { host, spec, no_queue, .. } = propose;
        let delivery = self.shared.delivery(&spec.transport).unwrap_or(Delivery::Bytes);
        let ip = self.peer.ip();
        let permit = match self.shared.governor.permit(ip, self.user.as_deref(), &spec) {
            Ok(permit) => permit,
            Err(breach) => return self.deny(breach.failure),
        };
        let ticket = policy::check(&spec, &self.shared.config.transports, &self.shared.limits())
            .and_then(|()| policy::check_header(&spec, delivery))
            .and_then(|()| churn::check(&spec, delivery))
            .and_then(|()| self.shared.admission.apply(&spec, permit.max_rate(), !no_queue));
        match ticket {
            Ok(ticket) => {
                self.machine.permit(permit.longest(self.shared.longest()));
                self.permit = Some(permit);
                self.ticket = Some(ticket);
                self.pending = None;
                self.wanted = Some(Wanted { host, spec, changes: Vec::new() });
                self.place();
            }
            Err(failure) => self.deny(failure),
        }
    }

    /// Looks where the test stands now, and tells the client if that is news.
    fn place(&mut self) {
        let Some(ticket) = &mut self.ticket else { return };
        let admission = match ticket.place() {
            Place::Running(rate) => self.grant(rate),
            Place::Draining => Admission::Deny(super::admission::draining()),
            Place::Queued(busy) if busy.position == self.last_position => return,
            Place::Queued(busy) => {
                self.last_position = busy.position;
                info!(session = %self.name, peer = %self.peer, position = busy.position, "test queued");
                if let Some(Wanted { spec, .. }) = &self.wanted {
                    let spec = Box::new(spec.clone());
                    self.entry.is(Stage::Queued { position: busy.position, spec });
                }
                Admission::Wait(busy)
            }
        };
        self.machine.admission(admission, self.session.now());
        if self.churn.is_some() {
            // None of its connections is made before it begins.
            self.machine.handle(Input::StreamsOpen, self.session.now());
        }
    }

    fn grant(&mut self, rate: Option<u64>) -> Admission {
        let Some(wanted) = &mut self.wanted else {
            return Admission::Deny(Failure::new(FailureCode::Internal, "a place without a test"));
        };
        let delivery = self.shared.delivery(&wanted.spec.transport).unwrap_or(Delivery::Bytes);
        self.entry.is(Stage::Preparing);
        let own = self.permit.as_ref().and_then(Permit::max_rate);
        let rate = rate.into_iter().chain(own).min();
        let (spec, mut changes) = policy::settle(wanted.spec.clone(), rate, delivery);
        changes.extend(self.permit.as_ref().and_then(Permit::note));
        let token = Token::from_bits(rand::random());
        let expected = &self.shared.expected;
        let deadlines = &self.shared.config.deadlines;
        self.churn = Churn::of(&spec, delivery, token, deadlines, expected);
        if self.churn.is_none() {
            let (guard, streams) = expected.expect(Key::Token(token), usize::from(spec.flows()));
            let mark = expected.announce(token.mark(), spec.stream_tuning());
            self.attach = Some(Attach { streams, _guard: guard, _mark: mark });
        }
        (wanted.spec, wanted.changes) = (spec.clone(), changes.clone());
        let port = self.shared.port(&spec.transport, self.local);
        let (session, token) = (self.name.clone(), token.as_str().to_owned());
        let proof = self.proof.clone();
        Admission::Grant(Box::new(Agree { session, token, port, spec, changes, proof }))
    }

    fn arrived(&mut self, stream: Option<Arrival>) {
        let (Some(Arrival { flow: Some(flow), stream, .. }), Some(wanted)) = (stream, &self.wanted)
        else {
            return;
        };
        if wanted.spec.role(Side::Server, flow).is_none() || self.attached.contains_key(&flow) {
            warn!(session = %self.name, peer = %stream.peer, flow = flow.0, "stream refused: no such stream is due");
            return;
        }
        self.attached.insert(flow, stream);
        if self.attached.len() == usize::from(wanted.spec.flows()) {
            self.attach = None;
            self.session.control().allow_large();
            self.machine.handle(Input::StreamsOpen, self.session.now());
        }
    }

    fn begin(&mut self) {
        let Some(wanted) = &self.wanted else { return };
        let spec = wanted.spec.clone();
        let flow = |(id, stream)| Some(Flow { id, role: spec.role(Side::Server, id)?, stream });
        let delivery = self.shared.delivery(&spec.transport).unwrap_or(Delivery::Bytes);
        let (work, flows, framing) = match &mut self.churn {
            Some(churn) => {
                let lanes = churn.begin(&self.shared.expected);
                (Work::Lanes(lanes), churn.infos(self.local, self.peer), Framing::Bytes)
            }
            None => {
                let flows = std::mem::take(&mut self.attached);
                let flows: Vec<_> = flows.into_iter().filter_map(flow).collect();
                let infos = flow_infos(&flows);
                (Work::Flows(flows), infos, Framing::native(delivery))
            }
        };
        let info = TestInfo {
            session: self.name.clone(),
            side: Side::Server,
            dialect: Dialect::Native,
            changes: wanted.changes.clone(),
            started: unix_time(),
            local: self.local,
            peer: self.peer,
            host: None,
            user: self.user.clone(),
            local_host: self.shared.host.clone(),
            peer_host: wanted.host.clone(),
            flows,
            spec,
        };
        info!(
            session = %self.name, peer = %self.peer, transport = %info.spec.transport,
            direction = ?info.spec.direction, streams = info.spec.streams, limit = ?info.spec.limit,
            user = self.user, "test started"
        );
        let config = &self.shared.config;
        let keep = config.keep_intervals || info.spec.server_output;
        let means = Means {
            affinity: info.spec.server_affinity,
            processors: config.data_processors.clone(),
            ..Means::default()
        };
        let drive = policy::drive(&info.spec, self.shared.admission.running(), config.drive);
        let course = Course::native(drive, keep).carrying(framing).with(means);
        let info = self.session.begin(info, work, course, &self.shared.bus);
        self.entry.is(Stage::Running { info });
    }

    async fn conclude(mut self, ended: Ended, results: Option<Box<Results>>) {
        self.attach = None;
        self.churn = None;
        let limit = self.shared.config.deadlines.answer.min(super::FAREWELL);
        match self.session.finish(ended.clone(), results) {
            Some(outcome) => {
                log_outcome(&outcome);
                self.shared.bus.emit(Event::Finished(Arc::new(outcome)));
                self.shared.finished();
            }
            None => report_failed(&self.shared, &self.name, self.peer, ended),
        }
        // Last of all: whoever is next must not start while this test still moves bytes.
        self.session.stop_flows().await;
        self.settle_account();
        self.ticket = None;
        self.session.close(limit).await;
    }

    fn is_waiting(&self) -> bool {
        self.ticket.is_some() && self.attach.is_none() && !self.session.has_begun()
    }

    fn wants_output(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.spec.server_output)
    }

    /// Returns this server's report of the test, if the client wants it.
    fn output(&mut self) -> Option<String> {
        if !self.wants_output() {
            return None;
        }
        let outcome = self.session.outcome(Ended::Complete, self.theirs.take())?;
        Some(bounded(crate::report::text::render(&outcome)))
    }

    fn too_fast(&self, received: u64) -> Option<Failure> {
        let own = self.permit.as_ref().and_then(Permit::max_rate);
        self.shared.limits().max_rate.or(own)?;
        policy::too_fast(&self.wanted.as_ref()?.spec, received, self.session.test_time()?)
    }
}

fn welcome(shared: &Shared, local: SocketAddr, nonce: Nonce) -> Welcome {
    let offer = |name: &'static str| TransportInfo {
        name: name.to_owned(),
        port: shared.port(name, local),
        identity: shared.identity(name, local),
    };
    let limits = shared.limits();
    let methods: Vec<_> = shared.methods().into_iter().map(str::to_owned).collect();
    let required = shared.is_closed() && shared.verifier.is_none();
    let challenge = (!methods.is_empty()).then_some(Challenge { nonce, methods, required });
    Welcome {
        challenge,
        host: shared.host.clone(),
        transports: shared.config.transports.names().into_iter().map(offer).collect(),
        limits: Limits { max_duration: Some(limits.max_duration), max_rate: limits.max_rate },
    }
}

pub(super) fn log_outcome(outcome: &Outcome) {
    let info = &outcome.info;
    let mbps = |receiver| outcome.goodput(receiver).map(|bits| format!("{:.1}", bits / 1e6));
    let (up, down) = (mbps(Side::Server), mbps(Side::Client));
    let ended = match &outcome.ended {
        Ended::Complete => "complete".to_owned(),
        Ended::Stopped { by, reason } => format!("stopped by the {by:?}: {reason}").to_lowercase(),
        Ended::Failed(failure) => failure.to_string(),
    };
    info!(
        session = %info.session, peer = %info.peer, transport = %info.spec.transport,
        direction = ?info.spec.direction, streams = info.spec.streams,
        up_mbps = up.as_deref(), down_mbps = down.as_deref(), ended, "test ended"
    );
}

/// Cuts a report to what may be sent to a client.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > MAX_OUTPUT {
        let end = (0..=MAX_OUTPUT).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n… (cut)\n");
    }
    text
}

/// Tells the log and the bus of a test that never began.
pub(super) fn report_failed(shared: &Shared, session: &str, peer: SocketAddr, ended: Ended) {
    let failure = match ended {
        Ended::Failed(failure) => failure,
        Ended::Stopped { reason, .. } => Failure::new(FailureCode::Cancelled, reason),
        Ended::Complete => return,
    };
    warn!(session, %peer, code = ?failure.code, reason = %failure, "no test was run");
    if let Some(reason) = Reject::of(failure.code) {
        shared.census.rejected(reason);
    }
    shared.bus.emit(Event::Failed(Arc::new(FailedEvent {
        side: Side::Server,
        session: Some(session.to_owned()),
        peer: Some(peer),
        failure,
    })));
}

/// Waits until the server stops or this session is to end, and returns why.
pub(super) async fn told_to_stop(urgency: &mut watch::Receiver<Urgency>, entry: &Entry) -> String {
    tokio::select! {
        _ = urgency.wait_for(|urgency| *urgency == Urgency::Stop) => {
            "the server was told to stop".to_owned()
        }
        reason = entry.stopped() => reason,
    }
}

async fn moved(ticket: &mut Option<Ticket>) {
    match ticket {
        Some(ticket) => ticket.moved().await,
        None => std::future::pending().await,
    }
}

async fn arrival(attach: &mut Option<Attach>) -> Option<Arrival> {
    match attach {
        Some(attach) => attach.streams.recv().await,
        None => std::future::pending().await,
    }
}

/// The most of a report that is sent to a client.
const MAX_OUTPUT: usize = 512 << 10;
