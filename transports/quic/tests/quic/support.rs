//! Ends of QUIC over loopback: this project's, and others.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use polyperf_certs::{Identity, Provider, Trust, provider};
use polyperf_quic::{Patience, Quic, QuicTransport, Settings};
use polyperf_socket::UdpPorts;
use polyperf_transport::{
    Anyone, Connection, Error, Gate, Guest, Hello, HostSockets, Listener, Mark, Opening, PathStats,
    Peer, RecvHalf, Sockets, Stream, Transport, Tuning, Verdict, Visit, send_all,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use tokio::net::UdpSocket;

pub(crate) fn quic() -> Quic {
    with(Settings::default())
}

pub(crate) fn with(settings: Settings) -> Quic {
    let (sockets, ports) = sockets();
    Quic::new(sockets, ports, settings)
}

/// QUIC whose listeners bear with clients for so long.
pub(crate) fn patient(patience: Patience) -> Quic {
    let (sockets, ports) = sockets();
    Quic::patient(sockets, ports, Settings::default(), patience)
}

fn sockets() -> (Arc<dyn Sockets>, Arc<UdpPorts>) {
    let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
    let ports = Arc::new(UdpPorts::new(Arc::clone(&sockets)));
    (sockets, ports)
}

pub(crate) fn trusting(trust: Trust) -> Quic {
    with(Settings { trust, ..Settings::default() })
}

pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) async fn listen(transport: &QuicTransport) -> Box<dyn Listener> {
    transport.listen(anywhere(), Arc::new(Anyone)).await.unwrap()
}

/// Listens where another server was a moment ago.
pub(crate) async fn again(server: &QuicTransport, at: SocketAddr) -> Box<dyn Listener> {
    soon("the port is free", async {
        loop {
            match server.listen(at, Arc::new(Anyone)).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

/// A listener, a connection to it, and a stream in between.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) listener: Box<dyn Listener>,
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) client: Stream,
    pub(crate) server: Stream,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::of(&quic().streams(), Tuning::default()).await
    }

    /// Opens a stream on a connection that is set so at both ends.
    pub(crate) async fn of(transport: &QuicTransport, tuning: Tuning) -> Self {
        let gate = Arc::new(Announced::new(MARK, tuning.clone()));
        let listener = transport.listen(anywhere(), gate).await.unwrap();
        let peer = Peer { tuning, mark: Some(MARK), ..Peer::at(listener.local_addr()) };
        Self::between(listener, transport, &peer).await
    }

    /// Opens a stream to `peer`, by way of which `listener` is reached.
    pub(crate) async fn between(
        mut listener: Box<dyn Listener>,
        transport: &QuicTransport,
        peer: &Peer,
    ) -> Self {
        let connection = soon("connect", transport.connect(peer)).await.unwrap();
        let (client, server) = open(&*connection, &mut *listener).await;
        Self { listener, connection, client, server }
    }

    /// Opens another stream on the connection.
    pub(crate) async fn another(&mut self) -> (Stream, Stream) {
        open(&*self.connection, &mut *self.listener).await
    }

    /// Asserts that bytes arrive as they were sent, to the server and from it.
    pub(crate) async fn carries(&mut self, len: usize) {
        let bytes = pattern(len as u64, len);
        carry(&mut self.client, &mut self.server, &bytes).await;
        carry(&mut self.server, &mut self.client, &bytes).await;
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

/// Opens a stream, with a hello that the listener's side has read when this returns.
pub(crate) async fn open(
    connection: &dyn Connection,
    listener: &mut dyn Listener,
) -> (Stream, Stream) {
    let accept = async {
        let mut server = listener.accept().await.unwrap();
        assert_eq!(receive(&mut *server.recv, HELLO.len()).await, HELLO);
        server
    };
    let (client, server) =
        soon("open", async { tokio::join!(connection.open(Hello::Own(HELLO)), accept) }).await;
    (client.unwrap(), server)
}

/// Asserts that the listener takes somebody new, and carries what he sends.
pub(crate) async fn serves(listener: Box<dyn Listener>) -> Box<dyn Listener> {
    let peer = Peer::at(listener.local_addr());
    let mut pair = Pair::between(listener, &quic().streams(), &peer).await;
    pair.carries(100_000).await;
    pair.connection.close().await;
    pair.listener
}

pub(crate) async fn carry(from: &mut Stream, to: &mut Stream, bytes: &[u8]) {
    let transfer = async {
        tokio::join!(send_all(&mut *from.send, bytes), receive(&mut *to.recv, bytes.len()))
    };
    let (sent, received) = soon("carry", transfer).await;
    sent.unwrap();
    assert!(received == bytes, "what arrived is not what was sent");
}

/// Receives so many bytes, or one message of that length.
pub(crate) async fn receive(half: &mut dyn RecvHalf, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let received = poll_fn(|cx| half.poll_recv(cx, &mut buf[filled..])).await.unwrap();
        filled += received.unwrap_or_else(|| panic!("ended after {filled} of {len} bytes")).len;
    }
    buf
}

/// Returns `len` bytes that are the same for the same seed.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// Waits for something that must happen; the bound is a safety net.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what}: it hangs"))
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until a path's figures are so, and returns them.
pub(crate) async fn figures(
    stream: &Stream,
    what: &str,
    is_so: impl Fn(&PathStats) -> bool,
) -> PathStats {
    until(what, || is_so(&stream.path.stats())).await;
    stream.path.stats()
}

/// Returns an error with all that caused it.
pub(crate) fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Knows the marks that were announced, and lets no guest in unless told to.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    tunings: HashMap<Mark, Tuning>,
    /// The marks that were asked for.
    pub(crate) seen: Mutex<Vec<Mark>>,
}

impl Announced {
    pub(crate) fn new(mark: Mark, tuning: Tuning) -> Self {
        Self { tunings: HashMap::from([(mark, tuning)]), seen: Mutex::default() }
    }
}

impl Gate for Announced {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        Anyone.admit(opening)
    }

    fn announced(&self, mark: &Mark) -> Option<Tuning> {
        self.seen.lock().unwrap().push(*mark);
        self.tunings.get(mark).cloned()
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }
}

/// quinn as it is, without anything of this project's.
pub(crate) fn bare_client() -> quinn::Endpoint {
    quinn::Endpoint::client(anywhere()).unwrap()
}

/// The configuration of a client that offers this protocol, and trusts anybody.
pub(crate) fn bare_config(protocol: &[u8]) -> quinn::ClientConfig {
    let ring = provider(Provider::Ring).unwrap();
    let verifier = Trust::Insecure.verifier(ring, "localhost", 1, None).unwrap();
    let tls = verifier.client_config(&[protocol], false, None).unwrap();
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// Connects with quinn as it is.
pub(crate) async fn bare(to: SocketAddr, protocol: &[u8]) -> quinn::Connection {
    bare_with(to, bare_config(protocol)).await
}

pub(crate) async fn bare_with(to: SocketAddr, config: quinn::ClientConfig) -> quinn::Connection {
    let connecting = bare_client().connect_with(config, to, "localhost").unwrap();
    soon("connect", connecting).await.unwrap()
}

/// A server that is quinn's, and speaks this protocol.
pub(crate) fn bare_server(protocol: &[u8]) -> quinn::Endpoint {
    let identity = Identity::generate(&[]).unwrap();
    let tls = identity.server_config(provider(Provider::Ring).unwrap(), &[protocol], false);
    bare_server_with(tls.unwrap())
}

pub(crate) fn bare_server_with(tls: rustls::ServerConfig) -> quinn::Endpoint {
    let tls = Arc::new(QuicServerConfig::try_from(tls).unwrap());
    quinn::Endpoint::server(quinn::ServerConfig::with_crypto(tls), anywhere()).unwrap()
}

/// First packets of clients that are never heard of again.
pub(crate) struct Flights {
    clients: quinn::Endpoint,
    sink: UdpSocket,
    seen: Vec<Vec<u8>>,
}

impl Flights {
    pub(crate) async fn new() -> Self {
        let sink = UdpSocket::bind(anywhere()).await.unwrap();
        Self { clients: bare_client(), sink, seen: Vec::new() }
    }

    /// Returns the first datagram of one more client, which offers this protocol.
    pub(crate) async fn next(&mut self, protocol: &[u8]) -> Vec<u8> {
        let to = self.sink.local_addr().unwrap();
        let config = bare_config(protocol);
        let _connecting = self.clients.connect_with(config, to, "localhost").unwrap();
        let mut buf = [0; 2048];
        loop {
            let len = soon("a first flight", self.sink.recv(&mut buf)).await.unwrap();
            let id = destination(&buf[..len]).to_vec();
            // A closed or repeated attempt is an earlier client's.
            if is_long(&buf[..len], INITIAL) && len >= 1200 && !self.seen.contains(&id) {
                self.seen.push(id);
                return buf[..len].to_vec();
            }
        }
    }
}

/// A socket that sends packets as they are, and counts what comes back.
pub(crate) struct Raw {
    pub(crate) socket: UdpSocket,
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Raw {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind(anywhere()).await.unwrap();
        socket.connect(addr).await.unwrap();
        Self { socket, sent: 0, received: 0 }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.sent += self.socket.send(bytes).await.unwrap();
    }

    /// Waits for an answer.
    pub(crate) async fn hear(&mut self) -> Vec<u8> {
        let mut buf = [0; 2048];
        let len = soon("an answer", self.socket.recv(&mut buf)).await.unwrap();
        self.received += len;
        buf[..len].to_vec()
    }

    /// Takes what has come by now.
    pub(crate) fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut buf = [0; 2048];
        let mut drained = Vec::new();
        while let Ok(len) = self.socket.try_recv(&mut buf) {
            self.received += len;
            drained.push(buf[..len].to_vec());
        }
        drained
    }
}

/// Returns whether a packet has a long header of this type (RFC 9000, section 17.2).
pub(crate) fn is_long(packet: &[u8], kind: u8) -> bool {
    packet.first().is_some_and(|first| first & 0xc0 == 0xc0 && first >> 4 & 3 == kind)
}

/// Returns the destination's connection id in a long header.
pub(crate) fn destination(packet: &[u8]) -> &[u8] {
    &packet[6..][..usize::from(packet[5])]
}

pub(crate) const INITIAL: u8 = 0;
pub(crate) const RETRY: u8 = 3;

pub(crate) const STREAMS: &[u8] = b"polyperf/1";
pub(crate) const MARK: Mark = *b"a known mark";
pub(crate) const HELLO: &[u8] = b"hello";
