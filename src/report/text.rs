//! The report for people, in iperf3's familiar layout.
//!
//! Every function here returns lines. Strings of the other end are made safe on the way in, so that
//! no caller can forget it.

use std::{fmt::Write as _, net::SocketAddr};

use super::{
    Options, closing,
    row::{self, span},
    safe,
    table::{RULE, Table},
};
use crate::{
    event::{Event, FailedEvent, Queued},
    measure::Interval,
    outcome::{Outcome, Side, TestInfo},
    spec::{Direction, Limit},
};

/// Returns a whole test as a text report: how it began, each interval that was kept, its totals.
#[must_use]
pub fn render(outcome: &Outcome) -> String {
    let options = Options { summary_only: outcome.intervals.is_empty(), ..Options::default() };
    let mut lines = connected(&outcome.info);
    for (index, kept) in outcome.intervals.iter().enumerate() {
        lines.extend(interval(&outcome.info, kept, &options, index == 0));
    }
    lines.extend(finished(outcome, &options));
    prefixed(&lines, &title(&outcome.info))
}

/// Returns what an event has to say, with its line feeds.
pub(super) fn event(event: &Event, options: &Options) -> String {
    let (lines, info, session) = match event {
        Event::Queued(place) => (vec![queued(place)], None, None),
        Event::Connected(info) => (connected(info), Some(info), None),
        Event::Interval(event) if options.summary_only => (Vec::new(), Some(&event.info), None),
        Event::Interval(event) => {
            let first = event.interval.local.index == 0;
            (interval(&event.info, &event.interval, options, first), Some(&event.info), None)
        }
        Event::Finished(outcome) => (finished(outcome, options), Some(&outcome.info), None),
        Event::Failed(event) => (failed(event), None, event.session.as_ref()),
    };
    let mut prefix = String::new();
    if let Some(session) = info.map(|info| &info.session).or(session).filter(|_| options.sessions) {
        let _ = write!(prefix, "[{}] ", safe::line(session));
    }
    if let Some(info) = info {
        prefix += &title(info);
    }
    prefixed(&lines, &prefix)
}

fn queued(place: &Queued) -> String {
    let when = place.retry_after.map_or(String::new(), |after| {
        format!("; it expects to have room in {} s", after.as_secs_f64().ceil())
    });
    format!("The server is busy: this test has place {} in its queue{when}", place.position)
}

fn connected(info: &TestInfo) -> Vec<String> {
    let peer = address(info.peer);
    let host = info.host.as_deref().map_or(peer.0.clone(), |host| safe::line(host).into_owned());
    let mut lines = vec![match info.side {
        Side::Client => format!("Connecting to host {host}, port {}", peer.1),
        Side::Server => format!("Accepted connection from {}, port {}", peer.0, peer.1),
    }];
    if info.spec.direction == Direction::Reverse {
        lines.push(match info.side {
            Side::Client => format!("Reverse mode, remote host {host} is sending"),
            Side::Server => "Reverse mode, this host is sending".to_owned(),
        });
    }
    lines.push(test(info));
    for flow in &info.flows {
        let (local, peer) = (address(flow.local), address(flow.peer));
        lines.push(format!(
            "[{:>3}] local {} port {} connected to {} port {}",
            flow.flow.0, local.0, local.1, peer.0, peer.1
        ));
    }
    lines
}

/// Returns what is tested, also where a default decided it: defaults differ between transports.
fn test(info: &TestInfo) -> String {
    let spec = &info.spec;
    let mut line = format!("Test {}: {}", safe::line(&info.session), safe::line(&spec.transport));
    let each = if spec.direction == Direction::Bidirectional { " in each direction" } else { "" };
    let plural = if spec.streams == 1 { "" } else { "s" };
    let _ = write!(line, ", {} stream{plural}{each}", spec.streams);
    if let Some(exchange) = spec.workload.exchange() {
        let _ = write!(
            line,
            ", requests of {} bytes and responses of {}",
            exchange.request, exchange.response
        );
    } else if spec.block > 0 {
        let _ = write!(line, ", blocks of {} bytes", spec.block);
    }
    let _ = match spec.limit {
        Limit::Time(time) => write!(line, ", {} s", time.as_secs_f64()),
        Limit::Bytes(bytes) => write!(line, ", {bytes} bytes"),
        Limit::Blocks(count) if spec.workload.is_bulk() => write!(line, ", {count} blocks"),
        Limit::Blocks(count) => write!(line, ", {count} requests"),
        Limit::Endless => write!(line, ", until stopped"),
    };
    if !spec.omitted().is_zero() {
        let _ = write!(line, " after {} s omitted", spec.omitted().as_secs_f64());
    }
    if let Some(rate) = spec.rate {
        let _ = write!(line, ", at most {} bits/sec per stream", rate.bits_per_second);
    }
    if let Some(probe) = spec.probe {
        let _ = write!(line, ", a probe every {} s", probe.every.as_secs_f64());
    }
    let other = match info.side {
        Side::Client => "server",
        Side::Server => "client",
    };
    if !info.peer_host.program.is_empty() {
        let _ = write!(line, "; {other} runs {}", safe::line(&info.peer_host.program));
    }
    line
}

/// Returns the lines of an interval, below the header that the first one tells how to name.
fn interval(info: &TestInfo, interval: &Interval, options: &Options, first: bool) -> Vec<String> {
    let table = Table::new(info, options.unit);
    let rows = row::of_interval(info, interval);
    let span = span(info, &interval.local);
    let omitted = interval.local.omitted;
    let mut lines: Vec<_> = first.then(|| table.interval_header(&rows)).into_iter().collect();
    lines.extend(rows.iter().map(|row| table.interval(row, span, omitted)));
    if rows.len() > 1 {
        lines.push(RULE.to_owned());
    }
    lines
}

fn finished(outcome: &Outcome, options: &Options) -> Vec<String> {
    let table = Table::new(&outcome.info, options.unit);
    let rows = row::of_test(outcome);
    let mut lines = Vec::new();
    // Several rows have drawn the line below their last interval.
    if rows.len() == 1 || outcome.info.spec.interval.is_none() || options.summary_only {
        lines.push(RULE.to_owned());
    }
    lines.push(table.total_header(&rows));
    lines.extend(rows.iter().flat_map(|row| [table.received(row), table.sent(row)]));
    lines.extend(closing::lines(outcome, &table, &rows));
    lines
}

fn failed(event: &FailedEvent) -> Vec<String> {
    let peer = event.peer.map_or(String::new(), |peer| {
        let (host, port) = address(peer);
        format!(" with {host}, port {port},")
    });
    vec![format!("Test{peer} failed: {}", closing::failure(&event.failure))]
}

/// Returns host and port; an IPv4 address that came in through an IPv6 socket as what it is.
fn address(addr: SocketAddr) -> (String, u16) {
    (addr.ip().to_canonical().to_string(), addr.port())
}

fn title(info: &TestInfo) -> String {
    info.spec.title.as_deref().map_or(String::new(), |title| format!("{}:  ", safe::line(title)))
}

fn prefixed(lines: &[String], prefix: &str) -> String {
    lines.iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{prefix}{line}");
        out
    })
}
