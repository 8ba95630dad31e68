//! A client of raw packets, and servers to try it on.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use polyperf_socket::{FlowListener, PortOptions};
use polyperf_transport::{
    Anyone, Chunk, Gate, Guest, Hello, HostSockets, Listener, Mark, Opening, Received, RecvHalf,
    SendHalf, Stream, Tuning, Verdict, Visit,
};
use polyperf_udp::Udp;

pub(crate) fn udp() -> Udp {
    Udp::new(Arc::new(HostSockets::new()))
}

pub(crate) fn on_one_socket() -> Udp {
    udp().with_options(PortOptions { own_sockets: false, ..PortOptions::default() })
}

pub(crate) fn listen(udp: &Udp, at: &str) -> FlowListener {
    udp.bind(at.parse().unwrap(), Arc::new(Anyone)).unwrap()
}

/// Lets in this word, without a handshake, and nobody else.
#[derive(Debug)]
pub(crate) struct Word(pub(crate) &'static [u8]);

impl Gate for Word {
    fn announced(&self, _: &Mark) -> Option<Tuning> {
        None
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }

    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        if opening.hello == Hello::Bare(self.0) { Verdict::Accept } else { Verdict::Refuse }
    }
}

/// A socket that says what it is told to, and nothing else.
pub(crate) struct Raw(pub(crate) UdpSocket);

impl Raw {
    pub(crate) fn at(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    pub(crate) fn say(&self, to: SocketAddr, bytes: &[u8]) {
        assert_eq!(self.0.send_to(bytes, to).unwrap(), bytes.len());
    }

    /// Returns what has been received by now.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        let mut buf = [0; 2048];
        loop {
            match self.0.recv(&mut buf) {
                Ok(len) => heard.push(buf[..len].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return heard,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits for the next datagram.
    pub(crate) async fn hear(&self) -> Vec<u8> {
        let mut buf = [0; 2048];
        within(async {
            loop {
                match self.0.recv(&mut buf) {
                    Ok(len) => return buf[..len].to_vec(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }

    /// Opens a flow by the book, and returns what it said last.
    pub(crate) async fn open(&self, to: SocketAddr, id: [u8; 16]) -> Vec<u8> {
        self.say(to, &open(id, [0; 16], HELLO));
        let cookie = cookie(&self.hear().await);
        let again = open(id, cookie, HELLO);
        self.say(to, &again);
        assert_eq!(self.hear().await, accept(id));
        again
    }
}

/// Has `listener` treat all that it was sent before: opens a flow behind it.
pub(crate) async fn settle(listener: &mut FlowListener) -> Stream {
    let to = listener.local_addr();
    let ip = if to.ip().is_unspecified() { "127.0.0.1".to_owned() } else { to.ip().to_string() };
    let last = Raw::at(&ip);
    let to = SocketAddr::new(ip.parse().unwrap(), to.port());
    let opening = async {
        last.open(to, [0xEE; 16]).await;
    };
    let ((), stream) = tokio::join!(opening, within(listener.accept()));
    let stream = stream.unwrap();
    assert_eq!(stream.peer, last.0.local_addr().unwrap(), "somebody else was accepted");
    stream
}

pub(crate) fn open(id: [u8; 16], cookie: [u8; 16], hello: &[u8]) -> Vec<u8> {
    [b"!ppu\x01\x01", &id[..], &cookie, hello].concat()
}

pub(crate) fn challenge(id: [u8; 16], cookie: [u8; 16]) -> Vec<u8> {
    [b"!ppu\x01\x02", &id[..], &cookie].concat()
}

pub(crate) fn accept(id: [u8; 16]) -> Vec<u8> {
    [b"!ppu\x01\x03", &id[..]].concat()
}

/// Returns the cookie in a challenge.
pub(crate) fn cookie(packet: &[u8]) -> [u8; 16] {
    assert_eq!((packet.len(), &packet[..6]), (38, &b"!ppu\x01\x02"[..]), "a challenge");
    packet[22..].try_into().unwrap()
}

/// Returns the id in an opening.
pub(crate) fn id(packet: &[u8]) -> [u8; 16] {
    assert_eq!(&packet[..6], b"!ppu\x01\x01", "an opening");
    packet[6..22].try_into().unwrap()
}

pub(crate) async fn recv(half: &mut dyn RecvHalf, buf: &mut [u8]) -> Received {
    within(poll_fn(|cx| half.poll_recv(cx, buf))).await.unwrap().unwrap()
}

/// Receives until `count` messages are there.
pub(crate) async fn messages(half: &mut dyn RecvHalf, count: usize, room: usize) -> Vec<Vec<u8>> {
    let mut buf = vec![0; room];
    let mut messages = Vec::new();
    while messages.len() < count {
        let Received { len, stride, .. } = recv(half, &mut buf).await;
        messages.extend(buf[..len].chunks(stride).map(<[u8]>::to_vec));
    }
    messages
}

pub(crate) async fn send(half: &mut dyn SendHalf, bytes: &[u8], stride: usize) -> usize {
    let chunk = Chunk { bytes, stride: stride.try_into().unwrap() };
    within(poll_fn(|cx| half.poll_send(cx, chunk))).await.unwrap()
}

/// Waits until `done`, with everybody else at work meanwhile.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    within(async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

pub(crate) const HELLO: &[u8] = b"a greeting of thirty-seven bytes, yes";
