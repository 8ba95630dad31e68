//! An in-process network: who listens where, and what runs between.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use polyperf_transport::{Delivery, Stream};
use tokio::sync::{mpsc, watch};

use crate::{
    link::{LinkConfig, LinkStats},
    stream::{Side, Wire},
};

/// A network inside this process. Clones are the same network.
///
/// Each stream runs over links of its own, one each way, made by the network's plan with a seed
/// that depends on the plan's seed, the direction, and how many streams were opened before.
#[derive(Debug, Clone)]
pub struct Network(Arc<Shared>);

impl Network {
    /// Returns a network whose streams run over links like `link`, both ways.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        Self::asymmetric(link.clone(), link)
    }

    /// Returns a network that carries everything at once, as it came.
    #[must_use]
    pub fn perfect() -> Self {
        Self::new(LinkConfig::perfect())
    }

    /// Returns a network whose streams run over one kind of link towards the listener, and over
    /// another towards whoever connected.
    #[must_use]
    pub fn asymmetric(to_listener: LinkConfig, to_connector: LinkConfig) -> Self {
        Self(Arc::new(Shared {
            plan: [to_listener, to_connector],
            state: Mutex::new(State::default()),
            cut: watch::Sender::new(false),
        }))
    }

    /// Cuts every cable: nothing crosses any more, in either direction, and nobody is told.
    ///
    /// What is on its way is lost; a reliable stream carries it once more after
    /// [`heal`](Self::heal). Whoever connects meanwhile waits.
    pub fn cut(&self) {
        self.set_cut(true);
    }

    /// Mends every cable, also those that were cut one by one.
    pub fn heal(&self) {
        self.set_cut(false);
    }

    /// Returns the cable of the stream that was opened from `local`, while either end is held.
    #[must_use]
    pub fn cable(&self, local: SocketAddr) -> Option<Cable> {
        let state = self.state();
        [Kind::Bytes, Kind::Messages]
            .iter()
            .find_map(|kind| state.wires.get(&(*kind, local))?.upgrade())
            .map(Cable)
    }

    /// Listens on `addr`; each stream opened to it comes out of the receiver.
    pub(crate) fn listen(
        &self,
        kind: Kind,
        mut addr: SocketAddr,
    ) -> io::Result<(SocketAddr, mpsc::Receiver<Stream>)> {
        let mut state = self.state();
        if addr.port() == 0 {
            addr = state.free_port(kind, addr)?;
        }
        if state.is_taken(kind, addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, receiver) = mpsc::channel(BACKLOG);
        state.listeners.insert((kind, addr), sender);
        Ok((addr, receiver))
    }

    pub(crate) fn stop_listening(&self, kind: Kind, addr: SocketAddr) {
        let stopped = self.state().listeners.remove(&(kind, addr));
        // Streams that nobody accepted go with it, and take locks of their own.
        drop(stopped);
    }

    /// Waits until the cables are whole, and says whether anybody listens on `addr`.
    pub(crate) async fn reach(&self, kind: Kind, addr: SocketAddr) -> io::Result<()> {
        self.whole().await;
        self.state().listener(kind, addr).map(drop)
    }

    /// Opens a stream to `addr` once the cables are whole, and hands the other end to the listener.
    /// That end receives `ahead` before anything else.
    pub(crate) async fn open(&self, plan: &StreamPlan, ahead: &[u8]) -> io::Result<Stream> {
        loop {
            self.whole().await;
            let Some((stream, accepted, listener)) = self.try_open(plan, ahead)? else { continue };
            return match listener.send(accepted).await {
                Ok(()) => Ok(stream),
                Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            };
        }
    }

    /// Opens a stream; `None` if the cables were cut a moment ago.
    fn try_open(
        &self,
        plan: &StreamPlan,
        ahead: &[u8],
    ) -> io::Result<Option<(Stream, Stream, Accepted)>> {
        let mut state = self.state();
        if *self.0.cut.borrow() {
            return Ok(None);
        }
        let kind = Kind::of(plan.delivery);
        let listener = state.listener(kind, plan.peer)?;
        let local = match plan.local {
            local if local.port() == 0 => state.free_port(kind, local)?,
            local if state.is_taken(kind, local) => return Err(io::ErrorKind::AddrInUse.into()),
            local => local,
        };
        let wire = Arc::new(Wire::new(self.links(state.opened), plan.delivery, plan.window));
        state.add_wire((kind, local), Arc::downgrade(&wire));
        let here = wire.end(Side::Client, local, plan.peer, &[]);
        let there = wire.end(Side::Server, plan.peer, local, ahead);
        Ok(Some((here, there, listener)))
    }

    /// Returns the links of the n-th stream.
    fn links(&self, stream: u64) -> [LinkConfig; 2] {
        let mut number = 2 * stream;
        self.0.plan.clone().map(|link| {
            // Not the constant by which seeds are spread into generators, or streams would overlap.
            let seed = link.seed.wrapping_add(number.wrapping_mul(0xD134_2543_DE82_EF95));
            number += 1;
            link.seed(seed)
        })
    }

    fn set_cut(&self, cut: bool) {
        let wires: Vec<_> = {
            let state = self.state();
            self.0.cut.send_replace(cut);
            state.wires.values().filter_map(Weak::upgrade).collect()
        };
        for wire in wires {
            wire.set_cut(cut);
        }
    }

    async fn whole(&self) {
        let mut cut = self.0.cut.subscribe();
        // Fails only if the network were gone, and `self` holds it.
        let _ = cut.wait_for(|cut| !cut).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one stream runs over, for tests that cut it or look at it.
#[derive(Debug, Clone)]
pub struct Cable(Arc<Wire>);

impl Cable {
    /// Cuts this cable alone; see [`Network::cut`].
    pub fn cut(&self) {
        self.0.set_cut(true);
    }

    /// Mends it.
    pub fn heal(&self) {
        self.0.set_cut(false);
    }

    /// Returns what became of the packets towards the listener.
    ///
    /// A reliable stream does without packets on a perfect link, and then there are none.
    #[must_use]
    pub fn to_listener(&self) -> LinkStats {
        self.0.to_server.lock().carrier.link_stats()
    }

    /// Returns what became of the packets towards whoever connected.
    #[must_use]
    pub fn to_connector(&self) -> LinkStats {
        self.0.to_client.lock().carrier.link_stats()
    }
}

/// A stream to be opened.
#[derive(Debug)]
pub(crate) struct StreamPlan {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) delivery: Delivery,
    pub(crate) window: NonZeroUsize,
}

/// Streams of bytes and of messages have ports of their own, as TCP and UDP do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Bytes,
    Messages,
}

impl Kind {
    pub(crate) fn of(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Bytes => Self::Bytes,
            Delivery::Messages { .. } => Self::Messages,
        }
    }
}

#[derive(Debug)]
struct Shared {
    /// Links towards the listener, and towards whoever connected.
    plan: [LinkConfig; 2],
    state: Mutex<State>,
    /// Changed under the lock of `state`, so that no stream opens over a cut cable.
    cut: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    listeners: HashMap<(Kind, SocketAddr), Accepted>,
    wires: HashMap<(Kind, SocketAddr), Weak<Wire>>,
    opened: u64,
    /// How many wires there may be before dead ones are looked for.
    many_wires: usize,
    ports_given: u16,
}

impl State {
    fn add_wire(&mut self, key: (Kind, SocketAddr), wire: Weak<Wire>) {
        if self.wires.len() >= self.many_wires {
            self.wires.retain(|_, wire| wire.strong_count() > 0);
            self.many_wires = 64 + 2 * self.wires.len();
        }
        self.wires.insert(key, wire);
        self.opened += 1;
    }

    fn free_port(&mut self, kind: Kind, mut addr: SocketAddr) -> io::Result<SocketAddr> {
        for _ in FIRST_PORT..=u16::MAX {
            addr.set_port(FIRST_PORT + self.ports_given);
            self.ports_given = (self.ports_given + 1) % (u16::MAX - FIRST_PORT);
            if !self.is_taken(kind, addr) {
                return Ok(addr);
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }

    /// Returns the listener that `addr` reaches: the one there, or else one on every address.
    fn listener(&self, kind: Kind, addr: SocketAddr) -> io::Result<Accepted> {
        let any_v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), addr.port());
        let any_v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), addr.port());
        let candidates = [Some(addr), addr.is_ipv4().then_some(any_v4), Some(any_v6)];
        candidates
            .iter()
            .flatten()
            .find_map(|addr| self.listeners.get(&(kind, *addr)))
            .cloned()
            .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    fn is_taken(&self, kind: Kind, addr: SocketAddr) -> bool {
        let key = (kind, addr);
        self.listeners.contains_key(&key)
            || self.wires.get(&key).is_some_and(|wire| wire.strong_count() > 0)
    }
}

/// Where a listener is told of streams.
type Accepted = mpsc::Sender<Stream>;

/// Streams that wait to be accepted, before whoever opens another waits too.
const BACKLOG: usize = 1024;

/// The first of the ports that are given to whoever asks for none.
const FIRST_PORT: u16 = 49_152;
