//! Changes as a table for people.

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use super::{Change, Diff, Found, Group, Point, Source};
use crate::{
    compare::{Decision, Estimate, Metric, Unit},
    report::{
        figure::{self, UNKNOWN},
        safe,
    },
    units::{BitRate, three_digits},
};

/// Returns the changes as a text whose strings cannot act on a terminal.
#[must_use]
pub fn render(diff: &Diff) -> String {
    let mut text = String::new();
    for (mark, source) in [("A", &diff.before), ("B", &diff.after)] {
        let _ = writeln!(text, "{mark}: {}", origin(source));
    }
    text.push('\n');
    let rows = match &diff.found {
        Found::Experiments { changes } => of_changes(diff, changes),
        Found::Tests { changes } => of_points(diff, changes),
    };
    text.push_str(&table(&rows));
    text.push('\n');
    for note in &diff.notes {
        let _ = writeln!(text, "{}", safe::line(note));
    }
    let _ = writeln!(
        text,
        "{}",
        match diff.regressions {
            0 => "No regression shown.".to_owned(),
            1 => "1 regression.".to_owned(),
            count => format!("{count} regressions."),
        }
    );
    text
}

fn origin(source: &Source) -> String {
    let mut words = vec![safe::short(&source.file)];
    words.extend(source.program.as_deref().map(safe::short));
    let started = source.started_us.map(Duration::from_micros).filter(|us| *us < YEAR_10_000);
    let started = started.and_then(|since| UNIX_EPOCH.checked_add(since));
    words.extend(started.map(|time| humantime::format_rfc3339_seconds(time).to_string()));
    words.join(", ")
}

fn of_changes(diff: &Diff, changes: &[Change]) -> Vec<Vec<String>> {
    let mut rows = vec![head(&["", "A", "B", "B / A, 95 % interval", "p", "verdict"])];
    let mut metric = None;
    for change in changes {
        if metric != Some(change.metric) {
            metric = Some(change.metric);
            rows.push(vec![title(change.metric, diff)]);
        }
        let middle = |group: &Group| {
            group.median.map_or(UNKNOWN.to_owned(), |of| value(change.metric, of.value))
        };
        let p = change.p_corrected.map_or(UNKNOWN.to_owned(), |p| match p {
            ..0.0001 => "<0.0001".to_owned(),
            p => format!("{p:.4}"),
        });
        rows.push(vec![
            format!("  {}", safe::short(&change.arm)),
            middle(&change.before),
            middle(&change.after),
            size(change),
            p,
            verdict(change),
        ]);
    }
    rows
}

fn of_points(diff: &Diff, points: &[Point]) -> Vec<Vec<String>> {
    let mut rows = vec![head(&["", "A", "B", "B / A", ""])];
    for point in points {
        let ratio = point.ratio.map_or(UNKNOWN.to_owned(), ratio);
        rows.push(vec![
            title(point.metric, diff),
            value(point.metric, point.before),
            value(point.metric, point.after),
            ratio,
            if point.regression { "worse" } else { "" }.to_owned(),
        ]);
    }
    rows
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Returns a metric's name and what change of it counts.
fn title(metric: Metric, diff: &Diff) -> String {
    let part = percent(metric.threshold(&diff.thresholds));
    match metric.least_difference() {
        Some(least) => format!("{} (beyond {} and {part})", metric.label(), value(metric, least)),
        None => format!("{} (beyond {part})", metric.label()),
    }
}

fn size(change: &Change) -> String {
    let Some((Estimate { value: middle, low, high }, show)) =
        change.ratio.map(|of| (of, Box::new(ratio) as Box<dyn Fn(f64) -> String>)).or_else(|| {
            let signed = |of: f64| {
                format!("{}{}", if of > 0.0 { "+" } else { "" }, value(change.metric, of))
            };
            Some((change.difference?, Box::new(signed) as Box<dyn Fn(f64) -> String>))
        })
    else {
        return UNKNOWN.to_owned();
    };
    format!("{} ({} to {})", show(middle), show(low), show(high))
}

fn verdict(change: &Change) -> String {
    if change.after.median.is_none() {
        return "worse: failed in every run".to_owned();
    }
    match (change.decision, change.runs_needed, change.could_show) {
        (Decision::Better, ..) => "better".to_owned(),
        (Decision::Worse, ..) => "worse".to_owned(),
        (Decision::NoDifferenceShown, Some(runs), _) => {
            format!("none shown, needs {runs} runs each")
        }
        (Decision::NoDifferenceShown, None, Some(could)) => {
            let could = match change.ratio {
                Some(_) => percent(could),
                None => value(change.metric, could),
            };
            format!("none shown, {could} could be")
        }
        (Decision::NoDifferenceShown, None, None) => "none shown".to_owned(),
    }
}

/// Returns a value with its unit.
fn value(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::BitsPerSecond => BitRate(value).to_string(),
        Unit::Seconds => format!("{} ms", signed(value, |of| figure::millis(seconds(of)))),
        Unit::Share => signed(value, figure::percent),
        Unit::Factor => signed(value, digits),
        Unit::PerSecond => format!("{} /s", signed(value, digits)),
        Unit::PerMinute => format!("{} /min", signed(value, digits)),
        Unit::PerGigabyte => format!("{} /GB", signed(value, digits)),
        Unit::SecondsPerGigabyte => format!("{} s/GB", signed(value, digits)),
    }
}

fn signed(value: f64, show: impl Fn(f64) -> String) -> String {
    format!("{}{}", if value < 0.0 { "-" } else { "" }, show(value.abs()))
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

/// Returns three digits, or so many zeros.
fn digits(value: f64) -> String {
    match value {
        0.0 | 0.1..1e6 => three_digits(value),
        _ => format!("{value:.1e}"),
    }
}

fn ratio(value: f64) -> String {
    match value {
        0.1..9.995 => format!("{value:.3}"),
        _ => digits(value),
    }
}

fn percent(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0 %".to_owned(),
        ..0.095 => "<0.1 %".to_owned(),
        percent @ ..9.95 => format!("{:.1} %", percent).replace(".0 ", " "),
        percent @ ..1e6 => format!("{percent:.0} %"),
        percent => format!("{percent:.0e} %"),
    }
}

/// Returns rows of cells as lines: the first and the last column to the left, the others to the
/// right. A row of one cell is a title, and as long as it likes.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cells = |column: usize| {
        rows.iter().filter(|row| row.len() > 1).filter_map(move |row| row.get(column))
    };
    let width = |column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let aligned = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 || column + 1 == columns {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = aligned.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Beyond it dates have no four digits.
const YEAR_10_000: Duration = Duration::from_secs(253_402_300_800);
