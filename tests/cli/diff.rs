//! `polyperf diff`, from two files to an exit code.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::program::{Server, run};

/// A folder of its own for each test, among what cargo builds.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("diff-{name}"));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Returns an experiment of seven blocks in which TCP has this rate, and a little more in each.
fn experiment(rate: f64) -> String {
    let run = |block: u32| {
        let value = rate * (1.0 + f64::from(block) / 1000.0);
        json!({"block": block, "arm": "tcp", "at_us": 0, "parts": [], "values": {"goodput_up": value}})
    };
    let document = json!({
        "schema": 2,
        "target": {"kind": "in_process"},
        "started_us": 1_795_407_119_250_000_u64,
        "took_us": 1,
        "host": {"program": "polyperf 0.1.0", "system": "Linux"},
        "plan": {
            "arms": [{"name": "tcp", "transport": "tcp"}],
            "baseline": "tcp", "blocks": 7, "seed": 1, "gap_us": 0, "time_us": 1_000_000,
            "warm_up_us": 0, "streams": 1, "parts": ["up"],
            "thresholds": {"latency": 0.05, "goodput": 0.03, "alpha": 0.01},
        },
        "runs": (1..=7).map(run).collect::<Vec<Value>>(),
        "verdicts": [],
    });
    document.to_string()
}

#[test]
fn a_regression_is_an_exit_code_of_1() {
    let folder = Folder::new("regression");
    let (before, after) = (folder.file("a", experiment(1e9)), folder.file("b", experiment(0.9e9)));
    let worse = run(&["diff", &before, &after]);
    assert_eq!((worse.code, worse.err.as_str()), (Some(1), ""), "{}", worse.out);
    assert!(
        worse.out.contains("0.900 (") && worse.out.ends_with("1 regression.\n"),
        "{}",
        worse.out
    );
    for args in [
        ["diff", &before, &before].to_vec(),
        ["diff", &after, &before].to_vec(),
        ["diff", &before, &after, "--threshold", "15"].to_vec(),
    ] {
        let ended = run(&args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}: {}", ended.out);
    }
}

#[test]
fn what_is_asked_for_as_json_is_json() {
    let folder = Folder::new("json");
    let (before, after) = (folder.file("a", experiment(1e9)), folder.file("b", experiment(0.9e9)));
    let ended = run(&["diff", &before, &after, "-J", "--metric", "goodput_up"]);
    let diff: polyperf::compare::diff::Diff = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, diff.regressions), (Some(1), 1));
    assert_eq!(diff.before.file, before);
}

#[test]
fn two_tests_that_were_just_run_compare() {
    let folder = Folder::new("tests");
    let server = Server::start(&[]);
    let tests = ["a", "b"].map(|name| {
        let ended = server.client(&["-n", "256K", "-J"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        folder.file(name, ended.out)
    });
    let ended = run(&["diff", &tests[0], &tests[1], "--threshold", "1000"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    assert!(ended.out.contains("goodput up") && ended.out.contains("chance"), "{}", ended.out);
}

#[test]
fn documents_of_stock_iperf3_compare() {
    let fixture =
        |name: &str| format!("{}/tests/fixtures/iperf3/{name}", env!("CARGO_MANIFEST_DIR"));
    let ended = run(&["diff", &fixture("forward.json"), &fixture("bidir.json")]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{}", ended.out);
    assert!(ended.out.contains("14.3 Gbits/sec") && ended.out.contains("8.61 Gbits/sec"));
}

#[test]
fn what_cannot_be_read_is_told_with_its_name_and_the_reason() {
    let folder = Folder::new("unreadable");
    let good = folder.file("good", experiment(1e9));
    let whole = experiment(1e9);
    let here = folder.0.to_str().unwrap().to_owned();
    for (file, reason) in [
        (folder.file("garbage", b"\x00\xff\x1b[2J"), "not one whole JSON document"),
        (folder.file("empty", b""), "not one whole JSON document"),
        (folder.file("cut", &whole[..whole.len() / 2]), "not one whole JSON document"),
        (folder.file("other", b"{}"), "neither an experiment"),
        (folder.file("old", b"{\"schema\": 1, \"rows\": []}"), "of version 1"),
        (format!("{here}/missing"), "No such file"),
        (here.clone(), "directory"),
    ] {
        for args in [["diff", &file, &good], ["diff", &good, &file]] {
            let ended = run(&args);
            assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{args:?}: {}", ended.err);
            let told = ended.err.contains(reason) && ended.err.contains(&file);
            assert!(told && ended.err.lines().count() == 1, "{reason}: {}", ended.err);
        }
    }
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let folder = Folder::new("huge");
    let good = folder.file("good", experiment(1e9));
    let ended = run(&["diff", &good, "/dev/zero"]);
    assert_eq!(ended.code, Some(6), "{}", ended.out);
    assert!(ended.err.contains("has more than 268435456 bytes"), "{}", ended.err);
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none").join("report.html");
    for (option, place) in [("--html", nowhere.as_path()), ("--save", folder.path())] {
        let ended = run(&["compare", option, place.to_str().unwrap()]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
        assert!(ended.err.contains(place.to_str().unwrap()), "{}", ended.err);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
