//! The server: it listens on every transport at once, serves many tests at a time, and outlives
//! every one of them.

mod accept;
mod admission;
mod auth;
mod builder;
mod census;
mod churn;
mod config;
mod governance;
mod guests;
mod iperf3;
pub(crate) mod policy;
mod roster;
mod session;
mod shared;
mod streams;
mod tls;

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use polyperf_transport::{Error, Gate, Listener};
use tokio::{sync::broadcast, task::JoinSet};
use tracing::info;

pub(crate) use self::tls::ALPN;
pub use self::{
    auth::Auth,
    builder::Builder,
    census::{Counts, Reject},
    config::{Config, Limits},
    governance::{Arrivals, Policies, Policy, PolicyMistake, PolicyMistakes},
    roster::{SessionView, Stage},
    tls::{ControlTls, ControlTlsError},
};
pub(crate) use self::{governance::network, shared::lock};
use self::{
    guests::Porter,
    shared::{Offer, Shared, Urgency},
    streams::Expected,
};
use polyperf_certs::{CurrentIdentity, Identity};

use crate::{
    auth::{AuthorizedKeys, Psks, UsersFile},
    event::Event,
};

/// A server that is bound to its addresses.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<(&'static str, Box<dyn Listener>)>,
}

/// What can be asked and told of a running server, from anywhere.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// Why a server stopped serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to, and its tests were over or cut short.
    Told,
    /// It was to serve one test, and has.
    OneOff,
    /// Nobody wanted a test for as long as it was to wait.
    Idle,
    /// Every listener has failed.
    NoListeners,
}

impl Server {
    /// Returns a builder with every default.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Binds every transport to every address of `config`.
    ///
    /// Where an address asks for port 0, the first transport picks it and the others share it, as
    /// far as they can: one that finds it taken picks another.
    ///
    /// # Errors
    ///
    /// The first address that cannot be had; none is kept then.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let expected = Arc::new(Expected::default());
        let porter = Arc::new(Porter::new(Arc::clone(&expected)));
        let mut listeners = Vec::new();
        let mut ports = Vec::new();
        for &at in &config.listen {
            let mut addr = at;
            for transport in config.transports.iter() {
                let gate = || Arc::clone(&porter) as Arc<dyn Gate>;
                let listener = match listen(transport.as_ref(), addr, gate()).await {
                    Err(Error::Listen { source, .. }) if at.port() == 0 && is_taken(&source) => {
                        listen(transport.as_ref(), at, gate()).await?
                    }
                    result => result?,
                };
                if addr.port() == 0 {
                    addr = listener.local_addr();
                }
                ports.push(Offer {
                    transport: transport.name(),
                    addr: listener.local_addr(),
                    identity: listener.identity(),
                });
                listeners.push((transport.name(), listener));
            }
        }
        let shared = Shared::new(config, ports, expected);
        porter.serve(&shared);
        Ok(Self { shared, listeners })
    }

    /// Returns the addresses that the server listens on, with their transports.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<(&'static str, SocketAddr)> {
        self.listeners.iter().map(|(name, listener)| (*name, listener.local_addr())).collect()
    }

    /// Returns a handle to ask and tell the server things while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until `drain` is ready, then until the running tests are over.
    ///
    /// [`Handle::stop`] cuts running tests short.
    pub async fn run(self, drain: impl Future<Output = ()>) -> Stopped {
        let Self { shared, listeners } = self;
        let mut accepting = JoinSet::new();
        for (name, listener) in listeners {
            accepting.spawn(accept::serve(Arc::clone(&shared), name, listener));
        }
        let stopped = tokio::select! {
            stopped = until_told(&shared, drain) => stopped,
            () = async { while accepting.join_next().await.is_some() {} } => Stopped::NoListeners,
        };
        shared.hurry(Urgency::Drain);
        wait_for_tests(&shared).await;
        // Clients that are owed a last message are still being told; aborting would cut it off.
        if !all_end_within(&mut accepting, FAREWELL).await {
            // Who waits for a goodbye that does not come still has an outcome to tell.
            shared.hurry(Urgency::Stop);
            all_end_within(&mut accepting, 3 * FAREWELL).await;
        }
        accepting.shutdown().await;
        stopped
    }
}

impl Handle {
    /// Takes no new tests; [`Server::run`] returns when the running ones are over.
    pub fn drain(&self) {
        self.shared.hurry(Urgency::Drain);
    }

    /// Cuts running tests short; [`Server::run`] returns within a few seconds.
    pub fn stop(&self) {
        self.shared.hurry(Urgency::Stop);
    }

    /// Returns a subscription to the events of every session.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.bus.subscribe()
    }

    /// Returns the addresses that the server listens on, with their transports.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<(&'static str, SocketAddr)> {
        self.shared.local_addrs()
    }

    /// Returns how many tests are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.admission.running()
    }

    /// Returns how many tests wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.admission.waiting()
    }

    /// Returns every session that there is now, in the order of their names.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        self.shared.roster.views()
    }

    /// Cuts one session short, and tells its client why; returns whether there is one of that name.
    #[must_use]
    pub fn cancel(&self, session: &str, reason: &str) -> bool {
        self.shared.roster.stop(session, reason)
    }

    /// Returns what the server has counted since it began.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.census.counts()
    }

    /// Returns what the server permits now.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits()
    }

    /// Permits something else from now on. Tests that run or wait already keep their places.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.admission.set_limits(limits);
    }

    /// Lets in the users of this file from now on, and returns whether that means anything: a server
    /// that lets in everybody goes on to do so. Clients that were let in stay.
    pub fn set_users(&self, users: UsersFile) -> bool {
        let verifier = self.shared.verifier.as_ref();
        verifier.map(|verifier| verifier.set_users(users)).is_some()
    }

    /// Returns who may do what now.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        self.shared.governor.policies()
    }

    /// Has other policies hold from now on. Tests that run or wait already keep theirs.
    pub fn set_policies(&self, policies: Policies) {
        self.shared.governor.set_policies(policies);
    }

    /// Has clients prove themselves with these keys from now on; `None` takes none.
    pub fn set_psks(&self, psks: Option<Psks>) {
        self.shared.psks.store(psks.map(Arc::new));
    }

    /// Has clients prove themselves with these keys of their own from now on; `None` takes none.
    pub fn set_authorized_keys(&self, keys: Option<AuthorizedKeys>) {
        self.shared.authorized_keys.store(keys.map(Arc::new));
    }

    /// Has the server be another one for whoever connects from now on, and returns whether that means
    /// anything: one that was not set up with an identity that may be replaced stays who it is.
    pub fn set_identity(&self, identity: Identity) -> bool {
        let current = self.shared.config.identity.as_ref();
        current.map(|current| current.replace(identity)).is_some()
    }

    /// Returns who the server is now, if that may be replaced.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.shared.config.identity.as_ref().map(CurrentIdentity::now)
    }

    /// Returns whether the server takes new tests.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        *self.shared.urgency().borrow() == Urgency::Serve
    }

    /// Returns how many tests have been served, whether or not they were complete.
    #[must_use]
    pub fn served(&self) -> u64 {
        *self.shared.finished_count().borrow()
    }
}

/// Listens on `addr`; where this host has no IPv6, `[::]` means every IPv4 address.
async fn listen(
    transport: &dyn polyperf_transport::Transport,
    addr: SocketAddr,
    gate: Arc<dyn Gate>,
) -> Result<Box<dyn Listener>, Error> {
    match transport.listen(addr, Arc::clone(&gate)).await {
        Err(Error::Listen { source, .. }) if addr.ip().is_unspecified() && no_ipv6(&source) => {
            transport.listen(SocketAddr::from(([0, 0, 0, 0], addr.port())), gate).await
        }
        result => result,
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Waits until the server is to drain, for whatever reason.
async fn until_told(shared: &Shared, drain: impl Future<Output = ()>) -> Stopped {
    let mut urgency = shared.urgency();
    let mut finished = shared.finished_count();
    let config = &shared.config;
    let mut drain = pin!(drain);
    tokio::select! {
        () = &mut drain => Stopped::Told,
        _ = urgency.wait_for(|urgency| *urgency > Urgency::Serve) => Stopped::Told,
        _ = finished.wait_for(|&count| count > 0), if config.one_off => Stopped::OneOff,
        () = idle(shared, config.idle_timeout.unwrap_or_default()), if config.idle_timeout.is_some() => {
            Stopped::Idle
        }
    }
}

/// Waits until nobody has wanted a test for `timeout`.
async fn idle(shared: &Shared, timeout: Duration) {
    let mut changes = shared.admission.changes();
    loop {
        let quiet = shared.admission.busy_count() == 0;
        let change = changes.changed();
        if !quiet {
            let _ = change.await;
        } else if tokio::time::timeout(timeout, change).await.is_err() {
            info!(idle = ?timeout, "no test was wanted");
            return;
        }
    }
}

/// Waits until no test runs any more, or the server is to stop at once and has had time to say so.
async fn wait_for_tests(shared: &Shared) {
    let mut changes = shared.admission.changes();
    let mut urgency = shared.urgency();
    let over = async {
        while shared.admission.running() > 0 {
            let _ = changes.changed().await;
        }
    };
    let told_to_stop = async {
        let _ = urgency.wait_for(|urgency| *urgency == Urgency::Stop).await;
        tokio::time::sleep(2 * FAREWELL).await;
    };
    tokio::select! { () = over => {} () = told_to_stop => {} }
}

/// Waits until every task has ended, for `limit` at most, and returns whether they have.
async fn all_end_within(tasks: &mut JoinSet<()>, limit: Duration) -> bool {
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::time::timeout(limit, all).await.is_ok()
}

/// How long a last message may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Nothing runs longer, whatever the configuration says: the sum with any clock's time must exist.
const LONGEST: Duration = Duration::from_secs(1 << 32);
