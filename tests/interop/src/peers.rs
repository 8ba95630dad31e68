//! Other people's programs that speak iperf3's protocol, and how their clients are run.

use std::{fmt, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::PATIENCE;

/// A program of somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Debian's iperf3, which is 3.12.
    Iperf3,
    /// A later reimplementation in Rust, which follows newer versions of iperf3.
    Riperf3,
}

impl Peer {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Iperf3, Self::Riperf3];

    /// Returns a command that runs it: what `IPERF3` or `RIPERF3` names, or else what is on the
    /// path.
    #[must_use]
    pub fn command(self) -> Command {
        let program = std::env::var_os(self.variable()).unwrap_or_else(|| self.to_string().into());
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it as a client, and returns its document; `Err` with its error if it failed.
    ///
    /// # Errors
    ///
    /// What it says went wrong.
    ///
    /// # Panics
    ///
    /// If it is not installed, does not end, or prints something else.
    pub async fn client(self, host: &str, port: u16, args: &[&str]) -> Result<Value, String> {
        self.client_as("", host, port, args).await
    }

    /// As [`client`](Self::client), with a password.
    ///
    /// # Errors
    ///
    /// What it says went wrong.
    ///
    /// # Panics
    ///
    /// As [`client`](Self::client).
    pub async fn client_as(
        self,
        password: &str,
        host: &str,
        port: u16,
        args: &[&str],
    ) -> Result<Value, String> {
        let mut command = self.command();
        command.env("IPERF3_PASSWORD", password);
        command.args(["-J", "-c", host, "-p", &port.to_string()]).args(args);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{self} {args:?} does not end"));
        let output = output.unwrap_or_else(|error| panic!("{}", self.missing(&error)));
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{self} printed no JSON ({error}): {output:?}"));
        match document["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None if output.status.success() => Ok(document),
            None => Err(format!("{output:?}")),
        }
    }

    pub(crate) fn missing(self, error: &std::io::Error) -> String {
        let variable = self.variable();
        format!(
            "cannot run {self} ({error}): put it on PATH, or name it in {variable}; .ci/run \
             installs it"
        )
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Iperf3 => "IPERF3",
            Self::Riperf3 => "RIPERF3",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iperf3 => "iperf3",
            Self::Riperf3 => "riperf3",
        })
    }
}
