use std::{num::NonZeroUsize, sync::Arc};

use polyperf_transport::Setting;

use super::{
    answering::{Ration, start_answerer},
    asking::start_asker,
    churn::Work,
    flow::{Flow, Stage, start_receiver, start_sender},
    sampler::Sampler,
};
use crate::{
    measure::Role,
    spec::TestSpec,
    workload::{Asker, Budget, Source},
};

/// Sets a stream as the test asks for, and returns what came of it.
pub(super) fn settings(spec: &TestSpec, flow: &Flow) -> Vec<Setting> {
    let mut settings = flow.stream.path.tune(&spec.stream_tuning());
    // What goes without saying is not an answer to a question.
    settings.retain(|setting| spec.tuning.no_delay || setting.option != "no_delay");
    settings
}

/// Starts what each flow does at this end.
pub(super) fn start(spec: &TestSpec, work: Work, stage: &Stage, sampler: &Sampler) {
    let block =
        usize::try_from(spec.block).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    let budget = Budget::new(stage.framing.limit(spec.limit, block)).map(Arc::new);
    let requests = spec.request_limit().and_then(Budget::new).map(Arc::new);
    let flows = match work {
        Work::Flows(flows) => flows,
        Work::Lanes(lanes) => {
            for (lane, watch) in lanes.into_iter().zip(sampler.flows()) {
                lane.start(spec, stage, budget.clone(), Arc::clone(&watch.counters));
            }
            return;
        }
    };
    for (flow, watch) in flows.into_iter().zip(sampler.flows()) {
        let stage = &stage.at(flow.stream.home);
        let halves = (flow.stream.send, flow.stream.recv);
        let counters = Arc::clone(&watch.counters);
        match (flow.role, spec.workload.exchange(), spec.probe) {
            (Role::Sender, None, _) => {
                let batch = stage.framing.batch(halves.0.batch(), block);
                let source = Source::batched(spec, block.get(), batch, budget.clone());
                start_sender(stage, flow.id, halves, source, block, counters);
            }
            (Role::Receiver, None, _) => start_receiver(stage, flow.id, halves, block, counters),
            (Role::Sender, Some(exchange), _) => {
                let ordered = !stage.framing.is_datagrams();
                let asker = Asker::new(spec, exchange, ordered, requests.clone());
                start_asker(stage, flow.id, halves, asker, counters);
            }
            (Role::Receiver, Some(exchange), _) => {
                start_answerer(stage, flow.id, halves, exchange, None, counters);
            }
            (Role::Prober, _, probe) => {
                let asker =
                    Asker::probing(spec, probe.unwrap_or_default(), !stage.framing.is_datagrams());
                start_asker(stage, flow.id, halves, asker, counters);
            }
            (Role::Probed, _, probe) => {
                let probe = probe.unwrap_or_default();
                let ration = Some(Ration::new(probe));
                start_answerer(stage, flow.id, halves, probe.exchange(), ration, counters);
            }
        }
    }
}
