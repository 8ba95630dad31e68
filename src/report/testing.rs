//! Tests that never ran, for reports to show: their figures are made from their numbers.

pub(crate) mod connections;

use std::{io, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use polyperf_transport::{PathStats, Security, Setting, Tuning};

use super::{Options, Reporter};
use crate::{
    event::{Event, FailedEvent, IntervalEvent},
    measure::{
        CpuScope, CpuUse, DatagramSummary, FlowId, FlowSample, FlowSummary, Interval,
        LatenessSummary, PacingSummary, Role, RttSummary, Sample, SideSummary, SizeSummary,
        VariationSummary,
    },
    outcome::{Dialect, Ended, Failure, FailureCode, FlowInfo, HostInfo, Outcome, Side, TestInfo},
    spec::{Direction, Limit, SpecFields, TestSpec},
};

/// Returns the outcome of a test of two seconds, as its client tells it.
pub(crate) fn outcome(direction: Direction, streams: u16) -> Outcome {
    outcome_of(info(direction, streams))
}

/// Returns a test of datagrams of a kilobyte, of which the receiver has missed some.
pub(super) fn of_datagrams(direction: Direction, streams: u16) -> Outcome {
    let mut outcome = outcome(direction, streams);
    let info = Arc::make_mut(&mut outcome.info);
    *info = changed(info.clone(), |fields| {
        fields.transport = "udp".to_owned();
        fields.block = 1000;
    });
    info.flows.iter_mut().for_each(|flow| flow.datagrams = true);
    for interval in &mut outcome.intervals {
        let interval = Arc::make_mut(interval);
        let samples = std::iter::once(&mut interval.local).chain(&mut interval.remote);
        for flow in samples.flat_map(|sample| &mut sample.flows) {
            (flow.datagrams_sent, flow.datagrams) = counted(flow.role, flow.bytes, false);
            (flow.retransmits, flow.path) = (None, None);
        }
    }
    for flow in std::iter::once(&mut outcome.local).chain(&mut outcome.remote).flat_map(flows) {
        (flow.datagrams_sent, flow.datagrams) = counted(flow.role, flow.bytes, true);
        (flow.retransmits, flow.rtt, flow.max_cwnd) = (None, None, None);
        flow.path = PathStats {
            send_buffer: Some(425_984),
            recv_buffer: Some(425_984),
            ..PathStats::default()
        };
        flow.lateness = flow.datagrams_sent.map(|count| LatenessSummary {
            count,
            p50: Duration::from_micros(52),
            p99: Duration::from_micros(110),
            max: Duration::from_micros(900),
        });
        flow.pacing = flow.datagrams_sent.map(|count| PacingSummary {
            token_error: -200,
            max_token_error: 52_000,
            slips: 1,
            slipped: Duration::from_micros(1500),
            bursts: count / 32,
            burst_blocks: SizeSummary { p50: 32, p99: 32, max: 64 },
            burst_bytes: SizeSummary { p50: 32_000, p99: 32_000, max: 64_000 },
        });
    }
    outcome
}

fn flows(side: &mut SideSummary) -> &mut Vec<FlowSummary> {
    &mut side.flows
}

fn counted(role: Role, bytes: u64, whole: bool) -> (Option<u64>, Option<DatagramSummary>) {
    let micros = Duration::from_micros;
    match role {
        Role::Sender | Role::Prober => (Some(bytes / 1000), None),
        Role::Receiver | Role::Probed => {
            let counts = DatagramSummary {
                received: bytes / 1000,
                lost: Some(131),
                reordered: Some(3),
                duplicated: Some(2),
                late: Some(0),
                strays: Some(0),
                loss_runs: whole.then_some(7),
                longest_loss_run: whole.then_some(40),
                jitter: Some(micros(14)),
                delay_variation: whole.then_some(VariationSummary {
                    p50: micros(12),
                    p90: micros(40),
                    p99: micros(95),
                    max: micros(1200),
                }),
            };
            (None, Some(counts))
        }
    }
}

/// Returns the same, of a test that leaves its first second out.
pub(super) fn with_omitted_second() -> Outcome {
    outcome_of(changed(info(Direction::Forward, 1), |fields| fields.omit = Duration::from_secs(1)))
}

/// Returns the same, as the server tells it.
pub(super) fn seen_by_server(client: &Outcome) -> Outcome {
    let mut server = client.clone();
    let info = Arc::make_mut(&mut server.info);
    info.side = Side::Server;
    info.host = None;
    std::mem::swap(&mut info.local, &mut info.peer);
    std::mem::swap(&mut info.local_host, &mut info.peer_host);
    for flow in &mut info.flows {
        flow.role = other(flow.role);
        std::mem::swap(&mut flow.local, &mut flow.peer);
    }
    for interval in &mut server.intervals {
        let interval = Arc::make_mut(interval);
        let remote = interval.remote.take().unwrap();
        interval.remote = Some(std::mem::replace(&mut interval.local, remote));
    }
    let remote = server.remote.take().unwrap();
    server.remote = Some(std::mem::replace(&mut server.local, remote));
    server
}

/// Returns the same test, whose other end has said nothing.
pub(crate) fn without_remote(mut outcome: Outcome) -> Outcome {
    outcome.remote = None;
    for interval in &mut outcome.intervals {
        Arc::make_mut(interval).remote = None;
    }
    outcome
}

/// Returns a test that ended before any time had passed.
pub(crate) fn of_no_time() -> Outcome {
    let mut outcome = outcome(Direction::Bidirectional, 1);
    for interval in &mut outcome.intervals {
        let interval = Arc::make_mut(interval);
        for sample in std::iter::once(&mut interval.local).chain(&mut interval.remote) {
            (sample.start, sample.end) = (Duration::ZERO, Duration::ZERO);
        }
    }
    for side in std::iter::once(&mut outcome.local).chain(&mut outcome.remote) {
        side.cpu.as_mut().unwrap().wall = Duration::ZERO;
        for flow in &mut side.flows {
            flow.duration = Duration::ZERO;
        }
    }
    outcome
}

/// Returns a test whose other end, and whose user, put into every string what harms a reader.
pub(crate) fn hostile() -> Outcome {
    let evil = || HOSTILE.to_owned();
    let mut outcome = without_remote(outcome(Direction::Forward, 1));
    let mut info = changed(info(Direction::Forward, 1), |fields| {
        fields.title = Some(HOSTILE.to_owned());
        fields.extra_data = Some(HOSTILE.to_owned());
    });
    info.session = evil();
    info.peer_host = HostInfo { program: evil(), system: evil(), ..HostInfo::default() };
    info.local_host = info.peer_host.clone();
    info.changes = vec![evil()];
    info.host = Some(evil());
    outcome.info = Arc::new(info);
    let flow = &mut outcome.local.flows[0];
    flow.path.congestion = Some(evil());
    flow.path.security = Some(Security {
        protocol: evil(),
        provider: evil(),
        cipher: Some(evil()),
        key_exchange: Some(evil()),
        verified: Some(evil()),
        peer: Some(evil()),
        ..Security::default()
    });
    flow.error = Some(evil());
    flow.bytes = u64::MAX;
    flow.settings = vec![Setting {
        option: evil(),
        asked: evil(),
        granted: Some(evil()),
        refused: Some(evil()),
    }];
    outcome.ended = Ended::Failed(Failure::new(FailureCode::PeerLost, HOSTILE));
    outcome.server_output = Some(format!("first\n{HOSTILE}\nlast"));
    outcome
}

/// A formula, an escape sequence, a line of its own, and text that runs backwards.
pub(crate) const HOSTILE: &str = "=cmd()\u{1b}[2J\u{9b}0m\r\nfake line\u{202e}evil";

/// Returns the events of a test that came to `outcome`.
pub(crate) fn events(outcome: &Outcome) -> Vec<Event> {
    let info = &outcome.info;
    let interval = |interval: &Arc<Interval>| {
        let interval = Arc::clone(interval);
        Event::Interval(IntervalEvent { info: Arc::clone(info), interval })
    };
    let mut events = vec![Event::Connected(Arc::clone(info))];
    events.extend(outcome.intervals.iter().map(interval));
    events.push(Event::Finished(Arc::new(outcome.clone())));
    events
}

/// Returns the event of a test that a busy server turned away.
pub(super) fn turned_away() -> Event {
    Event::Failed(Arc::new(FailedEvent {
        side: Side::Client,
        session: None,
        peer: Some(address("192.0.2.2:5201")),
        failure: Failure {
            code: FailureCode::Busy,
            message: "the server is busy running a test".to_owned(),
            retry_after: Some(Duration::from_millis(2500)),
        },
    }))
}

/// Returns what a reporter writes about `events`.
pub(super) fn report(options: Options, events: &[Event]) -> String {
    let mut reporter = Reporter::new(options, Vec::new());
    for event in events {
        reporter.handle(event).unwrap();
    }
    String::from_utf8(reporter.finish().unwrap()).unwrap()
}

/// A writer whose reader has gone away.
#[derive(Debug)]
pub(super) struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

pub(super) fn info(direction: Direction, streams: u16) -> TestInfo {
    let spec = SpecFields {
        direction,
        streams,
        limit: Limit::Time(Duration::from_secs(2)),
        block: 131_072,
        ..SpecFields::default()
    };
    let spec = TestSpec::try_from(spec).unwrap();
    let flow = |n| FlowInfo {
        flow: FlowId(n),
        role: role_at_client(&spec, n),
        datagrams: false,
        local: address(&format!("192.0.2.1:{}", 50_000 + n)),
        peer: address("192.0.2.2:5201"),
    };
    TestInfo {
        session: "a1b2c3".to_owned(),
        side: Side::Client,
        dialect: Dialect::Native,
        changes: Vec::new(),
        started: Duration::from_micros(1_795_407_119_250_000),
        local: address("192.0.2.1:50000"),
        peer: address("192.0.2.2:5201"),
        host: Some("server.example".to_owned()),
        user: None,
        local_host: host("client"),
        peer_host: host("server"),
        flows: (1..=spec.flows()).map(flow).collect(),
        spec,
    }
}

/// Returns a test over the transport of this name.
pub(super) fn over(transport: &str, direction: Direction, streams: u16) -> Outcome {
    let mut outcome = outcome(direction, streams);
    let info = Arc::make_mut(&mut outcome.info);
    *info = changed(info.clone(), |fields| fields.transport = transport.to_owned());
    outcome
}

pub(super) fn changed(mut info: TestInfo, change: impl FnOnce(&mut SpecFields)) -> TestInfo {
    let mut fields = info.spec.into_fields();
    change(&mut fields);
    info.spec = TestSpec::try_from(fields).unwrap();
    info
}

/// Returns the test `info` with a setting that came out otherwise, and one that was refused.
pub(super) fn with_settings(mut outcome: Outcome) -> Outcome {
    let info = Arc::make_mut(&mut outcome.info);
    *info = changed(info.clone(), |fields| {
        fields.tuning =
            Tuning { window: NonZeroU32::new(4 << 20), no_delay: true, ..Tuning::default() };
    });
    info.changes = vec!["the rate was limited to 1 Gbit/s".to_owned()];
    let set = |granted: &str, refused: Option<&str>| Setting {
        option: "window".to_owned(),
        asked: "4194304".to_owned(),
        granted: Some(granted.to_owned()),
        refused: refused.map(str::to_owned),
    };
    for flow in &mut outcome.local.flows {
        flow.settings = vec![
            set("425984", Some("the system's limit")),
            Setting::unsupported("no_delay", true, "quic"),
        ];
    }
    outcome.remote.as_mut().unwrap().flows[0].settings = vec![set("4194304", None)];
    outcome
}

fn outcome_of(info: TestInfo) -> Outcome {
    let omit = u32::try_from(info.spec.omit.as_secs()).unwrap();
    let intervals = (0..2 + omit).map(|index| Arc::new(interval(&info, index, index < omit)));
    let [local, remote] = [Side::Client, Side::Server].map(|side| SideSummary {
        flows: info.flows.iter().map(|flow| total(flow.flow, role_at(flow.role, side))).collect(),
        cpu: Some(CpuUse {
            user: Duration::from_millis(20),
            system: Duration::from_millis(if side == Side::Client { 1600 } else { 960 }),
            wall: Duration::from_secs(2),
            scope: if side == Side::Client { CpuScope::DataThreads } else { CpuScope::Process },
        }),
    });
    Outcome {
        intervals: intervals.collect(),
        info: Arc::new(info),
        local,
        remote: Some(remote),
        ended: Ended::Complete,
        server_output: None,
        link: None,
    }
}

fn interval(info: &TestInfo, index: u32, omitted: bool) -> Interval {
    let sample = |side| Sample {
        index,
        start: Duration::from_secs(u64::from(index)),
        end: Duration::from_secs(u64::from(index) + 1),
        omitted,
        flows: info
            .flows
            .iter()
            .map(|flow| counts(flow.flow, role_at(flow.role, side), index))
            .collect(),
    };
    Interval { local: sample(Side::Client), remote: Some(sample(Side::Server)) }
}

/// The sender is 128 KiB ahead of the receiver.
fn counts(flow: FlowId, role: Role, index: u32) -> FlowSample {
    let sends = role == Role::Sender;
    let received = 100_000_000 * u64::from(flow.0) + 25_000_000 * u64::from(index);
    FlowSample {
        flow,
        role,
        bytes: received + if sends { 131_072 } else { 0 },
        retransmits: sends.then(|| u64::from(index) * 3),
        packets_lost: None,
        path: sends.then(|| path(flow, index)),
        datagrams_sent: None,
        datagrams: None,
    }
}

fn total(flow: FlowId, role: Role) -> FlowSummary {
    let sends = role == Role::Sender;
    let rtt = |micros| Duration::from_micros(micros);
    FlowSummary {
        flow,
        role,
        bytes: 200_000_000 * u64::from(flow.0) + 25_000_000 + if sends { 262_144 } else { 0 },
        omitted_bytes: 0,
        duration: Duration::from_millis(if sends { 2000 } else { 2001 }),
        retransmits: sends.then_some(3),
        packets_lost: None,
        congestion_events: None,
        window_blocked: None,
        rtt: sends.then(|| RttSummary { min: rtt(47), mean: rtt(1080), max: rtt(12_113) }),
        max_cwnd: sends.then_some(1_047_552),
        datagrams_sent: None,
        datagrams: None,
        lateness: None,
        pacing: None,
        exchanges: None,
        path: path(flow, 1),
        settings: Vec::new(),
        error: None,
    }
}

fn path(flow: FlowId, index: u32) -> PathStats {
    PathStats {
        rtt: Some(Duration::from_micros(
            113 * u64::from(flow.0 + 10 * u16::try_from(index).unwrap()),
        )),
        rttvar: Some(Duration::from_micros(19)),
        cwnd: Some(785_408 * u64::from(index + 1)),
        peer_window: Some(3_145_728),
        mtu: Some(1500),
        mss: Some(1448),
        send_buffer: Some(2_626_560),
        recv_buffer: Some(131_072),
        reordering: Some(3),
        congestion: Some("cubic".to_owned()),
        ..PathStats::default()
    }
}

fn host(name: &str) -> HostInfo {
    HostInfo {
        program: "polyperf 0.1.0".to_owned(),
        system: format!("Linux {name} 6.1.0 x86_64"),
        cpu: None,
        cores: Some(2),
    }
}

fn role_at_client(spec: &TestSpec, flow: u16) -> Role {
    if spec.client_sends() && flow <= spec.streams { Role::Sender } else { Role::Receiver }
}

fn role_at(client: Role, side: Side) -> Role {
    if side == Side::Client { client } else { other(client) }
}

fn other(role: Role) -> Role {
    match role {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
        Role::Prober => Role::Probed,
        Role::Probed => Role::Prober,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
