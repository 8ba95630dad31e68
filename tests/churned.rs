//! What connections that come and go leave behind: nothing. Alone in its program, since it counts the
//! descriptors, the threads and the memory of the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![cfg(target_os = "linux")]

use std::{fs, net::SocketAddr, time::Duration};

use polyperf::{
    Client, Registry, Server, client,
    outcome::Ended,
    spec::{Exchange, Limit, Workload},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_connections_whether_or_not_their_client_stays() {
    let server = Server::builder().listen(SocketAddr::from(([127, 0, 0, 1], 0))).bind().await;
    let server = server.unwrap();
    let (addr, handle) = (server.local_addrs()[0].1, server.handle());
    tokio::spawn(server.run(std::future::pending()));
    // Each transport starts threads once, and keeps some for whoever comes next.
    for _ in 0..2 {
        churn_all(addr, 20).await;
    }
    settled(usize::MAX, usize::MAX).await;
    let (descriptors, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
    churn_all(addr, 100).await;
    settled(descriptors, threads).await;
    let before = resident_kb();
    for round in 0..4_u64 {
        vanish_all(addr, round).await;
        churn_all(addr, 100).await;
        settled(descriptors, threads).await;
        assert_eq!(handle.running(), 0);
    }
    let grown = resident_kb().saturating_sub(before);
    assert!(grown < MOST_GROWTH_KB, "{grown} kB more");
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

/// Waits until the process has no more of either, as it must have after every deadline.
async fn settled(descriptors: usize, threads: usize) {
    let mut now = (0, 0);
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = now;
        now = (count("/proc/self/fd"), count("/proc/self/task"));
        if now.0 <= descriptors && now.1 <= threads && (now == before || descriptors < usize::MAX) {
            return;
        }
    }
    panic!("{now:?} descriptors and threads, where {descriptors} and {threads} were before");
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

const MOST_GROWTH_KB: u64 = 8 << 10;
