//! Servers of iperf3's that stall, and that send what makes no sense.

use polyperf::{
    measure::Role,
    outcome::{Ended, Failure, FailureCode},
    protocol::iperf3::Expect,
    spec::Limit,
};

use crate::{
    stock::{Stock, failure, remote, results, same, slow},
    support::bytes,
};

#[tokio::test(start_paused = true)]
async fn each_step_that_never_comes_is_a_timeout() {
    let timeout = |failure: &Failure| assert_eq!(failure.code, FailureCode::Timeout, "{failure}");
    let (stock, _) = Stock::asked(same).await;
    timeout(&stock.fails().await);
    let stock = Stock::opened(same).await;
    timeout(&stock.fails().await);
    let mut stock = Stock::running(|c| c.bytes(5)).await;
    assert!(stock.hear(Expect::State).await.is_some());
    timeout(failure(&*stock.outcome().await));
    let (stock, _) = Stock::ended(|c| c.bytes(5)).await;
    timeout(failure(&*stock.outcome().await));
    let (mut stock, _) = Stock::ended(|c| c.bytes(5)).await;
    stock.say(&[0, 0, 0, 200, b'{']).await;
    timeout(failure(&*stock.outcome().await));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_forgets_its_goodbye_has_told_everything() {
    let (mut stock, _) = Stock::ended(|c| c.bytes(5)).await;
    stock.tell(&results(&[(1, 5)])).await;
    let outcome = stock.outcome().await;
    assert_eq!((&outcome.ended, remote(&outcome, Role::Receiver)), (&Ended::Complete, 5));
}

#[tokio::test(start_paused = true)]
async fn nothing_that_moves_in_a_running_test_is_a_stall() {
    let stock = Stock::running(|c| c.reverse().spec(|spec| spec.limit = Limit::Endless)).await;
    let outcome = stock.outcome().await;
    assert_eq!(failure(&outcome).code, FailureCode::Stalled);
}

#[tokio::test(start_paused = true)]
async fn words_that_make_no_sense_are_a_protocol_failure_in_every_state() {
    let protocol = |failure: &Failure| assert_eq!(failure.code, FailureCode::Protocol, "{failure}");
    for byte in [0, 3, 4, 7, 12, 42, 0x80] {
        let (mut stock, _) = Stock::asked(same).await;
        stock.say(&[byte]).await;
        protocol(&stock.fails().await);
        let mut stock = Stock::opened(same).await;
        stock.say(&[byte]).await;
        protocol(&stock.fails().await);
        let mut stock = Stock::running(slow).await;
        stock.say(&[byte]).await;
        protocol(failure(&*stock.outcome().await));
    }
    for early in [10, 2, 13, 14] {
        let mut stock = Stock::reached(same).await;
        stock.say(&[9, 9, early]).await;
        protocol(&stock.fails().await);
    }
}

#[tokio::test(start_paused = true)]
async fn results_that_are_none_are_a_protocol_failure() {
    let good = results(&[(1, 5)]);
    let bad = [
        results(&[(2, 5)]),
        results(&[(1, 5), (3, 5)]),
        results(&[(-1, 5)]),
        good.replace("\"bytes\":5", "\"bytes\":\"five\""),
        good.replace("cpu_util_total", "other"),
        good.replace("\"streams\":[", "\"streams\":[["),
        "[]".to_owned(),
        "nonsense".to_owned(),
        "[".repeat(100_000),
    ];
    for text in bad {
        let (mut stock, _) = Stock::ended(|c| c.bytes(5)).await;
        stock.tell(&text).await;
        let outcome = stock.outcome().await;
        assert_eq!(failure(&outcome).code, FailureCode::Protocol, "{:?}", outcome.ended);
        assert_eq!(bytes(&outcome.local, Role::Sender), 5);
        assert_eq!(outcome.remote, None);
    }
    for length in [0_u32, 4 << 20 | 1, 1 << 31, u32::MAX >> 8] {
        let (mut stock, _) = Stock::ended(|c| c.bytes(5)).await;
        stock.say(&length.to_be_bytes()).await;
        let outcome = stock.outcome().await;
        assert_eq!(failure(&outcome).code, FailureCode::Protocol, "{:?}", outcome.ended);
    }
}

#[tokio::test(start_paused = true)]
async fn absurd_figures_are_shown_and_break_nothing() {
    let (mut stock, _) = Stock::ended(|c| c.bytes(5).streams(2)).await;
    let text = results(&[(1, u64::MAX), (3, i64::MAX as u64)]);
    let text = text.replace("\"jitter\":0", "\"jitter\":1e300,\"start_time\":5,\"end_time\":-1e99");
    stock.tell(&text.replace("\"cpu_util_total\":1.5", "\"cpu_util_total\":1e308")).await;
    stock.say(&[14]).await;
    let outcome = stock.outcome().await;
    assert_eq!(outcome.ended, Ended::Complete);
    assert!(!polyperf::report::text::render(&outcome).is_empty());
}
