//! One connection of a client.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use polyperf_socket::{QuicPort, Worker};
use polyperf_transport::{EarlyData, Mark, Security};
use quinn::{
    ClientConfig, Connecting, Connection, ConnectionError, ConnectionId, EndpointConfig,
    ZeroRttAccepted, crypto::rustls::QuicClientConfig,
};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    BUFFERS, Kind, Shared,
    backlog::Backlog,
    error::{code, describe},
    home::{Berth, ClientHome},
    linger::Linger,
    options::{MAX_MTU, Options, Part},
    path::Carried,
    qlog,
    tls::{Peer, lock},
};

/// A connection, its endpoint, and the thread that carries both.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) carried: Arc<Carried>,
    pub(crate) home: Arc<ClientHome>,
    pub(crate) local: SocketAddr,
    started: Instant,
    peer: Arc<Peer>,
    /// Until the connection is closed.
    berth: Mutex<Option<Berth>>,
}

/// What is to be connected to, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) shared: Arc<Shared>,
    pub(crate) kind: Kind,
    pub(crate) addr: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) options: Options,
    pub(crate) protocol: Vec<u8>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) mark: Option<Mark>,
    /// How long it took to get a session to resume, if that was made for it.
    pub(crate) prepared: Option<Duration>,
}

impl Leg {
    /// Connects. With early data it need not wait for the other end.
    pub(crate) async fn establish(plan: &Plan, early: bool) -> io::Result<Self> {
        let home = plan.shared.homes.here_or_new(&*plan.shared.sockets)?;
        let berth = home.berth(plan)?;
        let Berth { port, endpoint, .. } = &berth;
        let config = plan.client_config(early)?;
        let before = plan.peer.verifier.proofs();
        let started = Instant::now();
        let name = plan.peer.verifier.server_name().to_str();
        let connecting =
            endpoint.connect_with(config, plan.addr, &name).map_err(io::Error::other)?;
        let handshake = Arc::new(OnceLock::new());
        let (connection, accepted) = match take_early(connecting, early) {
            Ok((connection, accepted)) => (connection, Some(accepted)),
            Err(connecting) => (plan.shake_hands(connecting, port).await?, None),
        };
        let (tell, security) = watch::channel(plan.shared.tls.security(&plan.protocol));
        match accepted {
            Some(accepted) => {
                let (plan, handshake) = (plan.clone(), Arc::clone(&handshake));
                home.worker.run(async move {
                    let accepted = accepted.await;
                    let _ = handshake.set(started.elapsed());
                    let came = if accepted { EarlyData::Accepted } else { EarlyData::Rejected };
                    tell.send_modify(|security| plan.settle(security, before, Some(came)));
                    plan.remember().await;
                });
            }
            None => {
                let _ = handshake.set(started.elapsed());
                let came = early.then_some(EarlyData::NotAttempted);
                tell.send_modify(|security| plan.settle(security, before, came));
                plan.remember().await;
            }
        }
        let local = port.local_addr();
        let carried = Carried {
            connection,
            port: Arc::clone(port),
            options: plan.options.clone(),
            backlog: Backlog::new(plan.options.send_window(), started),
            transport: plan.kind.transport(),
            security,
            handshake,
            first_reply: OnceLock::new(),
            prepared: plan.prepared,
            set_alone: true,
            alone: berth.is_quiet,
            left: OnceLock::new(),
            linger: Some(Arc::new(Linger::new(Arc::clone(&home.worker), &plan.protocol))),
        };
        let carried = Arc::new(carried);
        let peer = Arc::clone(&plan.peer);
        let berth = Mutex::new(Some(berth));
        Ok(Self { carried, home, local, started, peer, berth })
    }

    /// Takes note that the listener's first byte has come.
    pub(crate) fn replied(&self) {
        // Only the first stream's reply is the connection's.
        let _ = self.carried.first_reply.set(self.started.elapsed());
    }

    /// Waits until it is known what came of early data, and returns whether it was refused.
    pub(crate) async fn was_rejected(&self) -> bool {
        let mut security = self.carried.security.clone();
        let settled = security.wait_for(|security| security.early_data.is_some());
        let settled = timeout(HANDSHAKE, settled).await;
        matches!(settled, Ok(Ok(security)) if security.early_data == Some(EarlyData::Rejected))
    }

    /// Returns why the listener's certificate was refused, if that is what ended the connection:
    /// with early data it is found out when the connection is in use.
    pub(crate) fn refusal(&self) -> Option<io::Error> {
        let Some(ConnectionError::TransportError(error)) = self.carried.connection.close_reason()
        else {
            return None;
        };
        let is_of_tls = u64::from(error.code) & !0xff == TLS_ALERTS;
        let refusal = self.peer.verifier.refusal().filter(|_| is_of_tls)?;
        Some(io::Error::new(io::ErrorKind::PermissionDenied, refusal.to_string()))
    }

    /// Closes the connection once what was sent on it has arrived, and waits until the other end
    /// has been told, each within a bound: the latter may take a moment, and nothing depends on it.
    pub(crate) async fn close(&self) {
        let connection = &self.carried.connection;
        if let Some(linger) = &self.carried.linger {
            linger.over(connection).await;
        }
        // On the connection's own thread, where whoever sends the word comes next.
        let told = if self.home.worker.is_here() {
            let said = timeout(FAREWELL, say_farewell(connection, || false)).await;
            said.is_ok()
        } else {
            let (said, told) = oneshot::channel();
            let closing = connection.clone();
            self.home.worker.run(async move {
                say_farewell(&closing, || said.is_closed()).await;
                // Whoever closes it may have stopped waiting.
                let _ = said.send(());
            });
            matches!(timeout(FAREWELL, told).await, Ok(Ok(())))
        };
        if let Some(berth) = lock(&self.berth).take().filter(|_| told) {
            self.carried.leave_port();
            self.home.leave(berth, connection.close_reason().as_ref());
        }
    }
}

impl Plan {
    /// Returns a socket that this worker's thread watches.
    pub(crate) fn port(&self, worker: &Worker) -> io::Result<QuicPort> {
        let any = match self.addr {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = self.shared.sockets.udp(self.local.unwrap_or(any))?;
        // So the kernel says where nobody listens, and looks up no route for each packet.
        socket.connect(self.addr)?;
        let _registering = worker.enter();
        let port = QuicPort::alone(socket, BUFFERS)?;
        if let Some(tos) = self.options.tos {
            port.set_tos(tos)?;
        }
        Ok(port)
    }

    fn client_config(&self, early: bool) -> io::Result<ClientConfig> {
        // A connection that nothing was announced for is for control: later ones may resume it.
        let keeps = self.options.resume || self.mark.is_none();
        let sessions = keeps.then(|| self.peer.sessions(&self.protocol) as _);
        let tls: Arc<QuicClientConfig> = self.peer.config(&self.protocol, sessions, early)?;
        let mut config = ClientConfig::new(tls);
        let mut transport = self.options.transport(Part::Client);
        if let Some(folder) = &self.shared.qlog {
            qlog::write(&mut transport, folder, "client", self.addr)?;
        }
        config.transport_config(Arc::new(transport));
        if let Some(mark) = self.mark {
            config.initial_dst_cid_provider(Arc::new(move || {
                let mut id = [0; 20];
                id[..mark.len()].copy_from_slice(&mark);
                rand::fill(&mut id[mark.len()..]);
                ConnectionId::new(&id)
            }));
        }
        Ok(config)
    }

    /// Takes note of what a handshake has come to, `before` which the server had proved so often
    /// that it holds its key, and of what came of early data.
    fn settle(&self, security: &mut Security, before: u64, early: Option<EarlyData>) {
        let verifier = &self.peer.verifier;
        // Others connect to the same server meanwhile; early data is of resumed sessions alone.
        let is_early = early == Some(EarlyData::Accepted);
        security.resumed = Some(is_early || verifier.proofs() == before);
        security.early_data = early;
        if let Some(verdict) = verifier.verdict() {
            security.verified = Some(verdict.how.to_string());
            security.peer = Some(verdict.fingerprint.to_string());
        }
    }

    /// Waits for the end of the handshake, for as long as it may take, or until the other end's
    /// system has said often enough that nobody is there.
    async fn shake_hands(&self, connecting: Connecting, port: &QuicPort) -> io::Result<Connection> {
        let result = tokio::select! {
            result = timeout(HANDSHAKE, connecting) => result,
            () = refused(port) => {
                let text = "connection refused: nobody listens on that UDP port";
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
            }
        };
        match result {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(match self.peer.verifier.refusal() {
                Some(refusal) => {
                    io::Error::new(io::ErrorKind::PermissionDenied, refusal.to_string())
                }
                None => describe(error),
            }),
            Err(_) => {
                let text = format!(
                    "no QUIC handshake within {} s; does a firewall let UDP through?",
                    HANDSHAKE.as_secs()
                );
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    /// Remembers a server that was not known before, which touches the disk.
    async fn remember(&self) {
        if !self.peer.verifier.is_to_remember() {
            return;
        }
        let verifier = Arc::clone(&self.peer.verifier);
        let remembered = tokio::task::spawn_blocking(move || verifier.remember()).await;
        if let Ok(Err(error)) = remembered {
            tracing::warn!(%error, "the server's fingerprint is not remembered");
        }
    }
}

fn take_early(
    connecting: Connecting,
    early: bool,
) -> Result<(Connection, ZeroRttAccepted), Connecting> {
    if early { connecting.into_0rtt() } else { Err(connecting) }
}

/// Closes a connection on the thread that carries it, and waits until the word of it has been sent, or
/// nobody waits for that.
async fn say_farewell(connection: &Connection, is_unheard: impl Fn() -> bool) {
    let sent = || connection.stats().udp_tx.datagrams;
    let before = sent();
    connection.close(code::DONE, b"");
    // Nothing but the word that it is closed is sent from now on.
    for turn in 0.. {
        if sent() != before || is_unheard() {
            break;
        }
        match turn < TURNS {
            true => tokio::task::yield_now().await,
            false => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Waits until ICMP errors have come for a while: a single one may be stale or forged.
async fn refused(port: &QuicPort) {
    let mut since = None;
    loop {
        tokio::time::sleep(GLANCE).await;
        let counts = port.counts();
        if counts.errors + counts.unsent == 0 {
            continue;
        }
        let now = Instant::now();
        if now.duration_since(*since.get_or_insert(now)) >= PATIENCE {
            return;
        }
    }
}

/// Returns what endpoints of either side have in common.
pub(crate) fn endpoint_config() -> io::Result<EndpointConfig> {
    let mut config = EndpointConfig::default();
    // Whatever shares the port is told from QUIC by this bit (RFC 9443).
    config.grease_quic_bit(false);
    config.max_udp_payload_size(MAX_MTU).map_err(io::Error::other)?;
    Ok(config)
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the other end's system has to say that nobody is there: a server may just be starting.
const PATIENCE: Duration = Duration::from_millis(500);
const GLANCE: Duration = Duration::from_millis(50);
/// Where the codes begin that say which alert of TLS has ended a connection (RFC 9001, section 4.8).
const TLS_ALERTS: u64 = 0x100;
/// How often others of the thread are let run before it rests.
const TURNS: u32 = 16;
/// How long a last word may take.
const FAREWELL: Duration = Duration::from_millis(500);
