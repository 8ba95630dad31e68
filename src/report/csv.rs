//! A table for programs: one line for each flow and interval, then one for each flow's totals.
//!
//! The columns are stable: a new one comes last. A cell that is not known is empty.

use std::{io, time::Duration};

use serde::Serialize;

use super::{
    Options,
    connection::{self, PathCells},
    exchange::{self, ExchangeCells},
    row::{self, Row},
    safe,
};
use crate::{
    event::{Event, FailedEvent, IntervalEvent},
    measure::Role,
    outcome::{Ended, Outcome, Side, TestInfo},
};

/// One line. Times are in seconds since the end of the omitted time, with six decimals.
#[derive(Debug, Default, Serialize)]
struct Line {
    /// `interval`, `total`, `probe` of what probed the load, or `error` of a test that has nothing to
    /// show.
    kind: &'static str,
    session: String,
    title: String,
    transport: String,
    /// The flow's number, or `sum` for all of its direction.
    flow: String,
    /// `forward` from the client to the server, `reverse` the other way.
    direction: &'static str,
    start_s: String,
    end_s: String,
    omitted: Option<bool>,
    /// What the receiver counted.
    received_bytes: Option<u64>,
    goodput_bps: String,
    /// What the sender counted.
    sent_bytes: Option<u64>,
    sent_bps: String,
    retransmits: Option<u64>,
    /// At the end of the interval; in a total the largest.
    cwnd_bytes: Option<u64>,
    /// At the end of the interval; in a total the mean.
    rtt_us: Option<u128>,
    /// `complete`, `stopped` or `failed`, in totals.
    ended: &'static str,
    /// Why it ended so.
    message: String,
    /// What the sender counted.
    datagrams_sent: Option<u64>,
    /// What the receiver counted.
    datagrams_received: Option<u64>,
    datagrams_lost: Option<u64>,
    datagrams_reordered: Option<u64>,
    datagrams_duplicated: Option<u64>,
    datagrams_late: Option<u64>,
    jitter_us: Option<u128>,
    path: PathCells,
    exchange: ExchangeCells,
}

const COLUMNS: [&str; 25] = [
    "kind",
    "session",
    "title",
    "transport",
    "flow",
    "direction",
    "start_s",
    "end_s",
    "omitted",
    "received_bytes",
    "goodput_bps",
    "sent_bytes",
    "sent_bps",
    "retransmits",
    "cwnd_bytes",
    "rtt_us",
    "ended",
    "message",
    "datagrams_sent",
    "datagrams_received",
    "datagrams_lost",
    "datagrams_reordered",
    "datagrams_duplicated",
    "datagrams_late",
    "jitter_us",
];

/// Returns the first line, which names the columns.
pub(super) fn header() -> io::Result<String> {
    write(|writer| {
        let columns = COLUMNS.iter().chain(&PathCells::COLUMNS);
        writer.write_record(columns.chain(&ExchangeCells::COLUMNS))
    })
}

/// Returns the lines that `event` makes.
pub(super) fn event(event: &Event, options: &Options) -> io::Result<String> {
    let lines = match event {
        Event::Queued(_) | Event::Connected(_) => Vec::new(),
        Event::Interval(_) if options.summary_only => Vec::new(),
        Event::Interval(event) => interval(event),
        Event::Finished(outcome) => totals(outcome),
        Event::Failed(event) => vec![failed(event)],
    };
    write(|writer| lines.iter().try_for_each(|line| writer.serialize(line)))
}

fn interval(event: &IntervalEvent) -> Vec<Line> {
    let sample = &event.interval.local;
    let (start, end) = row::span(&event.info, sample);
    let rows = row::of_interval(&event.info, &event.interval);
    let line = |row: &Row| Line {
        kind: "interval",
        start_s: seconds(start),
        end_s: seconds(end),
        omitted: Some(sample.omitted),
        ..of_row(&event.info, row)
    };
    rows.iter().map(line).collect()
}

fn totals(outcome: &Outcome) -> Vec<Line> {
    let (ended, message) = match &outcome.ended {
        Ended::Complete => ("complete", ""),
        Ended::Stopped { reason, .. } => ("stopped", reason.as_str()),
        Ended::Failed(failure) => ("failed", failure.message.as_str()),
    };
    let connections = connection::of_test(outcome);
    let of_flow = |row: &Row| {
        let cells = |flow| ExchangeCells::of_flow(outcome, flow, Role::Sender);
        row.flow.map(cells).unwrap_or_default()
    };
    let line = |row: &Row| {
        let end = row.received.or(row.sent).map(|counted| counted.time);
        Line {
            kind: "total",
            start_s: seconds(Duration::ZERO),
            end_s: end.map_or(String::new(), seconds),
            ended,
            message: safe::cell(message),
            path: PathCells::of_total(outcome, &connections, row),
            exchange: of_flow(row),
            ..of_row(&outcome.info, row)
        }
    };
    let mut lines: Vec<_> = row::of_test(outcome).iter().map(line).collect();
    lines.extend(exchange::prober(outcome).map(|flow| Line {
        kind: "probe",
        flow: flow.0.to_string(),
        ended,
        message: safe::cell(message),
        exchange: ExchangeCells::of_flow(outcome, flow, Role::Prober),
        ..of_test(&outcome.info)
    }));
    lines
}

fn failed(event: &FailedEvent) -> Line {
    Line {
        kind: "error",
        session: safe::cell(event.session.as_deref().unwrap_or_default()),
        ended: "failed",
        message: safe::cell(&event.failure.message),
        ..Line::default()
    }
}

fn of_test(info: &TestInfo) -> Line {
    Line {
        session: safe::cell(&info.session),
        title: safe::cell(info.spec.title.as_deref().unwrap_or_default()),
        transport: safe::cell(&info.spec.transport),
        // The client asks.
        direction: "forward",
        ..Line::default()
    }
}

fn of_row(info: &TestInfo, row: &Row) -> Line {
    Line {
        flow: row.flow.map_or("sum".to_owned(), |flow| flow.0.to_string()),
        direction: match row.sender {
            Side::Client => "forward",
            Side::Server => "reverse",
        },
        received_bytes: row.received.map(|counted| counted.bytes),
        goodput_bps: bits(row.received.and_then(row::Counted::rate)),
        sent_bytes: row.sent.map(|counted| counted.bytes),
        sent_bps: bits(row.sent.and_then(row::Counted::rate)),
        retransmits: row.retransmits,
        cwnd_bytes: row.cwnd,
        rtt_us: row.rtt.map(|rtt| rtt.as_micros()),
        datagrams_sent: row.datagrams_sent,
        datagrams_received: row.datagrams.map(|counts| counts.received),
        datagrams_lost: row.datagrams.and_then(|counts| counts.lost),
        datagrams_reordered: row.datagrams.and_then(|counts| counts.reordered),
        datagrams_duplicated: row.datagrams.and_then(|counts| counts.duplicated),
        datagrams_late: row.datagrams.and_then(|counts| counts.late),
        jitter_us: row.datagrams.and_then(|counts| counts.jitter).map(|jitter| jitter.as_micros()),
        path: PathCells::of_row(row),
        ..of_test(info)
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

fn bits(rate: Option<f64>) -> String {
    rate.map_or(String::new(), |rate| format!("{rate:.0}"))
}

fn write(fill: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>) -> io::Result<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    fill(&mut writer).map_err(io::Error::other)?;
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}
