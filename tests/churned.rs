//! What connections that come and go leave behind at a server: nothing. The server is a process of
//! its own, of which only its descriptors, its threads and its memory are looked at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use polyperf::{
    Client, Registry, client,
    outcome::Ended,
    spec::{Exchange, Limit, Workload},
};
use serde_json::Value;

/// A server, killed when it is dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
}

/// What it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_connections_whether_or_not_their_client_stays() {
    let server = Server::start();
    // Each transport starts threads once, and keeps them for whoever comes next; and QUIC keeps what
    // a client could resume, of so many at most.
    churn_all(server.addr, 200).await;
    vanish_all(server.addr, 0).await;
    let warm = server.settled(None).await;
    let before = server.resident_kb();
    for round in 0..3 {
        vanish_all(server.addr, round).await;
        churn_all(server.addr, 200).await;
        server.settled(Some(warm)).await;
    }
    let grown = server.resident_kb().saturating_sub(before);
    assert!(grown < MOST_GROWTH_KB, "{grown} kB more than {before}");
}

/// Runs a churn over each transport to its end.
async fn churn_all(addr: SocketAddr, connections: u64) {
    for name in Registry::standard().names() {
        let client = churn(addr, name, Limit::Blocks(connections));
        let outcome = client.build().unwrap().run().await.unwrap();
        assert_eq!(outcome.ended, Ended::Complete, "{name}");
    }
}

/// Has a client of each transport vanish in the middle of a churn.
async fn vanish_all(addr: SocketAddr, round: u64) {
    for name in Registry::standard().names() {
        let client = churn(addr, name, Limit::Endless).build().unwrap();
        let lifetime = Duration::from_millis(20 + 37 * round);
        let _ = tokio::time::timeout(lifetime, client.run()).await;
    }
}

fn churn(addr: SocketAddr, transport: &str, limit: Limit) -> client::Builder {
    Client::builder("127.0.0.1").port(addr.port()).transport(transport).streams(2).spec(|spec| {
        spec.workload = Workload::Churn(Exchange::default());
        spec.limit = limit;
    })
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polyperf"));
        command.args(["server", "-B", "127.0.0.1", "-p", "0", "--log-format", "json"]);
        command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR")).env_remove("STATE_DIRECTORY");
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let addr = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line).unwrap();
            line["addr"].as_str().map(|addr| addr.parse().unwrap())
        });
        // What it says later is of no interest, but it must not block on saying it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr: addr.unwrap() }
    }

    /// Waits until it has no more than `warm`, as it must have after every deadline; or without that,
    /// until it has as much as a moment before, for some time.
    async fn settled(&self, warm: Option<Holdings>) -> Holdings {
        let (mut now, mut still) = (self.holdings(), 0);
        for _ in 0..1500 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let before = std::mem::replace(&mut now, self.holdings());
            still = if now == before { still + 1 } else { 0 };
            let is_back = warm.map_or(still > LONG, |warm| {
                now.descriptors <= warm.descriptors && now.threads <= warm.threads
            });
            if is_back {
                return now;
            }
        }
        panic!("{now:?}, where {warm:?} were before");
    }

    fn holdings(&self) -> Holdings {
        let count =
            |what| fs::read_dir(format!("/proc/{}/{what}", self.child.id())).unwrap().count();
        Holdings { descriptors: count("fd"), threads: count("task") }
    }

    fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// So many looks in a row say that nothing changes any more: longer than what was sent may linger.
const LONG: usize = 200;
/// For 4300 connections: a buffer or a socket of each would be several times that.
const MOST_GROWTH_KB: u64 = 6 << 10;
