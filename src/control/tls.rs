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
    Ok((rest.inside(TlsStream::Server(tls), channel), channel.to_vec()))
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
    Ok((rest.inside(TlsStream::Client(tls), channel), channel.to_vec()))
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
    /// What was exported for the one label that is used.
    channel: [u8; 32],
}

impl Carried {
    fn new(stream: Stream, ahead: &[u8]) -> (Self, Rest) {
        let Stream { send, recv, local, peer, path, home, .. } = stream;
        (Self { send, recv, ahead: ahead.to_vec() }, Rest { local, peer, path, home })
    }
}

impl Rest {
    fn inside(self, tls: TlsStream<Carried>, channel: [u8; 32]) -> Stream {
        let security =
            Security { protocol: "TLS 1.3".to_owned(), cipher: suite(&tls), ..Security::default() };
        let (recv, send) = tokio::io::split(tls);
        Stream {
            send: Box::new(TlsSend { half: send, taken: None }),
            recv: Box::new(TlsRecv(recv)),
            local: self.local,
            peer: self.peer,
            path: Arc::new(Protected { below: self.path, security, channel }),
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

    fn expect_bulk(&mut self) {}
}

impl Path for Protected {
    fn stats(&self) -> PathStats {
        PathStats { security: Some(self.security.clone()), ..self.below.stats() }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        self.below.tune(tuning)
    }

    fn exported(&self, label: &[u8]) -> Option<[u8; 32]> {
        (label == LABEL).then_some(self.channel)
    }
}

/// Whoever passes a proof on to another connection has another channel there.
pub(super) const LABEL: &[u8] = b"EXPORTER-polyperf-a";

#[cfg(test)]
mod tests {
    use polyperf_certs::{Identity, Provider, Trust, provider};
    use polyperf_memory::{Memory, Network, link::LinkConfig};
    use polyperf_transport::{Gate, Hello, Opening, Peer, Transport, Verdict, send_all};

    use super::*;
    use crate::control::read_hello;

    #[derive(Debug)]
    struct Open;

    impl Gate for Open {
        fn admit(&self, _: &Opening<'_>) -> Verdict {
            Verdict::Accept
        }

        fn announced(&self, _: &polyperf_transport::Mark) -> Option<Tuning> {
            None
        }

        fn receive(
            &self,
            _: &polyperf_transport::Guest<'_>,
        ) -> Option<Box<dyn polyperf_transport::Visit>> {
            None
        }
    }

    /// Shakes hands, of whose first bytes some were read ahead, and returns both ends.
    async fn pair() -> [(Stream, Channel); 2] {
        let memory = Memory::bytes(&Network::new(LinkConfig::perfect()));
        let at = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = memory.listen(at, Arc::new(Open)).await.unwrap();
        let connection = memory.connect(&Peer::at(listener.local_addr())).await.unwrap();
        let (ours, theirs) = tokio::join!(connection.open(Hello::Own(b"")), listener.accept());
        let ring = || provider(Provider::Ring).unwrap();
        let identity = Identity::generate(&[]).unwrap();
        let server = identity.server_config(ring(), &[b"x"], false).unwrap();
        let verifier = Trust::Insecure.verifier(ring(), "localhost", 1, None).unwrap();
        let client = verifier.client_config(&[b"x"], false, None).unwrap();
        let accepting = async {
            let mut stream = theirs.unwrap();
            let ahead = read_hello(stream.recv.as_mut()).await.unwrap();
            assert!(is_tls(&ahead));
            accept(stream, &ahead, Arc::new(server)).await.unwrap()
        };
        let name = verifier.server_name().clone();
        let connecting = connect(ours.unwrap(), name, Arc::new(client));
        let (client, server) = tokio::join!(connecting, accepting);
        [client.unwrap(), server]
    }

    #[tokio::test]
    async fn both_ends_see_the_same_channel_and_no_other_connection_does() {
        let [(_, client), (_, server)] = pair().await;
        assert_eq!((&client, client.len()), (&server, 32));
        let [(_, other), _] = pair().await;
        assert_ne!(client, other);
    }

    #[tokio::test]
    async fn the_stream_inside_knows_its_channel_for_the_one_label() {
        let [(client, channel), (server, _)] = pair().await;
        for stream in [client, server] {
            let exported = stream.path.exported(LABEL).map(Vec::from);
            assert_eq!(exported.as_ref(), Some(&channel));
            assert_eq!(stream.path.exported(b"another"), None);
        }
    }

    #[tokio::test]
    async fn what_is_sent_arrives_whole_and_is_known_to_be_protected() {
        let [(mut client, _), (mut server, _)] = pair().await;
        assert!(client.path.stats().security.is_some());
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let sending = async {
            send_all(client.send.as_mut(), &bytes).await.unwrap();
            std::future::poll_fn(|cx| client.send.poll_finish(cx)).await.unwrap();
        };
        let receiving = async {
            let (mut all, mut buffer) = (Vec::new(), vec![0; 5000]);
            while let Some(received) =
                std::future::poll_fn(|cx| server.recv.poll_recv(cx, &mut buffer)).await.unwrap()
            {
                all.extend_from_slice(&buffer[..received.len]);
            }
            all
        };
        let ((), arrived) = tokio::join!(sending, receiving);
        assert!(arrived == bytes);
    }
}
