//! Other people's QUIC stacks that speak `perf`, and how they are run.

use std::{ffi::OsString, fmt, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{Answered, Asked, Download, Identity, PATIENCE, Requested};

/// A QUIC stack of somebody else's that speaks `perf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuicPeer {
    /// aioquic, which a script of this crate drives.
    Aioquic,
    /// s2n-quic, which this program drives: the path of one is known to tests alone.
    S2n(&'static str),
}

impl QuicPeer {
    /// Returns a command that runs it as a server, on any port of both families.
    #[must_use]
    pub fn server(self, identity: &Identity) -> Command {
        let mut command = self.command();
        command.arg("server").arg("--certificate").arg(identity.certificate());
        command.arg("--private-key").arg(identity.private_key());
        command
    }

    /// Returns a command that runs it as a client, which trusts whoever is `known`, or anybody
    /// without.
    #[must_use]
    pub fn client(self, host: &str, port: u16, known: Option<&Identity>) -> Command {
        let mut command = self.command();
        command.args(["client", host, &port.to_string()]);
        match known {
            Some(known) => command.arg("--ca").arg(known.certificate()),
            None => command.arg("--insecure"),
        };
        command
    }

    fn command(self) -> Command {
        let mut command = match self {
            Self::Aioquic => {
                let python = std::env::var_os(PYTHON).unwrap_or_else(|| INSTALLED.into());
                let mut command = Command::new(python);
                command.arg(SCRIPT);
                command
            }
            Self::S2n(program) => Command::new(program),
        };
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl fmt::Display for QuicPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aioquic => "aioquic",
            Self::S2n(_) => "s2n-quic",
        })
    }
}

impl Asked {
    /// Returns it as arguments of a peer's client.
    #[must_use]
    pub fn args(&self) -> Vec<OsString> {
        let numbers = [("--streams", self.streams as u64), ("--upload", self.upload)];
        let download = match self.download {
            Download::Bytes(bytes) => ("--download", bytes),
            Download::StoppedAfter(bytes) => ("--stop-after", bytes),
        };
        let numbers = numbers.into_iter().chain([download]);
        let mut args: Vec<_> =
            numbers.flat_map(|(name, number)| [name.into(), number.to_string().into()]).collect();
        if matches!(self.download, Download::StoppedAfter(_)) {
            args.push("--unlimited".into());
        }
        args
    }
}

/// A peer's server, killed when it is dropped.
#[derive(Debug)]
pub struct PerfServer {
    /// Where it listens, over both families.
    pub port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl PerfServer {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it is not installed, or does not listen.
    pub async fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{}", missing(&command, &error)));
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{command:?} does not listen"));
        let Some(line) = line.expect("it can be read") else {
            panic!("{command:?} ends: {:?}", child.wait_with_output().await);
        };
        let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{command:?} listens nowhere: {line}"));
        Self { port, lines, _child: child }
    }

    /// Waits until as many streams more are over, and returns what it tells of them.
    ///
    /// # Panics
    ///
    /// If they are not within a minute, or it prints something else.
    pub async fn answered(&mut self, streams: usize) -> Vec<Answered> {
        let answered = async {
            let mut answered = Vec::new();
            while answered.len() < streams {
                let line = self.lines.next_line().await.expect("it can be read");
                let line = line.expect("the server runs");
                answered.push(serde_json::from_str(&line).expect("it tells of a stream"));
            }
            answered
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("the streams end")
    }
}

/// Runs a peer's client, and returns what it tells of its streams.
///
/// # Errors
///
/// What it says went wrong.
///
/// # Panics
///
/// If it is not installed, does not end, or prints something else.
pub async fn perf_client(command: &mut Command) -> Result<Vec<Requested>, String> {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap_or_else(|error| panic!("{}", missing(command, &error)));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = text.lines().collect();
    let last: Value = lines.pop().map_or(Value::Null, parsed);
    assert_eq!(last, serde_json::json!({ "handshake": true, "alpn": "perf" }), "{text}");
    Ok(lines.into_iter().map(parsed).collect())
}

fn parsed<T: serde::de::DeserializeOwned>(line: &str) -> T {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn missing(command: &Command, error: &std::io::Error) -> String {
    let program = command.as_std().get_program();
    format!(
        "cannot run {program:?} ({error}): name a Python that has aioquic in {PYTHON}; .ci/run \
         installs one"
    )
}

/// The variable that names a Python interpreter that has aioquic.
const PYTHON: &str = "AIOQUIC_PYTHON";
/// What is run without it: where `.ci/run` installs aioquic.
const INSTALLED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/aioquic/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/aioquic_perf.py");
