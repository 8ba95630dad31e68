//! `polyperf history`, and what a server and a client keep in one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio};

use serde_json::Value;

use crate::program::{Ended, Server, polyperf, run};

/// A folder of its own for what is kept.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, args: &[&str]) -> Ended {
        polyperf(args).env("XDG_STATE_HOME", self.0.path()).output().unwrap().into()
    }

    /// Runs a command of `polyperf history` that does what it is told, and returns what it prints.
    fn done(&self, args: &[&str]) -> String {
        let ended = self.run(&[&["history"], args].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}: {}", ended.out);
        ended.out
    }

    fn refused(&self, args: &[&str], code: i32) -> String {
        let ended = self.run(&[&["history"], args].concat());
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{args:?}: {}", ended.err);
        ended.err
    }

    fn list(&self, args: &[&str]) -> Vec<Value> {
        let document = self.done(&[&["list", "-J"], args].concat());
        let document: Value = serde_json::from_str(&document).unwrap();
        document["tests"].as_array().unwrap().clone()
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("polyperf/history.db")
    }

    fn serve(&self, args: &[&str]) -> Server {
        let mut command = polyperf(&["server", "-p", "0", "--log-format", "json"]);
        command.env("XDG_STATE_HOME", self.0.path()).stdout(Stdio::null());
        Server::spawn(command.args(args))
    }

    /// Runs a client that keeps its test, and returns what it printed.
    fn keep(&self, server: &Server, args: &[&str]) -> String {
        let port = server.port.to_string();
        let all = [&["client", "127.0.0.1", "-p", &port, "--history"], args].concat();
        let ended = self.run(&all);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        ended.out
    }
}

/// Asserts that two reports are the same but for what they round: times are kept to the microsecond.
#[track_caller]
fn assert_same(left: &str, right: &str) {
    let words = |text: &str| -> Vec<String> {
        text.split([' ', '\n', '/', ',', '(', '%']).map(str::to_owned).collect()
    };
    let (lefts, rights) = (words(left), words(right));
    assert_eq!(lefts.len(), rights.len(), "{left}\n{right}");
    for (left, right) in lefts.iter().zip(&rights) {
        let close = match (left.parse::<f64>(), right.parse::<f64>()) {
            (Ok(left), Ok(right)) => (left - right).abs() <= 0.01 * right.abs() + 0.1,
            _ => left == right,
        };
        assert!(close, "{left} is not {right}");
    }
}

#[test]
fn a_test_that_was_kept_is_shown_as_it_showed_itself() {
    let home = Home::new();
    let server = Server::start(&[]);
    let printed = home.keep(&server, &["-t", "0.3", "-i", "0.1"]);
    assert_same(&home.done(&["show", "1"]), &printed);
    let document = home.keep(&server, &["-n", "100M", "-J"]);
    assert_same(&home.done(&["show", "2", "-J"]), &document);
    let tests = home.list(&[]);
    let ids: Vec<_> = tests.iter().map(|test| &test["id"]).collect();
    assert_eq!(ids, [2, 1]);
    let mode = fs::metadata(home.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it is its owner's alone");
    let text = home.refused(&["show", "9"], 1);
    assert!(text.contains("no test 9") && text.contains("history list"), "{text}");
}

#[test]
fn a_server_keeps_each_test_and_has_them_when_it_has_ended() {
    let home = Home::new();
    let server = home.serve(&["--history", "--history-days", "30", "--history-size=100M"]);
    for args in [&["-n", "64K"][..], &["-n", "64K", "-R"], &["-n", "64K", "--bidir"]] {
        assert_eq!(server.client(args).code, Some(0));
    }
    server.signal(libc::SIGTERM);
    assert!(server.wait().0.success());
    let tests = home.list(&["--side", "server"]);
    let directions: Vec<_> = tests.iter().map(|test| test["direction"].clone()).collect();
    assert_eq!(directions, ["bidirectional", "reverse", "forward"]);
    assert_eq!(home.list(&["--direction", "reverse", "--since", "1h"]).len(), 1);
    assert_eq!(home.list(&["--transport", "udp"]).len(), 0);
    assert_eq!(home.list(&["--until", "2026-01-01"]).len(), 0);
    assert_eq!(home.list(&["--host", "127.0.0.1", "--limit", "2"]).len(), 2);
    assert_eq!(home.list(&["--failed"]).len(), 0);
    let table = home.done(&["list"]);
    assert!(table.starts_with("ID  Started") && table.lines().count() == 4, "{table}");
    assert_eq!(home.done(&["list", "--user", "nobody"]), "no test is like that\n");
}

#[test]
fn a_failure_is_kept_and_found() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    drop(taken);
    let ended = home.run(&["client", "127.0.0.1", "-p", &port, "--history"]);
    assert_eq!(ended.code, Some(3));
    let tests = home.list(&["--failed"]);
    assert_eq!((tests.len(), &tests[0]["failure"]), (1, &"connect".into()));
    assert!(home.done(&["show", "1"]).starts_with("Test failed: cannot connect"));
}

#[test]
fn two_tests_are_compared() {
    let home = Home::new();
    let server = Server::start(&[]);
    home.keep(&server, &["-n", "64K"]);
    home.keep(&server, &["-n", "64K"]);
    let text = home.done(&["diff", "1", "2", "--threshold", "1000"]);
    assert!(text.contains("A: test 1") && text.contains("goodput up"), "{text}");
    let json = home.done(&["diff", "2", "2", "-J", "--metric", "goodput_up"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["regressions"], &json["before"]["file"]), (&0.into(), &"test 2".into()));
    assert!(home.refused(&["diff", "1", "3"], 1).contains("no test 3"));
}

#[test]
fn an_export_goes_to_a_file_of_its_owner_alone() {
    let home = Home::new();
    let server = Server::start(&[]);
    // What a user types is as little to be trusted by a spreadsheet as what a peer sends.
    home.keep(&server, &["-n", "64K", "-T", "=cmd()"]);
    let table = home.done(&["list", "--csv"]);
    assert!(table.contains(",'=cmd(),"), "{table}");
    assert_eq!(home.done(&["export", "--csv"]), table);
    let file = home.0.path().join("tests.jsonl");
    let path = file.to_str().unwrap();
    assert_eq!(home.done(&["export", "-o", path]), "");
    let lines = fs::read_to_string(&file).unwrap();
    let test: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(test["outcome"]["info"]["spec"]["title"], "=cmd()");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = home.refused(&["export", "-o", "/no/such/folder/file"], 6);
    assert!(text.contains("cannot write /no/such/folder/file"), "{text}");
}

#[test]
fn what_is_not_to_stay_goes() {
    let home = Home::new();
    let server = Server::start(&[]);
    home.keep(&server, &["-n", "64K"]);
    let text = home.done(&["prune", "--history-days", "1", "--history-size", "1M"]);
    assert!(text.starts_with("let go of 0 tests; 1 test is left, "), "{text}");
    assert_eq!(home.list(&[]).len(), 1);
}

#[test]
fn a_history_that_is_not_there_is_not_made_by_looking_at_it() {
    let home = Home::new();
    for args in [&["list"][..], &["show", "1"], &["export"], &["prune", "--history-days=1"]] {
        let text = home.refused(args, 6);
        assert!(text.contains("there is no history at") && text.contains("server --history"));
    }
    assert!(!home.file().exists());
}

#[test]
fn a_history_that_cannot_be_kept_is_known_before_the_test() {
    let server = Server::start(&[]);
    let port = server.port.to_string();
    for (args, code) in [
        (["client", "127.0.0.1", "-p", &port, "--history=/dev/null/h.db"], 6),
        (["server", "-4", "-p", "0", "--history=/dev/null/h.db"], 6),
    ] {
        let ended = run(&args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{}", ended.err);
        assert!(ended.err.contains("cannot open the history at /dev/null/h.db"), "{}", ended.err);
    }
}

#[test]
fn a_password_is_in_no_message() {
    let url = "--history=postgres://me:s3cret@127.0.0.1:1/perf";
    let listed = run(&["history", "list", url]);
    assert_eq!(listed.code, Some(6));
    assert!(listed.err.contains("postgres://me@127.0.0.1:1/perf"), "{}", listed.err);
    let server = Server::start(&[]);
    let port = server.port.to_string();
    let home = Home::new();
    let kept = home.run(&["client", "127.0.0.1", "-p", &port, "-n", "64K", "-d", url]);
    assert_eq!(kept.code, Some(0), "the test is not held up: {}", kept.err);
    assert!(kept.err.contains("tests wait"), "{}", kept.err);
    let wrong = run(&["client", "host", "--history=mysql://me:s3cret@host/db"]);
    assert_eq!(wrong.code, Some(2));
    for said in [listed.err, kept.err, wrong.err] {
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(home.0.path().join("polyperf/history.db.spool").exists(), "it waits there");
}
