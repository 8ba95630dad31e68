//! The options as clap knows them: names, groups and help. Every value is still text.

use clap::{ArgAction, Args, Parser, Subcommand};

use super::{
    cert::RawCert,
    config::{RawConfig, RawSource},
    diff::RawDiff,
    exchange::RawExchange,
    exit,
    governance::{RawGovernance, RawProof, RawPsk},
    history::{RawHistory, RawKept, RawSaved},
    identity::{RawPlace, RawTrust},
    kcp::RawKcp,
    lab::{RawDice, RawLab},
    packets::RawPackets,
    quic::{RawQuic, RawTls},
    tools::{RawCompletions, RawDoctor, RawMan},
    web::RawWeb,
};

/// One perf server for every transport.
#[derive(Debug, Parser)]
#[command(
    name = "polyperf",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    override_usage = TOP_USAGE,
    after_help = after(TOP_EXAMPLES)
)]
pub(super) struct Raw {
    #[command(subcommand)]
    pub(super) command: RawCommand,
    /// Print the version.
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawCommand {
    /// Run a test against a server.
    Client(Box<RawClient>),
    /// Serve tests, many at once, over every transport.
    Server(Box<RawServer>),
    /// Run the same test over several transports, in both directions.
    Compare(Box<RawCompare>),
    /// Compare two saved results, and tell regressions.
    Diff(Box<RawDiff>),
    /// Look after a server's identity, and the servers that a client knows.
    Cert(Box<RawCert>),
    /// Check a configuration file, and show which settings hold and where they come from.
    Config(Box<RawConfig>),
    /// Look whether this host is fit for a server, and how to make it so.
    Doctor(Box<RawDoctor>),
    /// Print a script that completes command lines in a shell.
    Completions(Box<RawCompletions>),
    /// Print the manual, or write a page of it for each command.
    Man(Box<RawMan>),
    /// Make what a server keeps of a password for its web interface.
    WebPassword(RawWebPassword),
    /// Look at the tests that were kept.
    History(Box<RawHistory>),
    /// Make pre-shared keys, with which clients and servers know each other.
    Psk(Box<RawPsk>),
    /// Measure over emulated links: lossy, far away, or with queues that are too long.
    Lab(Box<RawLab>),
}

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf web-password",
    after_help = after(PASSWORD_EXAMPLES)
)]
pub(super) struct RawWebPassword {}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf client HOST [OPTIONS]",
    after_help = after(CLIENT_EXAMPLES)
)]
pub(super) struct RawClient {
    /// The server: a name, an IPv4 or IPv6 address, with :PORT if need be.
    #[arg(value_name = "HOST", required = true)]
    pub(super) host: Option<String>,
    #[command(flatten)]
    pub(super) test: RawTest,
    #[command(flatten)]
    pub(super) streams: RawStreams,
    #[command(flatten)]
    pub(super) exchange: RawExchange,
    #[command(flatten)]
    pub(super) packets: RawPackets,
    #[command(flatten)]
    pub(super) quic: RawQuic,
    #[command(flatten)]
    pub(super) kcp: RawKcp,
    #[command(flatten)]
    pub(super) tls: RawTls,
    #[command(flatten)]
    pub(super) connection: RawConnection,
    #[command(flatten)]
    pub(super) login: RawLogin,
    #[command(flatten)]
    pub(super) proof: RawProof,
    #[command(flatten)]
    pub(super) trust: RawTrust,
    #[command(flatten)]
    pub(super) local: RawLocal,
    #[command(flatten)]
    pub(super) output: RawOutput,
    #[command(flatten)]
    pub(super) history: RawSaved,
    #[command(flatten)]
    pub(super) log: RawLog,
    #[command(flatten)]
    pub(super) source: RawSource,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Test")]
pub(super) struct RawTest {
    /// Transport of the data streams: tcp, udp, kcp, tokio-kcp, quic, quic-datagram, or rudp, which is
    /// polyperf's own protocol and works between its ends alone [default: tcp].
    #[arg(long, value_name = "NAME")]
    pub(super) transport: Option<String>,
    /// As --transport udp.
    #[arg(short, long)]
    pub(super) udp: bool,
    /// Seconds to test; 0 is without end [default: 10].
    #[arg(short, long, value_name = "SECS")]
    pub(super) time: Option<String>,
    /// Bytes to transfer, instead of a time.
    #[arg(short = 'n', long, value_name = "N[KMGT]")]
    pub(super) bytes: Option<String>,
    /// Blocks to transfer, instead of a time.
    #[arg(short = 'k', long, value_name = "N[KMGT]")]
    pub(super) blockcount: Option<String>,
    /// Seconds at the start to leave out of the totals.
    #[arg(short = 'O', long, value_name = "SECS")]
    pub(super) omit: Option<String>,
    /// The server sends, the client receives.
    #[arg(short = 'R', long)]
    pub(super) reverse: bool,
    /// Both ends send at once.
    #[arg(long)]
    pub(super) bidir: bool,
    /// Seconds between reports; 0 reports only at the end [default: 1].
    #[arg(short, long, value_name = "SECS")]
    pub(super) interval: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub(super) struct RawStreams {
    /// Streams in each direction that is in use [default: 1].
    #[arg(short = 'P', long, value_name = "N")]
    pub(super) parallel: Option<String>,
    /// Bits per second of each stream, and blocks sent back to back; 0 is unlimited [default: 0;
    /// of datagrams, 1M].
    #[arg(short, long, alias = "bandwidth", value_name = "RATE[KMGT][/BURST]")]
    pub(super) bitrate: Option<String>,
    /// Bytes in each write or message [default: the transport's own].
    #[arg(short, long, value_name = "N[KM]")]
    pub(super) length: Option<String>,
    /// Bytes of socket buffer, or of the stream's window.
    #[arg(short, long, value_name = "N[KMG]")]
    pub(super) window: Option<String>,
    /// Congestion control: one that the system has; of rudp cubic, bbr, none, or fixed:RATE, such as
    /// fixed:50M.
    #[arg(
        short = 'C',
        long,
        visible_alias = "cc",
        alias = "linux-congestion",
        value_name = "NAME"
    )]
    pub(super) congestion: Option<String>,
    /// Largest segment, in bytes.
    #[arg(short = 'M', long, value_name = "N")]
    pub(super) set_mss: Option<String>,
    /// Send small segments at once.
    #[arg(short = 'N', long)]
    pub(super) no_delay: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct RawConnection {
    /// Port of the server [default: 5201].
    #[arg(short, long, value_name = "N")]
    pub(super) port: Option<String>,
    /// Local port of the first stream; the next ones follow.
    #[arg(long, value_name = "N")]
    pub(super) cport: Option<String>,
    /// Milliseconds for resolving and connecting.
    #[arg(long, value_name = "MS")]
    pub(super) connect_timeout: Option<String>,
    /// Seconds to wait in a full server's queue [default: 600].
    #[arg(long, value_name = "SECS")]
    pub(super) queue_timeout: Option<String>,
    /// Transport of the control connection [default: what goes with --transport].
    #[arg(long, value_name = "NAME")]
    pub(super) control: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(super) struct RawLogin {
    /// User, for a server that asks; the password is in IPERF3_PASSWORD, or asked for.
    #[arg(long, value_name = "NAME")]
    pub(super) username: Option<String>,
    /// The server's public RSA key, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) rsa_public_key_path: Option<String>,
    /// Pad as iperf3 up to 3.16 does, for a server of that age; unsafe.
    #[arg(long)]
    pub(super) use_pkcs1_padding: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Addresses")]
pub(super) struct RawLocal {
    /// Local address, and device.
    #[arg(short = 'B', long, value_name = "ADDR[%DEV]")]
    pub(super) bind: Option<String>,
    /// Local network device.
    #[arg(long, value_name = "DEV")]
    pub(super) bind_dev: Option<String>,
    /// Use IPv4 only.
    #[arg(short = '4', long)]
    pub(super) version4: bool,
    /// Use IPv6 only.
    #[arg(short = '6', long)]
    pub(super) version6: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
pub(super) struct RawOutput {
    /// Report one JSON document at the end.
    #[arg(short = 'J', long)]
    pub(super) json: bool,
    /// Report one JSON document per line, as events happen.
    #[arg(long)]
    pub(super) json_stream: bool,
    /// Report comma-separated values.
    #[arg(long)]
    pub(super) csv: bool,
    /// Unit of rates: bits in k, m, g, t; bytes in K, M, G, T.
    #[arg(short, long, value_name = "[kmgtKMGT]")]
    pub(super) format: Option<String>,
    /// Label in front of each line.
    #[arg(short = 'T', long, value_name = "TEXT")]
    pub(super) title: Option<String>,
    /// Text to carry into the JSON report.
    #[arg(long, value_name = "TEXT")]
    pub(super) extra_data: Option<String>,
    /// Report what the server printed, too.
    #[arg(long)]
    pub(super) get_server_output: bool,
    /// Write the report to a file, which is replaced at the end.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<String>,
    /// Do not show how far the test is.
    #[arg(long)]
    pub(super) no_progress: bool,
    /// Show charts on the terminal while the test runs; the report follows.
    #[arg(long)]
    pub(super) tui: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(super) struct RawLog {
    /// Least severe level: error, warn, info, debug or trace [default: warn; of a server, info].
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
    /// Form of the log: text or json [default: text].
    #[arg(long, value_name = "FORM")]
    pub(super) log_format: Option<String>,
    /// As --log-level debug.
    #[arg(short, long)]
    pub(super) debug: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf server [OPTIONS]",
    after_help = after(SERVER_EXAMPLES)
)]
pub(super) struct RawServer {
    /// Port to listen on; 0 takes a free one [default: 5201].
    #[arg(short, long, value_name = "N", help_heading = "Addresses")]
    pub(super) port: Option<String>,
    #[command(flatten)]
    pub(super) local: RawLocal,
    #[command(flatten)]
    pub(super) limits: RawLimits,
    /// Processors for the threads that move bytes, as in 2-7,9; everything else keeps off them, where
    /// there are others. Any if not given.
    #[arg(long, value_name = "LIST", help_heading = "Threads")]
    pub(super) data_processors: Option<String>,
    #[command(flatten)]
    pub(super) access: RawAccess,
    #[command(flatten)]
    pub(super) governance: RawGovernance,
    #[command(flatten)]
    pub(super) identity: RawPlace,
    #[command(flatten)]
    pub(super) tls: RawTls,
    #[command(flatten)]
    pub(super) web: RawWeb,
    #[command(flatten)]
    pub(super) history: RawKept,
    /// Report each test as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    pub(super) json: bool,
    /// Report one JSON document per line, as events happen.
    #[arg(long, help_heading = "Report")]
    pub(super) json_stream: bool,
    /// Show charts of the tests on the terminal.
    #[arg(long, help_heading = "Report")]
    pub(super) tui: bool,
    #[command(flatten)]
    pub(super) log: RawLog,
    #[command(flatten)]
    pub(super) source: RawSource,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct RawLimits {
    /// Tests that may run at once [default: 64].
    #[arg(long, value_name = "N")]
    pub(super) max_sessions: Option<String>,
    /// Tests that may wait for their turn; 0 lets none wait [default: 256].
    #[arg(long, value_name = "N")]
    pub(super) max_queue: Option<String>,
    /// Longest test, in seconds [default: 86400].
    #[arg(long, value_name = "SECS")]
    pub(super) max_duration: Option<String>,
    /// Bits per second of all tests together [default: no limit].
    #[arg(long, value_name = "RATE[KMGT]")]
    pub(super) max_rate: Option<String>,
    /// Stop after one test.
    #[arg(short = '1', long)]
    pub(super) one_off: bool,
    /// Stop after this many seconds without a test.
    #[arg(long, value_name = "SECS")]
    pub(super) idle_timeout: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(super) struct RawAccess {
    /// The server's private RSA key, in PEM; lets in known users alone.
    #[arg(long, value_name = "FILE")]
    pub(super) rsa_private_key_path: Option<String>,
    /// Users, a line each: NAME,HEX with the SHA-256 of {NAME}PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(super) authorized_users_path: Option<String>,
    /// Seconds that a client's clock may be off; 10 if not given.
    #[arg(long, value_name = "SECS")]
    pub(super) time_skew_threshold: Option<String>,
    /// Let in clients of iperf3 up to 3.16 as well, whose padding is unsafe.
    #[arg(long)]
    pub(super) use_pkcs1_padding: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf compare [HOST] [OPTIONS]",
    after_help = after(COMPARE_EXAMPLES)
)]
pub(super) struct RawCompare {
    /// The server; without one, this host's loopback.
    #[arg(value_name = "HOST")]
    pub(super) host: Option<String>,
    /// Port of the server [default: 5201].
    #[arg(short, long, value_name = "N")]
    pub(super) port: Option<String>,
    /// Seconds that bulk is measured, each way in each block [default: 0.4].
    #[arg(short, long, value_name = "SECS")]
    pub(super) time: Option<String>,
    /// Seconds that bulk warms up before that [default: 0.1].
    #[arg(short = 'O', long, value_name = "SECS")]
    pub(super) omit: Option<String>,
    /// Streams of bulk [default: 1].
    #[arg(short = 'P', long, value_name = "N")]
    pub(super) parallel: Option<String>,
    /// Bytes in each write or message of bulk [default: the transport's own].
    #[arg(short, long, value_name = "N[KM]")]
    pub(super) length: Option<String>,
    /// Bytes of socket buffer, or of the stream's window.
    #[arg(short, long, value_name = "N[KMG]")]
    pub(super) window: Option<String>,
    /// Transports to compare, separated by commas, each as it is or with a congestion control, as in
    /// tcp-cubic,tcp-bbr,quic [default: all but quic-datagram].
    #[arg(long, value_name = "NAMES")]
    pub(super) transport: Option<String>,
    #[command(flatten)]
    pub(super) experiment: RawExperiment,
    #[command(flatten)]
    pub(super) links: RawLinks,
    /// Report one JSON document at the end, with every run.
    #[arg(short = 'J', long, help_heading = "Report")]
    pub(super) json: bool,
    /// Report comma-separated values, a line for each run and metric.
    #[arg(long, help_heading = "Report")]
    pub(super) csv: bool,
    /// Write a report with charts as well, one file that needs no network.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) html: Option<String>,
    /// Write the JSON document to a file as well, for polyperf diff.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) save: Option<String>,
    /// Do not show how far the comparison is.
    #[arg(long, help_heading = "Report")]
    pub(super) no_progress: bool,
    #[command(flatten)]
    pub(super) login: RawLogin,
    #[command(flatten)]
    pub(super) proof: RawProof,
    #[command(flatten)]
    pub(super) trust: RawTrust,
    #[command(flatten)]
    pub(super) source: RawSource,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Experiment")]
pub(super) struct RawExperiment {
    /// Blocks, in each of which every transport runs once [default: 7, or as many as it takes to show
    /// a difference among so many transports].
    #[arg(long, value_name = "N")]
    pub(super) repeat: Option<String>,
    /// Transport that the others are compared with [default: the first].
    #[arg(long, value_name = "NAME")]
    pub(super) baseline: Option<String>,
    /// What the random orders follow from [default: another one each time].
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<String>,
    /// Seconds without traffic between two runs [default: 0.05].
    #[arg(long, value_name = "SECS")]
    pub(super) gap: Option<String>,
    /// Run the baseline twice in each block: whatever differs between it and itself is chance.
    #[arg(long)]
    pub(super) aa: bool,
    /// What is measured, separated by commas: churn, resumed, zero-rtt, idle, 10k, 1m, 10m, up, down [default: all].
    #[arg(long, value_name = "PARTS")]
    pub(super) parts: Option<String>,
    /// Percent that goodput must differ by to be called better or worse [default: 3].
    #[arg(long, value_name = "PERCENT")]
    pub(super) threshold_goodput: Option<String>,
    /// Percent that latency must differ by to be called better or worse [default: 5].
    #[arg(long, value_name = "PERCENT")]
    pub(super) threshold_latency: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Link")]
pub(super) struct RawLinks {
    /// Emulated links to compare over, separated by commas: names of polyperf lab list, or files. Times
    /// are then the links' own, and the transports tcp with each congestion control, quic, kcp and
    /// rudp, unless others are asked for.
    #[arg(long, value_name = "PRESETS")]
    pub(super) link: Option<String>,
    /// What sends beside bulk on the same link, separated by commas: a transport, with its congestion
    /// control if need be, and how many streams, as in tcp-cubic:2.
    #[arg(long, value_name = "TRANSPORT[:N]")]
    pub(super) cross: Option<String>,
    #[command(flatten)]
    pub(super) dice: RawDice,
}

fn after(examples: &str) -> String {
    format!("Examples:\n{examples}\n{}", exit::section())
}

const TOP_USAGE: &str = "polyperf server [OPTIONS]
       polyperf client HOST [OPTIONS]
       polyperf compare [HOST] [OPTIONS]
       polyperf diff A.json B.json [OPTIONS]
       polyperf cert COMMAND [OPTIONS]
       polyperf config COMMAND [OPTIONS]
       polyperf doctor [OPTIONS]
       polyperf completions SHELL
       polyperf man [DIR]
       polyperf web-password
       polyperf history COMMAND [OPTIONS]
       polyperf psk make IDENTITY
       polyperf lab COMMAND [OPTIONS]
       polyperf -s | -c HOST [OPTIONS], as with iperf3";
const TOP_EXAMPLES: &str = "  polyperf server
  polyperf client HOST -t 10 -R
  polyperf -c HOST -P 4 -J
";
const CLIENT_EXAMPLES: &str = "  polyperf client HOST -t 10 -R
  polyperf client HOST -n 1G --json-stream
  polyperf client HOST --workload rr --in-flight 16
  polyperf client HOST --probe -R
  polyperf -c HOST -P 4 -J
";
const PASSWORD_EXAMPLES: &str = "  polyperf web-password > password
  polyperf server --web --web-password-file password
";
const SERVER_EXAMPLES: &str = "  polyperf server
  polyperf server -p 5202 --max-sessions 1
  polyperf server --web --web-peer lab=192.0.2.1
  polyperf -s -1
";
const COMPARE_EXAMPLES: &str = "  polyperf compare
  polyperf compare HOST --transport tcp,quic -t 5 --html report.html
  polyperf compare HOST --aa --transport tcp --save monday.json
  polyperf compare --link lossy-iid,geo --repeat 7
";
