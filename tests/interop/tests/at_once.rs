//! Clients of other people's that come to one server at once, over both transports: all of them are
//! served, and each tells the same as the server.

use polyperf_interop::{Peer, Serving, mixed, run_all};

async fn are_served_at_once(peers: &[Peer]) {
    let server = Serving::start(|s| s).await;
    let listening = server.listen();
    let cells = mixed(peers);
    let count = cells.len();
    run_all(cells, count, |cell| server.compared(cell)).await;
    assert_eq!(listening.most_at_once(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_stock_clients_are_served_at_once() {
    are_served_at_once(&[Peer::Iperf3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_clients_of_two_kinds_are_served_at_once() {
    are_served_at_once(&[Peer::Iperf3, Peer::Riperf3, Peer::Riperf3, Peer::Iperf3]).await;
}
