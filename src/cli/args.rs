//! What a command line comes to: checked values, ready to be turned into configurations.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use polyperf_certs::{Fingerprint, Provider};
use polyperf_transport::Processors;

use super::web::WebArgs;
use crate::{
    compare::{
        Metric, Thresholds,
        cross::Cross,
        experiment::{Arm, PartKind},
    },
    history::{self, Location, Retention},
    lab::Tier,
    spec::{SpecFields, TestSpec},
    transport::KeepAlive,
};

/// What the user wants done.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a program has one of them")]
pub enum Command {
    /// Run a test against a server.
    Client(ClientArgs),
    /// Serve tests.
    Server(ServerArgs),
    /// Run the same test over several transports.
    Compare(CompareArgs),
    /// Measure over emulated links.
    Lab(LabArgs),
    /// Compare two saved results.
    Diff(DiffArgs),
    /// Look after identities.
    Cert(CertArgs),
    /// Check and show the configuration.
    Config(ConfigArgs),
    /// Print a script that completes command lines.
    Completions(Shells),
    /// Write the manual, into a folder if one is named.
    Man(Option<PathBuf>),
    /// Look whether this host is fit for a server.
    Doctor(DoctorArgs),
    /// Look at the tests that were kept.
    History(HistoryArgs),
    /// Look after pre-shared keys.
    Psk(PskArgs),
    /// Make the hash of a password for the web interface.
    WebPassword,
}

/// A shell whose command lines can be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shells {
    /// GNU's.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

/// The options of `polyperf doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoctorArgs {
    /// The port that a server is to have.
    pub port: u16,
    /// Whether to report JSON.
    pub json: bool,
}

/// The options of `polyperf client`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientArgs {
    /// The server.
    pub target: Target,
    /// The test.
    pub spec: TestSpec,
    /// Where the client's own sockets sit.
    pub local: Local,
    /// The local port of the first data stream; the n-th takes this plus n.
    pub client_port: Option<u16>,
    /// How long resolving, connecting and the server's first word may take; `None` leaves it to the
    /// client's default.
    pub connect_timeout: Option<Duration>,
    /// How long to wait in a full server's queue; zero gives up at once.
    pub queue_timeout: Duration,
    /// The transport of the control connection; `None` leaves it to the one that is measured.
    pub control: Option<String>,
    /// Who the client is, for servers that ask.
    pub login: Option<Login>,
    /// How the client proves itself with a pre-shared key.
    pub proof: Option<Proof>,
    /// Whether the control connection is to be inside TLS.
    pub control_tls: bool,
    /// How the client knows the server, over transports where servers have an identity.
    pub trust: Trust,
    /// How such transports are set up at this end.
    pub tls: Tls,
    /// Whether to speak the protocol `perf` (draft-banks-quic-performance-00), in which there is no
    /// control connection.
    pub perf_alpn: bool,
    /// When a silent server is asked whether it is there.
    pub keep_alive: Option<KeepAlive>,
    /// The processor that the data threads keep to.
    pub affinity: Option<u16>,
    /// The file whose bytes are sent, or that what is received is written to.
    pub file: Option<PathBuf>,
    /// Whether a rate was asked for, if only that there is to be no limit.
    pub rate_given: bool,
    /// The history that the test is kept in, if it is.
    pub history: Option<HistoryAt>,
    /// What is reported, and where.
    pub output: Output,
    /// What is logged.
    pub log: Log,
}

/// The options of `polyperf server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerArgs {
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// Where the server's sockets sit; without an address it listens on every one.
    pub local: Local,
    /// How many tests may run at once.
    pub max_sessions: usize,
    /// How many tests may wait for their turn.
    pub max_queue: usize,
    /// Whether to stop after the first test that was served.
    pub one_off: bool,
    /// How long to serve without any test before stopping; `None` serves on for ever.
    pub idle_timeout: Option<Duration>,
    /// The longest test.
    pub max_duration: Duration,
    /// The rate of all running tests together, in bits per second; `None` sets no limit.
    pub max_rate: Option<u64>,
    /// The processors that threads which move bytes keep to; `None` leaves that to the system.
    pub data_processors: Option<Processors>,
    /// Whom to let in; `None` lets in everybody.
    pub access: Option<Access>,
    /// Who may do how much.
    pub governance: Governance,
    /// Where the server's identity is.
    pub identity: Place,
    /// How transports with an identity are set up.
    pub tls: Tls,
    /// What its web interface is to be; `None` for none.
    pub web: Option<WebArgs>,
    /// The history that tests are kept in, if they are.
    pub history: Option<HistoryKept>,
    /// How each test is reported.
    pub report: Report,
    /// Whether to show charts on the terminal.
    pub tui: bool,
    /// What is logged.
    pub log: Log,
}

/// How a client proves who it is. The password is not on the command line, which others can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The file of the server's public key.
    pub public_key: PathBuf,
    /// Whether to pad as iperf3 up to 3.16 does.
    pub pkcs1: bool,
}

/// How a client knows that it speaks to the right server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// By the certificate that it showed at first, which is kept in this file; `None` is the default
    /// one.
    Known(Option<PathBuf>),
    /// By its certificate.
    Fingerprint(Fingerprint),
    /// By the authorities in this file.
    Authorities(PathBuf),
    /// By the authorities that the system trusts.
    System,
    /// Not at all.
    Nobody,
}

/// Where the identity of a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this folder, where one is made if need be; `None` is the default one.
    Folder(Option<PathBuf>),
    /// In files of the user's own.
    Files {
        /// The certificates, the server's own first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// Where a history is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryAt {
    /// In the folder of what is kept from one run to the next.
    Default,
    /// Where the user said.
    Location(Location),
}

/// A history that a server keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryKept {
    /// Where it is.
    pub at: HistoryAt,
    /// How much of it is kept.
    pub retention: Retention,
}

/// How an end sets up transports that encrypt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whose cryptography it is.
    pub provider: Provider,
    /// The folder that logs of connections are written to; `None` writes none.
    pub qlog: Option<PathBuf>,
}

/// Whom a server lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The file of the server's private key.
    pub private_key: PathBuf,
    /// The file of users.
    pub users: PathBuf,
    /// How far a client's clock may be off.
    pub skew: Duration,
    /// Whether to take the padding of iperf3 up to 3.16 as well.
    pub pkcs1: bool,
}

/// The options of `polyperf compare`.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareArgs {
    /// The server; `None` compares over this host's loopback, against a server of its own.
    pub target: Option<Target>,
    /// What all tests have in common.
    pub test: SpecFields,
    /// What is compared, in the order in which it is reported; nothing is the usual transports.
    pub arms: Vec<Arm>,
    /// How many blocks; `None` is as many as it takes.
    pub blocks: Option<u32>,
    /// The transport that the others are compared with; `None` is the first.
    pub baseline: Option<String>,
    /// What the random orders follow from; `None` picks one.
    pub seed: Option<u64>,
    /// How long nothing happens between two runs.
    pub gap: Duration,
    /// Whether the baseline runs twice in each block.
    pub negative_control: bool,
    /// What is measured.
    pub parts: Vec<PartKind>,
    /// What a difference must exceed to be called one.
    pub thresholds: Thresholds,
    /// How the result is reported: as text, JSON or CSV.
    pub report: Report,
    /// The emulated links that all of it runs over, if it does.
    pub links: Option<LinksArgs>,
    /// Where a report with charts is written as well.
    pub html: Option<PathBuf>,
    /// Where the JSON document is written as well.
    pub save: Option<PathBuf>,
    /// Whether to show how far the comparison is.
    pub progress: bool,
    /// Who the client is, for a server that asks.
    pub login: Option<Login>,
    /// The key that the client proves itself with.
    pub proof: Option<Proof>,
    /// Whether control runs inside TLS.
    pub control_tls: bool,
    /// How the client knows the server, over transports where servers have an identity.
    pub trust: Trust,
    /// The options that matter, without those that say where a report goes, to do it again.
    pub again: Vec<String>,
}

/// Emulated links to compare over.
#[derive(Debug, Clone, PartialEq)]
pub struct LinksArgs {
    /// Their names, or files.
    pub presets: Vec<String>,
    /// Their dice, in the first block, and what they are made of.
    pub made: LinkMade,
    /// What sends beside bulk.
    pub cross: Vec<Cross>,
    /// How long bulk is measured; `None` leaves it to each link.
    pub time: Option<Duration>,
    /// How long bulk warms up; `None` leaves it to each link.
    pub warm_up: Option<Duration>,
    /// How long nothing happens between tests; `None` leaves it to each link.
    pub gap: Option<Duration>,
    /// What is measured; `None` is all but the largest transfer.
    pub parts: Option<Vec<PartKind>>,
}

/// The options of `polyperf lab`, for each of its commands.
#[derive(Debug, Clone, PartialEq)]
pub enum LabArgs {
    /// List the links that there are.
    List {
        /// Whether to report JSON.
        json: bool,
    },
    /// Show a link.
    Show {
        /// Its name, or a file.
        preset: String,
        /// Whether to report JSON.
        json: bool,
    },
    /// Run a client over a link.
    Run {
        /// The link.
        link: LabLink,
        /// The client's command line, without the program and the host.
        line: Vec<String>,
    },
    /// Run a command on either side.
    Exec {
        /// The link.
        link: LabLink,
        /// The command of the near side.
        near: String,
        /// The command of the far side.
        far: String,
        /// Where to write what the link counted.
        truth: Option<PathBuf>,
    },
    /// Open a shell on the near side.
    Shell {
        /// The link.
        link: LabLink,
        /// The command of the far side; `None` is a server.
        far: Option<String>,
    },
    /// Try what the machine permits.
    Doctor {
        /// Whether to report JSON.
        json: bool,
    },
}

/// An emulated link.
#[derive(Debug, Clone, PartialEq)]
pub struct LabLink {
    /// Its name, or a file.
    pub preset: String,
    /// Its dice, and what it is made of.
    pub made: LinkMade,
}

/// How an emulated link is made, whatever it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkMade {
    /// What its dice follow from.
    pub seed: u64,
    /// What it is made of; `None` takes the first that the machine permits.
    pub tier: Option<Tier>,
    /// How late packets may come out of it at p99 before a run is spoilt; `None` leaves it to the link.
    pub latest: Option<Duration>,
}

/// The options of `polyperf diff`.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffArgs {
    /// The result to compare with.
    pub before: PathBuf,
    /// The result to compare.
    pub after: PathBuf,
    /// What a change must exceed to be a regression, as a part; `None` leaves it to each metric.
    pub threshold: Option<f64>,
    /// The metrics to compare; all, if there are none.
    pub metrics: Vec<Metric>,
    /// Whether to report JSON.
    pub json: bool,
}

/// The options of `polyperf history`, for each of its commands.
#[derive(Debug, Clone, PartialEq)]
pub enum HistoryArgs {
    /// List tests.
    List {
        /// Where the history is.
        at: HistoryAt,
        /// Which tests.
        filter: HistoryFilter,
        /// As text, JSON or CSV.
        report: Report,
    },
    /// Show a test.
    Show {
        /// Where the history is.
        at: HistoryAt,
        /// The test.
        id: i64,
        /// Whether as a JSON document.
        json: bool,
    },
    /// Compare two tests.
    Diff {
        /// Where the history is.
        at: HistoryAt,
        /// The one to compare with, and the one to compare.
        ids: [i64; 2],
        /// What a change for the worse must exceed, as a part; `None` is what matters of each metric.
        threshold: Option<f64>,
        /// What is compared; everything, if nothing is named.
        metrics: Vec<Metric>,
        /// Whether as a JSON document.
        json: bool,
    },
    /// Write tests for other programs.
    Export {
        /// Where the history is.
        at: HistoryAt,
        /// Which tests.
        filter: HistoryFilter,
        /// Whether as a table, and not as lines of JSON.
        csv: bool,
        /// The file to write to; `None` is standard output.
        output: Option<PathBuf>,
    },
    /// Let go of tests.
    Prune {
        /// Where the history is.
        at: HistoryAt,
        /// What is to stay.
        retention: Retention,
    },
}

/// Which tests of a history are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryFilter {
    /// Started then or later.
    pub since: Option<When>,
    /// Started before then.
    pub until: Option<When>,
    /// What else must hold; its own times are not set.
    pub filter: history::Filter,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Since the Unix epoch.
    At(Duration),
    /// Before now.
    Ago(Duration),
}

/// The options of `polyperf cert`, for each of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertArgs {
    /// Show an identity.
    Show {
        /// Where it is.
        identity: Place,
        /// Whether to show it as JSON.
        json: bool,
    },
    /// Make an identity.
    Make {
        /// The folder to keep it in; `None` is the default one.
        folder: Option<PathBuf>,
        /// The host names and addresses it is made out to; without any, the usual ones.
        names: Vec<String>,
        /// Whether one that is there gives way.
        replace: bool,
    },
    /// Write an identity's certificates.
    Export {
        /// The folder it is kept in; `None` is the default one.
        folder: Option<PathBuf>,
        /// Whether to write its private key as well.
        private_key: bool,
        /// The file to write; `None` is standard output.
        output: Option<PathBuf>,
    },
    /// Show the known servers.
    Known {
        /// Their file; `None` is the default one.
        file: Option<PathBuf>,
        /// Whether to show them as JSON.
        json: bool,
    },
    /// Forget a known server.
    Forget {
        /// The file of known servers; `None` is the default one.
        file: Option<PathBuf>,
        /// Its host.
        host: String,
        /// Its port; `None` forgets it at all ports.
        port: Option<u16>,
    },
}

/// The options of `polyperf config`, for each of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigArgs {
    /// Look for mistakes in a file.
    Check {
        /// The file; `None` is the one that would be read.
        file: Option<PathBuf>,
    },
    /// Show which settings hold.
    Show {
        /// The command line whose settings are shown; without one, those of every section.
        line: Vec<String>,
        /// The file that is read in place of the usual one.
        file: Option<String>,
        /// Whether to show them as JSON.
        json: bool,
    },
}

/// A server's address as the user wrote it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address; IPv6 without brackets, with a zone where it is link-local.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Where local sockets sit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// The only address family to use; `None` uses both.
    pub family: Option<Family>,
    /// The local address; a link-local one always comes with a device.
    pub bind: Option<IpAddr>,
    /// The network device.
    pub device: Option<String>,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a client reports, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The form of the report.
    pub report: Report,
    /// The unit of rates in text; `None` chooses one for each number.
    pub unit: Option<Unit>,
    /// The file that the report goes to; `None` is standard output.
    pub file: Option<PathBuf>,
    /// Whether to show how far the test is.
    pub progress: bool,
    /// Whether to show charts on the terminal while the test runs.
    pub tui: bool,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Report {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document at the end.
    Json,
    /// One JSON document per line, as events happen.
    JsonStream,
    /// Comma-separated values.
    Csv,
}

/// A fixed unit for rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Whether rates are shown in bytes instead of bits.
    pub bytes: bool,
    /// The prefix.
    pub prefix: Prefix,
}

/// The prefix of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Kilo.
    Kilo,
    /// Mega.
    Mega,
    /// Giga.
    Giga,
    /// Tera.
    Tera,
}

/// What is logged to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is shown.
    pub level: LogLevel,
    /// The form of each line.
    pub format: LogFormat,
}

/// How severe a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it was asked for.
    Warn,
    /// What happened.
    Info,
    /// How it happened.
    Debug,
    /// Every step.
    Trace,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON document per line.
    Json,
}

impl LogLevel {
    /// Returns the level's name, as `--log-level` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Who may do what on a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Governance {
    /// The file of policies; `None` sets no limits.
    pub policies: Option<PathBuf>,
    /// Whether anybody may use the server, within small limits.
    pub public: bool,
    /// The keys that clients can prove themselves with.
    pub psks: Option<KeyFile>,
    /// The clients that can prove themselves with keys of their own.
    pub authorized_keys: Option<KeyFile>,
}

/// What proves who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A pre-shared key.
    Psk {
        /// Where it is.
        file: KeyFile,
        /// Whose it is; `None` is the only one that there is.
        identity: Option<String>,
    },
    /// A key of the client's own, with its certificate.
    Key(KeyFile),
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFile {
    /// In a file.
    Path(PathBuf),
    /// In the credential of this name that the service's manager has put in place.
    Credential(String),
}

/// The options of `polyperf psk`, for each of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PskArgs {
    /// Make a key.
    Make {
        /// Whom it is for.
        identity: String,
    },
}
