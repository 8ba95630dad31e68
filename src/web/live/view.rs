use serde::Serialize;

use crate::{
    outcome::{Dialect, TestInfo},
    report::safe,
    server::{SessionView, Stage},
    spec::{Direction, Limit, TestSpec, Workload},
};

/// A session as the pages show it. Whatever its client says of itself is text of a bounded length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Shown {
    pub(super) session: String,
    peer: String,
    dialect: Dialect,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    since_us: u64,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<ShownTest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ShownTest {
    transport: String,
    direction: Direction,
    streams: u16,
    workload: &'static str,
    limit: Limit,
    /// Of each stream, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_data: Option<String>,
}

impl From<&SessionView> for Shown {
    fn from(view: &SessionView) -> Self {
        let (stage, position, spec, info) = match &view.stage {
            Stage::Preparing => ("preparing", None, None, None),
            Stage::Queued { position, spec } => ("queued", Some(*position), Some(&**spec), None),
            Stage::Running { info } => ("running", None, Some(&info.spec), Some(&**info)),
            Stage::Visiting => ("visiting", None, None, None),
        };
        let peer = |text: fn(&TestInfo) -> &String| {
            info.map(|info| safe::short(text(info))).filter(|text| !text.is_empty())
        };
        Self {
            session: view.session.clone(),
            peer: view.peer.to_string(),
            dialect: view.dialect,
            user: view.user.as_deref().map(safe::short),
            since_us: u64::try_from(view.since.as_micros()).unwrap_or(u64::MAX),
            stage,
            position,
            test: spec.map(ShownTest::from),
            program: peer(|info| &info.peer_host.program),
            system: peer(|info| &info.peer_host.system),
            changes: info.map(|info| info.changes.clone()).unwrap_or_default(),
        }
    }
}

impl From<&TestSpec> for ShownTest {
    fn from(spec: &TestSpec) -> Self {
        Self {
            transport: safe::short(&spec.transport),
            direction: spec.direction,
            streams: spec.streams,
            workload: match spec.workload {
                Workload::Bulk => "bulk",
                Workload::Rr(_) => "rr",
                Workload::Churn(_) => "churn",
            },
            limit: spec.limit,
            rate: spec.rate.map(|rate| rate.bits_per_second),
            title: spec.title.as_deref().map(safe::short),
            extra_data: spec.extra_data.as_deref().map(safe::short),
        }
    }
}
