//! Tests, messages and results to play with.

use std::time::Duration;

use polyperf::{
    measure::{FlowId, FlowSample, FlowSummary, Role, Sample, SideSummary},
    outcome::{Ended, Failure, FailureCode, HostInfo, Side},
    protocol::native::{
        Agree, Busy, Challenge, Deadlines, Limits, Message, Nonce, Propose, Prove, Prover, PskKey,
        Results, Secret, Sent, Token, TransportInfo, Welcome,
    },
    spec::{Direction, Limit, SpecFields, TestSpec},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A test of two streams in each direction, with a report each second.
pub(crate) fn spec(direction: Direction, limit: Limit) -> TestSpec {
    let fields = SpecFields { direction, limit, streams: 2, block: 1000, ..SpecFields::default() };
    fields.try_into().unwrap()
}

pub(crate) fn timed(direction: Direction) -> TestSpec {
    spec(direction, Limit::Time(3 * SECOND))
}

pub(crate) fn welcome() -> Welcome {
    let transports = vec![TransportInfo { name: "tcp".to_owned(), port: 5201, identity: None }];
    Welcome { host: HostInfo::default(), transports, limits: Limits::default(), challenge: None }
}

pub(crate) fn propose(spec: &TestSpec) -> Propose {
    Propose { host: HostInfo::default(), spec: spec.clone(), no_queue: false, auth: None }
}

pub(crate) fn prove(spec: &TestSpec) -> Prove {
    let challenge =
        Challenge { nonce: Nonce::new([1; 32]), methods: vec!["psk".to_owned()], required: true };
    let prover = Prover {
        identity: "mario".to_owned(),
        secret: Secret::Psk(PskKey::new(b"sixteen bytes it")),
        nonce: Nonce::new([2; 32]),
        channel: Vec::new(),
    };
    prover.prove(&challenge, serde_json::to_string(&propose(spec)).unwrap()).unwrap()
}

pub(crate) fn agree(spec: &TestSpec) -> Agree {
    Agree {
        session: "s1".to_owned(),
        token: Token::from_bits(7).as_str().to_owned(),
        port: 5201,
        spec: spec.clone(),
        changes: Vec::new(),
        proof: None,
    }
}

pub(crate) fn busy(position: u32) -> Busy {
    Busy { position, retry_after: Some(30 * SECOND) }
}

pub(crate) fn stopped(by: Side) -> Ended {
    Ended::Stopped { by, reason: "interrupted".to_owned() }
}

pub(crate) fn failure(code: FailureCode) -> Failure {
    Failure::new(code, "as the script has it")
}

pub(crate) fn results(flows: impl IntoIterator<Item = (FlowId, Role, u64)>) -> Box<Results> {
    let flows = flows.into_iter().map(|(flow, role, bytes)| summary(flow, role, bytes)).collect();
    Box::new(Results::new(SideSummary { flows, cpu: None }))
}

pub(crate) fn sample(flows: impl IntoIterator<Item = (FlowId, Role, u64)>) -> Sample {
    let flow_sample = |(flow, role, bytes)| FlowSample {
        flow,
        role,
        bytes,
        retransmits: None,
        packets_lost: None,
        path: None,
        datagrams_sent: None,
        datagrams: None,
    };
    Sample {
        index: 0,
        start: Duration::ZERO,
        end: SECOND,
        omitted: false,
        flows: flows.into_iter().map(flow_sample).collect(),
    }
}

/// One message of each kind, as `by` would say it of `spec`.
pub(crate) fn one_of_each(spec: &TestSpec, by: Side) -> Vec<Message> {
    let flow = FlowId(1);
    vec![
        Message::Welcome(welcome()),
        Message::Propose(Box::new(propose(spec))),
        Message::Busy(busy(1)),
        Message::Agree(Box::new(agree(spec))),
        Message::Start,
        Message::Ping { received: 1 },
        Message::Progress(sample([(flow, Role::Receiver, 5)])),
        Message::Sent(vec![Sent { flow, bytes: 5, datagrams: None }]),
        Message::Stop(stopped(by)),
        Message::Results(results([(flow, Role::Sender, 5)])),
        Message::Bye,
        Message::Fail(failure(FailureCode::Internal)),
        Message::Prove(Box::new(prove(spec))),
    ]
}

/// Returns the longest of all steps, to bound what a test may take.
pub(crate) fn patience(deadlines: &Deadlines) -> Duration {
    deadlines.stall + deadlines.results + deadlines.goodbye + deadlines.silence
}

fn summary(flow: FlowId, role: Role, bytes: u64) -> FlowSummary {
    FlowSummary {
        flow,
        role,
        bytes,
        omitted_bytes: 0,
        duration: SECOND,
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
        path: polyperf::transport::PathStats::default(),
        settings: Vec::new(),
        error: None,
    }
}
