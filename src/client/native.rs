use std::{future::Future, net::SocketAddr, sync::Arc};

use polyperf_transport::Connection;

use super::{
    churn, connect,
    session::{Reached, Stop, farewell, shown},
    streams::{self, Opened, Opening},
};
use crate::{
    auth::ClientProof,
    client::Config,
    control::{Control, Wire},
    engine::{Flow, Framing, Lane, Means, Work},
    event::{Bus, Event, Queued},
    outcome::{Dialect, Ended, Failure, HostInfo, Outcome, Side, TestInfo},
    protocol::native::{
        Action, Agree, Client as Machine, Input, Nonce, Propose, Prover, Results, Secret,
    },
    session::Session,
    trial::{Course, flow_infos, unix_time},
};

/// A test with a server that is polyperf's, from its welcome to the goodbye.
#[derive(Debug)]
pub(super) struct NativeSession<'a> {
    config: &'a Config,
    bus: &'a Bus,
    transport: Arc<dyn polyperf_transport::Transport>,
    means: Means,
    session: Session,
    machine: Machine,
    local: SocketAddr,
    peer: SocketAddr,
    local_host: HostInfo,
    opening: Opening,
    agreed: Option<Box<Agree>>,
    flows: Vec<Flow>,
    /// Where connections are the test, on what, and to where they are made.
    lanes: Option<(Vec<Lane>, SocketAddr)>,
    /// What the streams belong to.
    connection: Option<Box<dyn Connection>>,
    /// Whether nobody else can have said what the server has.
    protected: bool,
    over: Option<(Ended, Option<Box<Results>>)>,
}

impl<'a> NativeSession<'a> {
    /// Returns the test with the server that was reached.
    ///
    /// # Errors
    ///
    /// Fails where the user's token cannot be sealed.
    pub(super) fn new(reached: Reached<'a>) -> Result<Self, Failure> {
        let Reached { config, bus, transport, means, wire, .. } = reached;
        let (local, peer) = (wire.local, wire.peer);
        let propose = Propose {
            host: crate::engine::host_info(),
            spec: config.spec.clone(),
            no_queue: config.queue_timeout.is_zero(),
            auth: config.auth.as_ref().map(|auth| auth.token(unix_time())).transpose()?,
        };
        let local_host = propose.host.clone();
        let protected = wire.is_protected();
        let prover = config.proof.as_ref().map(|proof| prover(proof, &wire));
        let session = Session::new(Control::new(wire));
        let mut machine =
            Machine::new(propose, config.queue_timeout, config.deadlines.clone(), session.now());
        if let Some(prover) = prover {
            machine = machine.proving(prover);
        }
        Ok(Self {
            config,
            bus,
            transport,
            means,
            session,
            machine,
            local,
            peer,
            local_host,
            opening: Opening::default(),
            agreed: None,
            flows: Vec::new(),
            lanes: None,
            connection: None,
            protected,
            over: None,
        })
    }

    /// Runs the test until its end, or until `stop` is ready.
    pub(super) async fn run(
        mut self,
        mut stop: Stop<'_, impl Future<Output = String> + Send>,
    ) -> Result<Arc<Outcome>, Failure> {
        let mut stopping = false;
        loop {
            while let Some(action) = self.machine.poll() {
                self.perform(action);
            }
            if let Some((ended, results)) = self.over.take() {
                return self.conclude(ended, results).await;
            }
            let deadline = self.machine.deadline();
            let input = tokio::select! {
                input = self.session.next(deadline) => input,
                opened = self.opening.next() => Some(self.opened(opened)),
                reason = &mut stop, if !stopping => {
                    stopping = true;
                    Some(Input::Stop(Ended::Stopped { by: Side::Client, reason }))
                }
            };
            let now = self.session.now();
            if let Some(input) = input {
                self.machine.handle(input, now);
            }
            self.machine.check(now);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Queued(busy) => {
                let (position, retry_after) = (busy.position, busy.retry_after);
                self.bus.emit(Event::Queued(Queued { position, retry_after }));
            }
            Action::Open(agree) => self.open(agree),
            Action::Begin => self.begin(),
            Action::Conclude(ended, results) => self.over = Some((ended, results)),
            other => {
                if let Some(input) = self.session.perform(other) {
                    self.machine.handle(input, self.session.now());
                }
            }
        }
    }

    fn open(&mut self, agree: Box<Agree>) {
        self.session.control().allow_large();
        let mut peer = connect::data_peer(self.config, self.peer, agree.port);
        if !self.protected {
            peer.told = self.identity();
        }
        self.agreed = Some(agree.clone());
        if let Some(exchange) = churn::exchange(agree.spec.workload) {
            // Connections are what is measured: none is made before the test begins.
            let lanes = churn::lanes(&self.transport, &peer, &agree, exchange);
            let input = match lanes {
                Ok(lanes) => {
                    self.lanes = Some((lanes, peer.addr));
                    Input::StreamsOpen
                }
                Err(failure) => Input::GiveUp(failure),
            };
            return self.machine.handle(input, self.session.now());
        }
        self.opening.start(streams::at_once(Arc::clone(&self.transport), peer, agree));
    }

    /// Returns what the server has told of how its streams can be known.
    fn identity(&self) -> Option<String> {
        let offered = &self.machine.welcome()?.transports;
        let transport = offered.iter().find(|offered| offered.name == self.transport.name())?;
        transport.identity.clone()
    }

    fn opened(&mut self, opened: Result<Opened, Failure>) -> Input {
        match opened {
            Ok(Opened { flows, connection }) => {
                self.flows = flows;
                self.connection = Some(connection);
                Input::StreamsOpen
            }
            Err(failure) => Input::GiveUp(failure),
        }
    }

    fn begin(&mut self) {
        let Some(agree) = self.agreed.take() else { return };
        let (work, flows) = match self.lanes.take() {
            Some((lanes, peer)) => {
                let infos = churn::infos(&lanes, self.local, peer);
                (Work::Lanes(lanes), infos)
            }
            None => {
                let flows = std::mem::take(&mut self.flows);
                let infos = flow_infos(&flows);
                (Work::Flows(flows), infos)
            }
        };
        let peer_host = self.machine.welcome().map(|welcome| welcome.host.clone());
        let info = TestInfo {
            session: agree.session,
            side: Side::Client,
            dialect: Dialect::Native,
            spec: agree.spec,
            changes: agree.changes,
            started: unix_time(),
            local: self.local,
            peer: self.peer,
            host: Some(self.config.host.clone()),
            user: None,
            local_host: std::mem::take(&mut self.local_host),
            peer_host: peer_host.unwrap_or_default(),
            flows,
        };
        let means = std::mem::take(&mut self.means);
        let framing = match work {
            Work::Flows(_) => Framing::native(self.transport.delivery()),
            Work::Lanes(_) => Framing::Bytes,
        };
        let course = Course::native(self.config.drive, self.config.keep_intervals)
            .carrying(framing)
            .with(means);
        self.session.begin(info, work, course, self.bus);
    }

    async fn conclude(
        mut self,
        ended: Ended,
        results: Option<Box<Results>>,
    ) -> Result<Arc<Outcome>, Failure> {
        let outcome = self.session.finish(ended.clone(), results);
        if let Some(connection) = self.connection {
            connection.close().await;
        }
        self.session.close(farewell(self.config)).await;
        shown(outcome, ended)
    }
}

/// Returns what proves who the client is on this connection alone.
fn prover(proof: &ClientProof, wire: &Wire) -> Prover {
    let nonce = Nonce::new(rand::random());
    match proof {
        ClientProof::Psk(psk) => {
            let (identity, secret) = (psk.identity().to_owned(), Secret::Psk(psk.key().clone()));
            Prover { identity, secret, nonce, channel: wire.channel.clone() }
        }
        ClientProof::Key(key) => Prover::with_key(key.identity().clone(), nonce, wire.binding()),
    }
}
