use std::collections::HashMap;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    event::{Event, FailedEvent, IntervalEvent},
    measure::{FlowSummary, Role, sum_once},
    names::name_of,
    outcome::{Ended, Outcome, TestInfo},
};

/// What is counted of sessions as they go on.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    ended: Family<End, Counter>,
    failed: Family<Failed, Counter>,
    bytes: Family<Way, Counter>,
    datagrams: Family<Way, Counter>,
    lost: Family<Of, Counter>,
    drops: Family<Of, Counter>,
    durations: Family<Of, Histogram>,
    missed: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    transport: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Way {
    transport: String,
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    transport: String,
    dialect: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    code: String,
}

/// What has been counted of a test that runs: intervals tell what is new, its end tells the whole.
#[derive(Debug, Default)]
struct Counted {
    bytes: [u64; 2],
    datagrams: [u64; 2],
    lost: u64,
}

impl Sessions {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let durations = || Histogram::new(DURATIONS);
        let this = Self {
            ended: Family::default(),
            failed: Family::default(),
            bytes: Family::default(),
            datagrams: Family::default(),
            lost: Family::default(),
            drops: Family::default(),
            durations: Family::new_with_constructor(durations),
            missed: Counter::default(),
        };
        let Self { ended, failed, bytes, datagrams, lost, drops, durations, missed } = this.clone();
        registry.register("sessions", "Tests that have ended with something to show", ended);
        registry.register("sessions_failed", "Tests that have ended with nothing to show", failed);
        let help = "Bytes of tests that this server has received and sent";
        registry.register_with_unit("transferred", help, Unit::Bytes, bytes);
        let help = "Datagrams of tests that this server has received and sent";
        registry.register("datagrams", help, datagrams);
        registry.register("datagrams_lost", "Datagrams that did not reach this server", lost);
        let help = "Datagrams that this host dropped because a socket's buffer was full";
        registry.register("socket_drops", help, drops);
        let help = "How long tests ran, without what they omit";
        registry.register_with_unit("session_duration", help, Unit::Seconds, durations);
        let help = "Events that came too fast to be counted: the figures of sessions are too low";
        registry.register("events_missed", help, missed);
        this
    }

    /// Counts what happens, until there is nobody left to whom it could.
    pub(super) async fn follow(self, mut events: Receiver<Event>) {
        let mut running = HashMap::new();
        loop {
            match events.recv().await {
                Ok(event) => self.count(&mut running, &event),
                Err(RecvError::Lagged(missed)) => {
                    self.missed.inc_by(missed);
                    // Their ends may be among what was missed.
                    running.clear();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn count(&self, running: &mut HashMap<String, Counted>, event: &Event) {
        match event {
            Event::Connected(info) => {
                running.insert(info.session.clone(), Counted::default());
            }
            Event::Interval(IntervalEvent { info, interval }) => {
                let Some(counted) = running.get_mut(&info.session) else { return };
                for flow in &interval.local.flows {
                    let lost = flow.datagrams.as_ref().and_then(|datagrams| datagrams.lost);
                    let received = flow.datagrams.as_ref().map(|datagrams| datagrams.received);
                    let datagrams = flow.datagrams_sent.or(received);
                    counted.lost += lost.unwrap_or(0);
                    self.lost.get_or_create(&of(info)).inc_by(lost.unwrap_or(0));
                    self.moved(info, flow.role, flow.bytes, datagrams.unwrap_or(0), counted);
                }
            }
            Event::Finished(outcome) => {
                self.finished(running.remove(&outcome.info.session), outcome)
            }
            Event::Failed(failed) => {
                if let Some(session) = &failed.session {
                    running.remove(session);
                }
                self.failed.get_or_create(&reason(failed)).inc();
            }
            Event::Queued(_) => {}
        }
    }

    fn finished(&self, counted: Option<Counted>, outcome: &Outcome) {
        let info = &outcome.info;
        let flows = &outcome.local.flows;
        let mut counted = counted.unwrap_or_default();
        for role in [Role::Sender, Role::Receiver] {
            let Some(way) = way(role) else { continue };
            let bytes = sum(flows, role, |flow| flow.bytes.saturating_add(flow.omitted_bytes));
            let datagrams = sum(flows, role, |flow| {
                let received = flow.datagrams.as_ref().map(|datagrams| datagrams.received);
                flow.datagrams_sent.or(received).unwrap_or(0)
            });
            let bytes = bytes.saturating_sub(counted.bytes[way]);
            let datagrams = datagrams.saturating_sub(counted.datagrams[way]);
            self.moved(info, role, bytes, datagrams, &mut counted);
        }
        let lost = sum(flows, Role::Receiver, |flow| {
            flow.datagrams.as_ref().and_then(|datagrams| datagrams.lost).unwrap_or(0)
        });
        self.lost.get_or_create(&of(info)).inc_by(lost.saturating_sub(counted.lost));
        let drops =
            sum_once(flows.iter().map(|flow| (flow.path.connection, flow.path.local_drops)));
        if let Some(drops) = drops {
            self.drops.get_or_create(&of(info)).inc_by(drops);
        }
        if let Some(longest) = flows.iter().map(|flow| flow.duration).max() {
            self.durations.get_or_create(&of(info)).observe(longest.as_secs_f64());
        }
        self.ended.get_or_create(&end(outcome)).inc();
    }

    fn moved(
        &self,
        info: &TestInfo,
        role: Role,
        bytes: u64,
        datagrams: u64,
        counted: &mut Counted,
    ) {
        let Some(way) = way(role) else { return };
        let labels = Way { transport: info.spec.transport.clone(), direction: WAYS[way] };
        counted.bytes[way] += bytes;
        counted.datagrams[way] += datagrams;
        self.bytes.get_or_create(&labels).inc_by(bytes);
        if datagrams > 0 {
            self.datagrams.get_or_create(&labels).inc_by(datagrams);
        }
    }
}

/// Returns which of [`WAYS`] bytes go that an end with this role counts.
fn way(role: Role) -> Option<usize> {
    match role {
        Role::Receiver => Some(0),
        Role::Sender => Some(1),
        Role::Prober | Role::Probed => None,
    }
}

fn sum(flows: &[FlowSummary], role: Role, figure: impl Fn(&FlowSummary) -> u64) -> u64 {
    flows.iter().filter(|flow| flow.role == role).map(figure).fold(0, u64::saturating_add)
}

fn of(info: &TestInfo) -> Of {
    Of { transport: info.spec.transport.clone() }
}

fn end(outcome: &Outcome) -> End {
    let result = match &outcome.ended {
        Ended::Complete => "complete".to_owned(),
        Ended::Stopped { .. } => "stopped".to_owned(),
        Ended::Failed(failure) => name_of(&failure.code),
    };
    let info = &outcome.info;
    let dialect = name_of(&info.dialect);
    End { transport: info.spec.transport.clone(), dialect, result }
}

fn reason(failed: &FailedEvent) -> Failed {
    Failed { code: name_of(&failed.failure.code) }
}

/// Bounds of how long tests run, in seconds: from a moment to a day.
const DURATIONS: [f64; 12] =
    [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0, 14_400.0, 86_400.0];
const WAYS: [&str; 2] = ["received", "sent"];
