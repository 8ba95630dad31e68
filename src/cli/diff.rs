//! The options of `polyperf diff`.

use std::path::PathBuf;

use clap::Args;

use super::{
    args::DiffArgs,
    exit,
    values::{Mistakes, file, shown},
};
use crate::compare::Metric;

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf diff A.json B.json [OPTIONS]",
    after_help = after()
)]
pub(super) struct RawDiff {
    /// The result to compare with, and the one to compare: two documents of polyperf compare -J, or
    /// two of single tests, from -J of polyperf or of iperf3.
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Percent by which something must be worse to be a regression [default: what matters of each
    /// metric, which is 5 of times and 3 of everything else].
    #[arg(long, value_name = "PCT")]
    threshold: Option<String>,
    /// Metrics to compare, separated by commas, such as goodput_up,loaded_p99 [default: all].
    #[arg(long, value_name = "NAMES")]
    metric: Option<String>,
    /// Report one JSON document.
    #[arg(short = 'J', long)]
    json: bool,
}

/// Checks every option.
pub(super) fn diff(raw: &RawDiff, mistakes: &mut Mistakes) -> Option<DiffArgs> {
    let threshold = mistakes.value("--threshold", raw.threshold.as_ref(), part);
    let metrics = mistakes.value("--metric", raw.metric.as_ref(), metrics).unwrap_or_default();
    let files: Vec<Option<PathBuf>> =
        raw.files.iter().map(|name| mistakes.value("FILE", Some(name), file)).collect();
    let [before, after] = &files[..] else {
        mistakes.add(match raw.files.get(2) {
            Some(third) => format!("{} is too much: name two files", shown(third)),
            None => "FILE is missing: name two files, as in polyperf diff A.json B.json".to_owned(),
        });
        return None;
    };
    let (before, after) = (before.clone()?, after.clone()?);
    Some(DiffArgs { before, after, threshold, metrics, json: raw.json })
}

/// Parses percent as a part.
pub(super) fn part(text: &str) -> Result<f64, String> {
    let percent: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .trim()
        .parse()
        .map_err(|_| "is not a number of percent: write for instance 5 or 2.5".to_owned())?;
    let fits = (0.0..=MOST_PERCENT).contains(&percent);
    if fits { Ok(percent / 100.0) } else { Err(format!("is out of range: 0 to {MOST_PERCENT}")) }
}

/// Parses names of metrics between commas.
pub(super) fn metrics(text: &str) -> Result<Vec<Metric>, String> {
    let metric = |name: &str| {
        let found = Metric::ALL.into_iter().find(|metric| metric.name() == name);
        found.ok_or_else(|| {
            let names = Metric::ALL.map(Metric::name).join(", ");
            format!("has a name, {}, that is not known: write {names}", shown(name))
        })
    };
    text.split(',').map(metric).collect()
}

fn after() -> String {
    format!("Examples:\n{EXAMPLES}\n{}", exit::section_of_diff())
}

const MOST_PERCENT: f64 = 1000.0;
const EXAMPLES: &str = "  polyperf diff before.json after.json
  polyperf diff before.json after.json --threshold 10 --metric goodput_up,goodput_down
";
