use std::{
    future::pending,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use polyperf_transport::Sockets;
use quinn_udp::RecvMeta;
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
};

use super::{
    Arrival, Flow, Judgement, Lease, Parcel, PortOptions, Protocol, Shared, Stray, Tag,
    counts::count, table::Entry,
};
use crate::{DatagramSocket, Endpoint, MAX_TRAIN, canonical};

/// Reads the shared socket of a port, and finds whose each datagram is.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) socket: Arc<DatagramSocket>,
    pub(super) watched: AsyncFd<UdpSocket>,
    pub(super) sockets: Arc<dyn Sockets>,
    /// As the kernel writes it.
    pub(super) local: SocketAddr,
    pub(super) options: PortOptions,
    pub(super) protocols: Vec<Arc<dyn Protocol>>,
    pub(super) shared: Arc<Shared>,
    pub(super) strays: mpsc::Sender<Stray>,
}

impl Dispatcher {
    /// Works until the port is closed, and for as long after that as flows have no other socket.
    pub(super) async fn run(
        mut self,
        mut strays: mpsc::Receiver<Stray>,
        mut closed: oneshot::Receiver<()>,
    ) {
        let mut bufs = vec![vec![0; MAX_TRAIN]; BATCH];
        let mut metas = [RecvMeta::default(); BATCH];
        let mut open = true;
        while open || self.is_needed() {
            let received = tokio::select! {
                () = closing(&mut closed, open) => {
                    open = false;
                    self.protocols.clear();
                    continue;
                }
                () = self.shared.idle.notified(), if !open => continue,
                Some(stray) = strays.recv() => {
                    let Stray { source, destination, parcel } = stray;
                    self.route(source, destination, &parcel.bytes, parcel.stride);
                    continue;
                }
                received = self.receive(&mut bufs, &mut metas) => received,
            };
            match received {
                Ok(received) => {
                    for (buf, meta) in bufs.iter().zip(&metas).take(received) {
                        self.route(meta.addr, meta.dst_ip, &buf[..meta.len], meta.stride);
                    }
                }
                Err(_) => {
                    // What one peer's ICMP says must not end the port for all others.
                    count(&self.shared.counts.errors);
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    async fn receive(
        &self,
        bufs: &mut [Vec<u8>],
        metas: &mut [RecvMeta; BATCH],
    ) -> io::Result<usize> {
        let mut bufs: Vec<_> = bufs.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        loop {
            let mut readable = self.watched.readable().await?;
            if let Ok(received) = readable.try_io(|_| self.socket.try_recv(&mut bufs, metas)) {
                return received;
            }
        }
    }

    fn is_needed(&self) -> bool {
        !self.options.own_sockets && self.shared.table().len() > 0
    }

    /// Gives datagrams to the flow that their source has, or else lets the protocols judge each.
    fn route(&self, source: SocketAddr, destination: Option<IpAddr>, bytes: &[u8], stride: usize) {
        let source = plain(source);
        let counts = &self.shared.counts;
        if bytes.is_empty() {
            return count(&counts.empty);
        }
        let stride = stride.clamp(1, bytes.len());
        for (index, message) in bytes.chunks(stride).enumerate() {
            let entry = self.shared.table().get(source).cloned();
            if let Some(entry) = entry {
                return self.pass_on(&entry, &bytes[index * stride..], stride);
            }
            let ended = self.shared.table().ended(source, Instant::now());
            let peer = canonical(source);
            self.treat(source, &Arrival { peer, destination, bytes: message, ended });
        }
    }

    fn pass_on(&self, entry: &Entry, bytes: &[u8], stride: usize) {
        let datagrams = bytes.len().div_ceil(stride) as u64;
        if entry.inbox.try_send(Parcel::new(bytes, stride)).is_ok() {
            self.shared.counts.passed_on.fetch_add(datagrams, Relaxed);
            return;
        }
        self.shared.counts.overflowed.fetch_add(datagrams, Relaxed);
        if let Some(endpoint) = entry.endpoint.upgrade() {
            endpoint.traffic().overflowed.fetch_add(datagrams, Relaxed);
        }
    }

    fn treat(&self, source: SocketAddr, arrival: &Arrival<'_>) {
        let counts = &self.shared.counts;
        for protocol in &self.protocols {
            match protocol.judge(arrival) {
                Judgement::Foreign => continue,
                Judgement::Taken => {}
                Judgement::Drop if arrival.ended.is_some() => count(&counts.ended),
                Judgement::Drop => count(&counts.refused),
                Judgement::Answer(answer) => self.answer(source, arrival, &answer),
                Judgement::Open(tag) => self.open(&**protocol, source, tag, arrival),
            }
            return;
        }
        count(if arrival.ended.is_some() { &counts.ended } else { &counts.unknown });
    }

    fn answer(&self, source: SocketAddr, arrival: &Arrival<'_>, answer: &[u8]) {
        if answer.len() > arrival.bytes.len() {
            return count(&self.shared.counts.refused);
        }
        // If it is lost here, it could have been lost on the way.
        let _ = self.socket.try_send_to(answer, source, arrival.destination);
        count(&self.shared.counts.answered);
    }

    fn open(&self, protocol: &dyn Protocol, source: SocketAddr, tag: Tag, arrival: &Arrival<'_>) {
        let counts = &self.shared.counts;
        if !self.shared.table().admit(Instant::now()) {
            return count(&counts.limited);
        }
        let endpoint = match self.endpoint(source, arrival.destination) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                count(&counts.failed);
                return protocol.failed(error);
            }
        };
        let lease = Lease { shared: Arc::clone(&self.shared), source };
        let endpoint = Arc::new(endpoint.with_lease(lease));
        let inbox = mpsc::channel(QUEUE);
        let entry = Entry { tag, inbox: inbox.0.clone(), endpoint: Arc::downgrade(&endpoint) };
        self.shared.table().insert(source, entry);
        count(&counts.opened);
        protocol.opened(Flow { endpoint, inbox, strays: self.strays.clone() }, arrival);
    }

    fn endpoint(&self, source: SocketAddr, destination: Option<IpAddr>) -> io::Result<Endpoint> {
        if !self.options.own_sockets {
            let socket = Arc::clone(&self.socket);
            return Ok(Endpoint::shared(socket, self.local, source, destination));
        }
        let connect = |local: SocketAddr| {
            let socket = self.sockets.udp_beside(local)?;
            socket.connect(source)?;
            Ok::<_, io::Error>(socket)
        };
        let mut socket = connect(self.local)?;
        // Left to itself, routing may choose another source address than the one that was reached.
        if let Some(ip) = destination.filter(|ip| !ip.is_multicast())
            && socket.local_addr()?.ip() != ip
        {
            drop(socket);
            socket = connect(at(ip, self.local.port(), source))?;
        }
        let socket = DatagramSocket::new(socket)?;
        socket.force_buffers(self.options.buffers)?;
        Endpoint::connected(socket)
    }
}

async fn closing(closed: &mut oneshot::Receiver<()>, open: bool) {
    if open {
        // Nothing is ever sent: it ends when the port is dropped.
        let _ = closed.await;
    } else {
        pending().await
    }
}

/// Returns an address of this host, in the scope in which it was reached by `peer`.
fn at(ip: IpAddr, port: u16, peer: SocketAddr) -> SocketAddr {
    match (ip, peer) {
        (IpAddr::V6(ip), SocketAddr::V6(peer)) => {
            SocketAddrV6::new(ip, port, 0, peer.scope_id()).into()
        }
        _ => SocketAddr::new(ip, port),
    }
}

/// Returns an address without its flow label, which may change while the peer stays the same.
fn plain(mut source: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(source) = &mut source {
        source.set_flowinfo(0);
    }
    source
}

/// How many reads one call makes, at 64 KiB of memory each.
const BATCH: usize = 8;

/// How many parcels may wait for a flow.
const QUEUE: usize = 256;

/// Long enough that an error that stays does not take a processor.
const AFTER_ERROR: Duration = Duration::from_millis(1);
