//! The tools, and what one run of them comes to.

use std::{process::Command, thread, time::Duration};

use serde::Serialize;

use crate::{
    child, floor, iperf,
    others::{KcpGo, Quinn, Xfr},
    peers::Peers,
    scenario::Scenario,
    support::{Result, cpu_of},
};

/// A program that measures throughput; its server runs as long as the value lives.
pub(crate) trait Tool {
    fn name(&self) -> &str;
    /// Returns the process of its server.
    fn server(&self) -> u32;
    /// Returns what runs its client.
    fn client(&self, scenario: &Scenario, settings: &Settings) -> Result<Command>;
    /// Returns what the receivers counted, all streams and directions together, from what the client
    /// printed.
    fn read(&mut self, output: &[u8]) -> Result<Goodput>;
}

/// What a run is told beside its scenario.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// In seconds.
    pub(crate) time: u64,
    pub(crate) congestion: Option<String>,
    /// In bits a second; as fast as can be without.
    pub(crate) rate: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Goodput {
    pub(crate) bytes: f64,
    pub(crate) bits_per_second: f64,
    /// The part of the datagrams that did not come; `None` of a stream.
    pub(crate) loss: Option<f64>,
}

/// What one run of a tool came to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Run {
    pub(crate) gbit_per_second: f64,
    pub(crate) loss: Option<f64>,
    pub(crate) client_cpu_s_per_gb: f64,
    pub(crate) server_cpu_s_per_gb: f64,
    pub(crate) client_peak_kb: Option<u64>,
    pub(crate) server_peak_kb: Option<u64>,
}

/// Starts polyperf, the floor, and the peers of a scenario, as far as they are there and wanted.
pub(crate) fn start(
    scenario: &Scenario,
    peers: &Peers,
    only: &[String],
) -> Result<Vec<Box<dyn Tool>>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let mut tools: Vec<Box<dyn Tool>> = Vec::new();
    if wanted(OURS) {
        tools.push(Box::new(iperf::ours()?));
    }
    for name in scenario.peers {
        let Some(program) = peers.program(name).filter(|_| wanted(name)) else { continue };
        let tool: Box<dyn Tool> = match *name {
            "xfr" => Box::new(Xfr::start(program)?),
            "quinn" => Box::new(Quinn::start()?),
            "kcp-go" => Box::new(KcpGo::start()?),
            name => Box::new(iperf::peer(name, program)?),
        };
        tools.push(tool);
    }
    let floors = if scenario.zero_copy { &[FLOOR, FLOOR_MSG][..] } else { &[FLOOR] };
    for &name in floors.iter().filter(|name| scenario.has_floor() && wanted(name)) {
        tools.push(Box::new(floor::Floor::start(name)?));
    }
    Ok(tools)
}

/// Runs a tool once.
pub(crate) fn run(tool: &mut dyn Tool, scenario: &Scenario, settings: &Settings) -> Result<Run> {
    let mut command = tool.client(scenario, settings)?;
    let server = tool.server();
    child::reset_peak(server);
    let before = cpu_of(server)?.0;
    let ran = child::run(&mut command)?;
    let goodput = tool.read(&ran.output).map_err(|error| format!("{}: {error}", tool.name()))?;
    // The server's last threads may end a little later than its client.
    thread::sleep(Duration::from_millis(100));
    let server_cpu = cpu_of(server)?.0.saturating_sub(before);
    let per_gb = |cpu: Duration| cpu.as_secs_f64() / (goodput.bytes / 1e9);
    Ok(Run {
        gbit_per_second: goodput.bits_per_second / 1e9,
        loss: goodput.loss,
        client_cpu_s_per_gb: per_gb(ran.cpu),
        server_cpu_s_per_gb: per_gb(server_cpu),
        client_peak_kb: ran.peak_kb,
        server_peak_kb: child::peak_kb(server),
    })
}

/// The system calls alone; and of two ways not to copy, the one that polyperf does not take.
pub(crate) const FLOOR: &str = "floor";
pub(crate) const FLOOR_MSG: &str = "floor-msg";
/// Whom everybody is compared with.
pub(crate) const OURS: &str = "polyperf";
