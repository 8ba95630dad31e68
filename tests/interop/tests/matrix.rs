//! Every transport, direction, count of streams and family, and every option, with each of the
//! peers at either end: both programs tell the same.

use std::sync::Arc;

use polyperf_interop::{
    Cell, FEW, PeerServer, Serving, client, compare, document, matrix, options, outcome, run_all,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_clients_and_our_server_tell_the_same() {
    let server = Serving::start(|s| s).await;
    run_all(matrix(), FEW, |cell| server.compared(cell)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_and_their_servers_tell_the_same() {
    run_all(matrix(), FEW, with_their_server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_options_of_their_clients_mean_the_same_to_our_server() {
    let server = Serving::start(|s| s).await;
    run_all(options(), FEW, |cell| server.compared(cell)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_options_of_our_client_mean_the_same_to_their_servers() {
    run_all(options(), FEW, with_their_server).await;
}

/// Runs our client with a server of theirs, and returns what differs.
async fn with_their_server(cell: Arc<Cell>) -> Vec<String> {
    let server = PeerServer::for_one_test(cell.peer).await;
    let ours = document(client(PROGRAM, cell.host, server.port, &cell.args)).await;
    compare(&cell, &outcome(&ours), &server.document().await)
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_program");
