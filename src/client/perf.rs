//! Tests with other people's servers of `perf` (draft-banks-quic-performance-00).
//!
//! There is no control connection: each stream asks by its first eight bytes how many bytes it wants
//! back. So nothing is agreed on, and what the server counts it does not tell. An upload is over
//! when the server has answered, after its end; a download that time ends is broken off.

use std::{future::Future, sync::Arc, time::Duration};

use polyperf_transport::{Connection, Delivery, Hello, Peer, Transport};
use tokio::time::Instant;

use super::{
    Config, connect,
    session::{Stop, cancelled, shown},
    streams,
};
use crate::{
    engine::{Flow, Means, TestEvent},
    event::Bus,
    measure::{FlowId, Role},
    outcome::{Dialect, Ended, Failure, FailureCode, HostInfo, Outcome, Side, TestInfo},
    protocol::native::Sent,
    server::policy,
    spec::{Limit, TestSpec},
    trial::{Course, Trial, flow_infos, sleep_until, unix_time},
};

/// The protocol's name, and what connections ask for (ALPN).
pub(super) const NAME: &str = "perf";

/// Runs one test until its end, or until `stop` is ready.
pub(super) async fn run(
    config: &Config,
    bus: &Bus,
    transport: Arc<dyn Transport>,
    means: Means,
    mut stop: Stop<'_, impl Future<Output = String> + Send>,
) -> Result<Arc<Outcome>, Failure> {
    let (spec, _) = policy::settle(config.spec.clone(), None, Delivery::Bytes);
    let deadline = Instant::now() + config.connect_timeout;
    let open = open(config, transport.as_ref(), &spec, deadline);
    let (peer, connection, flows) = tokio::select! {
        opened = open => opened?,
        reason = &mut stop => return Err(cancelled(&reason)),
    };
    let mut session = Session::begin(config, bus, spec, peer, flows, means);
    let ended = session.run(stop).await;
    let outcome = session.finish(&ended).await;
    // The streams go first, so that the server hears that nobody reads on before it hears that the
    // connection is over.
    drop(session);
    connection.close().await;
    shown(outcome, ended)
}

/// A test that has begun.
struct Session {
    trial: Trial,
    spec: TestSpec,
    stall: Duration,
}

impl Session {
    fn begin(
        config: &Config,
        bus: &Bus,
        spec: TestSpec,
        peer: Peer,
        flows: Vec<Flow>,
        means: Means,
    ) -> Self {
        let local = flows.first().map_or(peer.addr, |flow| flow.stream.local);
        let info = TestInfo {
            session: format!("{:08x}", rand::random::<u32>()),
            side: Side::Client,
            dialect: Dialect::Perf,
            spec: spec.clone(),
            changes: Vec::new(),
            started: unix_time(),
            local,
            peer: peer.addr,
            host: Some(config.host.clone()),
            user: None,
            local_host: crate::engine::host_info(),
            peer_host: HostInfo::default(),
            flows: flow_infos(&flows),
        };
        let course = Course::confirmed(config.drive, config.keep_intervals, CONFIRMATION);
        let mut trial = Trial::new();
        trial.begin(info, flows, course.with(means), bus);
        // What was asked for is what there is to come.
        let asked = |id| Some(Sent { flow: id, bytes: share(&spec, id)?, datagrams: None });
        let downloads = ids(&spec, Role::Receiver).map(asked).collect::<Option<Vec<_>>>();
        if let Some(asked) = downloads.filter(|asked| !asked.is_empty()) {
            trial.expect(&asked);
        }
        Self { trial, spec, stall: config.deadlines.stall }
    }

    async fn run(&mut self, mut stop: Stop<'_, impl Future<Output = String> + Send>) -> Ended {
        let over = self.spec.duration().filter(|_| self.spec.server_sends());
        let mut over = over.map(|over| self.trial.at(self.trial.now() + over));
        let mut progress = (0, Instant::now());
        loop {
            let event = tokio::select! {
                event = self.trial.next() => event,
                () = sleep_until(over) => {
                    over = None;
                    self.trial.close_books();
                    continue;
                }
                reason = &mut stop => return Ended::Stopped { by: Side::Client, reason },
            };
            match event {
                TestEvent::Done => return Ended::Complete,
                TestEvent::Failed(failure) => return Ended::Failed(failure),
                TestEvent::Received(_) | TestEvent::Sample(_) | TestEvent::SendingDone(_) => {}
            }
            let moved = self.trial.moved(Role::Sender) + self.trial.moved(Role::Receiver);
            if moved != progress.0 {
                progress = (moved, Instant::now());
            } else if progress.1.elapsed() >= self.stall {
                let text = format!("no byte was sent or received for {:?}", self.stall);
                return Ended::Failed(Failure::new(FailureCode::Stalled, text));
            }
        }
    }

    async fn finish(&mut self, ended: &Ended) -> Option<Outcome> {
        self.trial.stop_flows().await;
        self.trial.finish();
        self.trial.outcome(ended.clone(), None, None)
    }
}

/// Connects, and asks on each stream for what the test wants of it.
async fn open(
    config: &Config,
    transport: &dyn Transport,
    spec: &TestSpec,
    deadline: Instant,
) -> Result<(Peer, Box<dyn Connection>, Vec<Flow>), Failure> {
    let reached = connect::first(config, deadline, transport.name(), |addr| async move {
        let peer = Peer {
            protocol: Some(NAME.to_owned()),
            ..connect::data_peer(config, addr, addr.port())
        };
        match transport.connect(&peer).await {
            Ok(connection) => Ok((peer, connection)),
            Err(error) => Err(connect::reason(&error)),
        }
    });
    let (peer, connection) = reached.await?;
    let mut flows = Vec::new();
    for id in (1..=spec.flows()).map(FlowId) {
        let receives = spec.role(Side::Client, id) == Some(Role::Receiver);
        let wanted = if receives { share(spec, id).unwrap_or(ENDLESS) } else { 0 };
        let header = wanted.to_be_bytes();
        let failed = |what: String| streams::failure(transport, peer.addr, &what);
        let flow = streams::open(connection.as_ref(), Hello::Bare(&header), id, spec).await;
        let mut flow = flow.map_err(failed)?;
        if receives {
            // Most servers answer when a request has ended.
            let finish = std::future::poll_fn(|cx| flow.stream.send.poll_finish(cx)).await;
            finish.map_err(|error| failed(error.to_string()))?;
        }
        flows.push(flow);
    }
    Ok((peer, connection, flows))
}

/// Returns the bytes that a stream is to carry, where a count ends the test.
fn share(spec: &TestSpec, id: FlowId) -> Option<u64> {
    let total = match spec.limit {
        Limit::Bytes(bytes) => bytes,
        Limit::Blocks(blocks) => blocks.saturating_mul(spec.block.into()),
        Limit::Time(_) | Limit::Endless => return None,
    };
    let (streams, nth) = (u64::from(spec.streams), u64::from(id.0 - 1) % u64::from(spec.streams));
    Some(total / streams + u64::from(nth < total % streams))
}

fn ids(spec: &TestSpec, role: Role) -> impl Iterator<Item = FlowId> {
    (1..=spec.flows()).map(FlowId).filter(move |id| spec.role(Side::Client, *id) == Some(role))
}

/// As many bytes as are read.
const ENDLESS: u64 = u64::MAX;

/// How long a server may take to answer an upload that has ended.
const CONFIRMATION: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Direction, SpecFields};

    #[test]
    fn streams_share_what_is_counted_to_the_byte() {
        let spec = |direction| {
            let limit = Limit::Bytes(10);
            let fields = SpecFields { streams: 3, limit, direction, ..SpecFields::default() };
            TestSpec::try_from(fields).unwrap()
        };
        let shares = |spec: &TestSpec, role| {
            ids(spec, role).map(|id| share(spec, id).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(shares(&spec(Direction::Reverse), Role::Receiver), [4, 3, 3]);
        let both = spec(Direction::Bidirectional);
        assert_eq!(shares(&both, Role::Receiver), [4, 3, 3], "each direction has its own count");
        assert_eq!(shares(&both, Role::Sender), [4, 3, 3]);
    }
}
