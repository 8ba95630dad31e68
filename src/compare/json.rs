//! An experiment for programs: one JSON document, with every raw run.

use super::experiment::{Experiment, SCHEMA};
use crate::report::safe;

/// Returns `experiment` as a JSON document that is safe to show on a terminal, too.
///
/// # Errors
///
/// Fails only where memory does: every figure of an [`Experiment`] is finite.
pub fn render(experiment: &Experiment) -> serde_json::Result<String> {
    Ok(safe::json(serde_json::to_string_pretty(experiment)?) + "\n")
}

/// Returns documents as one: the only one as it is, and several in the order of their links.
#[must_use]
pub fn together(mut documents: Vec<String>) -> String {
    match documents.len() {
        1 => documents.remove(0),
        _ => {
            let all: Vec<&str> = documents.iter().map(|document| document.trim_end()).collect();
            format!("{{\"schema\":{SCHEMA},\"experiments\":[\n{}\n]}}\n", all.join(",\n"))
        }
    }
}
