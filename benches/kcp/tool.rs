//! The tools, and what one run of them comes to.

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    support::{Result, cpu_of},
    veth::Veth,
};

/// Where both ends are.
pub(crate) enum Where {
    Loopback,
    Veth(Veth),
}

/// A tool with its server, which runs as long as the value lives.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    server: Child,
    lines: Lines<BufReader<ChildStdout>>,
    addr: SocketAddr,
}

/// What the receiver counted, and what was sent again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) goodput_bps: f64,
    pub(crate) bytes: u64,
    /// `None` if the tool does not say.
    pub(crate) retransmits: Option<u64>,
}

/// What one run came to.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) figures: Figures,
    sender_cpu: Duration,
    receiver_cpu: Duration,
}

impl Where {
    /// Returns a command that runs `program` at the server's end.
    fn server(&self, program: PathBuf) -> Command {
        match self {
            Self::Loopback => Command::new(program),
            Self::Veth(veth) => veth.server(program),
        }
    }

    fn client(&self, program: PathBuf) -> Command {
        match self {
            Self::Loopback => Command::new(program),
            Self::Veth(veth) => veth.client(program),
        }
    }

    fn addr(&self) -> SocketAddr {
        let ip = match self {
            Self::Loopback => IpAddr::from(Ipv4Addr::LOCALHOST),
            Self::Veth(_) => Veth::SERVER.into(),
        };
        SocketAddr::new(ip, 0)
    }
}

impl Tool {
    /// Starts this program once more, as polyperf's server; `name` is a transport.
    pub(crate) fn ours(name: &'static str, place: &Where) -> Result<Self> {
        let mut command = place.server(std::env::current_exe()?);
        command.arg("serve").arg(place.addr().to_string());
        Self::start(name, command, |line| line.parse().ok())
    }

    /// Starts kcp-go's server.
    pub(crate) fn kcp_go(place: &Where) -> Result<Self> {
        let program = kcp_peer()?;
        let mut command = place.server(program);
        command.args(["serve", "-verify=false", "-limit", "60s", "-addr"]);
        command.arg(place.addr().to_string());
        Self::start(KCP_GO, command, |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value["listening"].as_str()?.parse().ok()
        })
    }

    fn start(
        name: &'static str,
        mut command: Command,
        ready: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn()?;
        let output = server.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let addr = loop {
            let line = lines.next().transpose()?.ok_or("it ended before it was ready")?;
            if let Some(addr) = ready(&line) {
                break addr;
            }
        };
        Ok(Self { name, server, lines, addr })
    }

    /// Runs a client, which sends for so many seconds.
    pub(crate) fn run(&mut self, seconds: u64, place: &Where) -> Result<Run> {
        let before = self.cpu()?;
        let figures = if self.name == KCP_GO {
            self.run_kcp_go(seconds, place)?
        } else {
            self.run_ours(seconds, place)?
        };
        let after = self.cpu()?;
        Ok(Run {
            figures,
            sender_cpu: after.0.saturating_sub(before.0),
            receiver_cpu: after.1.saturating_sub(before.1),
        })
    }

    fn run_ours(&self, seconds: u64, place: &Where) -> Result<Figures> {
        let mut command = place.client(std::env::current_exe()?);
        command.args(["client", &self.addr.to_string(), self.name]);
        command.args(["--time", &seconds.to_string()]);
        Ok(serde_json::from_slice(&output(&mut command)?)?)
    }

    fn run_kcp_go(&mut self, seconds: u64, place: &Where) -> Result<Figures> {
        let sent = output(&mut self.client_kcp_go(seconds, place)?)?;
        self.read_kcp_go(&sent)
    }

    /// Returns what runs kcp-go's client.
    pub(crate) fn client_kcp_go(&self, seconds: u64, place: &Where) -> Result<Command> {
        let mut command = place.client(kcp_peer()?);
        command.args(["dial", "-verify=false", "-limit", "60s", "-direction", "u", "-t"]);
        command.args([&seconds.to_string(), &self.addr.to_string()]);
        Ok(command)
    }

    /// Returns what kcp-go's two ends say, of which the client has printed `sent`.
    pub(crate) fn read_kcp_go(&mut self, sent: &[u8]) -> Result<Figures> {
        let sent: Value = serde_json::from_slice(sent)?;
        let line = self.lines.next().transpose()?.ok_or("kcp-go's server has ended")?;
        let received: Value = serde_json::from_str(&line)?;
        Ok(Figures {
            goodput_bps: received["goodput_bps"].as_f64().ok_or("no goodput")?,
            bytes: received["received"].as_u64().ok_or("no bytes")?,
            retransmits: sent["snmp"]["RetransSegs"].as_u64(),
        })
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

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Run {
    pub(crate) fn gbits(&self) -> f64 {
        self.figures.goodput_bps / 1e9
    }

    pub(crate) fn sender_cost(&self) -> f64 {
        self.sender_cpu.as_secs_f64() / self.moved()
    }

    pub(crate) fn receiver_cost(&self) -> f64 {
        self.receiver_cpu.as_secs_f64() / self.moved()
    }

    /// Returns the processor time of both ends in seconds for each GB.
    pub(crate) fn cost(&self) -> f64 {
        self.sender_cost() + self.receiver_cost()
    }

    /// Returns what the receiver got, in GB.
    #[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any run moves")]
    fn moved(&self) -> f64 {
        self.figures.bytes as f64 / 1e9
    }
}

/// Returns where kcp-go's program is.
pub(crate) fn kcp_peer() -> Result<PathBuf> {
    let program = std::env::var_os("KCP_PEER").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/kcp-peer")),
        PathBuf::from,
    );
    if program.exists() {
        return Ok(program);
    }
    Err(format!("there is no {}; .ci/run says how it is built", program.display()).into())
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&said).trim()).into())
}

const KCP_GO: &str = "kcp-go";
