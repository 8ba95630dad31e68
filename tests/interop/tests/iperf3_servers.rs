//! Our client against stock iperf3 servers: both sides' figures agree.

use std::{num::NonZeroU32, process::Stdio, sync::Arc, time::Duration};

use polyperf::{
    Client,
    client::Builder,
    event::Event,
    measure::{Role, SideSummary},
    outcome::{Dialect, Ended, FailureCode, Outcome, Side},
    spec::Limit,
};
use polyperf_interop::{Peer, PeerServer, signal};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

const MIB: u64 = 1 << 20;

/// Runs a test against a server of its own, and returns what both ends have.
async fn both(host: &str, set: impl FnOnce(Builder) -> Builder) -> (Arc<Outcome>, Value) {
    let server = PeerServer::for_one_test(Peer::Iperf3).await;
    let client = Client::builder(host).port(server.port).time(Duration::from_secs(1));
    let outcome = set(client).build().expect("a valid test").run().await;
    let outcome = outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(outcome.ended, Ended::Complete);
    assert_eq!(outcome.info.dialect, Dialect::Iperf3);
    let document = server.document().await;
    assert_tells_alike(&outcome, &document);
    (outcome, document)
}

fn bytes(side: Option<&SideSummary>, role: Role) -> Option<u64> {
    Some(side?.total(role)?.0)
}

/// Asserts that the server's figures have arrived as it shows them itself, and that more has been
/// sent than received.
fn assert_tells_alike(outcome: &Outcome, document: &Value) {
    let told = outcome.remote.as_ref().expect("the server has told its results");
    let shown = document["end"]["streams"].as_array().expect("it has streams");
    assert_eq!(told.flows.len(), shown.len());
    for (flow, shown) in told.flows.iter().zip(shown) {
        let part = if flow.role == Role::Sender { "sender" } else { "receiver" };
        assert_eq!(Some(flow.bytes), shown[part]["bytes"].as_u64(), "{part} in {shown}");
        assert!(flow.bytes > 0 && !flow.duration.is_zero(), "{flow:?}");
        let sent = outcome.flow(flow.flow, Role::Sender).map(|flow| flow.bytes);
        let received = outcome.flow(flow.flow, Role::Receiver).map(|flow| flow.bytes);
        assert!(sent >= received, "{sent:?} {received:?}");
    }
    assert_eq!(document["start"]["cookie"], outcome.info.session.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_direction_with_one_stream_and_with_four_over_both_families() {
    for host in ["127.0.0.1", "::1"] {
        for direction in [same, Builder::reverse, bidirectional] {
            for streams in [1, 4] {
                let (outcome, _) = both(host, |c| direction(c).streams(streams)).await;
                assert_eq!(outcome.info.peer.is_ipv6(), host == "::1");
                let sides = [outcome.goodput(Side::Client), outcome.goodput(Side::Server)];
                assert!(sides.iter().flatten().all(|rate| *rate > 0.0), "{sides:?}");
            }
        }
    }
}

fn same(client: Builder) -> Builder {
    client
}

fn bidirectional(client: Builder) -> Builder {
    client.spec(|spec| spec.direction = polyperf::spec::Direction::Bidirectional)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_end_the_test_in_either_direction() {
    for limit in [Limit::Bytes(20 * MIB), Limit::Blocks(160)] {
        let (outcome, _) = both("127.0.0.1", |c| c.spec(|spec| spec.limit = limit)).await;
        assert_eq!(bytes(Some(&outcome.local), Role::Sender), Some(20 * MIB));
        let (outcome, _) = both("127.0.0.1", |c| c.reverse().spec(|spec| spec.limit = limit)).await;
        assert!(bytes(Some(&outcome.local), Role::Receiver) >= Some(20 * MIB), "{limit:?}");
        let (outcome, _) =
            both("127.0.0.1", |c| bidirectional(c).spec(|spec| spec.limit = limit)).await;
        let moved = [Role::Sender, Role::Receiver].map(|role| bytes(Some(&outcome.local), role));
        assert!(moved.iter().any(|bytes| *bytes >= Some(20 * MIB)), "{moved:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_ends_a_reverse_test_soon_after_it_has_arrived() {
    let slow = |c: Builder| c.reverse().bytes(3 * MIB).rate(100_000_000);
    let (outcome, _) = both("127.0.0.1", slow).await;
    let received = bytes(Some(&outcome.local), Role::Receiver).unwrap_or_default();
    assert!((3 * MIB..4 * MIB).contains(&received), "{received}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_omitted_is_so_at_both_ends() {
    let (outcome, document) =
        both("127.0.0.1", |c| c.rate(80_000_000).spec(|spec| spec.omit = Duration::from_secs(1)))
            .await;
    for side in [Side::Client, Side::Server] {
        let (_, time) = outcome.side(side).and_then(|s| s.flows.first()).map_or_else(
            || panic!("{side:?} has told nothing"),
            |flow| (flow.bytes, flow.duration),
        );
        assert!((900..1500).contains(&time.as_millis()), "{side:?}: {time:?}");
    }
    assert_eq!(document["start"]["test_start"]["omit"], 1);
    assert!(outcome.local.flows[0].omitted_bytes > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_reach_the_server() {
    let (outcome, document) = both("127.0.0.1", |c| {
        c.rate(100_000_000).streams(2).spec(|spec| {
            spec.block = 16 << 10;
            spec.tuning.window = NonZeroU32::new(128 << 10);
            spec.tuning.mss = NonZeroU32::new(1400);
            spec.tuning.no_delay = true;
            spec.tuning.congestion = Some("reno".to_owned());
            spec.title = Some("a title".to_owned());
            spec.extra_data = Some("more".to_owned());
        })
    })
    .await;
    let start = &document["start"];
    assert_eq!(start["test_start"]["blksize"], 16 << 10);
    assert_eq!(start["test_start"]["num_streams"], 2);
    assert_eq!(start["target_bitrate"], 100_000_000);
    assert_eq!(start["sock_bufsize"], 128 << 10);
    assert_eq!(document["title"], "a title");
    assert_eq!(document["extra_data"], "more");
    assert_eq!(document["end"]["receiver_tcp_congestion"], "reno");
    let rate = outcome.goodput(Side::Server).unwrap_or_default();
    assert!((150e6..250e6).contains(&rate), "{rate}");
    let remote = outcome.remote.as_ref().and_then(|remote| remote.flows.first());
    assert_eq!(remote.and_then(|flow| flow.path.congestion.as_deref()), Some("reno"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_report_comes_as_text_and_as_a_document() {
    for (args, key) in [(&["-1"][..], "server_output_text"), (&["-1", "-J"], "server_output_json")]
    {
        let server = PeerServer::start(Peer::Iperf3, args).await;
        let document = program(server.port, &["-t", "1", "--get-server-output", "-J"]).await;
        let output = &document[key];
        let told =
            output.as_str().map_or(output["end"].is_object(), |text| text.contains("receiver"));
        assert!(told, "{document}");
    }
}

/// Runs the program with these arguments, and returns its document.
async fn program(port: u16, args: &[&str]) -> Value {
    let output = command(port, args).output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn command(port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_program"));
    command.args(["client", "127.0.0.1", "-p", &port.to_string()]).args(args);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_prints_what_it_prints_of_any_test() {
    let lines: [(&[&str], &[&str]); 3] = [
        (&["-t", "1", "-P", "2"], &["sum_sent", "sum_received"]),
        (&["-n", "20M", "-R"], &["sum_sent", "sum_received"]),
        (&["-t", "1", "--bidir"], &["sum_sent", "sum_received_bidir_reverse"]),
    ];
    for (args, sums) in lines {
        let server = PeerServer::for_one_test(Peer::Iperf3).await;
        let document = program(server.port, &[args, &["-J"]].concat()).await;
        for sum in sums {
            assert!(document["end"][sum]["bytes"].as_u64() > Some(0), "{sum} in {document}");
        }
        let (ours, theirs) = (&document["start"], &server.document().await["start"]);
        assert_eq!(ours["cookie"], theirs["cookie"]);
        assert_eq!(document["polyperf"]["dialect"], "iperf3");
        assert_eq!(ours["test_start"]["protocol"], "TCP");
        assert_eq!(document["error"], Value::Null);
        let interval = &document["polyperf"]["intervals"][0];
        assert!(interval.is_object() && interval.get("remote").is_none(), "{interval}");
    }
    let server = PeerServer::for_one_test(Peer::Iperf3).await;
    let output = command(server.port, &["-n", "1M"]).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("server runs iperf3") && text.contains("(sent)"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_iperf3_does_not_have_is_refused_with_what_it_has() {
    let server = PeerServer::start(Peer::Iperf3, &[]).await;
    let long = "x".repeat(4000);
    let args = ["--title", &long, "--extra-data", &"\u{1}".repeat(1000)];
    let output = command(server.port, &args).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("iperf3") && text.contains("shorten"), "{text}");
}

/// Starts a test that has no end, and waits until bytes have moved.
async fn running(
    server: &PeerServer,
    set: impl FnOnce(Builder) -> Builder,
) -> tokio::task::JoinHandle<Arc<Outcome>> {
    let client = Client::builder("127.0.0.1").port(server.port).rate(80_000_000);
    let client = set(client.interval(Some(Duration::from_millis(100))));
    let client = client.spec(|spec| spec.limit = Limit::Endless).build().expect("a valid test");
    let mut events = client.events();
    let task = tokio::spawn(async move { client.run().await.expect("it has begun") });
    while !matches!(events.recv().await, Ok(Event::Interval(_))) {}
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_server_is_said_to_be_busy() {
    let server = PeerServer::start(Peer::Iperf3, &[]).await;
    let first = running(&server, same).await;
    let output = command(server.port, &["-n", "1K"]).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("busy"), "{text}");
    assert!(!first.is_finished(), "the first is not disturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_this_ends_figures() {
    for direction in [same, Builder::reverse, bidirectional] {
        let server = PeerServer::start(Peer::Iperf3, &[]).await;
        let test = running(&server, direction).await;
        server.signal(libc::SIGKILL);
        let outcome = test.await.expect("no panic");
        let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
        assert_eq!(failure.code, FailureCode::PeerLost, "{failure}");
        assert!(outcome.local.flows.iter().any(|flow| flow.bytes > 0));
        assert_eq!(outcome.remote, None, "unknown is not zero");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_says_so() {
    let server = PeerServer::start(Peer::Iperf3, &[]).await;
    let test = running(&server, same).await;
    server.signal(libc::SIGTERM);
    let outcome = test.await.expect("no panic");
    assert!(
        matches!(outcome.ended, Ended::Stopped { by: Side::Server, .. }),
        "{:?}",
        outcome.ended
    );
    assert!(bytes(Some(&outcome.local), Role::Sender) > Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_interrupted_shows_both_sides() {
    for direction in [&[][..], &["-R"], &["--bidir"]] {
        let server = PeerServer::for_one_test(Peer::Iperf3).await;
        let args = [&["-t", "0", "-i", "0.1", "-b", "80M", "--json-stream"], direction].concat();
        let mut client =
            command(server.port, &args).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(client.stdout.take().expect("it is piped")).lines();
        let mut last = String::new();
        let mut told = false;
        while let Some(line) = lines.next_line().await.expect("it is text") {
            if line.contains(r#""event":"interval""#) && !told {
                signal(&client, libc::SIGINT);
                told = true;
            }
            last = line;
        }
        assert_eq!(client.wait().await.expect("it ends").code(), Some(130), "{direction:?}");
        let end: Value = serde_json::from_str(&last).expect("it is JSON");
        for sum in ["sum_sent", "sum_received"] {
            assert!(end["data"][sum]["bytes"].as_u64() > Some(0), "{sum} in {end}");
        }
        assert!(server.document().await["end"].is_object(), "the server has its figures as well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_serves_one_test_after_another() {
    let server = PeerServer::start(Peer::Iperf3, &[]).await;
    for _ in 0..3 {
        let client = Client::builder("127.0.0.1").port(server.port);
        let client = client.bytes(MIB).reverse().build().expect("a valid test");
        // It listens anew after each test, and until then refuses, or resets who is in its backlog.
        let deaf = [FailureCode::Connect, FailureCode::PeerLost];
        let outcome = loop {
            match client.run().await {
                Ok(outcome) => break outcome,
                Err(failure) => assert!(deaf.contains(&failure.code), "{failure}"),
            }
        };
        assert_eq!(outcome.ended, Ended::Complete);
    }
}
