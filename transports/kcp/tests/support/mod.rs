//! Flows, and peers that are none.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    future::{Future, poll_fn},
    net::UdpSocket,
    sync::Arc,
    time::Duration,
};

use polyperf_kcp::Kcp;
use polyperf_socket::FlowListener;
use polyperf_transport::{
    Anyone, Chunk, Connection, Gate, Guest, Hello, HostSockets, Listener, Mark, Opening, Peer,
    RecvHalf, SendHalf, Stream, Transport, Tuning, Verdict, Visit,
};

pub(crate) fn kcp() -> Kcp {
    Kcp::new(Arc::new(HostSockets::new()))
}

pub(crate) fn listen(kcp: &Kcp, gate: impl Gate) -> FlowListener {
    kcp.bind("127.0.0.1:0".parse().unwrap(), Arc::new(gate)).unwrap()
}

/// Two ends of a flow, and what they came of.
pub(crate) struct Pair {
    pub(crate) listener: FlowListener,
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) client: Stream,
    pub(crate) server: Stream,
}

/// Opens a flow between `client` and a listener of `server` that `gate` guards.
pub(crate) async fn pair(client: &Kcp, server: &Kcp, gate: impl Gate, peer: Ask) -> Pair {
    let mut listener = listen(server, gate);
    let Ask { tuning, mark } = peer;
    let peer = Peer { tuning, mark, ..Peer::at(listener.local_addr()) };
    let connection = client.connect(&peer).await.unwrap();
    let (client, server) =
        tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
    let (client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(recv(&mut *server.recv, HELLO.len()).await, HELLO);
    Pair { listener, connection, client, server }
}

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) tuning: Tuning,
    pub(crate) mark: Option<Mark>,
}

/// Lets in anyone, and has flows with its mark work as was agreed on.
#[derive(Debug)]
pub(crate) struct Agreed(pub(crate) Mark, pub(crate) Tuning);

impl Gate for Agreed {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        Anyone.admit(opening)
    }

    fn announced(&self, mark: &Mark) -> Option<Tuning> {
        (*mark == self.0).then(|| self.1.clone())
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }
}

/// Lets in peers that begin with data.
#[derive(Debug)]
pub(crate) struct Strangers;

impl Gate for Strangers {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        match opening.hello {
            Hello::Bare(_) => Verdict::Accept,
            Hello::Own(_) => Verdict::Refuse,
        }
    }

    fn announced(&self, _: &Mark) -> Option<Tuning> {
        None
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }
}

pub(crate) async fn send(half: &mut dyn SendHalf, mut bytes: &[u8]) {
    while let Some(chunk) = Chunk::whole(bytes) {
        let sent = within(poll_fn(|cx| half.poll_send(cx, chunk))).await.unwrap();
        bytes = &bytes[sent..];
    }
}

/// Receives exactly so many bytes.
pub(crate) async fn recv(half: &mut dyn RecvHalf, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let got = within(poll_fn(|cx| half.poll_recv(cx, &mut bytes[filled..]))).await;
        filled += got.unwrap().expect("more to come").len;
    }
    bytes
}

/// Waits for nothing for ever.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it takes too long")
}

/// Waits until `what` holds.
pub(crate) async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A socket that says what it is told to, and nothing else.
pub(crate) fn raw() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Bytes of which no two stretches are alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) const HELLO: &[u8] = b"a hello of thirty-seven bytes, exactly";
