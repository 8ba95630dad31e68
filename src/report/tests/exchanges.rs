use std::{sync::Arc, time::Duration};

use super::{Format, of, testing};
use crate::{
    measure::{
        ExchangeSummary, FlowId, FlowSummary, Latencies, OneWayMissing, OneWaySummary, Role,
    },
    outcome::Outcome,
    spec::{Direction, Exchange, Limit, Probe, Workload},
};

fn exchanges(micros: impl IntoIterator<Item = u64>, idle: bool) -> Option<Box<ExchangeSummary>> {
    let mut latencies = Latencies::new();
    micros.into_iter().for_each(|micros| latencies.record(Duration::from_micros(micros)));
    let latency = latencies.summary();
    let replies = latencies.count();
    Some(Box::new(ExchangeSummary {
        requests: replies + 2,
        replies,
        lost: 2,
        idle: latency.clone().filter(|_| idle),
        latency,
        ..ExchangeSummary::default()
    }))
}

/// Returns a test of requests on so many streams.
fn rr(streams: u16) -> Outcome {
    let mut outcome = testing::outcome(Direction::Forward, streams);
    let info = Arc::make_mut(&mut outcome.info);
    *info = testing::changed(info.clone(), |fields| {
        let exchange = Exchange { request: 1000, response: 64, in_flight: 4, per_second: None };
        (fields.workload, fields.block) = (Workload::Rr(exchange), 1000);
        fields.limit = Limit::Blocks(500);
    });
    for (nth, flow) in (0..).zip(&mut outcome.local.flows) {
        flow.exchanges = exchanges((1..=1000).map(|micros| micros + 1000 * nth), false);
    }
    outcome
}

/// Returns a test whose load was probed.
fn probed() -> Outcome {
    let mut outcome = testing::outcome(Direction::Reverse, 1);
    let info = Arc::make_mut(&mut outcome.info);
    *info = testing::changed(info.clone(), |fields| fields.probe = Some(Probe::default()));
    let probe = FlowSummary {
        flow: FlowId(2),
        role: Role::Prober,
        exchanges: exchanges(1..=100, true),
        ..outcome.local.flows[0].clone()
    };
    outcome.local.flows.push(probe);
    outcome
}

fn shown(format: Format, outcome: &Outcome) -> String {
    testing::report(of(format), &testing::events(outcome))
}

#[test]
fn requests_are_counted_in_place_of_bytes_and_have_a_table() {
    let report = shown(Format::Text, &rr(2));
    for line in [
        "Test a1b2c3: tcp, 2 streams, requests of 1000 bytes and responses of 64, 500 requests; server runs polyperf 0.1.0",
        "[ ID] Interval           Requests     Requests/s      Retr  Cwnd         RTT",
        "[  1]   0.00-1.00   sec       100000          100000     0   767 KBytes   0.113 ms",
        "[SUM]   0.00-1.00   sec       300000          300000     0",
        "Requests of 1000 bytes, responses of 64, 4 at once on each stream",
        "[ ID]   Requests    Replies     Lost   Replies/s     min    mean     p50     p90     p99   p99.9     max ms",
        "[  1]       1002       1000        2         500   0.001   0.501   0.500   0.900   0.990   0.999   1.000",
        "[  2]       1002       1000        2         500   1.001   1.501   1.500   1.901   1.991   2.000   2.001",
        "[SUM]       2004       2000        4        1000   0.001   1.001   1.000   1.800   1.980   1.999   2.001",
    ] {
        assert!(report.lines().any(|shown| shown == line), "no {line:?} in\n{report}");
    }
}

/// Has the ways of the first flow told.
fn tell(outcome: &mut Outcome, flow: usize, tell: impl FnOnce(&mut ExchangeSummary)) {
    tell(outcome.local.flows[flow].exchanges.as_mut().unwrap());
}

fn ways(idle: bool) -> OneWaySummary {
    let of = |micros| exchanges([micros], false).unwrap().latency;
    OneWaySummary {
        forward: of(1000),
        backward: of(20),
        idle_forward: of(10).filter(|_| idle),
        idle_backward: of(20).filter(|_| idle),
        exchanges: 1,
        uncertainty_ns: 12_000,
        ..OneWaySummary::default()
    }
}

#[test]
fn each_way_has_a_line_with_what_is_uncertain() {
    let mut outcome = rr(2);
    tell(&mut outcome, 0, |exchanges| exchanges.one_way = Some(ways(false)));
    tell(&mut outcome, 1, |exchanges| {
        exchanges.one_way = Some(OneWaySummary { negative: 3, ..ways(false) });
    });
    let mut probed = probed();
    tell(&mut probed, 1, |exchanges| exchanges.one_way = Some(ways(true)));
    for (outcome, lines) in [
        (
            outcome,
            [
                "[  1] One-way delay to the server            p50 1.000  p99 1.000  max 1.000 ms (± 0.012 ms)",
                "[  1] One-way delay from the server          p50 0.020  p99 0.020  max 0.020 ms (± 0.012 ms)",
                "[  2] One-way delay: 3 came out below zero by more than that; a clock was set",
            ],
        ),
        (
            probed,
            [
                "[  2] One-way delay to the server, idle      p50 0.010  p99 0.010  max 0.010 ms (± 0.012 ms)",
                "[  2] One-way delay to the server, loaded    p50 1.000  p99 1.000  max 1.000 ms (± 0.012 ms)",
                "[  2] One-way delay from the server, loaded  p50 0.020  p99 0.020  max 0.020 ms (± 0.012 ms)",
            ],
        ),
    ] {
        let report = shown(Format::Text, &outcome);
        for line in lines {
            assert!(report.lines().any(|shown| shown == line), "no {line:?} in\n{report}");
        }
    }
}

#[test]
fn ways_that_are_unknown_say_why() {
    for (missing, words) in [
        (
            OneWayMissing::NoRoom,
            "unknown: a response of 64 bytes has no room for the server's clock",
        ),
        (OneWayMissing::NotStamped, "unknown: the server tells nothing of its clock"),
    ] {
        let mut outcome = rr(1);
        tell(&mut outcome, 0, |exchanges| exchanges.one_way_missing = Some(missing));
        let report = shown(Format::Text, &outcome);
        assert!(report.contains(words), "{report}");
    }
}

#[test]
fn ways_are_cells_of_the_table_for_programs() {
    let mut outcome = rr(1);
    tell(&mut outcome, 0, |exchanges| exchanges.one_way = Some(ways(false)));
    let report = shown(Format::Csv, &outcome);
    let lines: Vec<Vec<&str>> = report.lines().map(|line| line.split(',').collect()).collect();
    let total = lines.iter().find(|line| line[0] == "total").unwrap();
    assert_eq!(total[total.len() - 1], "12000");
    assert!(total[total.len() - 5..].iter().all(|cell| !cell.is_empty()), "{total:?}");
}

#[test]
fn a_probe_has_its_table_and_no_row_of_the_load() {
    let outcome = probed();
    let report = shown(Format::Text, &outcome);
    for line in [
        "Probe of 64 bytes, every 10.00 ms, before and under load",
        "[  2]          -        100        -        idle   0.001   0.051   0.050   0.090   0.099   0.100   0.100",
        "[  2]        102        100        2      loaded   0.001   0.051   0.050   0.090   0.099   0.100   0.100",
    ] {
        assert!(report.lines().any(|shown| shown == line), "no {line:?} in\n{report}");
    }
    assert!(!report.contains("[SUM]"), "{report}");
    let unprobed = testing::outcome(Direction::Reverse, 1);
    assert_eq!(outcome.local.total(Role::Receiver), unprobed.local.total(Role::Receiver));
}

#[test]
fn a_table_for_programs_has_a_line_of_the_probe() {
    let report = shown(Format::Csv, &probed());
    let lines: Vec<Vec<&str>> = report.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| lines[0].iter().position(|column| *column == name).unwrap();
    let probe = lines.iter().find(|line| line[0] == "probe").unwrap();
    assert_eq!((probe[column("flow")], probe[column("direction")]), ("2", "forward"));
    assert_eq!((probe[column("replies")], probe[column("requests_lost")]), ("100", "2"));
    assert_ne!(probe[column("idle_p50_ns")], "");
    let total = lines.iter().find(|line| line[0] == "total").unwrap();
    assert_eq!(total[column("replies")], "", "the load has no requests");
}

#[test]
fn a_document_has_the_probe_beside_iperf3s_part() {
    let document: serde_json::Value =
        serde_json::from_str(&shown(Format::Json, &probed())).unwrap();
    assert_eq!(document["end"]["streams"].as_array().unwrap().len(), 1);
    let flow = &document["polyperf"]["local"]["flows"][1];
    assert_eq!((&flow["role"], &flow["exchanges"]["replies"]), (&"prober".into(), &100.into()));
    let without = &document["polyperf"]["local"]["flows"][0];
    assert!(without.get("exchanges").is_none(), "{without}");
}
