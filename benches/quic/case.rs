//! What one run is, what it comes to, and the two tools that do it.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    process::{Command, Stdio},
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::support::{Process, Result, cpu_of};

/// What is run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Case {
    /// Seconds that count.
    #[arg(long, default_value_t = 3)]
    pub(crate) time: u64,
    /// Seconds before them.
    #[arg(long, default_value_t = 0)]
    pub(crate) omit: u64,
    /// The server sends.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Send each packet by itself.
    #[arg(long)]
    pub(crate) no_gso: bool,
    /// Where the server is reached, if not where it is.
    #[arg(long)]
    pub(crate) via: Option<SocketAddr>,
    /// polyperf's window of a stream in bytes; its default without.
    #[arg(long)]
    pub(crate) window: Option<NonZeroU32>,
    /// polyperf's transport.
    #[arg(long, default_value = "quic")]
    pub(crate) transport: String,
    /// quinn's cipher.
    #[arg(long, value_enum, default_value_t = Suite::Same)]
    pub(crate) suite: Suite,
}

/// The cipher that quinn uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// AES-128-GCM, as polyperf does.
    Same,
    /// What rustls prefers with ring: AES-256-GCM.
    Default,
}

/// What one run came to, as the ends counted it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// What the receiver counted.
    pub(crate) goodput_bps: f64,
    /// What the receiver got in all, the omitted time included.
    pub(crate) bytes: u64,
    /// What the sender's connection sent, gave up as lost, and took system calls for.
    pub(crate) packets_sent: u64,
    pub(crate) packets_lost: u64,
    pub(crate) send_calls: u64,
    /// Times that congestion control answered to loss.
    pub(crate) congestion_events: u64,
    /// The largest packet in the end.
    pub(crate) mtu: u32,
    /// Packets that one system call of the sender's may send; `None` if the tool does not say.
    pub(crate) gso_segments: Option<u32>,
    /// Messages that did not come, of all that were sent; 0 of a stream.
    pub(crate) loss: f64,
}

/// What one run came to.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) figures: Figures,
    /// Processor time of the whole client process, and of the server's during the run.
    pub(crate) client_cpu: Duration,
    pub(crate) server_cpu: Duration,
}

/// A tool with its server, which runs as long as the value lives.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// The role of its client in this program.
    role: &'static str,
    server: Process,
    pub(crate) addr: SocketAddr,
    /// What its client needs to know its server.
    certificate: Option<String>,
}

impl Case {
    fn options(&self) -> Vec<String> {
        let suite = if self.suite == Suite::Same { "same" } else { "default" };
        let mut options = vec![
            format!("--time={}", self.time),
            format!("--omit={}", self.omit),
            format!("--transport={}", self.transport),
            format!("--suite={suite}"),
        ];
        options.extend(self.reverse.then(|| "--reverse".to_owned()));
        options.extend(self.no_gso.then(|| "--no-gso".to_owned()));
        options.extend(self.window.map(|window| format!("--window={window}")));
        options.extend(self.via.map(|via| format!("--via={via}")));
        options
    }
}

impl Tool {
    pub(crate) fn ours() -> Result<Self> {
        let (server, addr) = crate::support::start_server()?;
        Ok(Self { name: "polyperf", role: "client", server, addr, certificate: None })
    }

    pub(crate) fn bare(case: &Case) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-bare").args(case.options());
        let (server, (addr, certificate)) = Process::start(&mut command, |line| {
            let (addr, certificate) = line.split_once(' ')?;
            Some((addr.parse().ok()?, certificate.to_owned()))
        })?;
        let certificate = Some(certificate);
        Ok(Self { name: "quinn", role: "client-bare", server, addr, certificate })
    }

    /// Runs a client in a process of its own.
    pub(crate) fn run(&self, case: &Case) -> Result<Run> {
        let before = self.cpu()?;
        let figures = serde_json::from_slice(&output(&mut self.client(case)?)?)?;
        let after = self.cpu()?;
        Ok(Run {
            figures,
            client_cpu: after.0.saturating_sub(before.0),
            server_cpu: after.1.saturating_sub(before.1),
        })
    }

    /// Returns what runs a client.
    pub(crate) fn client(&self, case: &Case) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([self.role, &self.addr.to_string()]).args(case.options());
        command.envs(self.certificate.iter().map(|certificate| (CERTIFICATE, certificate)));
        Ok(command)
    }

    /// Returns the process of the server.
    pub(crate) fn server(&self) -> u32 {
        self.server.id()
    }

    /// Returns the processor time of the clients so far, and of the server.
    fn cpu(&self) -> Result<(Duration, Duration)> {
        Ok((cpu_of(std::process::id())?.1, cpu_of(self.server.id())?.0))
    }
}

impl Run {
    pub(crate) fn gbits(&self) -> f64 {
        self.figures.goodput_bps / 1e9
    }

    pub(crate) fn client_cost(&self) -> f64 {
        self.client_cpu.as_secs_f64() / self.moved()
    }

    pub(crate) fn server_cost(&self) -> f64 {
        self.server_cpu.as_secs_f64() / self.moved()
    }

    /// Returns the processor time of both ends in seconds for each Gbit.
    pub(crate) fn cost(&self) -> f64 {
        self.client_cost() + self.server_cost()
    }

    #[allow(clippy::cast_precision_loss, reason = "2^53 packets are more than any run sends")]
    pub(crate) fn packets_per_call(&self) -> f64 {
        self.figures.packets_sent as f64 / self.figures.send_calls.max(1) as f64
    }

    /// Returns what the receiver got, in Gbit.
    #[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any run moves")]
    fn moved(&self) -> f64 {
        self.figures.bytes as f64 * 8.0 / 1e9
    }
}

/// Returns the load of the machine: how many tasks ran or waited to, over the last minute.
pub(crate) fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&said).trim()).into())
}

/// The variable with the certificate of quinn's server.
pub(crate) const CERTIFICATE: &str = "BENCH_CERTIFICATE";
