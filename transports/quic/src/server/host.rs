use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, Weak},
};

use polyperf_certs::{CurrentIdentity, Fingerprint, Identity};
use polyperf_socket::{Crew, QuicPort, UdpPorts, Worker, canonical};
use polyperf_transport::{AcceptError, Gate, Mark, Stream};
use quinn::{Endpoint, Incoming, ServerConfig};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::{
    arrival::Arrival,
    limits::{Answer, Limits, Place},
};
use crate::{
    BUFFERS, Kind, Shared,
    carrier::Carrier,
    leg::endpoint_config,
    options::{Options, Part},
    qlog,
    socket::Socket,
    tls::lock,
};

/// A listening endpoint.
#[derive(Debug)]
pub(super) struct Host {
    local: SocketAddr,
    identity: CurrentIdentity,
    doors: Mutex<HashMap<Kind, Door>>,
    _open: oneshot::Sender<()>,
}

/// Where one transport's streams go, and who says what may come in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) gate: Arc<dyn Gate>,
    pub(super) accepts: mpsc::Sender<Result<Stream, AcceptError>>,
}

impl Host {
    pub(super) fn start(
        shared: &Arc<Shared>,
        ports: &UdpPorts,
        addr: SocketAddr,
    ) -> io::Result<Arc<Self>> {
        let identity = shared.tls.identity()?;
        let shown = identity.now();
        let tls = shared.tls.server(&shown)?;
        let worker = Worker::start("quic-0", &*shared.sockets)?;
        let port = {
            let _registering = worker.enter();
            Arc::new(ports.quic(addr)?)
        };
        port.force_buffers(BUFFERS)?;
        let local = canonical(port.local_addr());
        let carrier = Arc::new(Carrier::new(Arc::clone(&worker)));
        let mut config = ServerConfig::with_crypto(tls);
        config
            .transport_config(Arc::new(Options::unasked().transport(Part::Stranger)))
            .max_incoming(MOST_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFERS);
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint_config()?,
            Some(config.clone()),
            Arc::new(Socket::new(Arc::clone(&port))),
            Arc::clone(&carrier) as _,
        )?;
        let (open, closed) = oneshot::channel();
        let host = Self { local, identity, doors: Mutex::default(), _open: open };
        let host = Arc::new(host);
        let accepting = Accepting {
            shared: Arc::clone(shared),
            host: Arc::downgrade(&host),
            local,
            endpoint,
            port,
            carrier,
            crew: Crew::of(Arc::clone(&worker), "quic", Arc::clone(&shared.sockets)),
            config,
            shown,
            limits: Arc::default(),
        };
        worker.run(accepting.run(closed));
        Ok(host)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.identity.now().fingerprint()
    }

    /// Returns whether this is the endpoint at `addr`, which may be written in either family's way.
    pub(super) fn is_at(&self, addr: SocketAddr) -> bool {
        canonical(addr) == self.local
    }

    /// Lets a transport's streams in from now on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if it is let in already.
    pub(super) fn open(&self, kind: Kind, door: Door) -> io::Result<()> {
        let mut doors = lock(&self.doors);
        if doors.contains_key(&kind) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        doors.insert(kind, door);
        Ok(())
    }

    pub(super) fn close(&self, kind: Kind) {
        lock(&self.doors).remove(&kind);
    }

    pub(super) fn door(&self, kind: Kind) -> Option<Door> {
        lock(&self.doors).get(&kind).cloned()
    }

    /// Returns any gate: they belong to the same server.
    pub(super) fn gate(&self) -> Option<Arc<dyn Gate>> {
        lock(&self.doors).values().next().map(|door| Arc::clone(&door.gate))
    }
}

/// Takes connections, and has each carried.
struct Accepting {
    shared: Arc<Shared>,
    host: Weak<Host>,
    local: SocketAddr,
    endpoint: Endpoint,
    port: Arc<QuicPort>,
    carrier: Arc<Carrier>,
    crew: Crew,
    config: ServerConfig,
    /// The latest identity that was to be shown.
    shown: Identity,
    limits: Arc<Limits>,
}

impl Accepting {
    /// Works until the last listener is gone. Open connections live on.
    async fn run(mut self, mut closed: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.consider(incoming),
                    None => break,
                },
                // Nothing is ever sent: it ends when the host is dropped.
                _ = &mut closed => break,
            }
        }
        self.endpoint.set_server_config(None);
    }

    fn consider(&mut self, incoming: Incoming) {
        let peer = incoming.remote_address();
        let proved = incoming.remote_address_validated();
        match self.limits.admit(peer.ip(), proved) {
            Answer::Accept(place) => self.accept(incoming, place),
            Answer::Retry => {
                // One that cannot be asked has been asked already.
                let _ = incoming.retry();
            }
            Answer::Refuse => incoming.refuse(),
        }
    }

    fn accept(&mut self, incoming: Incoming, place: Place) {
        let Some(host) = self.host.upgrade() else { return incoming.ignore() };
        self.show(host.identity.now());
        let peer = incoming.remote_address();
        let mark = incoming.orig_dst_cid();
        let mark = mark.first_chunk::<{ size_of::<Mark>() }>();
        let tuning = mark.and_then(|mark| host.gate()?.announced(mark));
        let options = tuning.as_ref().and_then(|tuning| {
            // What a client asks for that cannot be had it has been told before it got here.
            Options::new(tuning, crate::STREAMS).ok()
        });
        let config = match self.config_for(options.as_ref(), peer) {
            Ok(config) => config,
            Err(error) => {
                debug!(%peer, %error, "connection refused");
                return incoming.refuse();
            }
        };
        let Ok(worker) = self.crew.next() else { return incoming.refuse() };
        self.carrier.choose(Arc::clone(&worker));
        let connecting = match incoming.accept_with(Arc::new(config)) {
            Ok(connecting) => connecting,
            Err(error) => return debug!(%peer, %error, "a client failed early"),
        };
        let arrival = Arrival {
            host: Arc::downgrade(&host),
            port: Arc::clone(&self.port),
            local: self.local,
            peer: canonical(peer),
            security: self.shared.tls.security(Kind::Streams.protocol()),
            options: options.unwrap_or_else(Options::unasked),
            worker: Arc::clone(&worker),
            place,
            patience: self.shared.patience,
        };
        worker.run(arrival.serve(connecting));
    }

    /// Shows another identity from now on, if it is another, and resumes no session of the one before.
    fn show(&mut self, identity: Identity) {
        if self.shown == identity {
            return;
        }
        match self.shared.tls.server(&identity) {
            Ok(tls) => self.config.crypto = tls,
            Err(error) => warn!(%error, "clients are shown the identity from before"),
        }
        // Said once, and not for each client.
        self.shown = identity;
    }

    fn config_for(&self, options: Option<&Options>, peer: SocketAddr) -> io::Result<ServerConfig> {
        let mut config = self.config.clone();
        if options.is_none() && self.shared.qlog.is_none() {
            return Ok(config);
        }
        let mut transport = match options {
            Some(options) => options.transport(Part::Announced),
            None => Options::unasked().transport(Part::Stranger),
        };
        if let Some(folder) = &self.shared.qlog {
            qlog::write(&mut transport, folder, "server", peer)?;
        }
        config.transport_config(Arc::new(transport));
        Ok(config)
    }
}

/// Connections that may wait to be considered.
const MOST_INCOMING: usize = 1024;
/// Bytes that may come meanwhile: for each, and for all.
const INCOMING_BUFFER: u64 = 64 << 10;
const INCOMING_BUFFERS: u64 = 16 << 20;
