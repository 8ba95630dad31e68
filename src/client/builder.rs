use std::{net::IpAddr, sync::Arc, time::Duration};

use polyperf_transport::Transport;

use super::{Client, Config, ControlTls};
use crate::{
    auth::{ClientKey, ClientProof, Credentials, Psk},
    engine::Drive,
    protocol::native::Deadlines,
    registry::Registry,
    spec::{Direction, Limit, Rate, SpecErrors, SpecFields, TestSpec},
};

/// Sets up a [`Client`], step by step.
///
/// ```
/// use std::time::Duration;
///
/// let client = polyperf::Client::builder("server.example")
///     .reverse()
///     .streams(4)
///     .time(Duration::from_secs(5))
///     .build()?;
/// # Ok::<(), polyperf::spec::SpecErrors>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    host: String,
    fields: SpecFields,
    settings: Settings,
}

/// What a [`Config`] has beside its host and its test.
#[derive(Debug, Clone, Default)]
struct Settings {
    port: Option<u16>,
    bind: Option<IpAddr>,
    connect_timeout: Option<Duration>,
    queue_timeout: Option<Duration>,
    transports: Option<Registry>,
    control: Option<String>,
    perf: bool,
    auth: Option<Credentials>,
    proof: Option<ClientProof>,
    tls: Option<ControlTls>,
    affinity: Option<u16>,
    drive: Option<Drive>,
    deadlines: Option<Deadlines>,
}

impl Builder {
    pub(super) fn new(host: String) -> Self {
        Self { host, fields: SpecFields::default(), settings: Settings::default() }
    }

    /// Connects to this port in place of 5201.
    pub fn port(mut self, port: u16) -> Self {
        self.settings.port = Some(port);
        self
    }

    /// Measures this transport.
    pub fn transport(mut self, name: impl Into<String>) -> Self {
        self.fields.transport = name.into();
        self
    }

    /// Has the server send.
    pub fn reverse(mut self) -> Self {
        self.fields.direction = Direction::Reverse;
        self
    }

    /// Has both ends send.
    pub fn bidirectional(mut self) -> Self {
        self.fields.direction = Direction::Bidirectional;
        self
    }

    /// Opens so many streams in each direction.
    pub fn streams(mut self, streams: u16) -> Self {
        self.fields.streams = streams;
        self
    }

    /// Ends after this time.
    pub fn time(mut self, time: Duration) -> Self {
        self.fields.limit = Limit::Time(time);
        self
    }

    /// Ends after so many bytes, over all streams.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.fields.limit = Limit::Bytes(bytes);
        self
    }

    /// Sends no faster than this on each stream, in bits per second.
    pub fn rate(mut self, bits_per_second: u64) -> Self {
        self.fields.rate = Some(Rate { bits_per_second, burst: None });
        self
    }

    /// Reports at this interval; `None` only at the end.
    pub fn interval(mut self, interval: Option<Duration>) -> Self {
        self.fields.interval = interval;
        self
    }

    /// Sets any field of the test.
    pub fn spec(mut self, set: impl FnOnce(&mut SpecFields)) -> Self {
        set(&mut self.fields);
        self
    }

    /// Connects from this address.
    pub fn bind(mut self, addr: IpAddr) -> Self {
        self.settings.bind = Some(addr);
        self
    }

    /// Gives up if the server has not said a word within this time.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = Some(timeout);
        self
    }

    /// Waits in a full server's queue for so long; zero does not wait.
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.settings.queue_timeout = Some(timeout);
        self
    }

    /// Chooses among these transports in place of the standard ones.
    pub fn transports(mut self, transports: Registry) -> Self {
        self.settings.transports = Some(transports);
        self
    }

    /// Measures this transport, which need not be one of the standard ones.
    pub fn over(mut self, transport: Arc<dyn Transport>) -> Self {
        self.fields.transport = transport.name().to_owned();
        let transports = self.settings.transports.take().unwrap_or_else(Registry::standard);
        self.settings.transports = Some(transports.with(transport));
        self
    }

    /// Runs the control connection over this transport.
    pub fn control(mut self, name: impl Into<String>) -> Self {
        self.settings.control = Some(name.into());
        self
    }

    /// Speaks the protocol `perf` to a server that need not be polyperf's.
    pub fn perf(mut self) -> Self {
        self.settings.perf = true;
        self
    }

    /// Proves to a server that asks who the client is.
    pub fn auth(mut self, credentials: Credentials) -> Self {
        self.settings.auth = Some(credentials);
        self
    }

    /// Proves with this key who the client is, and has the server prove that it knows the key. It
    /// takes the place of a [`key`](Self::key).
    pub fn psk(mut self, psk: Psk) -> Self {
        self.settings.proof = Some(ClientProof::Psk(psk));
        self
    }

    /// Proves with this key, whose certificate the server knows, who the client is. The server proves
    /// nothing by it; who it is has to be known from TLS or QUIC. It takes the place of a
    /// [`psk`](Self::psk).
    pub fn key(mut self, key: ClientKey) -> Self {
        self.settings.proof = Some(ClientProof::Key(key));
        self
    }

    /// Runs the control connection inside TLS, where its transport does not protect it already.
    pub fn tls(mut self, tls: ControlTls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Has the threads that move this end's bytes keep to a processor.
    ///
    /// One that carries the connections of a transport in this process keeps to it from then on,
    /// also for the tests of other clients that share these [`transports`](Self::transports).
    pub fn affinity(mut self, processor: u16) -> Self {
        self.settings.affinity = Some(processor);
        self
    }

    /// Runs the tasks that move bytes there.
    pub fn drive(mut self, drive: Drive) -> Self {
        self.settings.drive = Some(drive);
        self
    }

    /// Sets how long each step of the control protocol may take.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.settings.deadlines = Some(deadlines);
        self
    }

    /// Checks the test, and returns a client that runs it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the test, at once.
    pub fn build(self) -> Result<Client, SpecErrors> {
        let Self { host, fields, settings } = self;
        let default = Config::new(host, TestSpec::try_from(fields)?);
        Ok(Client::new(Config {
            port: settings.port.unwrap_or(default.port),
            bind: settings.bind,
            connect_timeout: settings.connect_timeout.unwrap_or(default.connect_timeout),
            queue_timeout: settings.queue_timeout.unwrap_or(default.queue_timeout),
            transports: settings.transports.unwrap_or(default.transports),
            control: settings.control,
            perf: settings.perf,
            auth: settings.auth,
            proof: settings.proof,
            tls: settings.tls,
            keep_alive: None,
            affinity: settings.affinity,
            file: None,
            drive: settings.drive.unwrap_or(default.drive),
            deadlines: settings.deadlines.unwrap_or(default.deadlines),
            host: default.host,
            spec: default.spec,
            family: default.family,
            client_port: default.client_port,
            passage: default.passage,
            keep_intervals: default.keep_intervals,
        }))
    }
}
