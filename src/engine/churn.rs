//! Connections that are made for one request and one response each, one after another.
//!
//! Each flow of such a test is a lane: the client has one connection at a time on it, and the server
//! answers whatever comes. Only what was answered counts as sent, so that the server has always
//! received what it is told of.

mod answer;
mod ask;
mod exchange;
mod tally;

use std::sync::Arc;

use polyperf_transport::{Path, PathStats, Setting, Tuning};

pub(crate) use self::{
    answer::{Answering, Terms},
    ask::Asking,
    tally::Tally,
};
use super::{
    counters::Counters,
    flow::{Flow, Stage},
    framing::Framing,
    starting,
    watch::Watch,
};
use crate::{
    measure::{FlowId, Role},
    spec::TestSpec,
    workload::Budget,
};

/// What a test is made of.
#[derive(Debug)]
pub(crate) enum Work {
    /// Streams that are open.
    Flows(Vec<Flow>),
    /// Lanes on which there is nothing yet.
    Lanes(Vec<Lane>),
}

/// One connection at a time, and what this end does on each.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: FlowId,
    pub(crate) errand: Errand,
}

/// What one end does on a lane.
#[derive(Debug)]
pub(crate) enum Errand {
    /// It connects and asks.
    Ask(Box<Asking>),
    /// It answers whoever comes.
    Answer(Arc<Answering>),
}

impl Work {
    /// Returns what the sampler watches of each.
    pub(super) fn watches(&self, framing: Framing) -> Vec<Watch> {
        let watch = |id, role, path| Watch::new(id, role, framing, Arc::new(Counters::new()), path);
        match self {
            Self::Flows(flows) => flows
                .iter()
                .map(|flow| watch(flow.id, flow.role, Arc::clone(&flow.stream.path)))
                .collect(),
            Self::Lanes(lanes) => {
                lanes.iter().map(|lane| watch(lane.id, lane.role(), Arc::new(NoPath))).collect()
            }
        }
    }

    /// Sets each open stream as the test asks. What a lane's connections are set to is known with
    /// the first of them.
    pub(super) fn tune(&self, spec: &TestSpec) -> Vec<Vec<Setting>> {
        match self {
            Self::Flows(flows) => flows.iter().map(|flow| starting::settings(spec, flow)).collect(),
            Self::Lanes(lanes) => vec![Vec::new(); lanes.len()],
        }
    }
}

impl From<Vec<Flow>> for Work {
    fn from(flows: Vec<Flow>) -> Self {
        Self::Flows(flows)
    }
}

impl Lane {
    fn role(&self) -> Role {
        match self.errand {
            Errand::Ask(_) => Role::Sender,
            Errand::Answer(_) => Role::Receiver,
        }
    }

    /// Begins what this end does on it.
    pub(super) fn start(
        self,
        spec: &TestSpec,
        stage: &Stage,
        budget: Option<Arc<Budget>>,
        counters: Arc<Counters>,
    ) {
        match self.errand {
            Errand::Ask(asking) => asking.start(self.id, spec, stage, budget, counters),
            Errand::Answer(answering) => answering.start(self.id, stage, counters),
        }
    }
}

/// The path of a lane, whose connections come and go: none of them stands for all.
#[derive(Debug)]
struct NoPath;

impl Path for NoPath {
    fn stats(&self) -> PathStats {
        PathStats::default()
    }

    fn tune(&self, _: &Tuning) -> Vec<Setting> {
        Vec::new()
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}
