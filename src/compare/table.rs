//! A comparison for people: one table, and under it what it can and cannot tell.
//!
//! Strings of the other end are made safe on the way in.

use std::fmt::Write as _;

use super::{Comparison, CpuCost, Figures, Row, Run, Target};
use crate::{
    measure::CpuScope,
    outcome::{Ended, HostInfo, Outcome},
    report::{
        connection,
        figure::{self, UNKNOWN},
        safe,
    },
    spec::{Direction, Limit},
    units::Bytes,
};

/// Returns the table and its conditions, with their line feeds.
#[must_use]
pub fn render(comparison: &Comparison) -> String {
    let mut lines: Vec<Line> = comparison
        .rows
        .iter()
        .flat_map(|row| {
            let name = safe::line(&row.transport).into_owned();
            let names = [name, String::new()];
            names
                .into_iter()
                .zip(row.runs())
                .map(|(name, (direction, run))| line(name, direction, run))
        })
        .collect();
    lines.insert(0, Line { cells: HEADER.map(str::to_owned), note: String::new() });
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        lines.iter().map(|line| line.cells[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for line in &lines {
        let _ = writeln!(text, "{}", line.show(&widths));
    }
    text.push('\n');
    for condition in conditions(comparison) {
        let _ = writeln!(text, "{condition}");
    }
    text
}

/// A line of the table: figures, and what has to be said besides or instead of them.
struct Line {
    cells: [String; COLUMNS],
    note: String,
}

impl Line {
    fn show(&self, widths: &[usize; COLUMNS]) -> String {
        let mut shown = String::new();
        for (column, (cell, &width)) in self.cells.iter().zip(widths).enumerate() {
            // What has no figures has its note in their place.
            if column == NAMES && self.cells[NAMES..].iter().all(String::is_empty) {
                break;
            }
            let _ = match column {
                ..NAMES => write!(shown, "{cell:<width$}  "),
                _ => write!(shown, "{cell:>width$}  "),
            };
        }
        shown.push_str(&self.note);
        shown.trim_end().to_owned()
    }
}

fn line(name: String, direction: Direction, run: &Run) -> Line {
    let mut cells: [String; COLUMNS] = Default::default();
    cells[0] = name;
    cells[1] = way(direction).to_owned();
    let note = match run {
        Run::Measured { figures, outcome } => {
            cells[NAMES..].clone_from_slice(&figure_cells(figures, outcome));
            note(outcome)
        }
        Run::Failed { failure } => safe::line(&failure.message).into_owned(),
        Run::Skipped => "not run".to_owned(),
    };
    Line { cells, note }
}

fn figure_cells(figures: &Figures, outcome: &Outcome) -> [String; COLUMNS - NAMES] {
    let spec = &outcome.info.spec;
    let block = if spec.block == 0 { UNKNOWN.to_owned() } else { block(spec.block) };
    [
        figure::rate(figures.goodput_bps, None),
        figures.loss.map_or(UNKNOWN.to_owned(), |loss| format!("{:.2}%", loss * 100.0)),
        figure::count(figures.retransmits),
        figure::rtt(figures.rtt_mean),
        figure::rtt(figures.rtt_min),
        figures.cpu.map_or(UNKNOWN.to_owned(), cost),
        spec.streams.to_string(),
        block,
    ]
}

fn cost(cpu: CpuCost) -> String {
    let mark = match cpu.scope {
        CpuScope::DataThreads => "",
        CpuScope::Process => PROCESS_WIDE,
    };
    match cpu.seconds_per_gb {
        ..9999.5 => format!("{:.3}{mark}", cpu.seconds_per_gb),
        _ => format!("{:.0e}{mark}", cpu.seconds_per_gb),
    }
}

/// Returns the length of a block: exact where it is odd, as messages are that fill a packet.
fn block(bytes: u32) -> String {
    if bytes.is_multiple_of(1024) {
        Bytes(u64::from(bytes)).to_string()
    } else {
        format!("{bytes} Bytes")
    }
}

/// Returns why a test that has figures did not run to its end.
fn note(outcome: &Outcome) -> String {
    match &outcome.ended {
        Ended::Complete => String::new(),
        Ended::Stopped { reason, .. } => format!("cut short: {}", safe::line(reason)),
        Ended::Failed(failure) => format!("cut short: {}", safe::line(&failure.message)),
    }
}

fn conditions(comparison: &Comparison) -> Vec<String> {
    let mut lines = vec![test(comparison), format!("Client: {}", host(&comparison.host))];
    let server = outcomes(comparison).map(|outcome| &outcome.info.peer_host).next();
    lines.push(match (&comparison.target, server) {
        (Target::InProcess, _) => {
            "Server: in the same process, over loopback; both ends share this machine's cores"
                .to_owned()
        }
        (Target::Host { host: name, port }, server) => {
            let server = server.map_or(UNKNOWN.to_owned(), host);
            format!("Server: {} port {port}, {server}", safe::line(name))
        }
    });
    lines.extend(congestion(comparison));
    lines.extend(encryption(comparison));
    let beyond: Vec<_> = comparison.rows.iter().filter_map(beyond_columns).collect();
    let explained = (!beyond.is_empty()).then(|| BEYOND_EXPLAINED.to_owned());
    lines.extend(beyond);
    lines.extend(COLUMNS_EXPLAINED.map(str::to_owned));
    lines.extend(explained);
    let figures =
        comparison.rows.iter().flat_map(|row| row.runs()).filter_map(|(_, r)| r.figures());
    let mut scopes = figures.filter_map(|figures| figures.cpu).map(|cpu| cpu.scope);
    if scopes.any(|scope| scope == CpuScope::Process) {
        lines.push(PROCESS_EXPLAINED.to_owned());
    }
    if comparison.target == Target::InProcess {
        lines.extend(LOOPBACK_EXPLAINED.map(str::to_owned));
    }
    if let Some(reason) = &comparison.stopped {
        lines.push(format!("Stopped before its end: {}", safe::line(reason)));
    }
    lines
}

fn test(comparison: &Comparison) -> String {
    let spec = &comparison.test;
    let mut line = match spec.limit {
        Limit::Time(time) => format!("Test: {} s", time.as_secs_f64()),
        Limit::Bytes(bytes) => format!("Test: {bytes} bytes"),
        Limit::Blocks(blocks) => format!("Test: {blocks} blocks"),
        Limit::Endless => "Test: until stopped".to_owned(),
    };
    line.push_str(" in each direction, one after another");
    if let Some(rate) = spec.rate {
        let _ = write!(line, ", at most {} bits/sec per stream", rate.bits_per_second);
    }
    line
}

fn host(info: &HostInfo) -> String {
    let cores = info.cores.map_or(UNKNOWN.to_owned(), |cores| cores.to_string());
    let known = |text: &str| {
        if text.is_empty() { UNKNOWN.to_owned() } else { safe::line(text).into_owned() }
    };
    format!(
        "{}; {}; CPU {}, {cores} cores",
        known(&info.program),
        known(&info.system),
        known(info.cpu.as_deref().unwrap_or_default()),
    )
}

/// Returns the congestion control of each sender, where any is known.
fn congestion(comparison: &Comparison) -> Option<String> {
    let mut named: Vec<String> = Vec::new();
    for row in &comparison.rows {
        let [up, down] = row.runs().map(|(_, run)| run.figures()?.congestion.as_deref());
        let name = safe::line(&row.transport);
        match (up, down) {
            (None, None) => {}
            (up, down) if up == down || down.is_none() || up.is_none() => {
                named.push(format!("{name} {}", safe::line(up.or(down).unwrap_or(UNKNOWN))));
            }
            (up, down) => {
                let [up, down] = [up, down].map(|one| safe::line(one.unwrap_or(UNKNOWN)));
                named.push(format!("{name} {up} up, {down} down"));
            }
        }
    }
    (!named.is_empty()).then(|| format!("Congestion control: {}", named.join("; ")))
}

/// Returns which transports encrypt and how, and which do not, of those that were measured.
fn encryption(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    let mut bare = Vec::new();
    for row in &comparison.rows {
        let name = safe::short(&row.transport);
        let figures: Vec<_> = row.runs().iter().filter_map(|(_, run)| run.figures()).collect();
        match figures.iter().find_map(|figures| figures.security.as_deref()) {
            Some(security) => {
                let unverified = connection::is_unverified(security);
                let mark = if unverified { ", server NOT VERIFIED" } else { "" };
                let how = connection::protection(security);
                lines.push(format!("Encrypted: {name}, {how}{mark}"));
            }
            None if figures.is_empty() => {}
            None => bare.push(name),
        }
    }
    if !bare.is_empty() {
        lines.push(format!("Not encrypted: {}", bare.join(", ")));
    }
    lines
}

/// Returns what a transport tells and the table has no column for.
fn beyond_columns(row: &Row) -> Option<String> {
    let both = row.runs().map(|(_, run)| run.figures());
    let pair = |what: &str, show: &dyn Fn(&Figures) -> Option<String>| {
        let [up, down] = both.map(|figures| show(figures?));
        (up.is_some() || down.is_some()).then(|| {
            let [up, down] = [up, down].map(|one| one.unwrap_or(UNKNOWN.to_owned()));
            format!("{what} {up} / {down}")
        })
    };
    let handshake = |figures: &Figures| Some(format!("{} ms", figure::millis(figures.handshake?)));
    let parts = [
        pair("handshake", &handshake),
        pair("wire overhead", &|figures| figures.wire_overhead.map(figure::percent)),
        pair("packets lost", &|figures| figures.packets_lost.map(|lost| lost.to_string())),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty())
        .then(|| format!("{} up / down: {}", safe::short(&row.transport), parts.join(", ")))
}

fn outcomes(comparison: &Comparison) -> impl Iterator<Item = &Outcome> {
    comparison.rows.iter().flat_map(|row| row.runs()).filter_map(|(_, run)| run.outcome())
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "up",
        Direction::Reverse => "down",
        Direction::Bidirectional => "both",
    }
}

const HEADER: [&str; COLUMNS] = [
    "Transport",
    "Way",
    "Goodput",
    "Lost",
    "Retr",
    "RTT mean",
    "RTT min",
    "CPU s/GB",
    "Streams",
    "Block",
];
const COLUMNS: usize = 10;
/// The columns that name what the others tell of.
const NAMES: usize = 2;
const PROCESS_WIDE: &str = "*";
const COLUMNS_EXPLAINED: [&str; 2] = [
    "Goodput is what the receiver counted; up is towards the server.",
    "CPU s/GB is the processor time of both ends per 10^9 bytes received.",
];
const BEYOND_EXPLAINED: &str = "Wire overhead is what went over the wire beyond what arrived, repetitions and losses included.";
const PROCESS_EXPLAINED: &str = "* of the whole process, with whatever else it did";
const LOOPBACK_EXPLAINED: [&str; 2] = [
    "Loopback compares what each transport costs per byte. It says nothing of how they behave on",
    "a network with delay, loss and competitors.",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::testing, outcome::FailureCode};

    #[test]
    fn the_table_shows_every_figure_and_every_failure() {
        let shown = render(&testing::comparison());
        assert_eq!(shown, include_str!("golden.txt"), "{shown}");
    }

    #[test]
    fn what_encrypts_and_what_it_costs_is_told_within_a_hundred_columns() {
        let shown = render(&testing::with_connections("fingerprint"));
        let lines: Vec<_> = shown.lines().collect();
        for line in [
            "Encrypted: quic, TLS 1.3 with TLS13_AES_128_GCM_SHA256 and X25519 (ring)",
            "Not encrypted: tcp, memory",
            "quic up / down: handshake 1.234 ms / 1.234 ms, wire overhead 4.00% / 4.00%, packets lost 5 / 5",
            BEYOND_EXPLAINED,
        ] {
            assert!(lines.contains(&line), "{shown}");
        }
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{shown}");
    }

    #[test]
    fn a_server_that_nobody_has_verified_catches_the_eye() {
        let shown = render(&testing::with_connections("not verified"));
        assert!(shown.contains(" (ring), server NOT VERIFIED\n"), "{shown}");
    }

    #[test]
    fn nothing_that_a_server_says_acts_on_the_terminal() {
        let shown = render(&testing::hostile());
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
        assert!(!shown.lines().any(|line| line.starts_with("fake line")), "{shown}");
    }

    #[test]
    fn what_was_stopped_says_so_and_shows_what_there_is() {
        let mut comparison = testing::comparison();
        comparison.stopped = Some("interrupted".to_owned());
        comparison.rows[0].reverse = Run::Skipped;
        let shown = render(&comparison);
        assert!(shown.contains("           down  not run\n"), "{shown}");
        assert!(shown.ends_with("Stopped before its end: interrupted\n"), "{shown}");
        assert!(shown.contains("900 Mbits/sec"), "{shown}");
    }

    #[test]
    fn a_test_that_ended_early_keeps_its_figures_and_gets_a_note() {
        let mut comparison = testing::comparison();
        let mut outcome = comparison.rows[0].forward.outcome().unwrap().clone();
        outcome.ended =
            Ended::Failed(crate::outcome::Failure::new(FailureCode::Stalled, "stalled"));
        comparison.rows[0].forward = testing::measured(outcome, &comparison.target);
        let shown = render(&comparison);
        let row = shown.lines().nth(1).unwrap();
        assert!(row.contains("900 Mbits/sec") && row.ends_with("cut short: stalled"), "{row}");
    }

    #[test]
    fn a_network_is_not_called_a_loopback() {
        let mut comparison = testing::comparison();
        comparison.target = Target::Host { host: "server.example".to_owned(), port: 5201 };
        let shown = render(&comparison);
        assert!(!shown.contains("oopback"), "{shown}");
        assert!(shown.contains("Server: server.example port 5201, polyperf 0.1.0; Linux server"));
    }
}
