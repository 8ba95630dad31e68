use std::{net::SocketAddr, sync::Arc, time::Duration};

use polyperf::{
    compare::experiment::{Arm, PartKind},
    measure::{
        CpuScope, CpuUse, ExchangeSummary, FlowId, FlowSample, FlowSummary, Interval,
        LatencySummary, Role, Sample, SideSummary,
    },
    outcome::{Dialect, Ended, FlowInfo, HostInfo, Outcome, Side, TestInfo},
    spec::{Direction, Exchange, Limit, Probe, SpecFields, TestSpec, Workload},
    transport::{PathStats, Security},
};

use super::{Character, Random};

pub(super) fn bulk(
    arm: &Arm,
    direction: Direction,
    rate: f64,
    character: &Character,
    loaded: &LatencySummary,
    random: &mut Random,
) -> Outcome {
    let probe = Probe { idle: Duration::from_millis(500), ..Probe::default() };
    let info = info(arm, |fields| {
        fields.direction = direction;
        fields.limit = Limit::Time(Duration::from_secs(3));
        fields.omit = Duration::from_millis(1500);
        fields.interval = Some(EVERY);
        fields.probe = Some(probe);
    });
    let intervals = (0..45).map(|index| {
        let start = EVERY * index;
        let since = start.saturating_sub(probe.idle).as_secs_f64();
        let up_to_speed = 1.0 - (-since / character.ramp).exp();
        let bits = rate * up_to_speed * random.about(0.06) * EVERY.as_secs_f64();
        Arc::new(interval(direction, index, (bits / 8.0) as u64))
    });
    let intervals: Vec<_> = intervals.collect();
    let ends = [Role::Sender, Role::Receiver].map(|role| {
        let bytes = (rate * 3.0 / 8.0) as u64;
        FlowSummary { bytes, duration: Duration::from_secs(3), ..flow(arm, 1, role) }
    });
    let [client, server] = if direction == Direction::Forward {
        ends
    } else {
        let [sender, receiver] = ends;
        [receiver, sender]
    };
    let asked = ExchangeSummary {
        requests: loaded.count,
        replies: loaded.count,
        latency: Some(loaded.clone()),
        ..ExchangeSummary::default()
    };
    let probe = FlowSummary { exchanges: Some(Box::new(asked)), ..flow(arm, 2, Role::Sender) };
    outcome(info, intervals, vec![client, probe], vec![server])
}

pub(super) fn exchanges(arm: &Arm, kind: PartKind, idle: &LatencySummary) -> Outcome {
    let info = info(arm, |fields| {
        fields.workload = match kind {
            PartKind::Churn => Workload::Churn(Exchange::default()),
            PartKind::Idle => Workload::Rr(Exchange::default()),
            _ => Workload::Bulk,
        };
    });
    let asked = ExchangeSummary {
        requests: idle.count,
        replies: idle.count,
        latency: Some(idle.clone()),
        ..ExchangeSummary::default()
    };
    let exchanges = matches!(kind, PartKind::Churn | PartKind::Idle).then(|| Box::new(asked));
    let client = FlowSummary { exchanges, ..flow(arm, 1, Role::Sender) };
    outcome(info, Vec::new(), vec![client], vec![flow(arm, 1, Role::Receiver)])
}

fn outcome(
    info: TestInfo,
    intervals: Vec<Arc<Interval>>,
    client: Vec<FlowSummary>,
    server: Vec<FlowSummary>,
) -> Outcome {
    let cpu = Some(CpuUse {
        user: Duration::from_millis(120),
        system: Duration::from_millis(900),
        wall: Duration::from_secs(3),
        scope: CpuScope::DataThreads,
    });
    Outcome {
        info: Arc::new(info),
        intervals,
        local: SideSummary { flows: client, cpu },
        remote: Some(SideSummary { flows: server, cpu }),
        ended: Ended::Complete,
        server_output: None,
        link: None,
    }
}

fn interval(direction: Direction, index: u32, bytes: u64) -> Interval {
    let sample = |role| Sample {
        index,
        start: EVERY * index,
        end: EVERY * (index + 1),
        omitted: index < 15,
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
    let (local, remote) = match direction {
        Direction::Reverse => (sample(Role::Receiver), sample(Role::Sender)),
        _ => (sample(Role::Sender), sample(Role::Receiver)),
    };
    Interval { local, remote: Some(remote) }
}

fn flow(arm: &Arm, number: u16, role: Role) -> FlowSummary {
    let sends = role == Role::Sender;
    let congestion = match arm.transport.as_str() {
        "tcp" | "quic" | "rudp" => Some("cubic".to_owned()),
        _ => None,
    };
    let security = (arm.transport == "quic").then(|| Security {
        protocol: "TLS 1.3".to_owned(),
        provider: "ring".to_owned(),
        cipher: Some("TLS13_AES_128_GCM_SHA256".to_owned()),
        verified: Some("known server".to_owned()),
        ..Security::default()
    });
    FlowSummary {
        flow: FlowId(number),
        role,
        bytes: 0,
        omitted_bytes: 0,
        duration: Duration::ZERO,
        retransmits: None,
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
        path: PathStats {
            congestion: congestion.filter(|_| sends),
            send_buffer: Some(2_626_560),
            recv_buffer: Some(425_984),
            security,
            ..PathStats::default()
        },
        settings: Vec::new(),
        error: None,
    }
}

fn info(arm: &Arm, change: impl FnOnce(&mut SpecFields)) -> TestInfo {
    let mut fields = SpecFields { transport: arm.transport.clone(), ..SpecFields::default() };
    change(&mut fields);
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let flow = FlowInfo {
        flow: FlowId(1),
        role: if fields.direction == Direction::Forward { Role::Sender } else { Role::Receiver },
        datagrams: false,
        local: address("192.0.2.1:50001"),
        peer: address("192.0.2.2:5201"),
    };
    TestInfo {
        session: "a1b2c3".to_owned(),
        side: Side::Client,
        dialect: Dialect::Native,
        spec: TestSpec::try_from(fields).expect("a valid test"),
        changes: Vec::new(),
        started: Duration::from_micros(1_795_407_119_250_000),
        local: address("192.0.2.1:50000"),
        peer: address("192.0.2.2:5201"),
        host: Some("server.example".to_owned()),
        user: None,
        local_host: host("client"),
        peer_host: host("server"),
        flows: vec![flow],
    }
}

pub(super) fn host(name: &str) -> HostInfo {
    HostInfo {
        program: "polyperf 0.1.0".to_owned(),
        system: format!("Linux {name} 6.1.0-41-amd64 x86_64"),
        cpu: Some("AMD EPYC 7543 32-Core Processor".to_owned()),
        cores: Some(2),
    }
}

/// The length of an interval.
const EVERY: Duration = Duration::from_millis(100);
