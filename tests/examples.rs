//! The examples run, and show what they promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{env, path::PathBuf, process::Command, sync::Arc};

use polyperf::{Registry, transport::Transport};

#[allow(dead_code, reason = "the example's `main` is run as a program")]
#[path = "../examples/custom_transport.rs"]
mod custom_transport;

polyperf_transport::conformance!(framed, {
    let tcp: Arc<dyn Transport> = Arc::clone(Registry::standard().get("tcp").unwrap());
    Arc::new(crate::custom_transport::Framed(tcp))
});

#[test]
fn a_server_may_live_inside_another_program() {
    let shown = run("embedded_server");
    assert!(shown.contains("sent us") && shown.contains("Gbit/s"), "{shown}");
    assert!(shown.ends_with("the server ended: OneOff\n"), "{shown}");
}

#[test]
fn a_test_can_be_watched_while_it_runs() {
    let shown = run("client_events");
    assert!(shown.starts_with("connected to 127.0.0.1:"), "{shown}");
    assert!(shown.contains("bytes received"), "{shown}");
    assert!(shown.lines().last().unwrap().starts_with("finished: "), "{shown}");
    assert!(shown.ends_with("Complete\n"), "{shown}");
}

#[test]
fn a_protocol_of_ones_own_can_be_measured() {
    let shown = run("custom_transport");
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].starts_with("the Server received "), "{shown}");
    assert!(lines[1].starts_with("the Client received "), "{shown}");
}

#[test]
fn a_protocol_of_ones_own_takes_less_than_a_hundred_lines() {
    let lines = include_str!("../examples/custom_transport.rs").lines().count();
    assert!(lines < 100, "{lines} lines");
}

/// Runs an example to its end, and returns what it printed.
fn run(example: &str) -> String {
    let path = built(example);
    let output = Command::new(&path).output().unwrap_or_else(|error| {
        // `cargo test` builds them; asked for this test alone, it does not.
        panic!("cannot run {}: {error}; try `cargo build --examples` first", path.display())
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("examples print text")
}

/// Returns where cargo put an example: `<profile>/examples`, beside the `<profile>/deps` in which
/// this test is.
fn built(example: &str) -> PathBuf {
    let test = env::current_exe().expect("a running program has a file");
    let profile = test.ancestors().nth(2).expect("cargo puts tests into a folder of a folder");
    profile.join("examples").join(format!("{example}{}", env::consts::EXE_SUFFIX))
}
