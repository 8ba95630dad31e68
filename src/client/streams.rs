//! A test's streams, opened and made known to the server.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use polyperf_transport::{Connection, Delivery, Error, Hello, Peer, RecvHalf, Stream, Transport};
use tokio::task::JoinSet;

use super::connect::chain;
use crate::{
    engine::Flow,
    measure::FlowId,
    outcome::{Failure, FailureCode, Side},
    protocol::{
        iperf3::{Cookie, udp::Connect},
        native::{self, Agree, Token},
    },
    spec::TestSpec,
};

/// Streams that are being opened; dropping it gives up.
#[derive(Debug, Default)]
pub(super) struct Opening(JoinSet<Result<Opened, Failure>>);

/// A test's streams, and what they belong to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) flows: Vec<Flow>,
    pub(super) connection: Box<dyn Connection>,
}

impl Opening {
    pub(super) fn start(
        &mut self,
        work: impl Future<Output = Result<Opened, Failure>> + Send + 'static,
    ) {
        self.0.spawn(work);
    }

    /// Waits until the streams are open; for ever if none are being opened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Opened, Failure> {
        match self.0.join_next().await {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => Err(Failure::new(FailureCode::Internal, error.to_string())),
            None => std::future::pending().await,
        }
    }
}

/// Opens every stream of a native test at once: each tells which one it is.
pub(super) async fn at_once(
    transport: Arc<dyn Transport>,
    peer: Peer,
    agree: Box<Agree>,
) -> Result<Opened, Failure> {
    let token = Token::parse(agree.token.as_bytes()).ok_or_else(|| {
        Failure::new(FailureCode::Protocol, "the server's token is not 24 characters of a-z2-7")
    })?;
    let peer = Peer { mark: Some(token.mark()), ..peer };
    if agree.spec.block == 0 {
        let text = "the server left the length of a block open";
        return Err(Failure::new(FailureCode::Protocol, text));
    }
    let failed = |what: String| failure(transport.as_ref(), peer.addr, &what);
    let wanted = Peer { tuning: agree.spec.stream_tuning(), ..peer.clone() };
    let connection = match connect(transport.as_ref(), &wanted).await {
        // What was not asked for in so many words is no reason to refuse the test.
        Err(failure)
            if failure.code == FailureCode::Unsupported && wanted.tuning != peer.tuning =>
        {
            connect(transport.as_ref(), &peer).await?
        }
        connected => connected?,
    };
    let open = |id| {
        let (connection, spec) = (connection.as_ref(), &agree.spec);
        let hello = native::Hello::Attach(token, id).encode();
        async move { open(connection, Hello::Own(&hello), id, spec).await }
    };
    let flows = try_join_all((1..=agree.spec.flows()).map(FlowId).map(open)).await;
    Ok(Opened { flows: flows.map_err(failed)?, connection })
}

/// Opens the streams of an iperf3 test, one after another: their order is all that tells the
/// directions apart.
///
/// A stream of datagrams has no cookie. It is open when the server has replied to its first datagram,
/// which may take so long as there is `patience`.
pub(super) async fn in_turn(
    transport: Arc<dyn Transport>,
    peer: Peer,
    cookie: Cookie,
    spec: TestSpec,
    patience: Duration,
) -> Result<Opened, Failure> {
    let failed = |what: String| failure(transport.as_ref(), peer.addr, &what);
    let connection = connect(transport.as_ref(), &peer).await?;
    let word = Connect::Current.word();
    let datagrams = matches!(transport.delivery(), Delivery::Messages { .. });
    let hello = if datagrams { Hello::Bare(&word) } else { Hello::Own(cookie.as_bytes()) };
    let mut flows = Vec::new();
    for id in (1..=spec.flows()).map(FlowId) {
        let flow = if datagrams {
            let flow = open_answered(connection.as_ref(), hello, id, &spec);
            let flow = tokio::time::timeout(patience, flow).await;
            flow.unwrap_or_else(|_| {
                Err(format!("stream {}: no reply within {patience:?}; {LOST_WORD}", id.0))
            })
        } else {
            open(connection.as_ref(), hello, id, &spec).await
        };
        flows.push(flow.map_err(failed)?);
    }
    Ok(Opened { flows, connection })
}

async fn connect(transport: &dyn Transport, peer: &Peer) -> Result<Box<dyn Connection>, Failure> {
    transport.connect(peer).await.map_err(|error| match error {
        Error::Unsupported { .. } => Failure::new(FailureCode::Unsupported, chain(&error)),
        // The address stands before the reason; saying it twice tells no more.
        Error::Connect { addr, source } => failure(transport, addr, &source.to_string()),
        other => failure(transport, peer.addr, &chain(&other)),
    })
}

/// Opens a stream of datagrams, and waits for the server's reply.
///
/// The word is sent once, for a server takes a second one for another stream, or for data; unless the
/// server's system says that nobody has heard it. Some servers do not listen for a moment after each
/// stream.
async fn open_answered(
    connection: &dyn Connection,
    hello: Hello<'_>,
    id: FlowId,
    spec: &TestSpec,
) -> Result<Flow, String> {
    loop {
        let mut flow = open(connection, hello, id, spec).await?;
        match reply(flow.stream.recv.as_mut()).await {
            Ok(()) => return Ok(flow),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep(DEAF).await;
            }
            Err(error) => return Err(format!("stream {}: {error}; {LOST_WORD}", id.0)),
        }
    }
}

pub(super) async fn open(
    connection: &dyn Connection,
    hello: Hello<'_>,
    id: FlowId,
    spec: &TestSpec,
) -> Result<Flow, String> {
    let role = spec.role(Side::Client, id).ok_or("no such stream")?;
    let stream: Result<Stream, _> = connection.open(hello).await;
    let stream = stream.map_err(|error| format!("stream {}: {}", id.0, chain(&error)))?;
    Ok(Flow { id, role, stream })
}

/// Waits for the server's reply. A server that sends may be ahead of it: what comes before it, and
/// together with it, is of no test that has begun.
async fn reply(half: &mut dyn RecvHalf) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAMS];
    loop {
        let Some(received) = poll_fn(|cx| half.poll_recv(cx, &mut buffer)).await? else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other end"));
        };
        let mut datagrams = buffer[..received.len].chunks(received.stride.max(1));
        if datagrams.any(Connect::is_reply) {
            return Ok(());
        }
    }
}

pub(super) fn failure(transport: &dyn Transport, addr: SocketAddr, what: &str) -> Failure {
    let text = format!("cannot open streams to {addr} with {}: {what}", transport.name());
    Failure::new(FailureCode::Connect, text)
}

/// Room for the longest datagram.
const DATAGRAMS: usize = 64 << 10;
/// How long a server that did not listen is given before the next word.
const DEAF: Duration = Duration::from_millis(5);
const LOST_WORD: &str =
    "a datagram was lost, or a firewall does not let the port through; try again";

#[cfg(test)]
mod tests;
