//! A client of raw packets.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    future::Future,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use polyperf_socket::FlowListener;
use polyperf_tokio_kcp::TokioKcp;
use polyperf_transport::{HostSockets, Listener, Stream};

pub(crate) fn tokio_kcp() -> TokioKcp {
    TokioKcp::new(Arc::new(HostSockets::new()))
}

/// A socket that says what it is told to, and nothing else.
pub(crate) struct Raw(UdpSocket);

impl Raw {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    pub(crate) fn say(&self, to: SocketAddr, bytes: &[u8]) {
        self.0.send_to(bytes, to).unwrap();
    }

    /// Returns the next datagram, if it has come.
    pub(crate) fn heard(&self) -> Option<Vec<u8>> {
        let mut buf = [0; 2048];
        match self.0.recv(&mut buf) {
            Ok(len) => Some(buf[..len].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn hear(&self) -> Vec<u8> {
        within(async {
            loop {
                if let Some(heard) = self.heard() {
                    return heard;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Opens a flow by the book, but says nothing in it.
    pub(crate) async fn open(&self, listener: &mut FlowListener) -> Stream {
        let to = listener.local_addr();
        self.say(to, &open([0; 16]));
        let challenge = self.hear().await;
        assert_eq!(challenge[..6], *b"!ppt\x01\x02", "a challenge");
        self.say(to, &open(challenge[22..].try_into().unwrap()));
        assert_eq!(self.hear().await, [b"!ppt\x01\x03", &ID[..]].concat(), "it is accepted");
        within(listener.accept()).await.unwrap()
    }
}

/// Returns the packet that asks for a flow.
pub(crate) fn open(cookie: [u8; 16]) -> Vec<u8> {
    [b"!ppt\x01\x01", &ID[..], &cookie, HELLO].concat()
}

/// Returns a segment of data in the flow that [`Raw`] opens.
pub(crate) fn push(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut segment = ID[12..].to_vec();
    segment.extend_from_slice(&[81, 0]);
    segment.extend_from_slice(&1024_u16.to_le_bytes());
    let len = u32::try_from(payload.len()).unwrap();
    for field in [0, number, 0, len] {
        segment.extend_from_slice(&field.to_le_bytes());
    }
    segment.extend_from_slice(payload);
    segment
}

pub(crate) async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it takes too long")
}

pub(crate) const HELLO: &[u8] = b"a hello of thirty-seven bytes, exactly";

/// The record that a client begins with.
pub(crate) const NOTHING: [u8; 4] = [0xFF; 4];

/// What the attempt is called, of whose last four bytes the conversation is made.
const ID: [u8; 16] = [7; 16];
