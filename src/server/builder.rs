use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use polyperf_certs::CurrentIdentity;
use polyperf_transport::{Error, Processors, Transport};

use super::{Auth, Config, ControlTls, Policies, Server};
use crate::{
    auth::{AuthorizedKeys, Psks},
    engine::Drive,
    protocol::native::Deadlines,
    registry::Registry,
};

/// Sets up a [`Server`], step by step.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = polyperf::Server::builder().listen("127.0.0.1:0".parse()?).max_sessions(8).bind().await?;
/// assert_ne!(server.local_addrs()[0].1.port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    config: Config,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Listens on this address, too. Without any, on `[::]:5201`.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.config.listen.push(addr);
        self
    }

    /// Offers these transports in place of the standard ones.
    pub fn transports(mut self, transports: Registry) -> Self {
        self.config.transports = transports;
        self
    }

    /// Offers this transport, too.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.config.transports = self.config.transports.with(transport);
        self
    }

    /// Runs so many tests at once; no less than one.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.config.limits.max_sessions = NonZeroUsize::new(sessions).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Lets so many tests wait for their turn.
    pub fn max_queue(mut self, tests: usize) -> Self {
        self.config.limits.max_queue = tests;
        self
    }

    /// Permits no longer test.
    pub fn max_duration(mut self, duration: Duration) -> Self {
        self.config.limits.max_duration = duration;
        self
    }

    /// Permits no higher rate, in bits per second over all running tests.
    pub fn max_rate(mut self, bits_per_second: u64) -> Self {
        self.config.limits.max_rate = Some(bits_per_second);
        self
    }

    /// Holds clients to these policies.
    pub fn policies(mut self, policies: Policies) -> Self {
        self.config.policies = policies;
        self
    }

    /// Lets in these users alone, in either dialect.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.config.auth = Some(auth);
        self
    }

    /// Lets in clients that prove themselves with one of these keys.
    pub fn psks(mut self, psks: Psks) -> Self {
        self.config.psks = Some(psks);
        self
    }

    /// Lets in clients that prove to hold one of these keys.
    pub fn authorized_keys(mut self, keys: AuthorizedKeys) -> Self {
        self.config.authorized_keys = Some(keys);
        self
    }

    /// Takes control connections inside TLS, too.
    pub fn tls(mut self, tls: ControlTls) -> Self {
        self.config.tls = Some(tls);
        self
    }

    /// Tells clients who the server is, where that may be replaced: the same that its transports and
    /// [`tls`](Self::tls) were set up with.
    pub fn identity(mut self, identity: CurrentIdentity) -> Self {
        self.config.identity = Some(identity);
        self
    }

    /// Stops after one test.
    pub fn one_off(mut self, one_off: bool) -> Self {
        self.config.one_off = one_off;
        self
    }

    /// Stops once no test was wanted for so long.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = Some(timeout);
        self
    }

    /// Runs the tasks that move bytes there.
    pub fn drive(mut self, drive: Drive) -> Self {
        self.config.drive = drive;
        self
    }

    /// Has threads of tests keep to these processors.
    pub fn data_processors(mut self, processors: Processors) -> Self {
        self.config.data_processors = Some(processors);
        self
    }

    /// Sets how long each step of the control protocol may take.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.config.deadlines = deadlines;
        self
    }

    /// Keeps each interval of every test for its outcome.
    pub fn keep_intervals(mut self, keep: bool) -> Self {
        self.config.keep_intervals = keep;
        self
    }

    /// Binds the addresses.
    ///
    /// # Errors
    ///
    /// The first address that cannot be had.
    pub async fn bind(mut self) -> Result<Server, Error> {
        if self.config.listen.is_empty() {
            self.config.listen.push(SocketAddr::from(([0; 8], crate::client::DEFAULT_PORT)));
        }
        Server::bind(self.config).await
    }
}
