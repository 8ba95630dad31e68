use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use polyperf_socket::{QuicPort, Worker};
use polyperf_transport::{Guest, Hello, Home, Security, Stream};
use quinn::{Connecting, Connection, RecvStream, SendStream, crypto::rustls::HandshakeData};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tracing::debug;

use super::{host::Host, limits::Place};
use crate::{
    Kind, PERF, Patience,
    backlog::Backlog,
    client::OPENING,
    datagram::{self, Demux},
    error::{code, describe},
    options::{Options, varint},
    path::{Carried, QuicPath},
    perf,
    stream::{Guard, QuicRecv, QuicSend},
};

/// A connection that has just been taken.
pub(super) struct Arrival {
    pub(super) host: Weak<Host>,
    pub(super) port: Arc<QuicPort>,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) security: Security,
    pub(super) options: Options,
    pub(super) worker: Arc<Worker>,
    pub(super) place: Place,
    pub(super) patience: Patience,
}

/// A connection whose protocol is known, as its streams' tasks share it.
struct Open {
    host: Weak<Host>,
    carried: Arc<Carried>,
    demux: Arc<Demux>,
    worker: Arc<Worker>,
    kind: Kind,
    local: SocketAddr,
    peer: SocketAddr,
    patience: Patience,
    /// Streams that are open, and word of each that has been closed.
    streams: Arc<(AtomicUsize, Notify)>,
}

impl Arrival {
    /// Serves the connection until it is closed, by either end.
    pub(super) async fn serve(mut self, mut connecting: Connecting) {
        let (peer, patience) = (self.peer, self.patience);
        let protocol = match timeout(patience.handshake, connecting.handshake_data()).await {
            Ok(Ok(data)) => data.downcast::<HandshakeData>().ok().and_then(|data| data.protocol),
            Ok(Err(error)) => {
                return debug!(%peer, error = %describe(error), "a client failed early");
            }
            Err(_) => return debug!(%peer, "a client did not finish its handshake in time"),
        };
        // Streams that come with the first packets are seen before the handshake is over.
        let Ok((connection, accepted)) = connecting.into_0rtt() else { return };
        let kind = [Kind::Streams, Kind::Datagrams]
            .into_iter()
            .find(|kind| protocol.as_deref() == Some(kind.protocol()));
        let mut established = std::pin::pin!(timeout(patience.handshake, accepted));
        match kind {
            Some(kind) => {
                let open = Arc::new(self.open(connection, kind));
                let mut place = self.place;
                let serve = open.serve();
                tokio::pin!(serve);
                tokio::select! {
                    done = &mut established => {
                        if done.is_err() {
                            return open.carried.connection.close(code::IDLE, b"no handshake");
                        }
                        place.established();
                        serve.await;
                    }
                    () = &mut serve => {}
                }
            }
            None if protocol.as_deref() == Some(PERF.as_bytes()) => {
                // A guest is served when it has proved its address.
                if established.await.is_ok() {
                    self.place.established();
                    self.receive(connection).await;
                }
            }
            None => connection.close(code::NOT_OFFERED, b"no such protocol"),
        }
    }

    async fn receive(self, connection: Connection) {
        let guest = Guest { peer: self.peer, protocol: PERF };
        let visit = self.host.upgrade().and_then(|host| host.gate()?.receive(&guest));
        let Some(visit) = visit else {
            return connection.close(code::BUSY, b"the server does not serve perf now");
        };
        connection.set_receive_window(varint(GUESTS_WINDOW));
        perf::serve(connection, visit, self.patience.guest).await;
    }

    fn open(&self, connection: Connection, kind: Kind) -> Open {
        // What was negotiated is for the client to say, which knows what it has offered.
        let security = Security { cipher: None, key_exchange: None, ..self.security.clone() };
        let (_, security) = watch::channel(security);
        let options = self.options.clone();
        let backlog = Backlog::new(options.send_window(), Instant::now());
        let carried = Arc::new(Carried {
            connection: connection.clone(),
            port: Arc::clone(&self.port),
            options,
            backlog,
            transport: kind.transport(),
            security,
            handshake: Arc::default(),
            first_reply: OnceLock::new(),
            prepared: None,
            set_alone: false,
            alone: false,
            left: OnceLock::new(),
            linger: None,
        });
        let reached = connection.local_ip().map(|ip| ip.to_canonical());
        let local = reached.map_or(self.local, |ip| SocketAddr::new(ip, self.local.port()));
        Open {
            host: Weak::clone(&self.host),
            carried,
            demux: Arc::new(Demux::new(connection)),
            worker: Arc::clone(&self.worker),
            kind,
            local,
            peer: self.peer,
            patience: self.patience,
            streams: Arc::default(),
        }
    }
}

impl Open {
    /// Takes streams until the connection is closed, or has had none for too long.
    async fn serve(self: &Arc<Self>) {
        let connection = &self.carried.connection;
        let (open, closed) = &*self.streams;
        loop {
            let idle = open.load(Relaxed) == 0;
            tokio::select! {
                stream = connection.accept_bi() => match stream {
                    Ok((send, recv)) => {
                        open.fetch_add(1, Relaxed);
                        let streams = Arc::clone(&self.streams);
                        let guard = Arc::new(Guard(Box::new(move || {
                            streams.0.fetch_sub(1, Relaxed);
                            streams.1.notify_one();
                        })));
                        let this = Arc::clone(self);
                        tokio::spawn(async move {
                            let limit = this.patience.opening;
                            let _ = timeout(limit, this.take(send, recv, guard)).await;
                        });
                    }
                    Err(_) => return,
                },
                () = closed.notified() => {}
                () = tokio::time::sleep(self.patience.idle), if idle => {
                    return connection.close(code::IDLE, b"no stream was opened");
                }
            }
        }
    }

    /// Reads how a stream begins, answers, and hands it over. Where there is nobody to hand it to,
    /// it ends here.
    async fn take(self: Arc<Self>, mut send: SendStream, mut recv: RecvStream, guard: Arc<Guard>) {
        let early = recv.is_0rtt();
        let mut opening = [0];
        if recv.read_exact(&mut opening).await.is_err() || opening != [OPENING] {
            return;
        }
        let first = match self.kind {
            Kind::Streams => None,
            Kind::Datagrams => match recv.read_to_end(Hello::MAX).await {
                Ok(hello) => Some(hello),
                Err(_) => return,
            },
        };
        let Some(door) = self.host.upgrade().and_then(|host| host.door(self.kind)) else { return };
        if send.write_all(&[OPENING]).await.is_err() {
            return;
        }
        let stream = self.stream(send, recv, first, early, guard);
        // Where too many wait already, this one ends here.
        let _ = door.accepts.try_send(Ok(stream));
    }

    fn stream(
        &self,
        send: SendStream,
        recv: RecvStream,
        first: Option<Vec<u8>>,
        early: bool,
        guard: Arc<Guard>,
    ) -> Stream {
        let carried = || Arc::clone(&self.carried);
        let (local, peer) = (self.local, self.peer);
        let path = Arc::new(QuicPath::new(carried()));
        let home = Some(Arc::clone(&self.worker) as Arc<dyn Home>);
        match self.kind {
            Kind::Streams => Stream {
                send: Box::new(QuicSend::new(send, carried(), Some(Arc::clone(&guard)))),
                recv: Box::new(QuicRecv::new(recv, carried(), Some(guard))),
                local,
                peer,
                path,
                home,
                early,
            },
            Kind::Datagrams => {
                let halves =
                    datagram::halves(&self.demux, carried(), (send, recv), first, Some(guard));
                Stream {
                    send: Box::new(halves.0),
                    recv: Box::new(halves.1),
                    local,
                    peer,
                    path,
                    home,
                    early,
                }
            }
        }
    }
}

/// What a guest may have under way and unread, in bytes, over all its streams.
const GUESTS_WINDOW: u64 = 64 << 20;
