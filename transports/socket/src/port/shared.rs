use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    time::Instant,
};

use tokio::sync::{Notify, mpsc};

use super::{
    Origin, Parcel, PortCounts, PortOptions, Protocol, Stray,
    counts::{Counts, add},
    is_quic, plain,
    table::Table,
};

/// What those who work on a port share with its flows, and with whoever asks for figures.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// How many sources the state knows: where there are none, nobody need lock it to ask.
    known: AtomicUsize,
    pub(super) counts: Counts,
    /// Tells the dispatcher that a flow has ended, or that somebody has come or gone.
    pub(super) changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) table: Table,
    /// In the order in which they joined.
    pub(super) protocols: Arc<[Arc<dyn Protocol>]>,
    /// The dispatcher's, while there is one.
    pub(super) desk: Option<Desk>,
    /// Where QUIC looks for what others found, while it has the port.
    pub(super) quic: Option<mpsc::Sender<Stray>>,
}

/// Where strays wait for the dispatcher.
#[derive(Debug)]
pub(super) struct Desk {
    strays: mpsc::Sender<Stray>,
    /// How many datagrams of each source wait until it is known whether they open a flow. Whatever
    /// the source sends meanwhile waits behind them, so that none overtakes.
    asked: HashMap<SocketAddr, usize>,
}

/// Whose something is that came to a port's own socket.
#[derive(Debug)]
enum Owner {
    Quic,
    /// The dispatcher knows, or finds out.
    Other {
        strays: mpsc::Sender<Stray>,
        asked: bool,
    },
    Nobody,
}

impl Shared {
    pub(super) fn new(options: &PortOptions) -> Self {
        let state = State {
            table: Table::new(options, Instant::now()),
            protocols: Arc::new([]),
            desk: None,
            quic: None,
        };
        Self {
            state: Mutex::new(state),
            known: AtomicUsize::new(0),
            counts: Counts::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> StateGuard<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        StateGuard { state, known: &self.known }
    }

    pub(super) fn read_counts(&self) -> PortCounts {
        self.counts.read(self.state().table.len())
    }

    /// Returns whether what QUIC has read from the port's socket is QUIC's: it looks like it, and
    /// nobody else has to do with its source. Anything else is handed to the dispatcher.
    pub(super) fn is_left_to_quic(&self, origin: Origin, bytes: &[u8], stride: usize) -> bool {
        let Some(&first) = bytes.first() else {
            add(&self.counts.empty, 1);
            return false;
        };
        let quic = is_quic(first);
        if quic && self.known.load(Acquire) == 0 {
            return true;
        }
        let source = plain(origin.source);
        let owner = self.state().owner(source, quic, Instant::now());
        let (strays, asked) = match owner {
            Owner::Quic => return true,
            Owner::Other { strays, asked } => (strays, asked),
            Owner::Nobody => {
                add(&self.counts.unknown, datagrams(bytes, stride));
                return false;
            }
        };
        let stray = Stray { origin, parcel: Parcel::new(bytes, stride), asked };
        if strays.try_send(stray).is_err() {
            add(&self.counts.foreign_overflowed, datagrams(bytes, stride));
            if asked {
                self.found_out(source);
            }
        }
        false
    }

    /// Notes that it is known now what a datagram of `source` is that was asked about.
    pub(super) fn found_out(&self, source: SocketAddr) {
        if let Some(desk) = &mut self.state().desk {
            desk.found_out(source);
        }
    }
}

impl State {
    fn owner(&mut self, source: SocketAddr, quic: bool, now: Instant) -> Owner {
        let known = self.table.is_known(source, now);
        match &mut self.desk {
            Some(desk) if known => Owner::Other { strays: desk.strays.clone(), asked: false },
            Some(desk) if !quic || desk.asked.contains_key(&source) => {
                *desk.asked.entry(source).or_default() += 1;
                Owner::Other { strays: desk.strays.clone(), asked: true }
            }
            None if known || !quic => Owner::Nobody,
            _ => Owner::Quic,
        }
    }

    fn known(&self) -> usize {
        self.table.known() + self.desk.as_ref().map_or(0, |desk| desk.asked.len())
    }
}

impl Desk {
    pub(super) fn new(strays: mpsc::Sender<Stray>) -> Self {
        Self { strays, asked: HashMap::new() }
    }

    /// Returns whether it is the desk from which `strays` leads.
    pub(super) fn is_of(&self, strays: &mpsc::Sender<Stray>) -> bool {
        self.strays.same_channel(strays)
    }

    fn found_out(&mut self, source: SocketAddr) {
        if let Some(left) = self.asked.get_mut(&source) {
            *left -= 1;
            if *left == 0 {
                self.asked.remove(&source);
            }
        }
    }
}

/// The state while it is locked.
#[derive(Debug)]
pub(super) struct StateGuard<'a> {
    state: MutexGuard<'a, State>,
    known: &'a AtomicUsize,
}

impl Deref for StateGuard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        self.known.store(self.state.known(), Release);
    }
}

/// A flow's place in the table, which it leaves when it ends.
#[derive(Debug)]
pub(crate) struct Lease {
    shared: Arc<Shared>,
    source: SocketAddr,
}

impl Lease {
    pub(super) fn new(shared: &Arc<Shared>, source: SocketAddr) -> Self {
        Self { shared: Arc::clone(shared), source }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.state().table.close(self.source, Instant::now());
        self.shared.changed.notify_one();
    }
}

/// Returns how many datagrams lie in `bytes`, a `stride` apart.
pub(super) fn datagrams(bytes: &[u8], stride: usize) -> u64 {
    bytes.len().div_ceil(stride.max(1)) as u64
}
