//! Tests of connections that are made for one request each.

use std::{net::SocketAddr, sync::Arc};

use polyperf_transport::Delivery;

use super::streams::{AnswerGuard, Expected, MarkGuard};
use crate::{
    engine::{Answering, Errand, Lane, Terms},
    measure::{FlowId, Role},
    outcome::{Failure, FailureCode, FlowInfo},
    protocol::native::{Deadlines, Token},
    spec::{TestSpec, Workload, churn},
};

/// What answers the connections of one test, until it is dropped.
#[derive(Debug)]
pub(super) struct Churn {
    token: Token,
    answering: Arc<Answering>,
    flows: u16,
    /// Lets connections in, once the test runs.
    guard: Option<AnswerGuard>,
    _mark: MarkGuard,
}

/// Checks that each request and each response fits what carries it.
pub(super) fn check(spec: &TestSpec, delivery: Delivery) -> Result<(), Failure> {
    let Workload::Churn(exchange) = spec.workload else { return Ok(()) };
    let fits = churn::check_sizes(exchange, &spec.transport, delivery);
    fits.map_err(|why| Failure::new(FailureCode::Unsupported, why))
}

impl Churn {
    /// Returns what answers this test's connections; `None` if it is of another kind.
    pub(super) fn of(
        spec: &TestSpec,
        delivery: Delivery,
        token: Token,
        deadlines: &Deadlines,
        expected: &Arc<Expected>,
    ) -> Option<Self> {
        let Workload::Churn(exchange) = spec.workload else { return None };
        let (tuning, limit) = (spec.tuning.clone(), deadlines.answer);
        let mark = expected.announce(token.mark(), tuning.clone());
        let terms = Terms { exchange, delivery, tuning, limit };
        let answering = Answering::new(spec, terms);
        Some(Self { token, answering, flows: spec.flows(), guard: None, _mark: mark })
    }

    /// Lets connections in from now on, and returns the test's lanes.
    pub(super) fn begin(&mut self, expected: &Arc<Expected>) -> Vec<Lane> {
        self.guard = Some(expected.answer(self.token, Arc::clone(&self.answering)));
        let errand = || Errand::Answer(Arc::clone(&self.answering));
        (1..=self.flows).map(|id| Lane { id: FlowId(id), errand: errand() }).collect()
    }

    /// Returns what is to be told of each lane: its connections have ports of their own.
    pub(super) fn infos(&self, local: SocketAddr, peer: SocketAddr) -> Vec<FlowInfo> {
        let peer = SocketAddr::new(peer.ip(), 0);
        let info = |flow| FlowInfo { flow, role: Role::Receiver, datagrams: false, local, peer };
        (1..=self.flows).map(FlowId).map(info).collect()
    }
}
