use std::path::Path;

use super::{line, mistakes};
use crate::{
    cli::{Command, DiffArgs},
    compare::Metric,
};

fn diff(text: &str) -> DiffArgs {
    match line(text) {
        Ok(Command::Diff(args)) => args,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_diff_takes_two_files_and_what_counts() {
    let plain = diff("diff a.json b.json");
    assert_eq!((&*plain.before, &*plain.after), (Path::new("a.json"), Path::new("b.json")));
    assert_eq!((plain.threshold, plain.metrics.len(), plain.json), (None, 0, false));
    let full = diff("diff --threshold 2.5 a -J b --metric goodput_up,loaded_p99");
    assert_eq!((full.threshold, full.json), (Some(0.025), true));
    assert_eq!(full.metrics, [Metric::GoodputUp, Metric::LoadedP99]);
    assert_eq!(diff("diff a b --threshold 5%").threshold, Some(0.05));
}

#[test]
fn every_metric_can_be_named() {
    for metric in Metric::ALL {
        assert_eq!(diff(&format!("diff a b --metric {}", metric.name())).metrics, [metric]);
    }
}

#[test]
fn what_is_wrong_with_a_diff_is_told_all_at_once() {
    let missing = "FILE is missing: name two files, as in polyperf diff A.json B.json";
    assert_eq!(mistakes("diff"), [missing]);
    assert_eq!(mistakes("diff a"), [missing]);
    assert_eq!(mistakes("diff a b c"), ["c is too much: name two files"]);
    let told = mistakes("diff a --threshold -1 --metric goodput_up,speed");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("--threshold -1 is out of range: 0 to 1000"), "{told:?}");
    assert!(
        told[1].contains("has a name, speed, that is not known: write goodput_up,"),
        "{told:?}"
    );
    assert!(mistakes("diff a b --threshold much")[0].contains("is not a number of percent"));
    assert!(mistakes("diff a b --threshold NaN")[0].contains("is out of range"));
}
