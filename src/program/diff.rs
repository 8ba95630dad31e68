//! `polyperf diff`: two saved results, compared.

use std::{fs::File, io::Read as _, path::Path};

use super::{complain, print};
use crate::{
    cli::{DiffArgs, exit},
    compare::{
        Metric, Thresholds,
        diff::{Diff, Options, Saved, text},
    },
    report::safe,
};

/// How two results are to be compared.
pub(super) struct Wanted {
    /// What a change for the worse must exceed, as a part; `None` is what matters of each metric.
    pub(super) threshold: Option<f64>,
    /// What is compared; everything, if nothing is named.
    pub(super) metrics: Vec<Metric>,
    /// Whether as a JSON document.
    pub(super) json: bool,
}

/// Compares two files, and says what has changed.
pub(super) fn run(args: &DiffArgs) -> u8 {
    match of_files(args) {
        Ok((text, regressions)) => {
            print(&text, if regressions == 0 { exit::SUCCESS } else { exit::FAILED })
        }
        Err(error) => {
            complain(&error);
            exit::LOCAL_IO
        }
    }
}

fn of_files(args: &DiffArgs) -> Result<(String, u32), String> {
    let (before, after) = (read(&args.before, LARGEST)?, read(&args.after, LARGEST)?);
    let DiffArgs { threshold, metrics, json, .. } = args;
    let wanted = Wanted { threshold: *threshold, metrics: metrics.clone(), json: *json };
    compared(&before, &after, &wanted)
}

/// Returns what to print of two results, and how many regressions there are.
pub(super) fn compared(
    before: &Saved,
    after: &Saved,
    wanted: &Wanted,
) -> Result<(String, u32), String> {
    let mut thresholds = Thresholds::default();
    if let Some(part) = wanted.threshold {
        (thresholds.latency, thresholds.goodput) = (part, part);
    }
    let options = Options { metrics: wanted.metrics.clone(), thresholds };
    let diff = Diff::of(before, after, &options).map_err(|error| {
        let [before, after] = [before, after].map(|saved| safe::short(&saved.file));
        format!("cannot compare {before} and {after}: {error}")
    })?;
    let text = if wanted.json {
        diff.json().map_err(|error| format!("cannot write the changes: {error}"))?
    } else {
        text::render(&diff)
    };
    Ok((text, diff.regressions))
}

/// Reads a result from a file of at most `largest` bytes.
fn read(path: &Path, largest: u64) -> Result<Saved, String> {
    let failed = |problem: String| format!("cannot read {}: {problem}", named(path));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut json = Vec::new();
    let count = file
        .take(largest.saturating_add(1))
        .read_to_end(&mut json)
        .map_err(|error| failed(error.to_string()))?;
    if u64::try_from(count).unwrap_or(u64::MAX) > largest {
        return Err(failed(format!("it has more than {largest} bytes, so it is no result")));
    }
    Saved::read(path.display().to_string(), &json)
        .map_err(|error| failed(safe::line(&error.to_string()).into_owned()))
}

fn named(path: &Path) -> String {
    safe::short(&path.display().to_string())
}

/// 256 MiB: an experiment of a thousand blocks is smaller.
const LARGEST: u64 = 256 << 20;
