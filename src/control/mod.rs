//! Control connections: messages of either dialect over a stream of any transport that carries
//! bytes.

mod iperf3;
mod native;
mod tls;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_transport::{Chunk, Connection, Path, RecvHalf, SendHalf, Stream};

pub(crate) use self::{
    iperf3::Iperf3Control,
    native::Control,
    tls::{Channel, accept as accept_tls, connect as connect_tls, is_tls},
};
use crate::protocol::native::HELLO_LEN;

/// What came of a control connection.
#[derive(Debug)]
pub(crate) enum Heard<M, E> {
    /// A message.
    Message(M),
    /// Bytes that are not of this protocol.
    Garbage(E),
    /// The end of the connection.
    Lost(String),
}

/// What a server's first byte says of the protocol that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstByte {
    /// The length of a frame of ours, none of which is as long as 16 MiB.
    Native,
    /// A state of iperf3's.
    Iperf3,
    /// Neither.
    Unknown,
}

/// The bytes of a control connection, in both directions.
#[derive(Debug)]
pub(crate) struct Wire {
    send: Box<dyn SendHalf>,
    recv: Box<dyn RecvHalf>,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    path: Arc<dyn Path>,
    /// What the stream belongs to, at the end that has opened it.
    connection: Option<Box<dyn Connection>>,
    /// What is known of TLS that protects it; empty where that does not.
    pub(crate) channel: Channel,
    /// What was read ahead to tell the dialects apart.
    ahead: Option<u8>,
    out: Vec<u8>,
    written: usize,
    buffer: Box<[u8]>,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            send: stream.send,
            recv: stream.recv,
            local: stream.local,
            peer: stream.peer,
            path: stream.path,
            connection: None,
            channel: Channel::new(),
            ahead: None,
            out: Vec::new(),
            written: 0,
            buffer: vec![0; READ].into(),
        }
    }

    /// Keeps what the stream belongs to, and closes it with the stream.
    pub(crate) fn over(mut self, connection: Box<dyn Connection>) -> Self {
        self.connection = Some(connection);
        self
    }

    /// Takes note of the TLS connection that the stream is inside of.
    pub(crate) fn inside(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// Returns whether what it hears is what the other end has said, and nobody else.
    pub(crate) fn is_protected(&self) -> bool {
        self.path.stats().security.is_some()
    }

    /// Returns what both ends know of whatever protects the connection: TLS around it, or its
    /// transport; empty where nothing does.
    pub(crate) fn binding(&self) -> Channel {
        self.path.exported(tls::LABEL).map(Vec::from).unwrap_or_default()
    }

    /// Waits for the server's first byte, and returns which protocol it opens.
    pub(crate) async fn dialect(&mut self) -> Result<FirstByte, String> {
        let mut first = [0];
        match poll_fn(|cx| self.recv.poll_recv(cx, &mut first)).await {
            Ok(Some(_)) => {
                self.ahead = Some(first[0]);
                Ok(match first[0] {
                    0 => FirstByte::Native,
                    IPERF3_PARAMS | IPERF3_DENIED | IPERF3_ERROR => FirstByte::Iperf3,
                    _ => FirstByte::Unknown,
                })
            }
            Ok(None) => Err("closed by the other end".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends what is queued and says that nothing more comes, then waits until the peer has closed
    /// as well, all within `limit`: closing with bytes unread would destroy what was sent last.
    pub(crate) async fn close(mut self, limit: Duration) {
        let close = poll_fn(|cx| {
            ready!(self.poll_flush(cx))?;
            ready!(self.send.poll_finish(cx))?;
            while ready!(self.recv.poll_recv(cx, &mut self.buffer))?.is_some() {}
            Poll::Ready(io::Result::Ok(()))
        });
        // Whatever goes wrong with a farewell is no news.
        let _ = tokio::time::timeout(limit, close).await;
        if let Some(connection) = self.connection {
            connection.close().await;
        }
    }

    /// Returns how many bytes wait to be sent.
    fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// Takes bytes to be sent. A peer that reads nothing costs bounded memory: then the connection
    /// counts as lost.
    fn queue(&mut self, bytes: &[u8]) -> Result<(), String> {
        let waiting = self.waiting();
        if waiting > MAX_OUT {
            return Err(format!("{waiting} bytes of messages wait to be sent, and none is taken"));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is queued, and waits for the next message, which `next` finds in what has come or
    /// asks for more with `None`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    async fn exchange<M, E>(
        &mut self,
        mut next: impl FnMut(&[u8]) -> Option<Heard<M, E>>,
    ) -> Heard<M, E> {
        poll_fn(|cx| {
            let flushed = self.poll_flush(cx);
            match (self.poll_next(cx, &mut next), flushed) {
                // What came before the connection broke may say why it did.
                (Poll::Pending | Poll::Ready(Heard::Lost(_)), Poll::Ready(Err(error))) => {
                    Poll::Ready(Heard::Lost(error.to_string()))
                }
                (heard, _) => heard,
            }
        })
        .await
    }

    fn poll_next<M, E>(
        &mut self,
        cx: &mut Context<'_>,
        next: &mut impl FnMut(&[u8]) -> Option<Heard<M, E>>,
    ) -> Poll<Heard<M, E>> {
        let ahead = self.ahead.take();
        if let Some(heard) = next(ahead.as_slice()) {
            return Poll::Ready(heard);
        }
        loop {
            match ready!(self.recv.poll_recv(cx, &mut self.buffer)) {
                Ok(Some(received)) => {
                    if let Some(heard) = next(&self.buffer[..received.len]) {
                        return Poll::Ready(heard);
                    }
                }
                Ok(None) => return Poll::Ready(Heard::Lost("closed by the other end".to_owned())),
                Err(error) => return Poll::Ready(Heard::Lost(error.to_string())),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(chunk) = Chunk::whole(&self.out[self.written..]) {
            self.written += ready!(self.send.poll_send(cx, chunk))?;
        }
        self.out.clear();
        self.out.shrink_to(KEEP);
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Reads a connection's first bytes, which are as many in every dialect.
pub(crate) async fn read_hello(half: &mut dyn RecvHalf) -> Result<[u8; HELLO_LEN], HelloError> {
    let mut hello = [0; HELLO_LEN];
    let mut filled = 0;
    while filled < HELLO_LEN {
        match poll_fn(|cx| half.poll_recv(cx, &mut hello[filled..])).await {
            Ok(Some(received)) => filled += received.len,
            Ok(None) => return Err(HelloError { filled, source: None }),
            Err(source) => return Err(HelloError { filled, source: Some(source) }),
        }
    }
    Ok(hello)
}

/// Why a connection ended before its first bytes were there.
#[derive(Debug, thiserror::Error)]
#[error("ended after {filled} of the {HELLO_LEN} bytes of a hello")]
pub(crate) struct HelloError {
    filled: usize,
    source: Option<io::Error>,
}

/// iperf3's `PARAM_EXCHANGE`, `ACCESS_DENIED` and `SERVER_ERROR`: its servers open with one of them.
const IPERF3_PARAMS: u8 = 9;
const IPERF3_DENIED: u8 = 0xff;
const IPERF3_ERROR: u8 = 0xfe;
const READ: usize = 4 << 10;
/// What an idle connection keeps of a long queue.
const KEEP: usize = 4 << 10;
/// Beyond so many unsent bytes, the peer counts as lost.
const MAX_OUT: usize = 8 << 20;
