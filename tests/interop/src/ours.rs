//! polyperf's program as a client.

use std::process::Stdio;

use polyperf::{
    event::{Event, IntervalEvent},
    outcome::Outcome,
    report::{Format, Options, Polyperf, Reporter},
};
use serde_json::Value;
use tokio::process::Command;

use crate::PATIENCE;

/// Returns a command that runs `program` as a client.
#[must_use]
pub fn client(program: &str, host: &str, port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["client", host, "-p", &port.to_string()]).args(args);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs `client` to its end, and returns its document.
///
/// # Panics
///
/// If it fails.
pub async fn document(mut client: Command) -> Value {
    let output = tokio::time::timeout(PATIENCE, client.arg("-J").output()).await;
    let output = output.expect("the client ends").expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// Returns what the document of one of our programs tells.
///
/// # Panics
///
/// If the document is not that of a test that has something to show.
#[must_use]
pub fn outcome(document: &Value) -> Outcome {
    let ours: Polyperf = serde_json::from_value(document["polyperf"].clone()).expect("it is ours");
    let text = document["server_output_text"].as_str().map(str::to_owned);
    let output = document.get("server_output_json").map(Value::to_string);
    Outcome {
        info: ours.test.expect("it has begun"),
        intervals: ours.intervals,
        local: ours.local.expect("it has figures"),
        remote: ours.remote,
        ended: ours.ended.expect("it has ended"),
        server_output: text.or(output),
        link: ours.link,
    }
}

/// Returns the document that our program prints of this outcome.
///
/// # Panics
///
/// If it cannot be written.
#[must_use]
pub(crate) fn shown(outcome: &Outcome) -> Value {
    let options = Options { format: Format::Json, ..Options::default() };
    let mut reporter = Reporter::new(options, Vec::new());
    let info = &outcome.info;
    for interval in &outcome.intervals {
        let (info, interval) = (info.clone(), interval.clone());
        reporter.handle(&Event::Interval(IntervalEvent { info, interval })).expect("it is written");
    }
    reporter.handle(&Event::Finished(outcome.clone().into())).expect("it is written");
    let text = reporter.finish().expect("it is written");
    serde_json::from_slice(&text).expect("it is JSON")
}
