//! What clients leave behind that vanish at any moment: nothing. Alone in its program, since it
//! counts the descriptors and threads of the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![cfg(target_os = "linux")]

use std::{net::SocketAddr, time::Duration};

use polyperf::{Client, Server, client, protocol::native::Deadlines};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_clients_that_vanish() {
    let server = Server::builder()
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .max_sessions(16)
        .deadlines(short())
        .bind()
        .await
        .unwrap();
    let (addr, handle) = (server.local_addrs()[0].1, server.handle());
    tokio::spawn(server.run(std::future::pending()));
    assert!(test(addr).bytes(100_000).build().unwrap().run().await.is_ok());
    returns_to(usize::MAX, usize::MAX).await;
    let (descriptors, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
    for seed in 0..4 {
        vanish(addr, seed).await;
        assert!(test(addr).bytes(100_000).build().unwrap().run().await.is_ok());
        returns_to(descriptors, threads).await;
        assert_eq!(handle.running(), 0);
    }
}

/// Has clients of all kinds vanish at random moments.
async fn vanish(addr: SocketAddr, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let streams = rng.random_range(1..=4);
        let client = test(addr).streams(streams).rate(1_000_000).time(Duration::from_secs(5));
        let client = match rng.random_range(0..3) {
            0 => client,
            1 => client.reverse(),
            _ => client.bidirectional(),
        };
        let lifetime = Duration::from_millis(rng.random_range(0..400));
        clients.spawn(async move {
            let client = client.build().unwrap();
            let _ = tokio::time::timeout(lifetime, client.run()).await;
        });
        let garbage: Vec<u8> = (0..rng.random_range(0..99)).map(|_| rng.random()).collect();
        clients.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let _ = stream.write_all(&garbage).await;
        });
    }
    while clients.join_next().await.is_some() {}
}

fn test(addr: SocketAddr) -> client::Builder {
    Client::builder("127.0.0.1").port(addr.port()).deadlines(short())
}

/// Waits until the process has no more of either, as it must have after every deadline.
async fn returns_to(descriptors: usize, threads: usize) {
    let mut now = (0, 0);
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = (count("/proc/self/fd"), count("/proc/self/task"));
        if now.0 <= descriptors && now.1 <= threads {
            return;
        }
    }
    panic!("{now:?} descriptors and threads, where {descriptors} and {threads} were before");
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn short() -> Deadlines {
    let ms = Duration::from_millis;
    Deadlines {
        answer: ms(300),
        streams: ms(300),
        keepalive: ms(100),
        silence: ms(600),
        overrun: ms(1000),
        grace: ms(100),
        stall: ms(1000),
        results: ms(500),
        goodbye: ms(700),
    }
}
