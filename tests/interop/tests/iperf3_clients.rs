//! Stock iperf3 clients against our server: both sides' figures agree.

use polyperf::{
    measure::Role,
    outcome::{Dialect, Ended, Outcome, Side},
};
use polyperf_interop::{Serving, iperf3};
use serde_json::Value;

/// Runs iperf3 with these arguments, and returns what both ends have.
async fn both(server: &mut Serving, args: &[&str]) -> (Value, std::sync::Arc<Outcome>) {
    let document = iperf3("127.0.0.1", server.port, args).await;
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
async fn every_direction_with_one_stream_and_with_four() {
    let mut server = Serving::start(|s| s).await;
    for direction in [&[][..], &["-R"], &["--bidir"]] {
        for streams in ["1", "4"] {
            let args = [&["-t", "1", "-P", streams], direction].concat();
            let (document, outcome) = both(&mut server, &args).await;
            assert_agree(&document, &outcome, &args);
        }
    }
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
async fn counts_omitted_time_and_settings() {
    let mut server = Serving::start(|s| s).await;
    let lines: [&[&str]; 8] = [
        &["-n", "20M"],
        &["-n", "20M", "-R"],
        &["-k", "100"],
        &["-t", "1", "-O", "1"],
        &["-t", "1", "-l", "16K"],
        &["-t", "1", "-w", "128K", "-M", "1400", "-N"],
        &["-t", "1", "-b", "100M"],
        &["-t", "1", "-C", "reno"],
    ];
    for args in lines {
        let (document, outcome) = both(&mut server, args).await;
        assert_agree(&document, &outcome, args);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_arrives_to_the_last_byte() {
    let mut server = Serving::start(|s| s).await;
    let (document, _) = both(&mut server, &["-n", "20M"]).await;
    assert_eq!(figure(&document, "sum_received"), 20 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_report_is_sent_where_it_is_wanted() {
    let mut server = Serving::start(|s| s).await;
    let (document, _) = both(&mut server, &["-t", "1", "--get-server-output"]).await;
    let text = document["server_output_text"].as_str().unwrap_or_default();
    assert!(text.contains("Accepted connection from 127.0.0.1"), "{document}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_clients_are_served_as_well() {
    let mut server = Serving::start(|s| s).await;
    let document = iperf3("::1", server.port, &["-n", "1M"]).await.expect("it completes");
    assert_eq!(figure(&document, "sum_received"), 1 << 20);
    assert_eq!(server.outcome().await.ended, Ended::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_clients_at_once_all_succeed() {
    let mut server = Serving::start(|s| s).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..10 {
        let port = server.port;
        clients.spawn(async move {
            let args: &[&str] = if number % 2 == 0 { &["-t", "2"] } else { &["-t", "2", "-R"] };
            iperf3("127.0.0.1", port, args).await
        });
    }
    while let Some(client) = clients.join_next().await {
        let document = client.expect("no panic").expect("it completes");
        assert!(figure(&document, "sum_received") > 0);
    }
    for _ in 0..10 {
        assert_eq!(server.outcome().await.ended, Ended::Complete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_come_in_iperf3s_own_words() {
    let server = Serving::start(|s| s.max_duration(std::time::Duration::from_secs(5))).await;
    let error = iperf3("127.0.0.1", server.port, &["-u", "-t", "1"]).await.unwrap_err();
    assert!(error.contains("not implemented"), "{error}");
    // Its client does not know the newer code for a test that is too long; that it fails is enough.
    iperf3("127.0.0.1", server.port, &["-t", "6"]).await.unwrap_err();
    iperf3("127.0.0.1", server.port, &["-n", "1M"]).await.expect("the server serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_honoured_is_said() {
    let mut server = Serving::start(|s| s).await;
    let (_, outcome) = both(&mut server, &["-n", "1M", "-Z", "--repeating-payload"]).await;
    let changes = outcome.info.changes.join("; ");
    assert!(changes.contains("-Z") && changes.contains("--repeating-payload"), "{changes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_beyond_the_servers_rate_is_ended() {
    let mut server = Serving::start(|s| s.max_rate(50_000_000)).await;
    iperf3("127.0.0.1", server.port, &["-t", "5"]).await.unwrap_err();
    let outcome = server.outcome().await;
    let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
    assert!(failure.message.contains("agreed rate"), "{failure}");
    iperf3("127.0.0.1", server.port, &["-t", "1", "-b", "20M"]).await.expect("it keeps the rate");
    assert_eq!(server.outcome().await.ended, Ended::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_that_it_is_busy() {
    let mut server = Serving::start(|s| s.max_sessions(1)).await;
    let port = server.port;
    let first = tokio::spawn(async move { iperf3("127.0.0.1", port, &["-t", "3"]).await });
    while server.handle.running() == 0 {
        tokio::task::yield_now().await;
    }
    let error = iperf3("127.0.0.1", port, &["-n", "1K"]).await.unwrap_err();
    assert!(error.contains("busy"), "{error}");
    first.await.expect("no panic").expect("the first is not disturbed");
    assert_eq!(server.outcome().await.ended, Ended::Complete);
}
