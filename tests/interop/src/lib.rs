//! Other people's programs against polyperf. Each must be installed; `.ci/run` does that.

use std::{net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use polyperf::{
    Server,
    event::Event,
    outcome::Outcome,
    server::{Builder, Handle},
};
use serde_json::Value;
use tokio::{process::Command, sync::broadcast};

/// A polyperf server inside the test.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens, over both families.
    pub port: u16,
    /// To ask it things.
    pub handle: Handle,
    events: broadcast::Receiver<Event>,
}

impl Serving {
    /// Starts a server that `set` sets up.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn start(set: impl FnOnce(Builder) -> Builder) -> Self {
        let any = SocketAddr::from(([0_u16; 8], 0));
        let server = set(Server::builder().listen(any)).bind().await.expect("a free port");
        let (handle, port) = (server.handle(), server.local_addrs()[0].1.port());
        let events = handle.events();
        tokio::spawn(server.run(std::future::pending()));
        Self { port, handle, events }
    }

    /// Waits for the next test to end, and returns what the server has of it.
    ///
    /// # Panics
    ///
    /// If none does within a minute.
    pub async fn outcome(&mut self) -> Arc<Outcome> {
        let finished = async {
            loop {
                if let Event::Finished(outcome) = self.events.recv().await.expect("the server runs")
                {
                    return outcome;
                }
            }
        };
        tokio::time::timeout(PATIENCE, finished).await.expect("the test ends")
    }
}

/// Runs Debian's iperf3 as a client, and returns its document; `Err` with its error if it failed.
///
/// # Errors
///
/// What it says went wrong.
///
/// # Panics
///
/// If it is not installed, does not end, or prints something else.
pub async fn iperf3(host: &str, port: u16, args: &[&str]) -> Result<Value, String> {
    iperf3_as("", host, port, args).await
}

/// As [`iperf3`], with a password.
///
/// # Errors
///
/// What it says went wrong.
///
/// # Panics
///
/// As [`iperf3`].
pub async fn iperf3_as(
    password: &str,
    host: &str,
    port: u16,
    args: &[&str],
) -> Result<Value, String> {
    let mut command = Command::new("iperf3");
    command.env("IPERF3_PASSWORD", password);
    command.args(["-J", "-c", host, "-p", &port.to_string()]).args(args);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("iperf3 ends").expect("iperf3 is installed");
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("iperf3 printed no JSON ({error}): {output:?}"));
    match document["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(document),
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
