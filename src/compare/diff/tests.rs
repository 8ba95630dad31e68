mod single;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    compare::{
        Decision, Target,
        experiment::{self, Arm, Experiment, Part, PartKind, PartResult, Plan, Run},
    },
    event::Event,
    outcome::{Failure, FailureCode, HostInfo, Outcome},
    report::{self, Reporter, testing},
    spec::Direction,
};

/// Returns an experiment in which arms have these rates, and a little more or less in each block.
fn experiment(blocks: u32, arms: &[(&str, f64)]) -> Experiment {
    let arm = |(name, _): &(&str, f64)| Arm::of(name);
    let plan = Plan {
        arms: arms.iter().map(arm).collect(),
        baseline: arms[0].0.to_owned(),
        blocks,
        seed: 1,
        gap: Duration::ZERO,
        time: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        streams: 1,
        parts: vec![PartKind::Up],
        thresholds: Thresholds::default(),
        link: None,
    };
    let run = |block: u32, (arm, rate): &(&str, f64)| Run {
        block,
        arm: (*arm).to_owned(),
        at: Duration::ZERO,
        values: [(Metric::GoodputUp, rate * (1.0 + f64::from(block) / 1000.0))].into(),
        limited_by: None,
        parts: Vec::new(),
    };
    let runs = (1..=blocks).flat_map(|block| arms.iter().map(move |arm| run(block, arm)));
    Experiment {
        schema: experiment::SCHEMA,
        target: Target::InProcess,
        started: Duration::from_micros(1_795_407_119_250_000),
        took: Duration::from_secs(60),
        host: HostInfo { program: "polyperf 0.1.0".to_owned(), ..HostInfo::default() },
        runs: runs.collect(),
        plan,
        command: None,
        verdicts: Vec::new(),
        notes: Vec::new(),
        stopped: None,
    }
}

fn saved(file: &str, experiment: &Experiment) -> Saved {
    Saved::read(file, &serde_json::to_vec(experiment).unwrap()).unwrap()
}

fn between(before: &Experiment, after: &Experiment) -> Diff {
    let (before, after) = (saved("a.json", before), saved("b.json", after));
    Diff::of(&before, &after, &Options::default()).unwrap()
}

fn changes(diff: &Diff) -> &[Change] {
    match &diff.found {
        Found::Experiments { changes } => changes,
        Found::Tests { .. } => panic!("{diff:?}"),
    }
}

/// Returns the document of a single test, as `-J` writes it.
fn document(outcome: Outcome) -> Value {
    let options = report::Options { format: report::Format::Json, ..report::Options::default() };
    let mut json = Vec::new();
    let mut reporter = Reporter::new(options, &mut json);
    reporter.handle(&Event::Finished(Arc::new(outcome))).unwrap();
    reporter.finish().unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn test(file: &str, document: &Value) -> Saved {
    Saved::read(file, document.to_string().as_bytes()).unwrap()
}

fn refusal(json: impl AsRef<[u8]>) -> Unreadable {
    Saved::read("a.json", json.as_ref()).unwrap_err()
}

#[test]
fn what_became_worse_by_more_than_the_threshold_is_a_regression() {
    let before = experiment(7, &[("tcp", 100.0), ("quic", 100.0), ("rudp", 100.0)]);
    let after = experiment(7, &[("tcp", 98.0), ("quic", 95.0), ("rudp", 110.0)]);
    let diff = between(&before, &after);
    let decisions: Vec<_> =
        changes(&diff).iter().map(|change| (&*change.arm, change.decision)).collect();
    assert_eq!(
        decisions,
        [
            ("tcp", Decision::NoDifferenceShown),
            ("quic", Decision::Worse),
            ("rudp", Decision::Better),
        ]
    );
    assert_eq!(diff.regressions, 1);
    let quic = &changes(&diff)[1];
    assert!((quic.ratio.unwrap().value - 0.95).abs() < 1e-9, "{quic:?}");
    // All of 7 values below all of 7: one in C(14, 7), times three arms.
    let p = quic.p.unwrap();
    assert!((p - 1.0 / 3432.0).abs() < 1e-12 && quic.p_corrected.unwrap() > 1.9 * p, "{quic:?}");
    assert_eq!((quic.cliffs_delta, quic.runs_needed), (Some(-1.0), None));
}

#[test]
fn the_threshold_and_the_metrics_are_the_users() {
    let before = saved("a", &experiment(7, &[("tcp", 100.0)]));
    let after = saved("b", &experiment(7, &[("tcp", 95.0)]));
    let thresholds = Thresholds { latency: 0.1, goodput: 0.1, alpha: 0.01 };
    let with = |metrics: &[Metric]| {
        let metrics = metrics.to_vec();
        Diff::of(&before, &after, &Options { thresholds, metrics })
    };
    assert_eq!(with(&[]).unwrap().regressions, 0, "5 % is within 10 %");
    assert_eq!(with(&[Metric::GoodputUp]), with(&[]));
    assert_eq!(with(&[Metric::Loss]), Err(Incomparable::Nothing));
}

#[test]
fn too_few_runs_show_nothing_and_say_how_many_it_takes() {
    let diff = between(&experiment(4, &[("tcp", 100.0)]), &experiment(4, &[("tcp", 50.0)]));
    let change = &changes(&diff)[0];
    assert_eq!((change.decision, change.could_show), (Decision::NoDifferenceShown, None));
    // C(8, 4) = 70 is too few, C(10, 5) = 252 is enough.
    assert_eq!(change.runs_needed, Some(5));
    let diff = between(&experiment(5, &[("tcp", 100.0)]), &experiment(5, &[("tcp", 50.0)]));
    assert_eq!(diff.regressions, 1);
}

#[test]
fn the_same_twice_is_no_change_and_says_what_could_have_been() {
    let same = experiment(7, &[("tcp", 100.0)]);
    let diff = between(&same, &same);
    let change = &changes(&diff)[0];
    assert_eq!((diff.regressions, change.ratio.unwrap().value), (0, 1.0));
    assert_eq!(change.could_show, Some(0.03), "the spread is smaller than what matters");
    assert!(diff.notes.is_empty(), "{:?}", diff.notes);
    // What is read may differ in the last bit of a number.
    let read: Diff = serde_json::from_str(&diff.json().unwrap()).unwrap();
    assert_eq!((read.before, read.after), (diff.before.clone(), diff.after.clone()));
    assert_eq!((&read.notes, changes(&diff).len()), (&diff.notes, 1));
}

#[test]
fn what_worked_and_fails_in_every_run_is_a_regression() {
    let before = experiment(7, &[("tcp", 100.0)]);
    let mut after = before.clone();
    for run in &mut after.runs {
        let failure = Failure::new(FailureCode::Connect, "nobody is there");
        run.values.clear();
        run.parts = vec![Part::once(PartKind::Up, PartResult::Failed { failure })];
    }
    let diff = between(&before, &after);
    let change = &changes(&diff)[0];
    assert_eq!((change.after.runs.failed, change.after.median), (7, None));
    assert_eq!((diff.regressions, change.p, change.ratio), (1, None, None));
    let saved = [saved("b", &after), saved("a", &before)];
    let repaired = Diff::of(&saved[0], &saved[1], &Options::default());
    assert_eq!(repaired, Err(Incomparable::Nothing));
}

#[test]
fn a_cut_short_part_without_a_value_has_failed_and_one_without_such_a_metric_has_not() {
    let before = experiment(5, &[("tcp", 100.0)]);
    let mut after = before.clone();
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.ended = crate::outcome::Ended::Failed(Failure::new(FailureCode::Stalled, "stalled"));
    after.runs[0].values.clear();
    after.runs[0].parts =
        vec![Part::once(PartKind::Up, PartResult::Measured { outcome: Arc::new(outcome) })];
    after.runs[1].values.clear();
    after.runs[1].parts = vec![Part::once(PartKind::Up, PartResult::Skipped)];
    let diff = between(&before, &after);
    let runs = changes(&diff)[0].after.runs;
    assert_eq!((runs.measured, runs.failed), (3, 1));
}

#[test]
fn what_is_not_the_same_on_both_sides_is_told() {
    let before = experiment(7, &[("tcp", 100.0), ("quic", 100.0)]);
    let mut after = experiment(7, &[("tcp", 100.0), ("rudp", 100.0)]);
    after.target = Target::Host { host: "server".to_owned(), port: 5201 };
    after.plan.time = Duration::from_secs(3);
    after.plan.streams = 4;
    let notes = between(&before, &after).notes.join("\n");
    for text in [
        "The server is not the same, so a difference may be due to that: inside the process, then \
         server port 5201.",
        "The time of bulk is not the same",
        "The number of streams is not the same",
        "quic is in a.json alone.",
        "rudp is in b.json alone.",
    ] {
        assert!(notes.contains(text), "{text}: {notes}");
    }
}

#[test]
fn other_versions_are_refused_with_a_reason_and_a_remedy() {
    let old = json!({"schema": 1, "target": {"kind": "in_process"}, "rows": []});
    let Unreadable::Version { found: 1, read: 2, .. } = refusal(old.to_string()) else {
        panic!("{:?}", refusal(old.to_string()));
    };
    assert!(refusal(old.to_string()).to_string().contains("run polyperf compare -J again"));
    let mut newer = serde_json::to_value(experiment(1, &[("tcp", 1.0)])).unwrap();
    for (schema, found) in [(json!(3), 3), (json!("two"), u64::MAX), (json!(2.5), u64::MAX)] {
        newer["schema"] = schema;
        let refused = refusal(newer.to_string());
        assert!(
            matches!(refused, Unreadable::Version { found: of, .. } if of == found),
            "{refused}"
        );
    }
    let mut test = document(testing::outcome(Direction::Forward, 1));
    test["polyperf"]["schema"] = json!(2);
    assert!(matches!(refusal(test.to_string()), Unreadable::Version { found: 2, read: 1, .. }));
}

#[test]
fn what_is_cut_anywhere_is_refused_and_nothing_panics() {
    let json = serde_json::to_string(&experiment(2, &[("tcp", 1.0)])).unwrap();
    for end in 0..json.len() {
        assert!(matches!(refusal(&json[..end]), Unreadable::Json(_)), "{end}");
    }
    let bytes = json.as_bytes();
    for place in 0..bytes.len() {
        for byte in [0, b'"', b'}', b'9', 0xff] {
            let mut changed = bytes.to_vec();
            changed[place] = byte;
            // Whatever it is taken for, nothing panics.
            let _ = Saved::read("a.json", &changed);
        }
    }
}

#[test]
fn what_is_no_result_is_refused_by_what_it_is() {
    for json in ["{}", "{\"start\": 1}", "{\"schema\": 2, \"runs\": []}"] {
        assert_eq!(refusal(json), Unreadable::Unknown, "{json}");
    }
    let lines = "{\"event\": \"start\"}\n{\"event\": \"end\"}\n";
    for json in ["", "garbage", "[1]", "null", lines, &"[".repeat(100_000)] {
        assert!(matches!(refusal(json), Unreadable::Json(_)), "{json:.40}");
    }
    for json in ["{\"start\": 1, \"end\": 2}", "{\"schema\": 2, \"plan\": 3}"] {
        assert!(matches!(refusal(json), Unreadable::Broken { .. }), "{json}");
    }
    let json = serde_json::to_string(&experiment(1, &[("tcp", 12345.0)])).unwrap();
    let infinite = json.replace("12357.345", "1e999");
    assert!(infinite != json && matches!(refusal(infinite), Unreadable::Broken { .. }));
}

#[test]
fn more_than_any_experiment_has_is_refused() {
    let json = serde_json::to_value(experiment(1, &[("tcp", 1.0)])).unwrap();
    let mut many = json.clone();
    let run =
        |block: u32| json!({"block": block, "arm": "tcp", "at_us": 0, "values": {}, "parts": []});
    many["runs"] = (0..1001).map(run).collect();
    assert!(matches!(refusal(many.to_string()), Unreadable::TooMany { most: 1000, .. }));
    let mut many = json;
    let arm = |arm: u32| json!({"name": arm.to_string(), "transport": "tcp"});
    many["plan"]["arms"] = (0..65).map(arm).collect();
    assert!(matches!(refusal(many.to_string()), Unreadable::TooMany { most: 64, .. }));
}

#[test]
fn whatever_the_values_are_every_figure_is_finite() {
    let extremes = [0.0, -1.0, 1e308, -1e308, 5e-324, 1.0, -0.0];
    let mut odd = experiment(7, &[("tcp", 1.0), ("quic", 1.0)]);
    for (index, run) in odd.runs.iter_mut().enumerate() {
        let value = extremes[index % extremes.len()];
        run.values = Metric::ALL.map(|metric| (metric, value)).into();
    }
    let even = experiment(7, &[("tcp", 1e308), ("quic", 5e-324)]);
    for diff in [between(&odd, &even), between(&even, &odd), between(&odd, &odd)] {
        assert!(!diff.json().unwrap().contains("null"), "{diff:?}");
        assert!(serde_json::from_str::<Diff>(&diff.json().unwrap()).is_ok(), "{diff:?}");
        assert!(!text::render(&diff).contains("NaN"), "{diff:?}");
    }
}

#[test]
fn metrics_of_a_later_version_are_left_out() {
    let mut json = serde_json::to_value(experiment(7, &[("tcp", 1.0)])).unwrap();
    json["runs"][0]["values"]["smell"] = json!(3.0);
    json["runs"][1]["values"]["goodput_up"] = Value::Null;
    json["plan"]["temperature"] = json!([21]);
    let read = Saved::read("a.json", json.to_string().as_bytes()).unwrap();
    let diff = Diff::of(&read, &read, &Options::default()).unwrap();
    assert_eq!(changes(&diff)[0].before.runs.measured, 6);
}

#[test]
fn an_experiment_and_a_test_are_not_compared() {
    let experiment = saved("a.json", &experiment(7, &[("tcp", 1.0)]));
    let test = test("b.json", &document(testing::outcome(Direction::Forward, 1)));
    let refused = Diff::of(&experiment, &test, &Options::default());
    assert_eq!(refused, Err(Incomparable::Kinds));
}

#[test]
fn the_table_shows_every_figure_of_experiments() {
    let before = experiment(7, &[("tcp", 9e9), ("quic", 2e9), ("rudp", 1e9)]);
    let mut after = experiment(7, &[("tcp", 9.01e9), ("quic", 1.5e9), ("kcp", 1e9)]);
    after.plan.streams = 2;
    let (mut before, mut after) = (before, after);
    for (experiment, loss) in [(&mut before, 0.0), (&mut after, 0.01)] {
        for run in experiment.runs.iter_mut().filter(|run| run.arm == "tcp") {
            run.values.insert(Metric::Loss, loss);
            run.values.insert(Metric::IdleP50, 0.0012);
        }
    }
    let shown = text::render(&between(&before, &after));
    assert_eq!(shown, include_str!("golden.txt"), "{shown}");
}

#[test]
fn nothing_that_a_file_says_acts_on_the_terminal() {
    let evil = experiment(7, &[(testing::HOSTILE, 1.0), ("tcp", 1.0)]);
    let mut other = experiment(7, &[("tcp", 1.0), (testing::HOSTILE, 0.5)]);
    other.target = Target::Host { host: testing::HOSTILE.to_owned(), port: 1 };
    other.host.program = testing::HOSTILE.to_owned();
    let (before, after) = (saved(testing::HOSTILE, &evil), saved("b", &other));
    let diff = Diff::of(&before, &after, &Options::default()).unwrap();
    let mut json = document(testing::outcome(Direction::Forward, 1));
    json["error"] = json!(testing::HOSTILE);
    json["start"]["version"] = json!(testing::HOSTILE);
    json["polyperf"]["transport"] = json!(testing::HOSTILE);
    let test = test(testing::HOSTILE, &json);
    let tests = Diff::of(&test, &test, &Options::default()).unwrap();
    for shown in [&diff, &tests].map(|diff| [text::render(diff), diff.json().unwrap()]).concat() {
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
        assert!(!shown.lines().any(|line| line.starts_with("fake line")), "{shown}");
    }
}
