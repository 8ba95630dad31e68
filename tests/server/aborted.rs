//! Clients that vanish at any moment.

use std::time::Duration;

use polyperf::client;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::support::{World, short, spawn, tcp_client, tcp_server};

const SECOND: Duration = Duration::from_secs(1);

/// Returns a test of some kind, which lasts long enough to be aborted.
fn some_test(client: client::Builder, rng: &mut SmallRng) -> client::Builder {
    let client = client.streams(rng.random_range(1..=4)).rate(1_000_000).time(2 * SECOND);
    match rng.random_range(0..3) {
        0 => client,
        1 => client.reverse(),
        _ => client.bidirectional(),
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_clients_vanish_over_memory() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(20)).await;
    let mut rng = SmallRng::seed_from_u64(7);
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients
            .push((spawn(some_test(world.client(&server), &mut rng)), rng.random_range(0..3000)));
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..20))).await;
    }
    clients.sort_by_key(|(_, lifetime)| *lifetime);
    for (client, lifetime) in clients {
        // Some moments are in the middle of a handshake, which takes a few milliseconds.
        tokio::time::sleep(Duration::from_millis(lifetime % 7)).await;
        client.abort();
    }
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_vanish_over_tcp() {
    let mut server = tcp_server(|s| s.max_sessions(20).deadlines(short())).await;
    let mut rng = SmallRng::seed_from_u64(11);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let client = some_test(tcp_client(&server), &mut rng);
        let lifetime = Duration::from_millis(rng.random_range(0..300));
        clients.spawn(async move {
            let client = client.build().unwrap();
            let _ = tokio::time::timeout(lifetime, client.run()).await;
        });
    }
    while clients.join_next().await.is_some() {}
    server.proves_itself(tcp_client(&server)).await;
}
