use std::{
    future::pending,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
    sync::Arc,
    time::Instant,
};

use quinn_udp::RecvMeta;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use super::{
    AFTER_ERROR, Arrival, Flow, Judgement, Lease, Origin, Parcel, Protocol, Stray, Tag,
    counts::{add, count},
    is_quic, plain,
    ports::Port,
    shared::{Shared, datagrams},
    table::Entry,
};
use crate::{DatagramSocket, Endpoint, MAX_TRAIN, canonical, wait};

/// Finds whose each datagram is that comes to a port's own socket: those that it reads, or if QUIC
/// does, those that QUIC hands over.
#[derive(Debug)]
pub(super) struct Dispatcher {
    /// While it reads, and not when QUIC does, so that what comes for QUIC wakes nobody else.
    watched: Option<AsyncFd<UdpSocket>>,
    strays: mpsc::Sender<Stray>,
    /// Dropped after what watches its socket.
    port: Arc<Port>,
}

impl Dispatcher {
    pub(super) fn new(
        port: Arc<Port>,
        watched: Option<AsyncFd<UdpSocket>>,
        strays: mpsc::Sender<Stray>,
    ) -> Self {
        Self { watched, strays, port }
    }

    /// Works for as long as there is a protocol, or a flow that may need it.
    pub(super) async fn run(mut self, mut found: mpsc::Receiver<Stray>) {
        let mut bufs = vec![vec![0; MAX_TRAIN]; BATCH];
        let mut metas = [RecvMeta::default(); BATCH];
        while self.is_needed() {
            if self.share_reading().is_err() {
                self.rest().await;
                continue;
            }
            loop {
                let received = tokio::select! {
                    () = self.shared().changed.notified() => break,
                    Some(stray) = found.recv() => {
                        self.take(&stray);
                        continue;
                    }
                    received = self.receive(&mut bufs, &mut metas) => received,
                };
                let Ok(received) = received else {
                    // What one peer's ICMP says must not end the port for all others.
                    self.rest().await;
                    continue;
                };
                for (buf, meta) in bufs.iter().zip(&metas).take(received) {
                    self.route(meta.into(), &buf[..meta.len], meta.stride);
                }
            }
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.port.shared
    }

    /// Returns whether there is anything to work for; if not, it has left its desk.
    fn is_needed(&self) -> bool {
        let mut state = self.shared().state();
        let flows = state.table.len() > 0;
        let strays_may_come = !self.port.options.own_sockets || state.quic.is_some();
        let needed = !state.protocols.is_empty() || flows && strays_may_come;
        if !needed {
            state.desk = None;
        }
        needed
    }

    /// Reads the socket from here on, unless QUIC does.
    fn share_reading(&mut self) -> io::Result<()> {
        let quic_reads = self.shared().state().quic.is_some();
        if quic_reads {
            self.watched = None;
        } else if self.watched.is_none() {
            self.watched = Some(wait::watch(&self.port.socket, Interest::READABLE)?);
        }
        Ok(())
    }

    async fn rest(&self) {
        count(&self.shared().counts.errors);
        tokio::time::sleep(AFTER_ERROR).await;
    }

    fn take(&self, stray: &Stray) {
        let Stray { origin, parcel, asked } = stray;
        self.route(*origin, &parcel.bytes, parcel.stride);
        if *asked {
            self.shared().found_out(plain(origin.source));
        }
    }

    async fn receive(
        &self,
        bufs: &mut [Vec<u8>],
        metas: &mut [RecvMeta; BATCH],
    ) -> io::Result<usize> {
        let Some(watched) = &self.watched else { return pending().await };
        let socket = &self.port.socket;
        let mut bufs: Vec<_> = bufs.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        loop {
            let mut readable = watched.readable().await?;
            if let Ok(received) = readable.try_io(|_| socket.try_recv(&mut bufs, metas)) {
                return received;
            }
        }
    }

    /// Gives datagrams to the flow that their source has, or to QUIC, or else lets the protocols
    /// judge each.
    fn route(&self, origin: Origin, bytes: &[u8], stride: usize) {
        let counts = &self.shared().counts;
        if bytes.is_empty() {
            return count(&counts.empty);
        }
        let (source, stride) = (plain(origin.source), stride.clamp(1, bytes.len()));
        for (index, message) in bytes.chunks(stride).enumerate() {
            let rest = &bytes[index * stride..];
            let mut state = self.shared().state();
            if let Some(entry) = state.table.get(source).cloned() {
                drop(state);
                return self.pass_on(&entry, &origin, rest, stride);
            }
            let ended = state.table.ended(source, Instant::now());
            let quic = state.quic.clone().filter(|_| ended.is_none() && is_quic(message[0]));
            let protocols = Arc::clone(&state.protocols);
            drop(state);
            if let Some(quic) = quic {
                return self.inject(&quic, origin, rest, stride);
            }
            let (peer, destination) = (canonical(source), origin.destination);
            let arrival = Arrival { peer, destination, bytes: message, ended };
            self.treat(&protocols, source, &arrival);
        }
    }

    fn pass_on(&self, entry: &Entry, origin: &Origin, bytes: &[u8], stride: usize) {
        let (counts, datagrams) = (&self.shared().counts, datagrams(bytes, stride));
        let parcel = Parcel::new(bytes, stride).with(origin.ecn);
        if entry.inbox.try_send(parcel).is_ok() {
            return add(&counts.passed_on, datagrams);
        }
        add(&counts.overflowed, datagrams);
        if let Some(endpoint) = entry.endpoint.upgrade() {
            add(&endpoint.traffic().overflowed, datagrams);
        }
    }

    fn inject(&self, quic: &mpsc::Sender<Stray>, origin: Origin, bytes: &[u8], stride: usize) {
        let counts = &self.shared().counts;
        let stray = Stray { origin, parcel: Parcel::new(bytes, stride), asked: false };
        let counter = match quic.try_send(stray) {
            Ok(()) => &counts.injected,
            Err(_) => &counts.injections_overflowed,
        };
        add(counter, datagrams(bytes, stride));
    }

    fn treat(&self, protocols: &[Arc<dyn Protocol>], source: SocketAddr, arrival: &Arrival<'_>) {
        let counts = &self.shared().counts;
        for protocol in protocols {
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
            return count(&self.shared().counts.refused);
        }
        // If it is lost here, it could have been lost on the way.
        let _ = self.port.socket.try_send_to(answer, source, arrival.destination);
        count(&self.shared().counts.answered);
    }

    fn open(&self, protocol: &dyn Protocol, source: SocketAddr, tag: Tag, arrival: &Arrival<'_>) {
        let counts = &self.shared().counts;
        if !self.shared().state().table.admit(Instant::now()) {
            return count(&counts.limited);
        }
        let endpoint = match self.endpoint(source, arrival.destination) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                count(&counts.failed);
                return protocol.failed(error);
            }
        };
        let lease = Lease::new(self.shared(), source);
        let endpoint = Arc::new(endpoint.with_lease(lease));
        let inbox = mpsc::channel(QUEUE);
        let entry = Entry { tag, inbox: inbox.0.clone(), endpoint: Arc::downgrade(&endpoint) };
        self.shared().state().table.insert(source, entry);
        count(&counts.opened);
        protocol.opened(Flow { endpoint, inbox, strays: self.strays.clone() }, arrival);
    }

    fn endpoint(&self, source: SocketAddr, destination: Option<IpAddr>) -> io::Result<Endpoint> {
        let port = &self.port;
        if !port.options.own_sockets {
            let socket = Arc::clone(&port.socket);
            return Ok(Endpoint::shared(socket, port.local, source, destination));
        }
        let connect = |local: SocketAddr| {
            let socket = port.sockets.udp_beside(local)?;
            socket.connect(source)?;
            Ok::<_, io::Error>(socket)
        };
        let mut socket = connect(port.local)?;
        // Left to itself, routing may choose another source address than the one that was reached.
        if let Some(ip) = destination.filter(|ip| !ip.is_multicast())
            && socket.local_addr()?.ip() != ip
        {
            drop(socket);
            socket = connect(at(ip, port.local.port(), source))?;
        }
        let socket = DatagramSocket::new(socket)?;
        socket.force_buffers(port.options.buffers)?;
        Endpoint::connected(socket)
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // Its runtime may end before its work does.
        let mut state = self.shared().state();
        if state.desk.as_ref().is_some_and(|desk| desk.is_of(&self.strays)) {
            state.desk = None;
        }
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

/// How many reads one call makes, at 64 KiB of memory each.
const BATCH: usize = 8;

/// How many parcels may wait for a flow.
const QUEUE: usize = 256;
