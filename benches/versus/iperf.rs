//! iperf3, and programs that are told what to do in its words and answer in its documents: riperf3, and
//! polyperf.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    scenario::{Direction, Scenario},
    support::{Process, Result},
    tool::{Goodput, OURS, Settings, Tool},
};

/// One of them, with its server.
pub(crate) struct Iperf {
    name: String,
    program: PathBuf,
    server: Process,
    port: u16,
}

/// Starts polyperf.
pub(crate) fn ours() -> Result<Iperf> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_polyperf"));
    let port = free_port()?;
    let mut command = Command::new(&program);
    command.args(["server", "-B", HOST, "-p", &port.to_string()]);
    let server = Process::start_at(&mut command, port)?;
    Ok(Iperf { name: OURS.to_owned(), program, server, port })
}

/// Starts a peer.
pub(crate) fn peer(name: &str, program: &Path) -> Result<Iperf> {
    let port = free_port()?;
    let mut command = Command::new(program);
    command.args(["-s", "-B", HOST, "-p", &port.to_string()]);
    let server = Process::start_at(&mut command, port)?;
    Ok(Iperf { name: name.to_owned(), program: program.to_owned(), server, port })
}

impl Tool for Iperf {
    fn name(&self) -> &str {
        &self.name
    }

    fn server(&self) -> u32 {
        self.server.id()
    }

    fn client(&self, scenario: &Scenario, settings: &Settings) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let ours = self.name == OURS;
        let port = self.port.to_string();
        if ours {
            command.args(["client", HOST, "--transport", scenario.transport]);
            command.args((scenario.transport == "quic").then_some("--insecure-skip-verify"));
            command.args(scenario.singly.then_some("--no-gso"));
        } else {
            command.args(["-c", HOST]);
            command.args((scenario.transport == "udp").then_some("-u"));
        }
        command.args(["-J", "-p", &port, "-t", &settings.time.to_string()]);
        command.args(["-P", &scenario.streams.to_string()]);
        match scenario.direction {
            Direction::Forward => {}
            Direction::Reverse => drop(command.arg("-R")),
            Direction::Both => drop(command.arg("--bidir")),
        }
        command.args(scenario.zero_copy.then_some("-Z"));
        if let Some(block) = scenario.block {
            command.args(["-l", &block.to_string()]);
        }
        if scenario.transport == "udp" || settings.rate.is_some() {
            command.args(["-b", &settings.rate.unwrap_or(0).to_string()]);
        }
        if let (Some(congestion), "tcp") = (&settings.congestion, scenario.transport) {
            command.args(["-C", congestion]);
        }
        Ok(command)
    }

    fn read(&mut self, output: &[u8]) -> Result<Goodput> {
        let document: Value = serde_json::from_slice(output)?;
        let end = &document["end"];
        let sums = ["sum_received", "sum_received_bidir_reverse"];
        let sum = |key: &str| {
            let figures = sums.iter().filter_map(|sum| end[sum][key].as_f64());
            figures.reduce(|a, b| a + b).ok_or_else(|| format!("no {key} in its report"))
        };
        let loss = end["sum_received"]["lost_percent"].as_f64().map(|percent| percent / 100.0);
        Ok(Goodput { bytes: sum("bytes")?, bits_per_second: sum("bits_per_second")?, loss })
    }
}

/// Returns a port that was free a moment ago, for programs that cannot pick one themselves.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((HOST, 0))?.local_addr()?.port())
}

pub(crate) const HOST: &str = "127.0.0.1";
