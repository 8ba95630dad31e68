//! The table of a text report, in the columns that iperf3's users know.

use std::time::Duration;

use super::{
    exchange,
    figure::{self, UNKNOWN, Unit},
    row::{self, Counted, Row},
};
use crate::{
    measure::FlowId,
    outcome::{Side, TestInfo},
    spec::Direction,
};

/// What decides on the columns of a test's table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    unit: Option<Unit>,
    /// The length of a request, where requests are counted in place of bytes.
    request: Option<u32>,
    /// Whether losses stand where streams of bytes have their path's figures.
    datagrams: bool,
    /// The end that reports, where rows must say what it does on a flow.
    roles: Option<Side>,
}

/// What stands in the column for what the path lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// What was sent again.
    Sent,
    /// What was lost, where the transport counts that alone.
    Lost,
    /// Whichever of both is known: there was nothing yet to tell which.
    Either,
}

/// The line that separates parts of a report.
pub(super) const RULE: &str = "- - - - - - - - - - - - - - - - - - - - - - - - -";

impl Table {
    pub(super) fn new(info: &TestInfo, unit: Option<Unit>) -> Self {
        let both = info.spec.direction == Direction::Bidirectional;
        let roles = both.then_some(info.side);
        let request = info.spec.workload.exchange().map(|exchange| exchange.request.max(1));
        Self { unit, request, datagrams: row::is_of_datagrams(info), roles }
    }

    /// Returns the line above intervals, of which these are the first one's rows.
    pub(super) fn interval_header(&self, first: &[Row]) -> String {
        if self.datagrams {
            return self.datagram_header("Goodput");
        }
        self.header("Goodput", [Again::of(first).name(), "Cwnd", "RTT"])
    }

    /// Returns the line above a test's totals, which show the rates of both ends.
    pub(super) fn total_header(&self, rows: &[Row]) -> String {
        if self.datagrams {
            return self.datagram_header("Bitrate");
        }
        // Of nothing that is known, nothing is said in either column.
        let again = match Again::of(rows) {
            Again::Either => Again::Sent,
            again => again,
        };
        self.header("Bitrate", [again.name(), "", ""])
    }

    /// Returns the line of one flow, or one direction, in an interval.
    ///
    /// It shows what the receiver counted. Where the receiver did not say, it shows what the sender
    /// counted, and says so: that is what left, not what arrived.
    pub(super) fn interval(&self, row: &Row, span: (Duration, Duration), omitted: bool) -> String {
        let counts = self.counts(row, Some(span), row.received.or(row.sent));
        let sent = if row.received.is_none() && row.sent.is_some() { "(sent) " } else { "" };
        let omitted = if omitted { "(omitted)" } else { "" };
        if self.datagrams {
            let losses = losses(row);
            return format!("{counts}  {losses}  {sent}{omitted}").trim_end().to_owned();
        }
        // A sum has neither a window nor a round-trip time.
        let path = row.flow.map(|_| [figure::bytes(row.cwnd), figure::rtt(row.rtt)]);
        let [cwnd, rtt] = path.unwrap_or_default();
        let (cwnd_width, rtt_width) = (figure::BYTES, figure::RTT);
        let line = format!(
            "{counts}{:>6}  {cwnd:>cwnd_width$}  {rtt:>rtt_width$}  {sent}{omitted}",
            figure::count(again(row))
        );
        line.trim_end().to_owned()
    }

    /// Returns the receiver's line of a test's totals.
    pub(super) fn received(&self, row: &Row) -> String {
        let span = row.received.map(|counted| (Duration::ZERO, counted.time));
        let counts = self.counts(row, span, row.received);
        if self.datagrams {
            return format!("{counts}  {}  receiver", received(row));
        }
        format!("{counts}{:>6}  receiver", "")
    }

    /// Returns the sender's line of a test's totals.
    pub(super) fn sent(&self, row: &Row) -> String {
        let span = row.sent.map(|counted| (Duration::ZERO, counted.time));
        if self.datagrams {
            return format!("{}  {}  sender", self.counts(row, span, row.sent), sent(row));
        }
        let again = figure::count(again(row));
        format!("{}{again:>6}  sender", self.counts(row, span, row.sent))
    }

    /// Returns what names a row's flow: `[  1]`, with the role where rows have one.
    pub(super) fn name(&self, row: &Row) -> String {
        format!("{}{}", id(row.flow), self.role(row.sender))
    }

    /// Returns what the end that reports does on flows on which `sender` sends, where that has to
    /// be said.
    pub(super) fn role(&self, sender: Side) -> &'static str {
        self.roles.map_or("", |side| role(sender, side))
    }

    fn header(&self, rate: &str, [again, cwnd, rtt]: [&str; 3]) -> String {
        let role = if self.roles.is_some() { "[Role]" } else { "" };
        let rate = if self.request.is_some() { "Requests/s" } else { rate };
        let (bytes, width) = (figure::BYTES, figure::rate_width(self.unit));
        // A long name takes of the room that the name of the rate leaves.
        let again = format!("{again:>width$}", width = width + 6 - rate.len());
        let transfer = if self.request.is_some() { "Requests" } else { "Transfer" };
        let line = format!(
            "[ ID]{role} {:<17}  {transfer:<bytes$}  {rate}{again}  {cwnd:<bytes$}  {rtt}",
            "Interval",
        );
        line.trim_end().to_owned()
    }

    fn datagram_header(&self, rate: &str) -> String {
        let head = self.header(rate, [""; 3]);
        let (role, bytes, width) = (
            self.roles.map_or(0, |_| "[Role]".len()),
            figure::BYTES,
            figure::rate_width(self.unit),
        );
        let counts = "[ ID] ".len() + role + 17 + 2 + bytes + 2 + width;
        format!("{head:<counts$}  {:<9}  Lost/Total Datagrams", "Jitter")
    }

    /// Returns the columns that every line begins with.
    fn counts(
        &self,
        row: &Row,
        span: Option<(Duration, Duration)>,
        counted: Option<Counted>,
    ) -> String {
        let (transfer, rate) = match self.request {
            Some(request) => requests(counted, request),
            None => (
                figure::bytes(counted.map(|counted| counted.bytes)),
                figure::rate(counted.and_then(Counted::rate), self.unit),
            ),
        };
        let (bytes, width) = (figure::BYTES, figure::rate_width(self.unit));
        format!("{} {}  {transfer:>bytes$}  {rate:>width$}", self.name(row), show_span(span))
    }
}

impl Again {
    fn of(rows: &[Row]) -> Self {
        if rows.iter().any(|row| row.retransmits.is_some()) {
            Self::Sent
        } else if rows.iter().any(|row| row.packets_lost.is_some()) {
            Self::Lost
        } else {
            Self::Either
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sent => "Retr",
            Self::Lost => "Lost",
            Self::Either => "Retr/Lost",
        }
    }
}

/// Returns how many requests those bytes are, and how many a second.
fn requests(counted: Option<Counted>, request: u32) -> (String, String) {
    let Some(counted) = counted else { return (UNKNOWN.to_owned(), UNKNOWN.to_owned()) };
    let count = counted.bytes / u64::from(request);
    (count.to_string(), exchange::per_second(count, counted.time))
}

/// Returns what the sender sent again; where it knows only what was lost, that.
fn again(row: &Row) -> Option<u64> {
    row.retransmits.or(row.packets_lost)
}

/// Returns the losses of an interval, or what was sent where the receiver did not say.
fn losses(row: &Row) -> String {
    if row.received.is_none() && row.sent.is_some() { sent(row) } else { received(row) }
}

fn received(row: &Row) -> String {
    let width = figure::RTT;
    let Some(counts) = &row.datagrams else { return format!("{UNKNOWN:>width$}  {UNKNOWN}") };
    let jitter = figure::rtt(counts.jitter);
    let shown = |count: Option<u64>| count.map_or(UNKNOWN.to_owned(), |count| count.to_string());
    let share = counts.loss().map_or(UNKNOWN.to_owned(), figure::percent);
    format!("{jitter:>width$}  {}/{} ({share})", shown(counts.lost), shown(counts.expected()))
}

fn sent(row: &Row) -> String {
    let sent = row.datagrams_sent.map_or(UNKNOWN.to_owned(), |count| count.to_string());
    format!("{:>width$}  {sent}", "", width = figure::RTT)
}

/// Returns a time span of seventeen characters.
fn show_span(span: Option<(Duration, Duration)>) -> String {
    match span {
        Some((start, end)) => {
            format!("{:>6}-{:<6} sec", figure::seconds(start), figure::seconds(end))
        }
        None => format!("{UNKNOWN:>6}       sec"),
    }
}

fn id(flow: Option<FlowId>) -> String {
    flow.map_or("[SUM]".to_owned(), |flow| format!("[{:>3}]", flow.0))
}

/// Returns what the end that reports does on a flow, in iperf3's words.
fn role(sender: Side, reporter: Side) -> &'static str {
    match (sender, reporter) {
        (Side::Client, Side::Client) => "[TX-C]",
        (Side::Server, Side::Client) => "[RX-C]",
        (Side::Server, Side::Server) => "[TX-S]",
        (Side::Client, Side::Server) => "[RX-S]",
    }
}
