use std::time::Duration;

use serde_json::{Value, json};

use super::{super::*, document, refusal, test};
use crate::{measure::Latencies, report::testing, spec::Direction};

fn points(diff: &Diff) -> &[Point] {
    match &diff.found {
        Found::Tests { changes } => changes,
        Found::Experiments { .. } => panic!("{diff:?}"),
    }
}

fn of_tests(before: &Value, after: &Value) -> Diff {
    Diff::of(&test("a.json", before), &test("b.json", after), &Options::default()).unwrap()
}

#[test]
fn two_tests_have_ratios_of_what_both_have_and_a_word_on_chance() {
    let before = document(testing::outcome(Direction::Forward, 1));
    let mut after = before.clone();
    let goodput = before["polyperf"]["goodput_bps"]["forward"].as_f64().unwrap();
    after["polyperf"]["goodput_bps"]["forward"] = json!(goodput * 0.9);
    let diff = of_tests(&before, &after);
    let [up, again] = points(&diff) else { panic!("{diff:?}") };
    assert_eq!((up.metric, up.before, up.regression), (Metric::GoodputUp, goodput, true));
    assert!((up.ratio.unwrap() - 0.9).abs() < 1e-9, "{up:?}");
    assert_eq!((again.metric, again.ratio, again.regression), (Metric::Retransmits, None, false));
    assert!(diff.notes.iter().any(|note| note.contains("does not tell a difference from chance")));
    assert_eq!(of_tests(&after, &before).regressions, 0, "it became better");
}

#[test]
fn requests_and_responses_are_compared_by_how_long_they_took() {
    let with = |kind: &str, micros: u64| {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(micros));
        let mut json = document(testing::outcome(Direction::Forward, 1));
        json["polyperf"]["test"]["spec"]["workload"] = json!({"kind": kind});
        let summary = serde_json::to_value(latencies.summary().unwrap()).unwrap();
        json["polyperf"]["local"]["flows"][0]["exchanges"] = json!({"latency": summary});
        json
    };
    let regressions = |kind: &str, after: u64| -> Vec<(Metric, bool)> {
        let diff = of_tests(&with(kind, 1000), &with(kind, after));
        points(&diff).iter().map(|point| (point.metric, point.regression)).collect()
    };
    let idle = [Metric::IdleP50, Metric::IdleP95, Metric::IdleP99];
    assert_eq!(regressions("rr", 1040), idle.map(|metric| (metric, false)));
    assert_eq!(regressions("rr", 1070), idle.map(|metric| (metric, true)));
    assert_eq!(regressions("churn", 1070), [(Metric::FirstReply, true)]);
    let bulk = regressions("bulk", 1070);
    assert!(
        bulk.contains(&(Metric::GoodputUp, false)) && bulk.contains(&(Metric::LoadedP99, true))
    );
}

#[test]
fn documents_of_stock_iperf3_are_read_each_way() {
    let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
    let of = |json: &str| -> Vec<(Metric, f64)> {
        let json = value(json);
        points(&of_tests(&json, &json)).iter().map(|point| (point.metric, point.after)).collect()
    };
    let goodput = |found: &[(Metric, f64)], metric: Metric| {
        found.iter().find(|(of, _)| *of == metric).map(|(_, value)| *value)
    };
    let forward = of(include_str!("../../../../tests/fixtures/iperf3/forward.json"));
    assert_eq!(goodput(&forward, Metric::GoodputUp), Some(14_271_438_169.831_408));
    assert_eq!(goodput(&forward, Metric::Retransmits), Some(15.0 / 3.569_090_454));
    let reverse = of(include_str!("../../../../tests/fixtures/iperf3/reverse.json"));
    assert_eq!(reverse, [(Metric::GoodputDown, 12_637_358_675.315_767)]);
    let both = of(include_str!("../../../../tests/fixtures/iperf3/bidir.json"));
    assert_eq!(goodput(&both, Metric::GoodputUp), Some(8_612_181_058.445_724));
    assert_eq!(goodput(&both, Metric::GoodputDown), Some(3_056_695_225.743_536));
    let datagrams = of(include_str!("../../../../tests/fixtures/iperf3/udp-forward.json"));
    assert_eq!(goodput(&datagrams, Metric::Loss), Some(0.0));
    let server = of(include_str!("../../../../tests/fixtures/iperf3/server.json"));
    assert_eq!(goodput(&server, Metric::GoodputUp), Some(12_521_894_388.014_118));
    let refused = refusal(include_str!("../../../../tests/fixtures/iperf3/refused.json"));
    assert!(matches!(refused, Unreadable::Nothing(_)), "{refused}");
    let mut cut = value(include_str!("../../../../tests/fixtures/iperf3/forward.json"));
    cut["error"] = json!("interrupt - the client has terminated");
    cut["end"]["sum_received"]["bits_per_second"] = json!(0);
    let refused = refusal(cut.to_string());
    let told = "a test that was cut short does not know what arrived, and that is not zero";
    assert!(matches!(refused, Unreadable::Nothing(_)), "{told}: {refused}");
}

#[test]
fn ours_and_stock_iperf3s_tests_compare() {
    let ours = document(testing::outcome(Direction::Forward, 1));
    let json = include_str!("../../../../tests/fixtures/iperf3/forward.json");
    let theirs = Saved::read("iperf3.json", json.as_bytes()).unwrap();
    let diff = Diff::of(&theirs, &test("ours.json", &ours), &Options::default()).unwrap();
    assert_eq!(points(&diff)[0].metric, Metric::GoodputUp);
    assert_eq!(diff.before.program.as_deref(), Some("iperf 3.12"));
}

#[test]
fn losses_from_nothing_are_a_regression_beyond_what_matters() {
    let with = |percent: f64| {
        let json = include_str!("../../../../tests/fixtures/iperf3/udp-forward.json");
        let mut json: Value = serde_json::from_str(json).unwrap();
        json["end"]["sum"]["lost_percent"] = json!(percent);
        json
    };
    assert_eq!(of_tests(&with(0.0), &with(0.05)).regressions, 0);
    assert_eq!(of_tests(&with(0.0), &with(2.0)).regressions, 1);
    assert_eq!(of_tests(&with(2.0), &with(0.0)).regressions, 0);
}
