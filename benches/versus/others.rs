//! Peers with words of their own: xfr, quinn by itself, and kcp-go.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use clap::Parser;
use serde_json::Value;

use crate::{
    case,
    iperf::{HOST, free_port},
    kcp_tool::{self, Where},
    scenario::{Direction, Scenario},
    support::{Process, Result},
    tool::{Goodput, Settings, Tool},
};

/// xfr, whose blocks of TCP cannot be chosen, and which sends from a file unless it is told not to.
pub(crate) struct Xfr {
    program: PathBuf,
    server: Process,
    port: u16,
}

impl Xfr {
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["serve", "-B", HOST, "-p", &port.to_string(), "--no-mdns"]);
        let server = Process::start_at(&mut command, port)?;
        Ok(Self { program: program.to_owned(), server, port })
    }
}

impl Tool for Xfr {
    fn name(&self) -> &str {
        "xfr"
    }

    fn server(&self) -> u32 {
        self.server.id()
    }

    fn client(&self, scenario: &Scenario, settings: &Settings) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.args([HOST, "--json", "--no-update-check", "-p", &self.port.to_string()]);
        command.args(["-t", &format!("{}s", settings.time), "-P", &scenario.streams.to_string()]);
        match scenario.direction {
            Direction::Forward => {}
            Direction::Reverse => drop(command.arg("-R")),
            Direction::Both => drop(command.arg("--bidir")),
        }
        if scenario.transport == "udp" {
            command.args(["-u", "-b", &settings.rate.unwrap_or(0).to_string()]);
            if let Some(block) = scenario.block {
                command.args(["-l", &block.to_string()]);
            }
            return Ok(command);
        }
        command.args(scenario.zero_copy.then_some("--zerocopy"));
        if let Some(congestion) = &settings.congestion {
            command.args(["--congestion", congestion]);
        }
        Ok(command)
    }

    fn read(&mut self, output: &[u8]) -> Result<Goodput> {
        let result: Value = serde_json::from_slice(output)?;
        let figure = |value: &Value, key: &str| {
            value[key].as_f64().ok_or_else(|| format!("no {key} in its report"))
        };
        let seconds = figure(&result, "duration_ms")? / 1000.0;
        let udp = &result["udp_stats_send"];
        if udp.is_object() {
            let bytes = figure(udp, "packets_received")? * figure(udp, "packet_size")?;
            let loss = udp["lost_percent"].as_f64().map(|percent| percent / 100.0);
            return Ok(Goodput { bytes, bits_per_second: bytes * 8.0 / seconds, loss });
        }
        let bytes = figure(&result, "bytes_total")?;
        Ok(Goodput { bytes, bits_per_second: bytes * 8.0 / seconds, loss: None })
    }
}

/// quinn by itself, each end a role of this program.
pub(crate) struct Quinn(case::Tool);

#[derive(Parser)]
struct QuinnCase {
    #[command(flatten)]
    case: case::Case,
}

impl Quinn {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self(case::Tool::bare(&Self::case(None)?)?))
    }

    fn case(time: Option<u64>) -> Result<case::Case> {
        let time = time.map(|time| format!("--time={time}"));
        let words = std::iter::once("quinn".to_owned()).chain(time);
        Ok(QuinnCase::try_parse_from(words)?.case)
    }
}

impl Tool for Quinn {
    fn name(&self) -> &str {
        "quinn"
    }

    fn server(&self) -> u32 {
        self.0.server()
    }

    fn client(&self, _: &Scenario, settings: &Settings) -> Result<Command> {
        self.0.client(&Self::case(Some(settings.time))?)
    }

    fn read(&mut self, output: &[u8]) -> Result<Goodput> {
        let figures: case::Figures = serde_json::from_slice(output)?;
        Ok(goodput(figures.bytes, figures.goodput_bps))
    }
}

/// kcp-go, in a program of ours.
pub(crate) struct KcpGo(kcp_tool::Tool);

impl KcpGo {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self(kcp_tool::Tool::kcp_go(&Where::Loopback)?))
    }
}

impl Tool for KcpGo {
    fn name(&self) -> &str {
        "kcp-go"
    }

    fn server(&self) -> u32 {
        self.0.server()
    }

    fn client(&self, _: &Scenario, settings: &Settings) -> Result<Command> {
        self.0.client_kcp_go(settings.time, &Where::Loopback)
    }

    fn read(&mut self, output: &[u8]) -> Result<Goodput> {
        let figures = self.0.read_kcp_go(output)?;
        Ok(goodput(figures.bytes, figures.goodput_bps))
    }
}

#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any run moves")]
fn goodput(bytes: u64, bits_per_second: f64) -> Goodput {
    Goodput { bytes: bytes as f64, bits_per_second, loss: None }
}
