//! The document of our client has every key of iperf3's, with a value of its type.

use polyperf_interop::{Peer, PeerServer, Serving, client, differences, document};
use serde_json::Value;

const TESTS: [&[&str]; 7] = [
    &["-t", "1", "-b", "50M", "-T", "a title", "--extra-data", "more"],
    &["-t", "1", "-b", "50M", "-R"],
    &["-t", "1", "-b", "50M", "--bidir", "-P", "2"],
    &["-t", "1", "-b", "50M", "-M", "1400", "-w", "128K"],
    &["-u", "-t", "1", "-b", "10M"],
    &["-u", "-t", "1", "-b", "10M", "-R"],
    &["-u", "-t", "1", "-b", "10M", "--bidir", "-P", "2", "--get-server-output"],
];

async fn ours(port: u16, args: &[&str]) -> Value {
    document(client(env!("CARGO_BIN_EXE_program"), "127.0.0.1", port, args)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_clients_document_with_our_server_has_every_key_of_iperf3s() {
    let server = Serving::start(|s| s).await;
    for args in TESTS {
        let theirs = Peer::Iperf3.client("127.0.0.1", server.port, args).await.expect("it ends");
        let found = differences(&theirs, &ours(server.port, args).await);
        assert_eq!(found, [""; 0], "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_clients_document_with_a_stock_server_has_every_key_of_iperf3s() {
    for args in TESTS {
        let server = PeerServer::for_one_test(Peer::Iperf3).await;
        let theirs = Peer::Iperf3.client("127.0.0.1", server.port, args).await.expect("it ends");
        let server = PeerServer::for_one_test(Peer::Iperf3).await;
        let found = differences(&theirs, &ours(server.port, args).await);
        let mut found = found.iter().filter(|found| !of_the_other_end(found));
        assert_eq!(found.next(), None, "{args:?}");
    }
}

/// A server of iperf3's does not tell these. Its own client writes 0, or in a
/// bidirectional test what it finds at its own end.
fn of_the_other_end(found: &str) -> bool {
    let keys = ["max_rtt", "max_snd_cwnd", "max_snd_wnd", "mean_rtt", "min_rtt"];
    keys.iter().any(|key| found.contains(&format!("].sender.{key} is null")))
        || found.contains("].udp.out_of_order is null")
}
