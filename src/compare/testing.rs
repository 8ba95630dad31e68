//! Comparisons that never ran, for reports to show.

use std::{sync::Arc, time::Duration};

use super::{Comparison, Figures, Row, Run, SCHEMA, Target};
use crate::{
    measure::{CpuScope, Role},
    outcome::{Failure, FailureCode, HostInfo, Outcome},
    report::testing::{self, HOSTILE},
    spec::{Direction, TestSpec},
};

/// Returns a comparison inside one process, with a transport that tells everything, one that tells
/// little, and one that failed.
pub(super) fn comparison() -> Comparison {
    let target = Target::InProcess;
    let told = [Direction::Forward, Direction::Reverse]
        .map(|direction| measured(on_threads(testing::outcome(direction, 1)), &target));
    let silent = [Direction::Forward, Direction::Reverse]
        .map(|direction| measured(silent(testing::outcome(direction, 4)), &target));
    let failure = Failure::new(FailureCode::Unsupported, "this server does not offer broken");
    let rows = vec![
        row("tcp", told),
        row("memory", silent),
        row("broken", [Run::Failed { failure }, Run::Skipped]),
    ];
    Comparison {
        schema: SCHEMA,
        target,
        started: Duration::from_micros(1_795_407_119_250_000),
        host: HostInfo {
            program: "polyperf 0.1.0".to_owned(),
            system: "Linux client 6.1.0 x86_64".to_owned(),
            cpu: None,
            cores: Some(2),
        },
        test: TestSpec::try_from(super::Config::in_process().test).unwrap(),
        rows,
        stopped: None,
    }
}

/// Returns a comparison with a transport whose streams share an encrypted connection, to a server
/// that the client has verified so.
pub(super) fn with_connections(verified: &str) -> Comparison {
    let mut comparison = comparison();
    let runs = [Direction::Forward, Direction::Reverse].map(|direction| {
        let outcome = testing::connections::over(1, direction, 2);
        let outcome = testing::connections::with_security(outcome, |security| {
            security.verified = Some(verified.to_owned());
        });
        measured(on_threads(outcome), &comparison.target)
    });
    comparison.rows.insert(1, row("quic", runs));
    comparison
}

/// Returns a comparison in whose every string there is what harms a reader.
pub(super) fn hostile() -> Comparison {
    let target = Target::Host { host: HOSTILE.to_owned(), port: 5201 };
    let failure = Failure::new(FailureCode::Denied, HOSTILE);
    let forward = measured(testing::hostile(), &target);
    Comparison {
        target,
        rows: vec![row(HOSTILE, [forward, Run::Failed { failure }])],
        stopped: Some(HOSTILE.to_owned()),
        ..comparison()
    }
}

pub(super) fn measured(outcome: Outcome, target: &Target) -> Run {
    Run::Measured { figures: Figures::of(&outcome, target), outcome: Arc::new(outcome) }
}

fn row(transport: &str, [forward, reverse]: [Run; 2]) -> Row {
    Row { transport: transport.to_owned(), forward, reverse }
}

fn on_threads(mut outcome: Outcome) -> Outcome {
    outcome.intervals.clear();
    for side in std::iter::once(&mut outcome.local).chain(&mut outcome.remote) {
        if let Some(cpu) = &mut side.cpu {
            cpu.scope = CpuScope::DataThreads;
        }
    }
    outcome
}

/// Returns the outcome of a transport that knows nothing of its path.
fn silent(mut outcome: Outcome) -> Outcome {
    outcome.intervals.clear();
    for side in std::iter::once(&mut outcome.local).chain(&mut outcome.remote) {
        for flow in side.flows.iter_mut().filter(|flow| flow.role == Role::Sender) {
            (flow.retransmits, flow.rtt) = (None, None);
            flow.path.congestion = None;
        }
    }
    outcome
}
