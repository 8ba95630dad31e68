use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use polyperf_certs::CurrentIdentity;
use polyperf_transport::Processors;

use super::{Auth, ControlTls, Policies};
use crate::{
    auth::{AuthorizedKeys, Psks},
    engine::Drive,
    protocol::native::Deadlines,
    registry::Registry,
};

/// What a server listens on, and what it permits.
#[derive(Debug, Clone)]
pub struct Config {
    /// The addresses to listen on, each for every transport. `[::]` takes IPv4 as well.
    pub listen: Vec<SocketAddr>,
    /// The transports to offer.
    pub transports: Registry,
    /// What it permits, until that is changed while it runs.
    pub limits: Limits,
    /// Who may do how much of that, until that is changed while it runs.
    pub policies: Policies,
    /// Whether to stop after the first test that was served.
    pub one_off: bool,
    /// How long to serve without any test before stopping; `None` serves on for ever.
    pub idle_timeout: Option<Duration>,
    /// Whom to let in; `None` lets in everybody.
    pub auth: Option<Auth>,
    /// The keys with which clients can prove who they are. Where there are any, or `auth`, only those
    /// that have proved it get a test, unless [`Policies::public`] says otherwise.
    pub psks: Option<Psks>,
    /// The clients that can prove who they are with keys of their own, likewise.
    pub authorized_keys: Option<AuthorizedKeys>,
    /// How control connections inside TLS are taken, beside the others; `None` takes none.
    pub tls: Option<ControlTls>,
    /// Who the server is, where that may be replaced: the same that its transports and `tls` were set
    /// up with. `None` is who the transports say they are.
    pub identity: Option<CurrentIdentity>,
    /// Where the tasks that move bytes run.
    pub drive: Drive,
    /// The processors that threads of tests keep to, unless a test asks for another one; `None` leaves
    /// that to the system. Transports' own threads keep to those of their
    /// [`Sockets`](polyperf_transport::Sockets).
    pub data_processors: Option<Processors>,
    /// How long each step of the control protocol may take.
    pub deadlines: Deadlines,
    /// Whether to keep each interval of every test for its outcome (a JSON report wants them).
    pub keep_intervals: bool,
}

/// What a server permits. It can be changed while the server runs
/// ([`Handle::set_limits`](super::Handle::set_limits)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many tests may run at once; 1 runs them strictly one after another.
    pub max_sessions: NonZeroUsize,
    /// How many tests may wait for their turn; further ones are refused.
    pub max_queue: usize,
    /// The longest test; one that asks for more is refused, an endless one is ended.
    pub max_duration: Duration,
    /// The rate of all running tests together, in bits per second; `None` sets no limit.
    pub max_rate: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sessions: NonZeroUsize::new(64).expect("64 is not zero"),
            max_queue: 256,
            max_duration: Duration::from_secs(86_400),
            max_rate: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            transports: Registry::standard(),
            limits: Limits::default(),
            policies: Policies::default(),
            one_off: false,
            idle_timeout: None,
            auth: None,
            psks: None,
            authorized_keys: None,
            tls: None,
            identity: None,
            drive: Drive::Threads,
            data_processors: None,
            deadlines: Deadlines::default(),
            keep_intervals: false,
        }
    }
}
