//! polyperf's program as a server, and the guests that come to it with `perf`.

use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use crate::{Asked, Download, Identity, PATIENCE, Requested};

/// polyperf's program as a server, killed when it is dropped.
#[derive(Debug)]
pub struct GuestServer {
    /// Where it listens, over both families.
    pub port: u16,
    lines: Lines<BufReader<ChildStderr>>,
    _child: Child,
}

/// A guest that has left, as the server tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Guest {
    /// Bytes received after the headers, over all streams.
    pub received: u64,
    /// Bytes of the answers that were handed to QUIC, acknowledged or not.
    pub sent: u64,
}

impl GuestServer {
    /// Starts `program` on any port, and waits until it listens with QUIC.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn start(program: &str, identity: &Identity) -> Self {
        let mut command = Command::new(program);
        command.args(["server", "-p", "0", "--log-format", "json"]);
        command.arg("--cert").arg(identity.certificate()).arg("--key").arg(identity.private_key());
        command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", identity.folder());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("it runs");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut server = Self { port: 0, lines, _child: child };
        let listening =
            server.line(|line| line["message"] == "listening" && line["transport"] == "quic").await;
        let addr = listening["addr"].as_str().and_then(|addr| addr.rsplit(':').next());
        server.port = addr.and_then(|port| port.parse().ok()).expect("it says where");
        server
    }

    /// Waits until the next guest has left, and returns what the server tells of it.
    ///
    /// # Panics
    ///
    /// If none does within a minute.
    pub async fn guest(&mut self) -> Guest {
        let left = self.line(|line| line["message"] == "guest has left").await;
        serde_json::from_value(left).expect("it tells of a guest")
    }

    /// Waits for the next line of the log that is wanted.
    async fn line(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let wanted = async {
            loop {
                let line = self.lines.next_line().await.expect("it can be read");
                let line: Value =
                    serde_json::from_str(&line.expect("the server runs")).expect("its log is JSON");
                if is_wanted(&line) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wanted).await.expect("the server says so")
    }
}

impl Guest {
    /// Returns how this, or what its client tells of its streams, differs from what was asked for.
    #[must_use]
    pub fn differences(&self, client: &[Requested], asked: &Asked) -> Vec<String> {
        let as_asked = |stream: &&Requested| {
            let downloaded = match asked.download {
                Download::Bytes(bytes) => stream.fin && stream.received == bytes,
                Download::StoppedAfter(bytes) => {
                    stream.stopped && stream.reset && stream.received >= bytes
                }
            };
            downloaded && stream.sent == asked.upload
        };
        let mut differences: Vec<_> = client
            .iter()
            .filter(|stream| !as_asked(stream))
            .map(|stream| format!("{asked:?} has become {stream:?}"))
            .collect();
        let sent: u64 = client.iter().map(|stream| stream.sent).sum();
        let received: u64 = client.iter().map(|stream| stream.received).sum();
        // What is under way when a client stops an answer nobody reads.
        let same = match asked.download {
            Download::Bytes(_) => self.sent == received,
            Download::StoppedAfter(_) => self.sent >= received,
        };
        if client.len() != asked.streams || self.received != sent || !same {
            differences.push(format!("{asked:?} has become {self:?} and {client:?}"));
        }
        differences
    }
}
