//! Comparisons over emulated links: every transport over each link, with the same dice.

use std::{collections::BTreeMap, future::Future, net::IpAddr, sync::Arc, time::Duration};

use super::{
    Config, Metric, Step,
    cross::{Cross, harm},
    experiment::{Experiment, LinkPlan, Plan, Run},
    runner,
};
use crate::{
    lab::{Calibration, Lab, Passage, preset::Preset},
    registry::Registry,
    spec::{SpecError, SpecErrors},
};

/// Emulated links that a comparison runs over.
#[derive(Debug, Clone)]
pub struct Over {
    /// Where they are. The clients are at its near end, the servers at its far one.
    pub lab: Arc<Lab>,
    /// The links, and how long each is measured.
    pub links: Vec<Stretch>,
    /// What the dice of the first block follow from; each block after that has the next number.
    pub seed: u64,
    /// What sends beside bulk on the same link.
    pub cross: Vec<Cross>,
    /// How good this machine is at it, by which runs are judged; `None` if that is not known.
    pub calibration: Option<Calibration>,
    /// How late packets may come out of a link at p99 before a run is spoilt; `None` is 1 ms, or a
    /// twentieth of the link's delay if that is more.
    pub latest: Option<Duration>,
}

/// A link, and how long it is measured: a long one takes longer to fill.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// What the link is like.
    pub preset: Preset,
    /// How long bulk is measured, each way.
    pub time: Duration,
    /// How long bulk warms up before that.
    pub warm_up: Duration,
    /// How long nothing happens between two tests, in which what is under way arrives.
    pub gap: Duration,
}

/// Both sides of the links, for the runner.
pub(super) struct Sides<'a> {
    pub(super) over: &'a Over,
    pub(super) passages: Vec<Passage>,
    /// Transports at the client's end.
    pub(super) near: Registry,
    /// Transports at the server's end.
    pub(super) far: Registry,
    /// Where servers are.
    pub(super) host: IpAddr,
}

impl Sides<'_> {
    fn of(over: &Over) -> Sides<'_> {
        let passage = |link: &Stretch| {
            Passage::new(Arc::clone(&over.lab), link.preset.clone(), over.seed)
                .calibrated(over.calibration.clone())
                .tolerating(over.latest)
        };
        Sides {
            over,
            passages: over.links.iter().map(passage).collect(),
            near: Registry::over(&over.lab.near().sockets()),
            far: Registry::over(&over.lab.far().sockets()),
            host: over.lab.far().v4().into(),
        }
    }

    /// Returns the n-th link as it is in a block.
    pub(super) fn passage(&self, link: usize, block: u32) -> Option<Passage> {
        let seed = self.over.seed.wrapping_add(u64::from(block.saturating_sub(1)));
        Some(self.passages.get(link)?.with_seed(seed))
    }
}

/// Runs every part of every arm over every link in every block, and concludes what follows, link by
/// link. `config` says what to compare, but for its times, which are the links'.
///
/// Runs that the emulator itself has spoilt are done again, up to three times.
///
/// # Errors
///
/// Everything that is wrong with what was asked for, at once. What fails later is in the runs.
pub async fn run(
    config: &Config,
    over: &Over,
    progress: impl FnMut(Step) + Send,
    stop: impl Future<Output = String> + Send,
) -> Result<Vec<Experiment>, SpecErrors> {
    if over.links.is_empty() {
        let (field, value) = ("link", "none".to_owned());
        return Err(SpecErrors::one(SpecError { field, value, allowed: "at least one link" }));
    }
    let seed = runner::seed(config);
    let plans: Result<Vec<Plan>, SpecErrors> =
        over.links.iter().map(|link| plan(config, over, link, seed)).collect();
    let sides = Sides::of(over);
    let mut experiments = runner::all(config, plans?, Some(&sides), progress, stop).await;
    for experiment in &mut experiments {
        tell_harm(&mut experiment.runs, &over.cross, &experiment.plan);
        experiment.conclude();
    }
    Ok(experiments)
}

fn plan(config: &Config, over: &Over, link: &Stretch, seed: u64) -> Result<Plan, SpecErrors> {
    let mut config = config.clone();
    config.test.limit = crate::spec::Limit::Time(link.time);
    config.test.omit = link.warm_up;
    config.gap = link.gap;
    let plan = Plan::of(&config, seed)?;
    let link = LinkPlan {
        name: link.preset.label(),
        about: link.preset.summary(),
        preset: link.preset.resolved(),
        seed: over.seed,
        tier: over.lab.tier(),
        calibration: over.calibration.clone(),
        latest: over.latest,
        cross: over.cross.clone(),
    };
    Ok(Plan { link: Some(Box::new(link)), ..plan })
}

/// Adds to each run how much its arm harms the competitors, where an arm of their own kind tells what
/// they get among themselves in the same block.
fn tell_harm(runs: &mut [Run], cross: &[Cross], plan: &Plan) {
    let [cross] = cross else { return };
    let same = plan
        .arms
        .iter()
        .find(|arm| arm.transport == cross.arm.transport && arm.congestion == cross.arm.congestion);
    let Some(same) = same else { return };
    let among_themselves: BTreeMap<u32, f64> = runs
        .iter()
        .filter(|run| run.arm == same.name)
        .filter_map(|run| Some((run.block, run.competitors_goodput()?)))
        .collect();
    for run in runs {
        let harm = run
            .competitors_goodput()
            .zip(among_themselves.get(&run.block))
            .and_then(|(beside, among)| harm(*among, beside));
        if let Some(harm) = harm {
            run.values.insert(Metric::Harm, harm);
        }
    }
}
