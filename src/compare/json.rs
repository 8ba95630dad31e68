//! An experiment for programs: one JSON document, with every raw run.

use super::experiment::Experiment;
use crate::report::safe;

/// Returns `experiment` as a JSON document that is safe to show on a terminal, too.
///
/// # Errors
///
/// Fails only where memory does: every figure of an [`Experiment`] is finite.
pub fn render(experiment: &Experiment) -> serde_json::Result<String> {
    Ok(safe::json(serde_json::to_string_pretty(experiment)?) + "\n")
}
