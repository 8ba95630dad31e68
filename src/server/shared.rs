use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use polyperf_transport::Delivery;
use tokio::sync::watch;

use super::{
    Config, Limits, admission::Admission, auth::Verifier, census::Census, governance::Governor,
    roster::Roster, streams::Expected,
};
use crate::{
    auth::{AuthorizedKeys, Psks},
    event::Bus,
    outcome::HostInfo,
    protocol::native::{KEY, PSK},
};

/// What all sessions of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) bus: Bus,
    pub(super) host: HostInfo,
    pub(super) admission: Arc<Admission>,
    pub(super) roster: Arc<Roster>,
    pub(super) census: Census,
    pub(super) governor: Arc<Governor>,
    /// Finds out who clients are, where not everybody is let in.
    pub(super) verifier: Option<Arc<Verifier>>,
    /// The keys that clients can prove themselves with.
    pub(super) psks: ArcSwapOption<Psks>,
    /// The clients that can prove themselves with keys of their own.
    pub(super) authorized_keys: ArcSwapOption<AuthorizedKeys>,
    /// Where each transport listens, for each address.
    offers: Vec<Offer>,
    pub(super) expected: Arc<Expected>,
    pending: Mutex<HashMap<IpAddr, usize>>,
    urgency: watch::Sender<Urgency>,
    finished: watch::Sender<u64>,
    names: AtomicU64,
    /// Tells this server's sessions from those of the one before it.
    prefix: String,
}

/// A transport that is listened on.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) transport: &'static str,
    pub(super) addr: SocketAddr,
    /// What clients can know its listener by.
    pub(super) identity: Option<String>,
}

/// How much longer a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// As long as it is let.
    Serve,
    /// Until its running tests are over.
    Drain,
    /// Not at all: running tests are cut short.
    Stop,
}

/// Counts a connection that has not asked for anything yet, until it is dropped.
#[derive(Debug)]
pub(super) struct PendingGuard {
    shared: Arc<Shared>,
    ip: IpAddr,
}

impl Shared {
    pub(super) fn new(config: Config, offers: Vec<Offer>, expected: Arc<Expected>) -> Arc<Self> {
        Arc::new(Self {
            admission: Admission::new(config.limits.clone()),
            roster: Arc::default(),
            census: Census::default(),
            governor: Governor::new(config.policies.clone()),
            verifier: config.auth.clone().map(Verifier::new),
            psks: ArcSwapOption::from_pointee(config.psks.clone()),
            authorized_keys: ArcSwapOption::from_pointee(config.authorized_keys.clone()),
            config,
            bus: Bus::new(),
            host: crate::engine::host_info(),
            offers,
            expected,
            pending: Mutex::default(),
            urgency: watch::Sender::new(Urgency::Serve),
            finished: watch::Sender::new(0),
            names: AtomicU64::new(1),
            prefix: format!("{:08x}", rand::random::<u32>()),
        })
    }

    /// Returns a name for a new session.
    pub(super) fn next_name(&self) -> String {
        format!("{}-{}", self.prefix, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the port of a transport on the address that a client has reached.
    pub(super) fn port(&self, transport: &str, reached: SocketAddr) -> u16 {
        self.offer(transport, reached).map_or(reached.port(), |offer| offer.addr.port())
    }

    /// Returns where a transport listens on the address that a client has reached.
    pub(super) fn offer(&self, transport: &str, reached: SocketAddr) -> Option<&Offer> {
        let of_transport = || self.offers.iter().filter(|offer| offer.transport == transport);
        let exact = of_transport().find(|offer| offer.addr.port() == reached.port());
        exact.or_else(|| of_transport().next())
    }

    /// Returns what clients can know a transport's listener by.
    pub(super) fn identity(&self, transport: &str, reached: SocketAddr) -> Option<String> {
        let told = self.offer(transport, reached)?.identity.as_ref()?;
        let current = self.config.identity.as_ref();
        Some(current.map_or_else(|| told.clone(), |it| it.now().fingerprint().to_string()))
    }

    /// Returns where each transport listens.
    pub(super) fn local_addrs(&self) -> Vec<(&'static str, SocketAddr)> {
        self.offers.iter().map(|offer| (offer.transport, offer.addr)).collect()
    }

    /// Returns what is permitted now.
    pub(super) fn limits(&self) -> Limits {
        self.admission.limits()
    }

    /// Returns whether only those get a test that have proved who they are.
    pub(super) fn is_closed(&self) -> bool {
        let knows_some = self.verifier.is_some() || !self.methods().is_empty();
        knows_some && !self.governor.policies().is_public()
    }

    /// Returns the ways in which a client can prove itself by a key.
    pub(super) fn methods(&self) -> Vec<&'static str> {
        let psk = self.psks.load().is_some().then_some(PSK);
        let key = self.authorized_keys.load().is_some().then_some(KEY);
        psk.into_iter().chain(key).collect()
    }

    /// Returns the longest that anything may run.
    pub(super) fn longest(&self) -> Duration {
        self.limits().max_duration.min(super::LONGEST)
    }

    pub(super) fn delivery(&self, transport: &str) -> Option<Delivery> {
        self.config.transports.get(transport).map(|transport| transport.delivery())
    }

    /// Counts a new connection; `None` if there are too many that ask for nothing.
    pub(super) fn admit_connection(self: &Arc<Self>, ip: IpAddr) -> Option<PendingGuard> {
        let mut pending = lock(&self.pending);
        let total: usize = pending.values().sum();
        let own = pending.get(&ip).copied().unwrap_or(0);
        if total >= MAX_PENDING || own >= MAX_PENDING_PER_ADDRESS {
            return None;
        }
        pending.insert(ip, own + 1);
        Some(PendingGuard { shared: Arc::clone(self), ip })
    }

    /// Has the server stop sooner; it never goes back.
    pub(super) fn hurry(&self, urgency: Urgency) {
        if urgency >= Urgency::Drain {
            self.admission.drain();
        }
        self.urgency.send_if_modified(|current| {
            let sooner = urgency > *current;
            *current = urgency.max(*current);
            sooner
        });
    }

    pub(super) fn urgency(&self) -> watch::Receiver<Urgency> {
        self.urgency.subscribe()
    }

    /// Counts a test that was served.
    pub(super) fn finished(&self) {
        self.finished.send_modify(|count| *count += 1);
    }

    pub(super) fn finished_count(&self) -> watch::Receiver<u64> {
        self.finished.subscribe()
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        let mut pending = lock(&self.shared.pending);
        if let Some(count) = pending.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.ip);
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that have not asked for a test yet, of all clients together.
const MAX_PENDING: usize = 8192;
/// The same, of one address: a flood from one leaves room for the others.
const MAX_PENDING_PER_ADDRESS: usize = 2048;
