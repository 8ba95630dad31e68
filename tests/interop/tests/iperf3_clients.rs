//! Stock iperf3 clients against our server: both sides' figures agree.

use polyperf::{
    measure::Role,
    outcome::{Dialect, Ended, Outcome, Side},
};
use polyperf_interop::{Peer, Serving};
use serde_json::Value;

/// Runs iperf3 with these arguments, and returns what both ends have.
async fn both(server: &mut Serving, args: &[&str]) -> (Value, std::sync::Arc<Outcome>) {
    let document = Peer::Iperf3.client("127.0.0.1", server.port, args).await;
    let document = document.unwrap_or_else(|error| panic!("{args:?}: {error}"));
    let outcome = server.outcome().await;
    assert_eq!(outcome.ended, Ended::Complete, "{args:?}");
    assert_eq!(outcome.info.dialect, Dialect::Iperf3);
    (document, outcome)
}

fn figure(document: &Value, sum: &str) -> u64 {
    document["end"][sum]["bytes"].as_u64().unwrap_or_else(|| panic!("no {sum} in {document}"))
}

/// Asserts that each end has told the other what it counted.
fn assert_agree(document: &Value, outcome: &Outcome, args: &[&str]) {
    let counted = |side: Side, role| {
        outcome.side(side).and_then(|side| side.total(role)).map(|(bytes, _)| bytes)
    };
    let forward = [counted(Side::Client, Role::Sender), counted(Side::Server, Role::Receiver)];
    let reverse = [counted(Side::Server, Role::Sender), counted(Side::Client, Role::Receiver)];
    let sums = |suffix: &str| {
        ["sum_sent", "sum_received"].map(|sum| Some(figure(document, &format!("{sum}{suffix}"))))
    };
    if args.contains(&"-R") {
        assert_eq!(sums(""), reverse, "{args:?}");
    } else {
        assert_eq!(sums(""), forward, "{args:?}");
    }
    if args.contains(&"--bidir") {
        assert_eq!(sums("_bidir_reverse"), reverse, "{args:?}");
    }
    assert!(sums("").iter().all(|bytes| bytes.is_some_and(|bytes| bytes > 0)), "{args:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directions_of_bidirectional_streams_are_never_mixed_up() {
    let mut server = Serving::start(|s| s).await;
    for _ in 0..10 {
        let args = ["-n", "2M", "--bidir", "-P", "3"];
        let (document, outcome) = both(&mut server, &args).await;
        assert_agree(&document, &outcome, &args);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_arrives_to_the_last_byte() {
    let mut server = Serving::start(|s| s).await;
    for (args, bytes) in
        [(&["-n", "20M"][..], 20 << 20), (&["-u", "-b", "50M", "-k", "500", "-l", "1000"], 500_000)]
    {
        let (document, _) = both(&mut server, args).await;
        assert_eq!(figure(&document, "sum_received"), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_report_is_sent_where_it_is_wanted() {
    let mut server = Serving::start(|s| s).await;
    let (document, _) = both(&mut server, &["-t", "1", "--get-server-output"]).await;
    let text = document["server_output_text"].as_str().unwrap_or_default();
    assert!(text.contains("Accepted connection from 127.0.0.1"), "{document}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_come_in_iperf3s_own_words() {
    let server = Serving::start(|s| s.max_duration(std::time::Duration::from_secs(5))).await;
    let sctp = ["--sctp", "-t", "1"];
    let error = Peer::Iperf3.client("127.0.0.1", server.port, &sctp).await.unwrap_err();
    assert!(error.contains("not implemented"), "{error}");
    // Its client does not know the newer code for a test that is too long; that it fails is enough.
    Peer::Iperf3.client("127.0.0.1", server.port, &["-t", "6"]).await.unwrap_err();
    Peer::Iperf3
        .client("127.0.0.1", server.port, &["-n", "1M"])
        .await
        .expect("the server serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_beyond_the_servers_rate_is_ended() {
    let mut server = Serving::start(|s| s.max_rate(50_000_000)).await;
    Peer::Iperf3.client("127.0.0.1", server.port, &["-t", "5"]).await.unwrap_err();
    let outcome = server.outcome().await;
    let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
    assert!(failure.message.contains("agreed rate"), "{failure}");
    Peer::Iperf3
        .client("127.0.0.1", server.port, &["-t", "1", "-b", "20M"])
        .await
        .expect("it keeps the rate");
    assert_eq!(server.outcome().await.ended, Ended::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_that_it_is_busy() {
    let mut server = Serving::start(|s| s.max_sessions(1)).await;
    let port = server.port;
    let first =
        tokio::spawn(async move { Peer::Iperf3.client("127.0.0.1", port, &["-t", "3"]).await });
    while server.handle.running() == 0 {
        tokio::task::yield_now().await;
    }
    let error = Peer::Iperf3.client("127.0.0.1", port, &["-n", "1K"]).await.unwrap_err();
    assert!(error.contains("busy"), "{error}");
    first.await.expect("no panic").expect("the first is not disturbed");
    assert_eq!(server.outcome().await.ended, Ended::Complete);
}
