use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc};

use polyperf_transport::{Delivery, Transport};
use tokio::{task::JoinSet, time::Instant};

use super::{Config, connect};
use crate::{
    control::{Control, FirstByte},
    engine::{Flow, Framing},
    event::{Bus, Event, Queued},
    outcome::{Dialect, Ended, Failure, FailureCode, HostInfo, Outcome, Side, TestInfo},
    protocol::native::{Action, Agree, Client as Machine, Input, Propose, Results},
    session::Session,
    trial::{Course, flow_infos, unix_time},
};

/// Runs one test from the first connection to the last goodbye.
pub(super) async fn run(
    config: &Config,
    bus: &Bus,
    stop: impl Future<Output = String> + Send,
) -> Result<Arc<Outcome>, Failure> {
    let transport = connect::transport(config, &config.spec.transport)?;
    check_block(config, transport.as_ref())?;
    let mut stop = pin!(stop);
    let deadline = Instant::now() + config.connect_timeout;
    let mut control = tokio::select! {
        control = connect::control(config, deadline) => control?,
        reason = &mut stop => return Err(cancelled(&reason)),
    };
    let dialect = tokio::select! {
        dialect = tokio::time::timeout_at(deadline, control.dialect()) => dialect,
        reason = &mut stop => return Err(cancelled(&reason)),
    };
    check_dialect(config, dialect)?;
    let (local, peer) = (control.local, control.peer);
    let propose = Propose {
        host: crate::engine::host_info(),
        spec: config.spec.clone(),
        no_queue: config.queue_timeout.is_zero(),
        auth: config.auth.as_ref().map(|auth| auth.token(unix_time())).transpose()?,
    };
    let local_host = propose.host.clone();
    let session = Session::new(Control::new(control));
    let machine =
        Machine::new(propose, config.queue_timeout, config.deadlines.clone(), session.now());
    let test = ClientSession {
        config,
        bus,
        transport,
        session,
        machine,
        local,
        peer,
        local_host,
        opening: JoinSet::new(),
        agreed: None,
        flows: Vec::new(),
        over: None,
    };
    test.run(stop).await
}

#[derive(Debug)]
struct ClientSession<'a> {
    config: &'a Config,
    bus: &'a Bus,
    transport: Arc<dyn Transport>,
    session: Session,
    machine: Machine,
    local: SocketAddr,
    peer: SocketAddr,
    local_host: HostInfo,
    /// Opens the streams; dropping it gives up.
    opening: JoinSet<Result<Vec<Flow>, Failure>>,
    agreed: Option<Box<Agree>>,
    flows: Vec<Flow>,
    over: Option<(Ended, Option<Box<Results>>)>,
}

impl ClientSession<'_> {
    async fn run(
        mut self,
        mut stop: std::pin::Pin<&mut (impl Future<Output = String> + Send)>,
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
                Some(opened) = self.opening.join_next() => Some(self.opened(opened)),
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
        let peer = connect::data_peer(self.config, self.peer, &agree);
        self.agreed = Some(agree.clone());
        self.opening.spawn(connect::flows(Arc::clone(&self.transport), peer, agree));
    }

    fn opened(
        &mut self,
        opened: Result<Result<Vec<Flow>, Failure>, tokio::task::JoinError>,
    ) -> Input {
        match opened {
            Ok(Ok(flows)) => {
                self.flows = flows;
                Input::StreamsOpen
            }
            Ok(Err(failure)) => Input::GiveUp(failure),
            Err(error) => Input::GiveUp(Failure::new(FailureCode::Internal, error.to_string())),
        }
    }

    fn begin(&mut self) {
        let Some(agree) = self.agreed.take() else { return };
        let flows = std::mem::take(&mut self.flows);
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
            local_host: std::mem::take(&mut self.local_host),
            peer_host: peer_host.unwrap_or_default(),
            flows: flow_infos(&flows),
        };
        let course = Course::native(self.config.drive, self.config.keep_intervals)
            .carrying(Framing::native(self.transport.delivery()));
        self.session.begin(info, flows, course, self.bus);
    }

    async fn conclude(
        mut self,
        ended: Ended,
        results: Option<Box<Results>>,
    ) -> Result<Arc<Outcome>, Failure> {
        let outcome = self.session.finish(ended.clone(), results);
        let limit = self.config.deadlines.answer.min(FAREWELL);
        self.session.close(limit).await;
        match (outcome, ended) {
            (Some(outcome), _) => Ok(Arc::new(outcome)),
            (None, Ended::Failed(failure)) => Err(failure),
            (None, Ended::Stopped { reason, .. }) => Err(cancelled(&reason)),
            (None, Ended::Complete) => {
                Err(Failure::new(FailureCode::Internal, "complete before it began"))
            }
        }
    }
}

fn check_block(config: &Config, transport: &dyn Transport) -> Result<(), Failure> {
    match transport.delivery() {
        Delivery::Messages { max }
            if usize::try_from(config.spec.block).is_ok_and(|b| b > max.get()) =>
        {
            let (name, block) = (transport.name(), config.spec.block);
            let text =
                format!("{name} carries messages of at most {max} bytes; -l {block} is too long");
            Err(Failure::new(FailureCode::Unsupported, text))
        }
        _ => Ok(()),
    }
}

fn check_dialect(
    config: &Config,
    dialect: Result<Result<FirstByte, String>, tokio::time::error::Elapsed>,
) -> Result<(), Failure> {
    let at = format!("the server at {} port {}", config.host, config.port);
    match dialect {
        Ok(Ok(FirstByte::Native)) => Ok(()),
        Ok(Ok(FirstByte::Unknown)) => {
            let text = format!("{at} is neither polyperf nor iperf3; is the port right?");
            Err(Failure::new(FailureCode::Protocol, text))
        }
        Ok(Ok(FirstByte::Iperf3)) => {
            let text =
                format!("{at} speaks iperf3's protocol, which this client does not; use iperf3 -c");
            Err(Failure::new(FailureCode::Unsupported, text))
        }
        Ok(Err(reason)) => {
            let text = format!("{at} ended the connection without a word: {reason}");
            Err(Failure::new(FailureCode::PeerLost, text))
        }
        Err(_) => {
            let text = format!("{at} said nothing within {:?}", config.connect_timeout);
            Err(Failure::new(FailureCode::Timeout, text))
        }
    }
}

fn cancelled(reason: &str) -> Failure {
    Failure::new(FailureCode::Cancelled, format!("stopped before the test began: {reason}"))
}

/// How long a last message may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);
