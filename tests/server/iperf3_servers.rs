//! Our client against servers of iperf3's, over time that the test rules.

use std::time::Duration;

use polyperf::{
    client,
    measure::Role,
    outcome::{Dialect, Ended, FailureCode, Side},
    protocol::iperf3::{Expect, Message, State},
    spec::{Exchange, Limit, Probe, Workload},
};

use crate::{
    stock::{SECOND, Stock, bidirectional, failure, remote, results, same, slow},
    support::bytes,
};

#[tokio::test(start_paused = true)]
async fn a_test_goes_as_iperf3_has_it_and_both_ends_have_both_figures() {
    let (mut stock, ours) = Stock::ended(|c| c.bytes(100_001).streams(2)).await;
    let told: u64 = ours.streams.iter().map(|stream| stream.bytes).sum();
    assert_eq!(told, 100_001);
    let arrived = [stock.arrived(0).await, stock.arrived(1).await];
    assert_eq!(arrived.iter().sum::<u64>(), 100_001);
    stock.tell(&results(&[(1, 60_000), (3, 40_000)])).await;
    stock.say(&[14]).await;
    assert_eq!(stock.hear(Expect::State).await, Some(Message::State(State::IperfDone)));
    let cookie = String::from_utf8(stock.cookie[..36].to_vec()).unwrap();
    let outcome = stock.outcome().await;
    assert_eq!(outcome.ended, Ended::Complete);
    assert_eq!((outcome.info.dialect, &outcome.info.session), (Dialect::Iperf3, &cookie));
    assert_eq!(outcome.info.peer_host.program, "iperf3");
    assert_eq!(bytes(&outcome.local, Role::Sender), 100_001);
    assert_eq!(remote(&outcome, Role::Receiver), 100_000);
    assert_eq!(outcome.goodput(Side::Server), None, "it did not tell over which time");
}

#[tokio::test(start_paused = true)]
async fn time_ends_a_test_after_what_it_omits() {
    let begun = tokio::time::Instant::now();
    let set = |c| slow(c).spec(|spec| spec.omit = Duration::from_millis(1500));
    let (mut stock, ours) = Stock::ended(set).await;
    let took = begun.elapsed();
    assert!((4 * SECOND..5 * SECOND).contains(&took), "whole seconds are omitted: {took:?}");
    assert_eq!(ours.streams[0].duration.as_secs(), 2);
    assert!((19_000..22_000).contains(&ours.streams[0].bytes), "{ours:?}");
    stock.tell(&results(&[(1, 7)])).await;
    stock.say(&[14]).await;
    let outcome = stock.outcome().await;
    assert_eq!(outcome.info.changes, ["iperf3 omits whole seconds: 2 s"]);
    assert!(!outcome.intervals.is_empty());
    assert!(outcome.intervals.iter().all(|interval| interval.remote.is_none()), "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_long_test_without_reports_is_no_stall() {
    let set = |c: client::Builder| {
        let c = c.time(200 * SECOND).interval(None).rate(8000);
        c.spec(|spec| spec.block = 1000)
    };
    let (mut stock, _) = Stock::ended(set).await;
    stock.tell(&results(&[(1, 200_000)])).await;
    assert_eq!(stock.outcome().await.ended, Ended::Complete);
}

#[tokio::test(start_paused = true)]
async fn what_was_received_ends_a_reverse_test_within_ten_milliseconds() {
    for limit in [Limit::Bytes(60_000), Limit::Blocks(60)] {
        let set = |c: client::Builder| {
            c.reverse().streams(2).spec(|spec| (spec.limit, spec.block) = (limit, 1000))
        };
        let mut stock = Stock::running(set).await;
        stock.send(0, &[7; 30_000]).await;
        tokio::time::sleep(5 * SECOND).await;
        let due = tokio::time::Instant::now() + Duration::from_millis(10);
        stock.send(1, &[7; 30_000]).await;
        let ours = stock.exchange().await;
        assert!(tokio::time::Instant::now() <= due, "{:?}", due.elapsed());
        assert_eq!(ours.streams.iter().map(|stream| stream.bytes).sum::<u64>(), 60_000);
        stock.tell(&results(&[(1, 70_000), (3, 1)])).await;
        stock.say(&[14]).await;
        let outcome = stock.outcome().await;
        assert_eq!(outcome.ended, Ended::Complete);
        assert_eq!(remote(&outcome, Role::Sender), 70_001);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_on_which_the_client_sends_come_first() {
    let mut stock = Stock::running(|c| bidirectional(slow(c)).streams(2)).await;
    tokio::time::sleep(SECOND).await;
    for (stream, sends) in [(0, true), (1, true), (2, false), (3, false)] {
        assert_eq!(stock.arrived(stream).await > 0, sends, "{stream}");
    }
    stock.send(2, &[7; 3]).await;
    stock.send(3, &[7; 4]).await;
    let ours = stock.exchange().await;
    assert_eq!([ours.streams[2].bytes, ours.streams[3].bytes], [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_asks_for_is_in_its_parameters() {
    let set = |c: client::Builder| {
        c.bytes(5).reverse().spec(|spec| {
            spec.server_output = true;
            spec.extra_data = Some("more".to_owned());
        })
    };
    let (_, params) = Stock::asked(set).await;
    assert_eq!(params.spec.block, 128 << 10, "left open, it is iperf3's");
    assert!(params.spec.server_output && params.spec.server_sends());
    assert_eq!(params.spec.limit, Limit::Bytes(5));
    let version = params.extras.client_version.unwrap();
    assert!(version.starts_with("polyperf "), "{version}");
}

#[tokio::test(start_paused = true)]
async fn refusals_come_with_their_reason_before_anything_has_begun() {
    let cases: [(&[u8], FailureCode, &str); 4] = [
        (b"\xff", FailureCode::Busy, "busy"),
        (b"\xfe\0\0\0\x8e\0\0\0\0", FailureCode::Denied, "142: user, password"),
        (b"\xfe\0\0\0\x25\0\0\0\0", FailureCode::Denied, "37: the test is longer"),
        (b"\x0b", FailureCode::Draining, "told to stop"),
    ];
    for (word, code, text) in cases {
        let (mut stock, _) = Stock::asked(same).await;
        stock.say(word).await;
        let failure = stock.fails().await;
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(text), "{failure}");
    }
    let mut stock = Stock::reached(same).await;
    stock.say(b"\xff").await;
    assert_eq!(stock.fails().await.code, FailureCode::Busy, "as its first word");
}

#[tokio::test(start_paused = true)]
async fn a_running_test_that_its_server_ends_has_something_to_show() {
    let mut stock = Stock::running(slow).await;
    tokio::time::sleep(SECOND).await;
    stock.say(b"\xfe\0\0\0\x1b\0\0\0\0").await;
    let outcome = stock.outcome().await;
    assert_eq!(failure(&outcome).code, FailureCode::Denied);
    assert!(failure(&outcome).message.contains("27: the rate"), "{:?}", outcome.ended);
    assert!(bytes(&outcome.local, Role::Sender) > 0);
    let mut stock = Stock::running(slow).await;
    stock.say(&[11]).await;
    let outcome = stock.outcome().await;
    assert!(matches!(outcome.ended, Ended::Stopped { by: Side::Server, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanishes_is_lost_and_leaves_what_was_counted() {
    for direction in [same, client::Builder::reverse, bidirectional] {
        let mut stock = Stock::running(|c| direction(slow(c))).await;
        let last = stock.streams.len() - 1;
        stock.send(last, b"seven b").await;
        tokio::time::sleep(SECOND).await;
        let outcome = stock.vanishes().await;
        assert_eq!(failure(&outcome).code, FailureCode::PeerLost, "{:?}", outcome.ended);
        assert!(outcome.local.flows.iter().any(|flow| flow.bytes > 0));
        assert_eq!(outcome.remote, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_test_that_is_stopped_ends_with_both_ends_figures() {
    let mut stock = Stock::running(|c| slow(c).spec(|spec| spec.limit = Limit::Endless)).await;
    tokio::time::sleep(SECOND).await;
    stock.stop_client();
    stock.exchange().await;
    stock.tell(&results(&[(1, 5)])).await;
    stock.say(&[14]).await;
    let outcome = stock.outcome().await;
    assert!(matches!(outcome.ended, Ended::Stopped { by: Side::Client, .. }));
    assert_eq!(remote(&outcome, Role::Receiver), 5);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_is_stopped_before_it_began_is_called_off() {
    let (mut stock, _) = Stock::asked(same).await;
    stock.stop_client();
    let left = Message::State(State::ClientTerminate);
    assert_eq!(stock.hear(Expect::State).await, Some(left));
    assert_eq!(stock.fails().await.code, FailureCode::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn streams_of_datagrams_are_opened_one_by_one_each_with_a_word_and_its_reply() {
    let set = |c: client::Builder| c.transport("udp").control("tcp").streams(2).reverse();
    let (mut stock, params) = Stock::asked(set).await;
    assert_eq!((&*params.spec.transport, params.spec.rate), ("udp", None));
    assert!(params.spec.udp_counters_64bit);
    stock.say(&[10]).await;
    assert_eq!(stock.word().await, b"9876");
    assert!(
        tokio::time::timeout(5 * SECOND, stock.word()).await.is_err(),
        "neither the next stream nor the same word again comes before the reply"
    );
    // A server that sends may be ahead of its reply.
    stock.send(0, &[7; 1460]).await;
    stock.send(0, b"6789").await;
    assert_eq!(stock.word().await, b"9876");
    stock.send(1, &987_654_321_u32.to_le_bytes()).await;
    stock.say(&[1, 2]).await;
    tokio::time::sleep(SECOND).await;
    stock.stop_client();
    let ours = stock.exchange().await;
    assert_eq!(ours.streams[0].bytes, 0, "what came early is not of the test");
}

#[tokio::test(start_paused = true)]
async fn a_word_without_a_reply_fails_with_what_may_be_wrong() {
    let set = |c: client::Builder| c.transport("udp").connect_timeout(3 * SECOND);
    let (mut stock, _) = Stock::asked(set).await;
    stock.say(&[10]).await;
    stock.word().await;
    stock.send(0, b"what?").await;
    let failure = stock.fails().await;
    assert_eq!(failure.code, FailureCode::Connect);
    assert!(failure.message.contains("stream 1: no reply within 3s"), "{failure}");
    assert!(failure.message.contains("firewall"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn what_iperf3_cannot_do_is_refused_before_the_test() {
    for (probe, word) in [(false, "--workload rr"), (true, "--probe")] {
        let set = |c: client::Builder| {
            c.spec(|spec| match probe {
                true => spec.probe = Some(Probe::default()),
                false => spec.workload = Workload::Rr(Exchange::default()),
            })
        };
        let mut stock = Stock::reached(set).await;
        stock.say(&[9]).await;
        let failure = stock.fails().await;
        assert_eq!(failure.code, FailureCode::Unsupported);
        assert!(failure.message.contains(word) && failure.message.contains("iperf3"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_iperf3_lacks_is_refused_by_name() {
    let network = polyperf_memory::Network::perfect();
    let quic = std::sync::Arc::new(polyperf_memory::Memory::bytes(&network));
    let mut stock = Stock::reached(|c| c.over(quic).transport("memory")).await;
    stock.say(&[9]).await;
    let failure = stock.fails().await;
    assert_eq!(failure.code, FailureCode::Unsupported);
    let text = "speaks iperf3's protocol: iperf3 has no memory; it has tcp and udp";
    assert!(failure.message.contains(text), "{failure}");
}
