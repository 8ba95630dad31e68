use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use polyperf_socket::{
    Arrival, Door, Flow, Judgement, Packet, PortCounts, PortShare, Protocol, Sieve,
};
use polyperf_transport::{
    AcceptError, Gate, Hello, Listener, Opening, Stream, Verdict, async_trait,
};
use tokio::sync::mpsc;

use crate::{NAME, PREFIX, stream::stream};

/// A UDP port that accepts flows.
#[derive(Debug)]
pub struct UdpListener {
    port: PortShare,
    accepted: mpsc::Receiver<Result<Stream, AcceptError>>,
}

impl UdpListener {
    pub(crate) fn new(
        port: PortShare,
        accepted: mpsc::Receiver<Result<Stream, AcceptError>>,
    ) -> Self {
        Self { port, accepted }
    }

    /// Returns what has been opened and dropped so far.
    #[must_use]
    pub fn counts(&self) -> PortCounts {
        self.port.counts()
    }
}

#[async_trait]
impl Listener for UdpListener {
    fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    fn identity(&self) -> Option<String> {
        None
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let closed = || AcceptError::Closed(io::ErrorKind::BrokenPipe.into());
        self.accepted.recv().await.ok_or_else(closed)?
    }
}

/// Judges what comes from sources without a flow.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    door: Door,
    accepted: mpsc::Sender<Result<Stream, AcceptError>>,
}

impl Doorkeeper {
    /// Returns one that hands what `gate` lets in over to `accepted`.
    pub(crate) fn new(
        gate: Arc<dyn Gate>,
        accepted: mpsc::Sender<Result<Stream, AcceptError>>,
        now: Instant,
    ) -> Self {
        Self { door: Door::new(PREFIX, gate, now), accepted }
    }

    fn judge_bare(&self, arrival: &Arrival<'_>) -> Judgement {
        let hello = Hello::Bare(arrival.bytes);
        match self.door.gate().admit(&Opening { peer: arrival.peer, hello, proven: false }) {
            Verdict::Accept => Judgement::Open([0; 16]),
            // It may be another protocol's.
            Verdict::Challenge | Verdict::Refuse => Judgement::Foreign,
        }
    }
}

impl Protocol for Doorkeeper {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        match self.door.judge(arrival) {
            Some(judgement) => judgement,
            None if arrival.bytes.len() <= LONGEST_WORD => self.judge_bare(arrival),
            None => Judgement::Foreign,
        }
    }

    fn opened(&self, flow: Flow, arrival: &Arrival<'_>) {
        let opened = match Packet::parse(PREFIX, arrival.bytes) {
            Some(Packet::Open { id, hello, .. }) => {
                let (halves, sieve) = flow.open(PREFIX, id, hello, hello);
                stream(halves, sieve)
            }
            _ => stream(flow.into_halves(arrival.bytes), Sieve::Open),
        };
        // Where nobody accepts any more, the flow ends here.
        let _ = self.accepted.try_send(Ok(opened));
    }

    fn failed(&self, error: io::Error) {
        // If nobody has heard of the last failure yet, this one says nothing new.
        let _ = self.accepted.try_send(Err(AcceptError::Exhausted(error)));
    }
}

/// The longest datagram that is shown to the gate as a bare word.
const LONGEST_WORD: usize = 64;
