//! polyperf, as its users run it.

use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
};

use serde_json::Value;

use crate::{
    CLIENTS, Case, Figures, SERVERS, on_processor,
    support::{Process, Result},
};

/// polyperf's server.
pub(crate) struct Server {
    addr: SocketAddr,
    _process: Process,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = on_processor(SERVERS, PROGRAM);
        command.args(["server", "-B", &addr.ip().to_string(), "-p", &addr.port().to_string()]);
        Ok(Self { addr, _process: Process::start_at(&mut command, addr.port())? })
    }

    /// Runs a test, and returns what its document says of the requests.
    pub(crate) fn run(&self, case: Case, seconds: u64) -> Result<Figures> {
        let mut command = on_processor(CLIENTS, PROGRAM);
        command.args(["client", &self.addr.ip().to_string(), "-J", "-i", "0"]);
        command.args(["-p", &self.addr.port().to_string(), "-t", &seconds.to_string()]);
        command.args(["--transport", case.transport(), "--workload", case.workload()]);
        command.args((case.transport() == "quic").then_some("--insecure-skip-verify"));
        let output = command.stderr(Stdio::inherit()).output()?;
        let document: Value = serde_json::from_slice(&output.stdout)?;
        if !output.status.success() {
            return Err(format!("polyperf failed: {document}").into());
        }
        read(&document).ok_or_else(|| format!("no requests in {document}").into())
    }
}

/// Returns the figures of the first flow that has asked.
#[allow(clippy::cast_precision_loss, reason = "counts and times of a short test are small")]
fn read(document: &Value) -> Option<Figures> {
    let flow = with(document, "exchanges")?;
    let exchanges = &flow["exchanges"];
    let seconds = flow["duration_us"].as_u64()? as f64 / 1e6;
    Some(Figures {
        p50_us: exchanges["latency"]["p50_ns"].as_u64()? as f64 / 1e3,
        per_second: exchanges["replies"].as_u64()? as f64 / seconds,
    })
}

/// Returns the first object, anywhere within, that has this key.
fn with<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) if map.contains_key(key) => Some(value),
        Value::Object(map) => map.values().find_map(|value| with(value, key)),
        Value::Array(list) => list.iter().find_map(|value| with(value, key)),
        _ => None,
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_polyperf");
