//! An experiment for people at a terminal: tables by topic, and under them what follows.
//!
//! Strings of the other end are made safe on the way in.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    Decision, Metric, Target, conditions,
    experiment::Experiment,
    grid::{Grid, wrapped},
    shown::{self, Middle},
    words,
};
use crate::report::{figure::UNKNOWN, safe};

/// Returns the tables, the verdicts and the conditions, with their line feeds.
///
/// They fit 110 columns where names and figures are no longer than usual. What nobody knows is `-`.
#[must_use]
pub fn render(experiment: &Experiment) -> String {
    let mut text = String::new();
    if let Some(link) = &experiment.plan.link {
        let _ = writeln!(text, "Over {}: {}\n", safe::line(&link.name), words::link(link));
    }
    for topic in TOPICS {
        if let Some(table) = table(experiment, topic) {
            let _ = writeln!(text, "{table}");
        }
    }
    let sections = [
        (verdicts_title(experiment), verdicts(experiment)),
        ("Failures".to_owned(), failures(experiment)),
        ("Unequal conditions".to_owned(), notes(experiment)),
        ("Conditions".to_owned(), condition_lines(experiment)),
    ];
    for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(text, "{title}");
        for line in lines.iter().flat_map(|line| wrapped(line, WIDTH - 2)) {
            let _ = writeln!(text, "  {line}");
        }
        text.push('\n');
    }
    if let Some(reason) = &experiment.stopped {
        let _ = writeln!(text, "Stopped before its end: {}", safe::line(reason));
    }
    // A command is for copying, so it is not broken.
    if let Some(command) = &experiment.command {
        let _ = writeln!(text, "Repeat: {}", safe::line(command));
    }
    text
}

/// A table: medians of these metrics, each with its interval where there is room for it.
struct Topic {
    title: &'static str,
    columns: &'static [Column],
}

enum Column {
    /// A metric under this head.
    Figure(&'static str, Metric),
    /// The same, and its interval in a column beside.
    WithInterval(&'static str, Metric),
    /// A metric that few transports have, left out where none does.
    WhereKnown(&'static str, Metric),
    /// What held the way up back.
    Limit,
}

const TOPICS: [Topic; 4] = [
    Topic {
        title: "Bulk",
        columns: &[
            Column::WithInterval("Up", Metric::GoodputUp),
            Column::WithInterval("Down", Metric::GoodputDown),
            Column::Figure("Lost", Metric::Loss),
            Column::Figure("Resent/GB", Metric::Retransmits),
            Column::Figure("Wire", Metric::WireOverhead),
            Column::Figure("CPU s/GB", Metric::CpuPerGb),
            Column::Limit,
        ],
    },
    Topic {
        title: "On the link, up",
        columns: &[
            Column::Figure("Queue p95, ms", Metric::QueueP95),
            Column::Figure("Spurious/GB", Metric::Spurious),
            Column::WithInterval("Share", Metric::ShareOfLink),
            Column::Figure("Jain's index", Metric::Fairness),
            Column::Figure("Harm", Metric::Harm),
        ],
    },
    Topic {
        title: "Latency, ms",
        columns: &[
            Column::WithInterval("First reply", Metric::FirstReply),
            Column::WhereKnown("Resumed", Metric::FirstReplyResumed),
            Column::WhereKnown("0-RTT", Metric::FirstReplyZeroRtt),
            Column::Figure("Idle p50", Metric::IdleP50),
            Column::Figure("p95", Metric::IdleP95),
            Column::Figure("p99", Metric::IdleP99),
            Column::WithInterval("Loaded p50", Metric::LoadedP50),
            Column::Figure("p95", Metric::LoadedP95),
            Column::Figure("p99", Metric::LoadedP99),
            Column::Figure("RPM-like", Metric::Responsiveness),
        ],
    },
    Topic {
        title: "Start and small transfers, ms",
        columns: &[
            Column::Figure("To 50 %", Metric::ToHalf),
            Column::Figure("To 90 %", Metric::ToNineTenths),
            Column::Figure("10 kB", Metric::Complete10k),
            Column::Figure("1 MB", Metric::Complete1m),
            Column::Figure("10 MB", Metric::Complete10m),
            Column::Figure("Transactions/s", Metric::Transactions),
            Column::Figure("Connections/s", Metric::Connections),
        ],
    },
];

/// Returns a topic's table; `None` if nothing of it was measured.
fn table(experiment: &Experiment, topic: Topic) -> Option<String> {
    let mut head = vec![topic.title.to_owned()];
    let is_shown = |column: &&Column| match column {
        Column::WhereKnown(_, metric) => {
            experiment.runs.iter().any(|run| run.values.contains_key(metric))
        }
        Column::Figure(..) | Column::WithInterval(..) | Column::Limit => true,
    };
    let columns: Vec<&Column> = topic.columns.iter().filter(is_shown).collect();
    for column in &columns {
        match column {
            Column::Figure(name, _) | Column::WhereKnown(name, _) => head.push((*name).to_owned()),
            Column::WithInterval(name, _) => head.extend([(*name).to_owned(), "95 %".to_owned()]),
            Column::Limit => head.push("Limited by".to_owned()),
        }
    }
    let mut grid = Grid::new(head);
    let mut known = false;
    for arm in &experiment.plan.arms {
        let mut row = vec![safe::short(&arm.name)];
        for column in &columns {
            let (figure, span) = cells(experiment, &arm.name, column);
            known |= figure.is_some();
            let unknown = || UNKNOWN.to_owned();
            row.push(figure.unwrap_or_else(unknown));
            if matches!(column, Column::WithInterval(..)) {
                row.push(span.unwrap_or_else(unknown));
            }
        }
        grid.add(row);
    }
    known.then(|| grid.show())
}

fn cells(experiment: &Experiment, arm: &str, column: &Column) -> (Option<String>, Option<String>) {
    let metric = match column {
        Column::Figure(_, metric)
        | Column::WithInterval(_, metric)
        | Column::WhereKnown(_, metric) => *metric,
        Column::Limit => return (words::limit(experiment, arm), None),
    };
    let middle = Middle::of(experiment, arm, metric);
    let figure = middle.map(|middle| shown::bare(metric, middle.value));
    (figure, middle.and_then(|middle| middle.span(metric)))
}

fn verdicts_title(experiment: &Experiment) -> String {
    let plan = &experiment.plan;
    format!("Against {} ({})", safe::short(&plan.baseline), words::thresholds(&plan.thresholds))
}

/// Returns what differs, a line each, and for each arm in one line what does not.
fn verdicts(experiment: &Experiment) -> Vec<String> {
    let plan = &experiment.plan;
    let others = plan.arms.iter().filter(|arm| arm.name != plan.baseline);
    others.flat_map(|arm| verdicts_on(experiment, &arm.name)).collect()
}

fn verdicts_on(experiment: &Experiment, arm: &str) -> Vec<String> {
    let plan = &experiment.plan;
    let name = safe::short(arm);
    let mut lines = Vec::new();
    let mut alike = Vec::new();
    let mut needing: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (verdict, against) in words::verdicts(experiment, arm) {
        let label = verdict.metric.label();
        let fewer = words::fewer(experiment, arm, against);
        match (against.decision, against.blocks_needed) {
            (Decision::NoDifferenceShown, Some(needed)) => {
                needing.entry(needed).or_default().push(label);
            }
            (Decision::NoDifferenceShown, None) => {
                let remarks: Vec<_> =
                    words::reservation(verdict.metric, against).into_iter().chain(fewer).collect();
                alike.push(remarked(label, &remarks));
            }
            (decision, _) => {
                let times =
                    words::times(verdict.metric, against, &plan.baseline).unwrap_or_default();
                let decision = words::decision(decision);
                let verdict = format!("{name}: {label} {times}: {decision}");
                lines.push(remarked(&verdict, fewer.as_slice()));
            }
        }
    }
    if !alike.is_empty() {
        lines.push(format!("{name}: no difference shown: {}", alike.join(", ")));
    }
    for (needed, labels) in needing {
        lines.push(format!("{name}: needs {needed} blocks: {}", labels.join(", ")));
    }
    let fewer = words::compared(experiment, arm);
    lines.extend(fewer.map(|blocks| format!("{name}: compared in {blocks}")));
    lines
}

fn remarked(text: &str, remarks: &[String]) -> String {
    if remarks.is_empty() { text.to_owned() } else { format!("{text} ({})", remarks.join(", ")) }
}

fn failures(experiment: &Experiment) -> Vec<String> {
    let line = |trouble: words::Trouble| {
        format!("{}, {}, {}: {}", trouble.arm, trouble.part, trouble.blocks, trouble.message)
    };
    words::troubles(experiment).into_iter().map(line).collect()
}

fn notes(experiment: &Experiment) -> Vec<String> {
    experiment.notes.iter().map(|note| safe::line(note).into_owned()).collect()
}

fn condition_lines(experiment: &Experiment) -> Vec<String> {
    let conditions = conditions::lines(experiment);
    let mut lines: Vec<_> =
        conditions.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.extend(words::EXPLAINED.map(str::to_owned));
    if experiment.target == Target::InProcess && experiment.plan.link.is_none() {
        lines.push(words::LOOPBACK.to_owned());
    }
    lines
}

const WIDTH: usize = 110;

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn the_tables_and_the_verdicts_are_those_that_were_checked_by_eye() {
        let shown = render(&samples::full());
        assert_eq!(shown, include_str!("golden/experiment.txt"), "{shown}");
    }

    #[test]
    fn it_fits_120_columns() {
        let shown = render(&samples::full());
        let wide = shown.lines().find(|line| line.chars().count() > 120);
        assert_eq!(wide, None, "{shown}");
    }

    #[test]
    fn what_nobody_knows_is_a_dash_and_a_table_of_nothing_is_left_out() {
        use crate::compare::experiment::PartKind;
        let shown = render(&samples::with_parts(&[PartKind::Up]));
        assert!(!shown.contains("Start and small transfers, ms  To 50 %  To 90 %   10 kB  1"));
        let loaded = shown.lines().find(|line| line.starts_with("tcp ")).unwrap();
        assert!(loaded.contains(" - "), "{shown}");
        let shown = render(&samples::in_vain());
        assert!(!shown.contains("Latency, ms"), "{shown}");
        assert!(shown.contains("tcp, connections, blocks 1, 2: cannot reach"), "{shown}");
    }

    #[test]
    fn one_arm_has_figures_and_no_verdicts() {
        let shown = render(&samples::of_one_arm());
        assert!(!shown.contains("Against"), "{shown}");
        assert!(shown.contains("Mbits/sec"), "{shown}");
    }

    #[test]
    fn too_few_blocks_say_how_many_it_takes() {
        let shown = render(&samples::stopped_early());
        assert!(shown.contains("quic: needs 9 blocks: goodput up, goodput down,"), "{shown}");
        assert!(shown.contains("\nStopped before its end: the user sent SIGINT\n"), "{shown}");
    }

    #[test]
    fn nothing_that_a_server_says_acts_on_the_terminal() {
        let shown = render(&samples::hostile());
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
        assert!(!shown.lines().any(|line| line.starts_with("fake line")), "{shown}");
    }
}
