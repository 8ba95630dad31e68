use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use polyperf_transport::{Delivery, Transport};

use polyperf_transport::Connection;

use super::{
    connect,
    session::{Reached, Stop, farewell, server_at, shown},
    streams::{self, Opened, Opening},
};
use crate::{
    client::Config,
    control::Iperf3Control,
    engine::{Flow, Framing, Means},
    event::Bus,
    measure::Role,
    outcome::{Dialect, Ended, Failure, HostInfo, Outcome, Side, TestInfo},
    protocol::iperf3::{
        Action, Client as Machine, Cookie, Deadlines, Extras, Input, Offload, Params, Results,
    },
    session::iperf3::{Session, deadlines},
    spec::{Limit, TestSpec},
    trial::{Course, flow_infos, sleep_until, unix_time},
};

/// A test with a server that is iperf3's, from behind the cookie to the goodbye.
#[derive(Debug)]
pub(super) struct Iperf3Session<'a> {
    config: &'a Config,
    bus: &'a Bus,
    transport: Arc<dyn Transport>,
    means: Means,
    session: Session,
    machine: Machine,
    cookie: Cookie,
    spec: TestSpec,
    changes: Vec<String>,
    local: SocketAddr,
    peer: SocketAddr,
    opening: Opening,
    flows: Vec<Flow>,
    /// When to tell the machine next what has been received, where a count of it ends the test.
    tick: Option<Duration>,
    /// What the streams belong to.
    connection: Option<Box<dyn Connection>>,
    over: Option<(Ended, Option<Box<Results>>)>,
}

impl<'a> Iperf3Session<'a> {
    /// Returns the test with the server that was reached.
    ///
    /// # Errors
    ///
    /// Refuses what iperf3 has no words for.
    pub(super) fn new(reached: Reached<'a>) -> Result<Self, Failure> {
        let Reached { config, bus, transport, means, wire, cookie } = reached;
        let datagrams = matches!(transport.delivery(), Delivery::Messages { .. });
        let params = Params::new(&config.spec, extras(config, datagrams)?);
        let params = params.map_err(|failure| {
            let text = format!("{} speaks iperf3's protocol: {failure}", server_at(config));
            Failure { message: text, ..failure }
        })?;
        let (local, peer) = (wire.local, wire.peer);
        let session = Session::new(Iperf3Control::new(wire, Side::Server));
        let (spec, changes) = (params.spec.clone(), params.warnings.clone());
        let machine = Machine::new(params, patient(config), session.now());
        Ok(Self {
            config,
            bus,
            transport,
            means,
            session,
            machine,
            cookie,
            spec,
            changes,
            local,
            peer,
            opening: Opening::default(),
            flows: Vec::new(),
            tick: None,
            connection: None,
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
            let (expects, deadline) = (self.machine.expects(), self.machine.deadline());
            let tick = self.tick.map(|tick| self.session.trial.at(tick));
            let input = tokio::select! {
                input = self.session.next(expects, deadline) => input,
                opened = self.opening.next() => Some(self.opened(opened)),
                () = sleep_until(tick) => Some(self.ticked()),
                reason = &mut stop, if !stopping => {
                    stopping = true;
                    Some(Input::Stop(Ended::Stopped { by: Side::Client, reason }))
                }
            };
            let now = self.session.now();
            if matches!(input, Some(Input::Received(_))) {
                let sent = self.session.trial.moved(Role::Sender);
                self.machine.handle(Input::Sent(sent), now);
            }
            if let Some(input) = input {
                self.machine.handle(input, now);
            }
            self.machine.check(now);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Open => self.open(),
            Action::Begin => self.begin(),
            Action::Conclude(ended, results) => self.over = Some((ended, results)),
            other => {
                if matches!(other, Action::Halt) {
                    self.tick = None;
                }
                if let Some(input) = self.session.perform(other) {
                    self.machine.handle(input, self.session.now());
                }
            }
        }
    }

    fn open(&mut self) {
        let peer = connect::data_peer(self.config, self.peer, self.peer.port());
        let (transport, spec) = (Arc::clone(&self.transport), self.spec.clone());
        let patience = self.config.connect_timeout;
        self.opening.start(streams::in_turn(transport, peer, self.cookie, spec, patience));
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
        let flows = std::mem::take(&mut self.flows);
        let info = TestInfo {
            session: self.cookie.text(),
            side: Side::Client,
            dialect: Dialect::Iperf3,
            spec: self.spec.clone(),
            changes: std::mem::take(&mut self.changes),
            started: unix_time(),
            local: self.local,
            peer: self.peer,
            host: Some(self.config.host.clone()),
            user: None,
            local_host: crate::engine::host_info(),
            // It says neither its version nor its machine.
            peer_host: HostInfo { program: "iperf3".to_owned(), ..HostInfo::default() },
            flows: flow_infos(&flows),
        };
        let means = std::mem::take(&mut self.means);
        let framing = Framing::iperf3(self.transport.delivery(), self.spec.udp_counters_64bit);
        let course =
            Course::iperf3(self.config.drive, self.config.keep_intervals, info.spec.clone())
                .carrying(framing)
                .with(means);
        self.session.trial.begin(info, flows, course, self.bus);
        let counts = matches!(self.spec.limit, Limit::Bytes(_) | Limit::Blocks(_));
        self.tick = (counts && self.spec.server_sends()).then(|| self.session.now() + TICK);
    }

    fn ticked(&mut self) -> Input {
        self.tick = Some(self.session.now() + TICK);
        Input::Received(self.session.trial.moved(Role::Receiver))
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

/// Returns what is asked for beyond the test.
fn extras(config: &Config, datagrams: bool) -> Result<Extras, Failure> {
    let auth_token = config.auth.as_ref().map(|auth| auth.token(unix_time())).transpose()?;
    let program = concat!("polyperf ", env!("CARGO_PKG_VERSION"));
    let offload = datagrams.then(|| Offload::of(!config.spec.tuning.no_gso));
    Ok(Extras { auth_token, offload, ..Extras::of_client(program) })
}

/// Returns iperf3's deadlines. A server that makes a client wait says so by not answering, so that
/// this client waits for it as it would in a queue.
fn patient(config: &Config) -> Deadlines {
    let deadlines = deadlines(&config.deadlines);
    let admission = deadlines.admission.min(config.queue_timeout).max(deadlines.answer);
    Deadlines { admission, ..deadlines }
}

/// How often is looked at what has been received, where a count of it ends the test.
const TICK: Duration = Duration::from_millis(5);
