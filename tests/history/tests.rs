//! Tests that never ran, to be kept.

use std::{sync::Arc, time::Duration};

use polyperf::{
    event::FailedEvent,
    history::{Entry, Record},
    measure::{
        DatagramSummary, ExchangeSummary, FlowId, FlowSample, FlowSummary, Interval, Latencies,
        Role, Sample, SideSummary,
    },
    outcome::{Dialect, Ended, Failure, FailureCode, FlowInfo, HostInfo, Outcome, Side, TestInfo},
    spec::{Direction, SpecFields, TestSpec},
};

/// A text with everything in it that databases, terminals and spreadsheets stumble over.
pub(crate) const HOSTILE: &str = "=cmd()'; DROP TABLE tests; --\0\u{1b}[2J\r\n\u{202e}é%_\\\"";

/// Returns the time of so many seconds after some day's start.
pub(crate) fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_795_392_000 + seconds)
}

/// Returns a test that started then, and moved so many bits a second to the server.
pub(crate) fn outcome(started: Duration, bits_per_second: u64) -> Outcome {
    let spec = TestSpec::try_from(SpecFields::default()).unwrap();
    let host = |name: &str| HostInfo { system: name.to_owned(), ..HostInfo::default() };
    let info = TestInfo {
        session: "a1b2c3".to_owned(),
        side: Side::Server,
        dialect: Dialect::Native,
        spec,
        changes: Vec::new(),
        started,
        local: "192.0.2.1:5201".parse().unwrap(),
        peer: "192.0.2.7:50000".parse().unwrap(),
        host: None,
        user: None,
        local_host: host("here"),
        peer_host: host("there"),
        flows: vec![FlowInfo {
            flow: FlowId(1),
            role: Role::Receiver,
            datagrams: false,
            local: "192.0.2.1:5201".parse().unwrap(),
            peer: "192.0.2.7:50001".parse().unwrap(),
        }],
    };
    let side = |role| SideSummary {
        flows: vec![flow(role, bits_per_second / 8 * 10)],
        ..SideSummary::default()
    };
    Outcome {
        info: Arc::new(info),
        intervals: (0..10).map(|index| Arc::new(interval(index, bits_per_second / 8))).collect(),
        local: side(Role::Receiver),
        remote: Some(side(Role::Sender)),
        ended: Ended::Complete,
        server_output: None,
        link: None,
    }
}

/// Returns the same with a change to what is known of it from the start.
pub(crate) fn with(mut outcome: Outcome, change: impl FnOnce(&mut TestInfo)) -> Outcome {
    change(Arc::make_mut(&mut outcome.info));
    outcome
}

pub(crate) fn spec(change: impl FnOnce(&mut SpecFields)) -> TestSpec {
    let mut fields = SpecFields::default();
    change(&mut fields);
    fields.try_into().unwrap()
}

/// Returns a test of requests, of which each took so many microseconds, and of datagrams.
pub(crate) fn asking(started: Duration, micros: std::ops::Range<u64>) -> Outcome {
    let mut latencies = Latencies::new();
    micros.for_each(|micros| latencies.record(Duration::from_micros(micros)));
    let mut outcome = outcome(started, 1_000_000);
    outcome.remote.as_mut().unwrap().flows[0].exchanges = Some(Box::new(ExchangeSummary {
        requests: latencies.count(),
        latency: latencies.summary(),
        ..ExchangeSummary::default()
    }));
    outcome.local.flows[0].datagrams = Some(DatagramSummary {
        received: 75,
        lost: Some(25),
        jitter: Some(Duration::from_micros(14)),
        ..DatagramSummary::default()
    });
    outcome
}

/// Returns a test with a text everywhere that is none of its reader's friends.
pub(crate) fn hostile(started: Duration) -> Outcome {
    let evil = || HOSTILE.to_owned();
    let mut outcome = with(outcome(started, u64::MAX / 10), |info| {
        info.session = evil();
        info.host = Some(evil());
        info.user = Some(evil());
        info.peer_host = HostInfo { program: evil(), system: evil(), ..HostInfo::default() };
        info.spec = spec(|fields| fields.title = Some(evil()));
    });
    outcome.local.flows[0].error = Some(evil());
    outcome.local.flows[0].bytes = u64::MAX;
    outcome.local.flows[0].duration = Duration::from_micros(u64::MAX);
    outcome.ended = Ended::Failed(Failure::new(FailureCode::PeerLost, HOSTILE.repeat(1000)));
    outcome
}

pub(crate) fn finished(outcome: Outcome) -> Entry {
    let noticed = outcome.info.started + Duration::from_secs(10);
    Entry::new(Record::Finished(Arc::new(outcome)), noticed)
}

/// Returns a test that came to nothing.
pub(crate) fn failed(noticed: Duration, code: FailureCode) -> Entry {
    let event = FailedEvent {
        side: Side::Server,
        session: Some("d4e5f6".to_owned()),
        peer: Some("[2001:db8::7]:50000".parse().unwrap()),
        failure: Failure::new(code, "there is no room"),
    };
    Entry::new(Record::Failed(Arc::new(event)), noticed)
}

/// Returns the direction's test, which is told by its client.
pub(crate) fn of_client(started: Duration, direction: Direction) -> Outcome {
    with(outcome(started, 1_000_000), |info| {
        info.side = Side::Client;
        info.host = Some("Perf.Example.NET".to_owned());
        info.spec = spec(|fields| {
            fields.direction = direction;
            fields.transport = "quic".to_owned();
            fields.title = Some("Monday 100%".to_owned());
        });
    })
}

fn flow(role: Role, bytes: u64) -> FlowSummary {
    FlowSummary {
        flow: FlowId(1),
        role,
        bytes,
        omitted_bytes: 0,
        duration: Duration::from_secs(10),
        retransmits: (role == Role::Sender).then_some(3),
        packets_lost: None,
        congestion_events: None,
        window_blocked: None,
        rtt: None,
        max_cwnd: None,
        datagrams_sent: None,
        datagrams: None,
        lateness: None,
        pacing: None,
        exchanges: None,
        path: polyperf::transport::PathStats::default(),
        settings: Vec::new(),
        error: None,
    }
}

fn interval(index: u32, bytes: u64) -> Interval {
    let sample = |role| Sample {
        index,
        start: Duration::from_secs(index.into()),
        end: Duration::from_secs(u64::from(index) + 1),
        omitted: false,
        flows: vec![FlowSample {
            flow: FlowId(1),
            role,
            bytes,
            retransmits: None,
            packets_lost: None,
            path: None,
            datagrams_sent: None,
            datagrams: None,
        }],
    };
    Interval { local: sample(Role::Receiver), remote: Some(sample(Role::Sender)) }
}
