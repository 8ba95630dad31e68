//! The end that connects.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use polyperf_socket::nth_port;
use polyperf_transport::{Connection, Error, Hello, Home, Peer, Stream, async_trait};
use quinn::{ReadError, ReadExactError, RecvStream};

use crate::{
    Kind, PERF, Shared,
    datagram::{self, Demux},
    error::describe,
    leg::{Leg, Plan},
    options::Options,
    path::QuicPath,
    stream::{DROPPED, QuicRecv, QuicSend, read_error, write_error},
};

/// Connections to one listener, over which streams are spread.
#[derive(Debug)]
pub(crate) struct QuicConnection {
    kind: Kind,
    addr: SocketAddr,
    legs: Vec<(Leg, Arc<Demux>)>,
    opened: AtomicUsize,
}

impl QuicConnection {
    pub(crate) async fn establish(
        shared: Arc<Shared>,
        kind: Kind,
        peer: &Peer,
    ) -> Result<Self, Error> {
        let options = Options::new(&peer.tuning, kind.transport())?;
        let protocol = protocol(kind, peer)?;
        let establish = async {
            let host = peer.name.clone().unwrap_or_else(|| peer.addr.ip().to_string());
            let told = peer.told.as_deref().map(str::parse).transpose();
            let told = told.map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("what was told of it: {error}"))
            })?;
            let known = shared.tls.peer(&host, peer.addr.port(), told)?;
            let plan = Plan {
                shared,
                kind,
                addr: peer.addr,
                local: peer.local,
                options,
                protocol,
                peer: known,
                mark: peer.mark,
                prepared: None,
            };
            legs(&plan).await
        };
        let legs = establish
            .await
            .map_err(|source: io::Error| Error::Connect { addr: peer.addr, source })?;
        let legs = legs
            .into_iter()
            .map(|leg| {
                let demux = Arc::new(Demux::new(leg.carried.connection.clone()));
                (leg, demux)
            })
            .collect();
        Ok(Self { kind, addr: peer.addr, legs, opened: AtomicUsize::new(0) })
    }

    async fn open_on(&self, leg: &Leg, demux: &Arc<Demux>, hello: Hello<'_>) -> io::Result<Stream> {
        let connection = &leg.carried.connection;
        let (mut send, mut recv) = connection.open_bi().await.map_err(describe)?;
        let first: Vec<u8> = match hello {
            Hello::Own(hello) => [&[OPENING], hello].concat(),
            Hello::Bare(hello) => hello.to_vec(),
        };
        send.write_all(&first).await.map_err(write_error)?;
        if matches!(hello, Hello::Own(_)) {
            if self.kind == Kind::Datagrams {
                // Nothing else comes over the stream, and the hello ends with it.
                let _ = send.finish();
            }
            taken(&mut recv).await?;
            leg.replied();
        }
        let carried = &leg.carried;
        let path = Arc::new(QuicPath::new(Arc::clone(carried)));
        let home = Some(Arc::clone(&leg.home) as Arc<dyn Home>);
        let (local, peer) = (leg.local, self.addr);
        Ok(match self.kind {
            Kind::Streams => Stream {
                send: Box::new(QuicSend::new(send, Arc::clone(carried), None)),
                recv: Box::new(QuicRecv::new(recv, Arc::clone(carried), None)),
                local,
                peer,
                path,
                home,
                early: false,
            },
            Kind::Datagrams => {
                let (send, recv) =
                    datagram::halves(demux, Arc::clone(carried), (send, recv), None, None);
                Stream {
                    send: Box::new(send),
                    recv: Box::new(recv),
                    local,
                    peer,
                    path,
                    home,
                    early: false,
                }
            }
        })
    }
}

#[async_trait]
impl Connection for QuicConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let nth = self.opened.fetch_add(1, Relaxed);
        let (leg, demux) = &self.legs[nth % self.legs.len()];
        let open = async {
            match self.open_on(leg, demux, hello).await {
                // What was sent ahead of the handshake is lost, and is said again.
                Err(_) if leg.was_rejected().await => self.open_on(leg, demux, hello).await,
                result => result,
            }
            .map_err(|error| leg.refusal().unwrap_or(error))
        };
        let opened = tokio::time::timeout(OPENING_LIMIT, open).await.unwrap_or_else(|_| {
            let text = format!("the listener took no stream within {} s", OPENING_LIMIT.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        });
        opened.map_err(|source| Error::Connect { addr: self.addr, source })
    }

    async fn close(&self) {
        for (leg, _) in &self.legs {
            leg.close().await;
        }
    }
}

/// Waits until the listener has taken the stream, be it to drop it at once.
async fn taken(recv: &mut RecvStream) -> io::Result<()> {
    match recv.read_exact(&mut [0]).await {
        Ok(()) | Err(ReadExactError::ReadError(ReadError::Reset(DROPPED))) => Ok(()),
        Err(ReadExactError::ReadError(error)) => Err(read_error(error)),
        Err(ReadExactError::FinishedEarly(_)) => Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "the listener has not taken the stream",
        )),
    }
}

fn protocol(kind: Kind, peer: &Peer) -> Result<Vec<u8>, Error> {
    match peer.protocol.as_deref() {
        None => Ok(kind.protocol().to_vec()),
        Some(PERF) if kind == Kind::Streams => Ok(PERF.into()),
        Some(other) => Err(Error::Unsupported {
            transport: kind.transport(),
            option: format!("the protocol {other}"),
            reason: "it has its own, and over streams perf".to_owned(),
        }),
    }
}

/// Connects as often as the plan says. Connections that resume follow one another, since each uses
/// up a session, and those that need one first get it by a connection that is then closed.
async fn legs(plan: &Plan) -> io::Result<Vec<Leg>> {
    let mut legs = Vec::new();
    let sessions = plan.peer.sessions(&plan.protocol);
    for nth in 0..plan.options.connections {
        let nth = u16::try_from(nth).unwrap_or(u16::MAX);
        let local = plan.local.map(|local| nth_port(local, nth)).transpose()?;
        let mut plan = Plan { local, ..plan.clone() };
        if plan.options.resume && sessions.is_empty() {
            let began = Instant::now();
            let first = Leg::establish(&Plan { mark: None, ..plan.clone() }, false).await?;
            sessions.wait(TICKET).await;
            first.close().await;
            plan.prepared = Some(began.elapsed());
        }
        legs.push(Leg::establish(&plan, plan.options.zero_rtt).await?);
    }
    Ok(legs)
}

/// What a stream's first byte is, ahead of the hello; and what the listener answers to it.
pub(crate) const OPENING: u8 = 1;

/// How long the listener may take to answer.
const OPENING_LIMIT: Duration = Duration::from_secs(10);

/// How long a server may take to send what a later connection can resume.
const TICKET: Duration = Duration::from_secs(2);
