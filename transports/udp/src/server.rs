use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use polyperf_socket::{Arrival, Flow, Judgement, PortCounts, PortShare, Protocol};
use polyperf_transport::{
    AcceptError, Gate, Hello, Listener, Opening, Stream, Verdict, async_trait,
};
use tokio::sync::mpsc;

use crate::{
    NAME,
    packet::{Baker, Id, Packet},
    stream::{Sieve, stream},
};

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
    gate: Arc<dyn Gate>,
    baker: Baker,
    since: Instant,
    accepted: mpsc::Sender<Result<Stream, AcceptError>>,
}

impl Doorkeeper {
    /// Returns one that hands what `gate` lets in over to `accepted`.
    pub(crate) fn new(
        gate: Arc<dyn Gate>,
        accepted: mpsc::Sender<Result<Stream, AcceptError>>,
        now: Instant,
    ) -> Self {
        Self { gate, baker: Baker::new(rand::random()), since: now, accepted }
    }

    fn judge_open(&self, arrival: &Arrival<'_>, opening: Attempt<'_>) -> Judgement {
        let Attempt { id, cookie, hello } = opening;
        if arrival.ended == Some(id) {
            return Judgement::Drop;
        }
        let address = address(arrival.peer);
        let epoch = self.since.elapsed().as_secs() / EPOCH.as_secs();
        let proven = self.baker.knows(&cookie, &address, &id, hello, epoch);
        let opening = Opening { peer: arrival.peer, hello: Hello::Own(hello), proven };
        match self.gate.admit(&opening) {
            Verdict::Accept => Judgement::Open(id),
            Verdict::Challenge if !proven => {
                let cookie = self.baker.bake(&address, &id, hello, epoch);
                Judgement::Answer(Packet::Challenge { id, cookie }.encode())
            }
            Verdict::Challenge | Verdict::Refuse => Judgement::Drop,
        }
    }

    fn judge_bare(&self, arrival: &Arrival<'_>) -> Judgement {
        let hello = Hello::Bare(arrival.bytes);
        match self.gate.admit(&Opening { peer: arrival.peer, hello, proven: false }) {
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
        match Packet::parse(arrival.bytes) {
            Some(Packet::Open { id, cookie, hello }) => {
                self.judge_open(arrival, Attempt { id, cookie, hello })
            }
            Some(Packet::Challenge { .. } | Packet::Accept { .. }) => Judgement::Drop,
            None if arrival.bytes.len() <= LONGEST_WORD => self.judge_bare(arrival),
            None => Judgement::Foreign,
        }
    }

    fn opened(&self, flow: Flow, arrival: &Arrival<'_>) {
        let endpoint = Arc::clone(flow.endpoint());
        let opened = match Packet::parse(arrival.bytes) {
            Some(Packet::Open { id, hello, .. }) => {
                let accept = Packet::Accept { id }.encode();
                endpoint.send_now(&accept);
                let sieve = Sieve::Server { id, hello: hello.into(), accept: accept.into() };
                let attending = (Arc::clone(&endpoint), sieve.clone());
                let keep = move |datagram: &[u8]| attending.1.keeps(datagram, &attending.0);
                let halves = flow.into_attended_halves(hello, ATTENDANCE, keep);
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

#[derive(Debug, Clone, Copy)]
struct Attempt<'a> {
    id: Id,
    cookie: [u8; 16],
    hello: &'a [u8],
}

/// Returns the bytes by which a cookie knows an address.
fn address(peer: SocketAddr) -> [u8; 18] {
    let ip = match peer.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&peer.port().to_be_bytes());
    bytes
}

/// How long cookies are made alike; they are good for one to two of these.
const EPOCH: Duration = Duration::from_secs(8);

/// For how long a client that has not heard of its acceptance asks again.
const ATTENDANCE: Duration = Duration::from_secs(6);

/// The longest datagram that is shown to the gate as a bare word.
const LONGEST_WORD: usize = 64;
