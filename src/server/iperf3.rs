use std::{net::SocketAddr, sync::Arc};

use polyperf_transport::{Delivery, KeepAlive, Stream, Tuning};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tracing::{debug, info, warn};

use super::{
    admission::{Place, Ticket},
    auth::{Unidentified, unproved},
    governance::{Breach, Forbidden, Permit},
    policy,
    roster::{Entry, Stage},
    session::{log_outcome, report_failed, told_to_stop},
    shared::{PendingGuard, Shared},
    streams::{Arrival, AttachGuard, Key, Turn},
};
use crate::{
    control::{Iperf3Control, Wire},
    engine::{Flow, Framing, Means},
    event::Event,
    measure::FlowId,
    outcome::{Dialect, Ended, Failure, FailureCode, HostInfo, Side, TestInfo},
    protocol::iperf3::{
        Action, Admission, Cookie, ErrorCode, Input, Message, Output, Params, Refusal, Results,
        Server as Machine,
    },
    session::iperf3::{Session, deadlines},
    spec::{Limit, TestSpec},
    trial::{Course, flow_infos, sleep_until, unix_time},
};

/// The test of a stock iperf3 client, from its cookie to its goodbye.
///
/// There is no word for a queue in its protocol: beyond the server's places it is told that the
/// server is busy.
#[derive(Debug)]
pub(super) struct Iperf3Session {
    shared: Arc<Shared>,
    session: Session,
    machine: Machine,
    cookie: Cookie,
    local: SocketAddr,
    peer: SocketAddr,
    name: String,
    entry: Entry,
    /// Counts against the connections that have not asked for anything yet.
    pending: Option<PendingGuard>,
    /// What is wanted, while it is found out by whom.
    unidentified: Option<Unidentified<Params>>,
    user: Option<String>,
    /// What the client's policy permits, and counts.
    permit: Option<Permit>,
    ticket: Option<Ticket>,
    wanted: Option<Wanted>,
    /// While another test of the same address opens streams that nothing else tells from ours.
    waiting: JoinSet<Turn>,
    streams: Option<Streams>,
    attached: Vec<Arrival>,
    over: Option<(Ended, Option<Box<Results>>)>,
}

/// Where streams of this test come in.
#[derive(Debug)]
struct Streams {
    arrivals: mpsc::Receiver<Arrival>,
    _guard: AttachGuard,
    _turn: Option<Turn>,
}

/// What the client asked for, and what came of it.
#[derive(Debug)]
struct Wanted {
    version: Option<String>,
    spec: TestSpec,
    changes: Vec<String>,
}

impl Iperf3Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: Stream,
        cookie: Cookie,
        pending: PendingGuard,
    ) -> Self {
        let (local, peer) = (stream.local, stream.peer);
        // As in the native dialect: two states in a row must not wait for an acknowledgement.
        // While this end alone sends, nothing else tells that a client has vanished.
        let keep_alive = Some(KEEP_ALIVE);
        stream.path.tune(&Tuning { no_delay: true, keep_alive, ..Tuning::default() });
        let session = Session::new(Iperf3Control::new(Wire::new(stream), Side::Client));
        let machine =
            Machine::new(shared.longest(), deadlines(&shared.config.deadlines), session.now());
        let name = shared.next_name();
        let entry = shared.roster.enter(&name, peer, Dialect::Iperf3, Stage::Preparing);
        Self {
            session,
            entry,
            machine,
            cookie,
            local,
            peer,
            name,
            pending: Some(pending),
            unidentified: None,
            user: None,
            permit: None,
            ticket: None,
            wanted: None,
            waiting: JoinSet::new(),
            streams: None,
            attached: Vec::new(),
            over: None,
            shared,
        }
    }

    /// Serves the client until its test is over, in one way or another.
    pub(super) async fn run(mut self) {
        let mut urgency = self.shared.urgency();
        let mut stop_by = None;
        debug!(session = %self.name, peer = %self.peer, "iperf3 client connected");
        loop {
            while let Some(action) = self.machine.poll() {
                self.perform(action);
            }
            if let Some((ended, results)) = self.over.take() {
                return self.conclude(ended, results).await;
            }
            let (expects, deadline) = (self.machine.expects(), self.machine.deadline());
            let input = tokio::select! {
                input = self.session.next(expects, deadline) => input,
                (verdict, params) = Unidentified::verdict(&mut self.unidentified) => {
                    self.identified(verdict, params);
                    None
                }
                stream = arrival(&mut self.streams) => self.arrived(stream),
                () = Permit::due(&mut self.permit) => self.charge(),
                Some(turn) = self.waiting.join_next() => {
                    self.grant(Key::Address(self.peer.ip().to_canonical()), turn.ok());
                    None
                }
                reason = told_to_stop(&mut urgency, &self.entry), if stop_by.is_none() => {
                    stop_by = Some(Instant::now() + super::FAREWELL);
                    Some(Input::Stop(Ended::Stopped { by: Side::Server, reason }))
                }
                () = sleep_until(stop_by) => {
                    Some(Input::Lost("it did not answer before the server stopped".to_owned()))
                }
            };
            let now = self.session.now();
            if let Some(input) = input {
                self.told(input);
            }
            self.machine.check(self.attached.len(), now);
        }
    }

    fn told(&mut self, input: Input) {
        let now = self.session.now();
        // A stock client cannot be told to go slower: one that exceeds the server's limit is ended.
        if let Input::Received(bytes) = input
            && let Some(failure) = self.too_fast(bytes)
        {
            self.machine.handle(Input::GiveUp(failure), now);
        }
        self.machine.handle(input, now);
    }

    /// Counts what has moved, and ends the test of a client that has had what it may have.
    fn charge(&mut self) -> Option<Input> {
        let moved = self.session.trial.served();
        let failure = self.permit.as_mut()?.charge(moved).err()?;
        self.session.trial.has_begun().then_some(Input::GiveUp(failure))
    }

    fn too_fast(&self, received: u64) -> Option<Failure> {
        let own = self.permit.as_ref().and_then(Permit::max_rate);
        self.shared.limits().max_rate.or(own)?;
        let ran = self.session.trial.test_time()?;
        policy::too_fast(&self.wanted.as_ref()?.spec, received, ran)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Admit(params) => {
                if let Err(admission) = self.identify(*params) {
                    self.machine.admission(admission, self.session.now());
                }
            }
            Action::Begin => self.begin(),
            Action::Conclude(ended, results) => self.over = Some((ended, results)),
            Action::Send(Message::Results(mut results)) => {
                results.output = self.output();
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

    /// Finds out who the client is, where that matters, before it is looked at what it wants.
    fn identify(&mut self, mut params: Params) -> Result<(), Admission> {
        let token = params.extras.auth_token.take();
        let closed = self.shared.is_closed();
        let verifier = match &self.shared.verifier {
            Some(verifier) if closed || token.is_some() => verifier,
            // Its protocol knows no other way to prove anything.
            None if closed => {
                let (code, failure) = (ErrorCode::AuthFailed, unproved());
                return Err(Admission::Deny(Refusal { code, failure }));
            }
            _ => return self.admit(params),
        };
        let unidentified = verifier.identify(self.peer.ip(), token, params);
        self.unidentified = Some(unidentified.map_err(|_| Admission::Busy)?);
        Ok(())
    }

    fn identified(&mut self, verdict: Result<String, Failure>, params: Params) {
        let admitted = match verdict {
            Ok(user) => {
                self.entry.belongs_to(&user);
                self.user = Some(user);
                self.admit(params)
            }
            Err(failure) => Err(Admission::Deny(Refusal { code: ErrorCode::AuthFailed, failure })),
        };
        if let Err(admission) = admitted {
            self.machine.admission(admission, self.session.now());
        }
    }

    /// Takes the test, or says why not.
    fn admit(&mut self, params: Params) -> Result<(), Admission> {
        for warning in &params.warnings {
            warn!(session = %self.name, peer = %self.peer, warning, "iperf3 parameters");
        }
        let Params { spec, extras, warnings } = params;
        if let Err(failure) =
            policy::check(&spec, &self.shared.config.transports, &self.shared.limits())
        {
            return Err(Admission::Deny(refusal(failure, ErrorCode::MaxDuration)));
        }
        let permit = self.shared.governor.permit(self.peer.ip(), self.user.as_deref(), &spec);
        let permit = permit.map_err(|breach| {
            debug!(session = %self.name, peer = %self.peer, reason = %breach.failure, "breach");
            against(breach)
        })?;
        let own = permit.max_rate();
        let mut ticket = match self.shared.admission.apply(&spec, own, false) {
            Ok(ticket) => ticket,
            Err(failure) if failure.code == FailureCode::Busy => return Err(Admission::Busy),
            Err(failure) => return Err(Admission::Deny(refusal(failure, ErrorCode::TotalRate))),
        };
        let rate = match ticket.place() {
            Place::Running(rate) => rate,
            Place::Queued(_) | Place::Draining => return Err(Admission::Busy),
        };
        let delivery = self.shared.delivery(&spec.transport).unwrap_or(Delivery::Bytes);
        let rate = rate.into_iter().chain(own).min();
        let (spec, mut changes) = policy::settle(spec, rate, delivery);
        changes.extend(warnings.into_iter().chain(permit.note()));
        self.machine.permit(permit.longest(self.shared.longest()));
        self.permit = Some(permit);
        self.ticket = Some(ticket);
        self.pending = None;
        self.wanted = Some(Wanted { version: extras.client_version, spec, changes });
        match delivery {
            Delivery::Bytes => self.grant(Key::Cookie(self.cookie), None),
            Delivery::Messages { .. } => {
                let (shared, address) = (Arc::clone(&self.shared), self.peer.ip().to_canonical());
                self.waiting.spawn(async move { shared.expected.turn(address).await });
            }
        }
        Ok(())
    }

    /// Lets the client open its streams, which are told from others by this key.
    fn grant(&mut self, key: Key, turn: Option<Turn>) {
        let Some(wanted) = &self.wanted else { return };
        let spec = wanted.spec.clone();
        let (guard, arrivals) = self.shared.expected.expect(key, usize::from(spec.flows()));
        self.streams = Some(Streams { arrivals, _guard: guard, _turn: turn });
        self.machine.admission(Admission::Grant(Box::new(spec)), self.session.now());
    }

    /// Takes a stream of this test.
    fn arrived(&mut self, arrival: Option<Arrival>) -> Option<Input> {
        let wanted = self.wanted.as_ref()?;
        self.attached.push(arrival?);
        if self.attached.len() < usize::from(wanted.spec.flows()) {
            return None;
        }
        self.streams = None;
        Some(Input::StreamsOpen)
    }

    /// Returns the streams as flows. A client opens them one after another, and the order in which
    /// they were accepted is all that tells them apart.
    fn flows(&mut self, spec: &TestSpec) -> Vec<Flow> {
        let mut attached = std::mem::take(&mut self.attached);
        attached.sort_by_key(|arrival| arrival.accepted);
        let flow = |(number, Arrival { stream, .. })| {
            let id = FlowId(number);
            Some(Flow { id, role: spec.role(Side::Server, id)?, stream })
        };
        (1..).zip(attached).filter_map(flow).collect()
    }

    fn begin(&mut self) {
        let Some(wanted) = self.wanted.take() else { return };
        let flows = self.flows(&wanted.spec);
        let info = TestInfo {
            session: self.name.clone(),
            side: Side::Server,
            dialect: Dialect::Iperf3,
            spec: wanted.spec.clone(),
            changes: wanted.changes.clone(),
            started: unix_time(),
            local: self.local,
            peer: self.peer,
            host: None,
            user: self.user.clone(),
            local_host: self.shared.host.clone(),
            peer_host: HostInfo {
                program: format!("iperf {}", wanted.version.as_deref().unwrap_or("3")),
                ..HostInfo::default()
            },
            flows: flow_infos(&flows),
        };
        info!(
            session = %self.name, peer = %self.peer, transport = %info.spec.transport,
            direction = ?info.spec.direction, streams = info.spec.streams, limit = ?info.spec.limit,
            dialect = "iperf3", user = self.user, "test started"
        );
        let config = &self.shared.config;
        let keep = config.keep_intervals || info.spec.server_output;
        // The client alone ends the test: until it does, this end sends and receives.
        let spec = info.spec.clone().with_limit(Limit::Endless);
        let delivery = self.shared.delivery(&spec.transport).unwrap_or(Delivery::Bytes);
        let framing = Framing::iperf3(delivery, spec.udp_counters_64bit);
        let means = Means {
            affinity: spec.server_affinity,
            processors: config.data_processors.clone(),
            ..Means::default()
        };
        let drive = policy::drive(&spec, self.shared.admission.running(), config.drive);
        let course = Course::iperf3(drive, keep, spec).carrying(framing).with(means);
        let info = self.session.trial.begin(info, flows, course, &self.shared.bus);
        self.entry.is(Stage::Running { info });
        self.wanted = Some(wanted);
    }

    /// Returns this server's report of the test, if the client wants it.
    fn output(&self) -> Option<Output> {
        self.wanted.as_ref().filter(|wanted| wanted.spec.server_output)?;
        let outcome = self.session.trial.outcome(Ended::Complete, None, None)?;
        Some(Output::Text(super::session::bounded(crate::report::text::render(&outcome))))
    }

    async fn conclude(mut self, ended: Ended, results: Option<Box<Results>>) {
        self.streams = None;
        self.session.trial.stop_flows().await;
        if let Some(mut permit) = self.permit.take() {
            // Whoever has had everything will hear of it with the next test.
            let _ = permit.charge(self.session.trial.served());
        }
        match self.session.finish(ended.clone(), results) {
            Some(outcome) => {
                log_outcome(&outcome);
                self.shared.bus.emit(Event::Finished(Arc::new(outcome)));
                self.shared.finished();
            }
            None => report_failed(&self.shared, &self.name, self.peer, ended),
        }
        self.ticket = None;
        let limit = self.shared.config.deadlines.answer.min(super::FAREWELL);
        self.session.close(limit).await;
    }
}

/// Returns what an iperf3 client is told of this failure; `denied` is the limit that was exceeded.
fn refusal(failure: Failure, denied: ErrorCode) -> Refusal {
    match failure.code {
        FailureCode::Denied => Refusal { code: denied, failure },
        _ => failure.into(),
    }
}

/// Returns what an iperf3 client is told where its policy forbids the test, as far as its protocol has
/// words for that.
fn against(breach: Breach) -> Admission {
    let code = match breach.what {
        // There is no word for a time to come again, but one for coming again.
        Forbidden::Crowd | Forbidden::Bytes => return Admission::Busy,
        Forbidden::Entry => ErrorCode::AuthFailed,
        Forbidden::Kind => ErrorCode::Unimplemented,
        Forbidden::Streams => ErrorCode::Streams,
        Forbidden::Rate => ErrorCode::TotalRate,
        Forbidden::Duration => ErrorCode::MaxDuration,
    };
    Admission::Deny(Refusal { code, failure: breach.failure })
}

async fn arrival(streams: &mut Option<Streams>) -> Option<Arrival> {
    match streams {
        Some(streams) => streams.arrivals.recv().await,
        None => std::future::pending().await,
    }
}

/// A client that has vanished is noticed within a minute.
const KEEP_ALIVE: KeepAlive = KeepAlive { idle: 30, interval: 10, count: 3 };
