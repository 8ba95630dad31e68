//! Control connections inside TLS 1.3, over the stream of any transport that carries bytes.

use std::{
    io,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_transport::{
    Chunk, Path, PathStats, Received, RecvHalf, Security, SendHalf, Setting, Stream, Tuning,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What both ends of a TLS connection know, and nobody between them.
pub(crate) type Channel = Vec<u8>;

/// Returns whether a connection that begins so is one of TLS: a record of a handshake.
pub(crate) fn is_tls(first: &[u8]) -> bool {
    first.starts_with(&[0x16, 0x03])
}

/// Shakes hands with a client, of which `ahead` has been read already, and returns the stream inside.
pub(crate) async fn accept(
    stream: Stream,
    ahead: &[u8],
    config: Arc<rustls::ServerConfig>,
) -> io::Result<(Stream, Channel)> {
    let (carried, rest) = Carried::new(stream, ahead);
    let tls = TlsAcceptor::from(config).accept(carried).await?;
    let mut channel = [0; 32];
    let exported = tls.get_ref().1.export_keying_material(&mut channel, LABEL, None);
    exported.map_err(io::Error::other)?;
    Ok((rest.inside(TlsStream::Server(tls)), channel.to_vec()))
}

/// Shakes hands with the server of this name, and returns the stream inside.
pub(crate) async fn connect(
    stream: Stream,
    name: ServerName<'static>,
    config: Arc<rustls::ClientConfig>,
) -> io::Result<(Stream, Channel)> {
    let (carried, rest) = Carried::new(stream, &[]);
    let tls = TlsConnector::from(config).connect(name, carried).await?;
    let mut channel = [0; 32];
    let exported = tls.get_ref().1.export_keying_material(&mut channel, LABEL, None);
    exported.map_err(io::Error::other)?;
    Ok((rest.inside(TlsStream::Client(tls)), channel.to_vec()))
}

/// The stream below TLS.
#[derive(Debug)]
struct Carried {
    send: Box<dyn SendHalf>,
    recv: Box<dyn RecvHalf>,
    /// What was read of it before it was known what it is.
    ahead: Vec<u8>,
}

/// What of a stream TLS leaves as it is.
#[derive(Debug)]
struct Rest {
    local: std::net::SocketAddr,
    peer: std::net::SocketAddr,
    path: Arc<dyn Path>,
    home: Option<Arc<dyn polyperf_transport::Home>>,
}

#[derive(Debug)]
struct TlsSend {
    half: WriteHalf<TlsStream<Carried>>,
    /// How much TLS has taken that is not on its way yet.
    taken: Option<usize>,
}

#[derive(Debug)]
struct TlsRecv(ReadHalf<TlsStream<Carried>>);

/// A path of which it is known that TLS protects what goes over it.
#[derive(Debug)]
struct Protected {
    below: Arc<dyn Path>,
    security: Security,
}

impl Carried {
    fn new(stream: Stream, ahead: &[u8]) -> (Self, Rest) {
        let Stream { send, recv, local, peer, path, home, .. } = stream;
        (Self { send, recv, ahead: ahead.to_vec() }, Rest { local, peer, path, home })
    }
}

impl Rest {
    fn inside(self, tls: TlsStream<Carried>) -> Stream {
        let security =
            Security { protocol: "TLS 1.3".to_owned(), cipher: suite(&tls), ..Security::default() };
        let (recv, send) = tokio::io::split(tls);
        Stream {
            send: Box::new(TlsSend { half: send, taken: None }),
            recv: Box::new(TlsRecv(recv)),
            local: self.local,
            peer: self.peer,
            path: Arc::new(Protected { below: self.path, security }),
            home: self.home,
            early: false,
        }
    }
}

fn suite(tls: &TlsStream<Carried>) -> Option<String> {
    let suite = tls.get_ref().1.negotiated_cipher_suite()?;
    suite.suite().as_str().map(str::to_owned)
}

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let len = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..len]);
            self.ahead.drain(..len);
            return Poll::Ready(Ok(()));
        }
        if let Some(received) = ready!(self.recv.poll_recv(cx, buf.initialize_unfilled()))? {
            buf.advance(received.len);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Chunk::whole(bytes) {
            Some(chunk) => self.send.poll_send(cx, chunk),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send.poll_finish(cx)
    }
}

impl SendHalf for TlsSend {
    /// Ready once what was taken is on its way: nobody would be there to send it later.
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        let taken = match self.taken {
            Some(taken) => taken,
            None => ready!(Pin::new(&mut self.half).poll_write(cx, chunk.bytes))?,
        };
        self.taken = Some(taken);
        ready!(Pin::new(&mut self.half).poll_flush(cx))?;
        self.taken = None;
        Poll::Ready(Ok(taken))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(cx)
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// Control is never driven on a thread of its own.
    fn block_for(&mut self, _: Option<Duration>) {}
}

impl RecvHalf for TlsRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        let len = buf.filled().len();
        Poll::Ready(Ok((len > 0).then(|| Received::whole(len))))
    }

    /// Control is never driven on a thread of its own.
    fn block_for(&mut self, _: Option<Duration>) {}
}

impl Path for Protected {
    fn stats(&self) -> PathStats {
        PathStats { security: Some(self.security.clone()), ..self.below.stats() }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        self.below.tune(tuning)
    }
}

/// Whoever passes a proof on to another connection has another channel there.
const LABEL: &[u8] = b"EXPORTER-polyperf-a";
