//! Whether intervals cover the test.

use polyperf::{measure::FlowSummary, outcome::Outcome};
use serde_json::Value;

/// Returns where the intervals of a document leave out time of the test.
#[must_use]
pub(crate) fn missing(document: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    let intervals = document["intervals"].as_array().map_or(&[][..], Vec::as_slice);
    let counted = intervals.iter().map(|interval| &interval["sum"]);
    let mut until = 0.0;
    for sum in counted.filter(|sum| sum["omitted"] == false) {
        let [start, end] = ["start", "end"].map(|key| sum[key].as_f64().unwrap_or(-1.0));
        if (start - until).abs() > 0.05 || end < start {
            missing.push(format!("an interval from {start} to {end} after {until}"));
        }
        until = end;
    }
    let seconds = document["start"]["test_start"]["duration"].as_f64().unwrap_or_default();
    // What a count ends takes each end its own time; a busy machine is late.
    let timed = seconds > 0.0;
    if until <= 0.0 || (timed && !(seconds * 0.9..seconds + 1.0).contains(&until)) {
        missing.push(format!("intervals until {until} of {seconds} s"));
    }
    missing
}

/// Returns which streams' intervals do not add up to their totals.
#[must_use]
pub(crate) fn not_in_totals(outcome: &Outcome) -> Vec<String> {
    let counted = |flow: &FlowSummary| {
        let samples = outcome.intervals.iter().map(|interval| &interval.local);
        let samples = samples.filter(|sample| !sample.omitted).flat_map(|sample| &sample.flows);
        samples.filter(|sample| sample.flow == flow.flow).map(|sample| sample.bytes).sum::<u64>()
    };
    let flows = outcome.local.flows.iter().map(|flow| (flow, counted(flow)));
    flows
        .filter(|(flow, counted)| *counted != flow.bytes)
        .map(|(flow, counted)| {
            format!("{:?}: {counted} bytes in intervals of {}", flow.flow, flow.bytes)
        })
        .collect()
}
