use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use polyperf_transport::Transport;
use tokio::{sync::watch, task::JoinSet};

use super::{
    Config, Step, Target,
    cross::Competitor,
    experiment::{Arm, Experiment, Part, PartKind, PartResult, Plan, Run, SCHEMA},
    links::Sides,
    order, unequal, values, verdicts,
};
use crate::{
    client::{self, Client},
    engine,
    lab::Passage,
    outcome::{Ended, Failure, FailureCode, Outcome},
    registry::Registry,
    server::{Handle, Server},
    spec::{SpecErrors, TestSpec},
    trial::unix_time,
};

/// Runs every part of every arm in every block, and concludes what follows.
///
/// `progress` is told of each part before it starts. When `stop` is ready, the running test ends in
/// order, no other one starts, and what was measured up to there is returned.
///
/// # Errors
///
/// Everything that is wrong with what was asked for, at once. What fails later is in the runs.
pub async fn run(
    config: &Config,
    progress: impl FnMut(Step) + Send,
    stop: impl Future<Output = String> + Send,
) -> Result<Experiment, SpecErrors> {
    let plan = Plan::of(config, seed(config))?;
    let mut experiments = all(config, vec![plan], None, progress, stop).await;
    Ok(experiments.remove(0))
}

pub(super) fn seed(config: &Config) -> u64 {
    config.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

/// Carries out plans side by side: each block has every arm of every plan, in random order.
pub(super) async fn all(
    config: &Config,
    plans: Vec<Plan>,
    sides: Option<&Sides<'_>>,
    progress: impl FnMut(Step) + Send,
    stop: impl Future<Output = String> + Send,
) -> Vec<Experiment> {
    let (tell, told) = watch::channel(None);
    let listen = async {
        tell.send_replace(Some(stop.await));
        std::future::pending::<Infallible>().await
    };
    let began = unix_time();
    let mut running = Running {
        config,
        plans: &plans,
        sides,
        progress,
        told: told.clone(),
        started: Instant::now(),
        index: 0,
    };
    let runs = tokio::select! {
        runs = running.all() => runs,
        never = listen => match never {},
    };
    let took = running.started.elapsed();
    let experiment = |(plan, runs): (Plan, Vec<Run>)| {
        let all = plan.arms.len() * usize::try_from(plan.blocks).unwrap_or(usize::MAX);
        let incomplete = runs.len() < all || runs.iter().any(was_cut_short);
        Experiment {
            schema: SCHEMA,
            target: config.target.clone(),
            started: began,
            took,
            host: engine::host_info(),
            verdicts: verdicts(&plan, &runs),
            notes: unequal::notes(&plan, &runs),
            stopped: told.borrow().clone().filter(|_| incomplete),
            plan,
            command: None,
            runs,
        }
    };
    plans.clone().into_iter().zip(runs).map(experiment).collect()
}

struct Running<'a, P> {
    config: &'a Config,
    plans: &'a [Plan],
    /// Where the ends are, if the plans cross emulated links: a link each.
    sides: Option<&'a Sides<'a>>,
    progress: P,
    /// Why to stop, once there is a reason.
    told: watch::Receiver<Option<String>>,
    started: Instant,
    index: usize,
}

/// A link and a block of it, or just a block.
struct Scene<'a> {
    plan: &'a Plan,
    block: u32,
    /// The link, with the dice of the block.
    passage: Option<Passage>,
    places: &'a Places,
}

/// Where an arm's server is.
struct Place {
    /// The transport, and the one that control takes.
    transports: Registry,
    host: String,
    port: u16,
}

type Places = BTreeMap<String, Result<Place, Failure>>;

impl<P: FnMut(Step) + Send> Running<'_, P> {
    async fn all(&mut self) -> Vec<Vec<Run>> {
        match &self.config.target {
            Target::Host { host, port } => {
                let place = || {
                    let transports = with_control(self.config, None);
                    Ok(Place { transports, host: host.clone(), port: *port })
                };
                let names = self.config.transports.names().into_iter();
                let places = names.map(|name| (name.to_owned(), place())).collect();
                self.blocks(&places).await
            }
            Target::InProcess => {
                // Dropped with this future, they stop as well.
                let mut serving = JoinSet::new();
                let (places, handles) = self.serve(&mut serving).await;
                let runs = self.blocks(&places).await;
                handles.iter().for_each(Handle::stop);
                // A server that broke down has said so in the log.
                while serving.join_next().await.is_some() {}
                runs
            }
        }
    }

    /// Serves each transport from this process. Each has a server of its own, so that one that
    /// cannot even listen takes no other with it.
    async fn serve(&self, serving: &mut JoinSet<()>) -> (Places, Vec<Handle>) {
        let (mut places, mut handles) = (Places::new(), Vec::new());
        let competing = self.sides.iter().flat_map(|sides| &sides.over.cross);
        let competing = competing.map(|cross| cross.arm.transport.as_str());
        for name in self.config.transports.names().into_iter().chain(competing) {
            if places.contains_key(name) {
                continue;
            }
            let (transports, served, host) = match self.sides {
                None => {
                    let transports = with_control(self.config, self.config.transports.get(name));
                    (transports.clone(), transports, LOOPBACK)
                }
                Some(sides) => {
                    let of = |side: &Registry| {
                        let control = side.get(&self.config.control).cloned();
                        let all = control.into_iter().chain(side.get(name).cloned());
                        all.fold(Registry::empty(), Registry::with)
                    };
                    (of(&sides.near), of(&sides.far), sides.host)
                }
            };
            let server = Server::builder()
                .listen((host, 0).into())
                .transports(served)
                .drive(self.config.drive)
                .bind()
                .await;
            let place = match server {
                Ok(server) => {
                    let addrs = server.local_addrs();
                    let control = addrs.into_iter().find(|(of, _)| *of == self.config.control);
                    let addr = control.map_or((host, 0).into(), |(_, addr)| addr);
                    handles.push(server.handle());
                    serving.spawn(async {
                        let _ = server.run(std::future::pending()).await;
                    });
                    Ok(Place { transports, host: host.to_string(), port: addr.port() })
                }
                Err(error) => Err(Failure::new(FailureCode::Connect, chain(&error))),
            };
            places.insert(name.to_owned(), place);
        }
        (places, handles)
    }

    /// Returns the runs of each plan. All plans have the same blocks and seed.
    async fn blocks(&mut self, places: &Places) -> Vec<Vec<Run>> {
        let mut runs: Vec<Vec<Run>> = self.plans.iter().map(|_| Vec::new()).collect();
        let arms = self.plans.iter().enumerate();
        let arms: Vec<(usize, usize)> =
            arms.flat_map(|(nth, plan)| (0..plan.arms.len()).map(move |arm| (nth, arm))).collect();
        let Some(first) = self.plans.first() else { return runs };
        let orders = order::blocks(first.seed, arms.len(), first.blocks);
        let mut gap = None;
        for (block, order) in (1..).zip(orders) {
            for (nth, arm) in order.into_iter().filter_map(|of| arms.get(of).copied()) {
                let plan = &self.plans[nth];
                if let Some(gap) = gap.replace(plan.gap).filter(|_| self.told.borrow().is_none()) {
                    tokio::time::sleep(gap).await;
                }
                if self.told.borrow().is_some() {
                    return runs;
                }
                let passage = self.sides.and_then(|sides| sides.passage(nth, block));
                let scene = Scene { plan, block, passage, places };
                runs[nth].push(self.run(&scene, arm).await);
            }
        }
        runs
    }

    /// Does every part of one arm, up to the first that does not begin: the others would not either,
    /// and each may take as long as its deadline to find out.
    async fn run(&mut self, scene: &Scene<'_>, arm: usize) -> Run {
        let at = self.started.elapsed();
        let arm = &scene.plan.arms[arm];
        let mut run = Run {
            block: scene.block,
            arm: arm.name.clone(),
            at,
            values: BTreeMap::new(),
            limited_by: None,
            parts: Vec::new(),
        };
        let mut failed = false;
        for kind in self.parts(scene.plan, arm) {
            let part = if failed || self.told.borrow().is_some() {
                Part::once(kind, PartResult::Skipped)
            } else {
                self.announce(scene.block, &arm.name, kind);
                self.part(scene, kind, arm).await
            };
            failed |= matches!(part.result, PartResult::Failed { .. }) && !kind.is_extra();
            let outcome = part.result.outcome().filter(|outcome| is_complete(outcome));
            if let Some(outcome) = outcome.filter(|_| !part.is_spoilt()) {
                run.values.extend(values::of(kind, outcome, &self.config.target));
                if kind == PartKind::Up {
                    run.values.extend(values::beside(outcome, &part.competitors));
                    run.limited_by = values::limited_by(outcome);
                }
            }
            run.parts.push(part);
        }
        run
    }

    /// Does a part, and does it again if the emulator of its link has spoilt it.
    async fn part(&self, scene: &Scene<'_>, kind: PartKind, arm: &Arm) -> Part {
        let mut repeated = 0;
        loop {
            let (result, competitors) = self.beside_others(scene, kind, arm).await;
            let part = Part { part: kind, result, repeated, competitors };
            let again = part.is_spoilt() && repeated < MOST_REPEATS && self.told.borrow().is_none();
            if scene.passage.is_some() {
                // What is still under way is not to meet the next test.
                tokio::time::sleep(scene.plan.gap).await;
            }
            if !again {
                return part;
            }
            repeated += 1;
        }
    }

    /// Does a part, beside competitors where there are any and it is one of bulk.
    async fn beside_others(
        &self,
        scene: &Scene<'_>,
        kind: PartKind,
        arm: &Arm,
    ) -> (PartResult, Vec<Competitor>) {
        let bulk = matches!(kind, PartKind::Up | PartKind::Down);
        let cross = self.sides.map_or(&[][..], |sides| &sides.over.cross[..]);
        let (Some(passage), true, false) = (&scene.passage, bulk, cross.is_empty()) else {
            let passage = scene.passage.clone();
            return (self.measure(scene, kind, arm, passage).await, Vec::new());
        };
        if let Err(error) = passage.begin() {
            let failure = Failure::new(FailureCode::LocalIo, error.to_string());
            return (PartResult::Failed { failure }, Vec::new());
        }
        let (stop, stopping) = watch::channel(None);
        let mut running = JoinSet::new();
        for (nth, cross) in cross.iter().enumerate() {
            let spec = TestSpec::try_from(cross.test(kind, &self.config.test));
            let spec = spec.map_err(|errors| errors.to_string());
            let client = spec.and_then(|spec| match scene.places.get(&cross.arm.transport) {
                Some(Ok(place)) => Ok(Client::new(self.client(place, spec, true))),
                Some(Err(failure)) => Err(failure.message.clone()),
                None => Err("its transport is not served".to_owned()),
            });
            let stopping = stopping.clone();
            running.spawn(async move {
                let ended = match client {
                    Ok(client) => client.run_until(reason(stopping)).await,
                    Err(message) => Err(Failure::new(FailureCode::Connect, message)),
                };
                (nth, ended.map_err(|failure| failure.message))
            });
        }
        // They are there first, and have the link to themselves until they have filled it.
        tokio::time::sleep(scene.plan.warm_up.max(scene.plan.gap)).await;
        let result = self.measure(scene, kind, arm, Some(passage.clone().begun())).await;
        stop.send_replace(Some("the test beside is over".to_owned()));
        let mut competitors = Vec::new();
        while let Some(ended) = running.join_next().await {
            let Ok((nth, ended)) = ended else { continue };
            competitors.push((
                nth,
                match (ended, result.outcome()) {
                    (Ok(outcome), Some(measured)) => cross[nth].beside(measured, &outcome),
                    (Ok(_), None) => cross[nth].failed("nothing was measured beside".to_owned()),
                    (Err(message), _) => cross[nth].failed(message),
                },
            ));
        }
        competitors.sort_by_key(|(nth, _)| *nth);
        (result, competitors.into_iter().map(|(_, one)| one).collect())
    }

    async fn measure(
        &self,
        scene: &Scene<'_>,
        kind: PartKind,
        arm: &Arm,
        passage: Option<Passage>,
    ) -> PartResult {
        let failed = |code, message| PartResult::Failed { failure: Failure::new(code, message) };
        let fields = kind.test(&self.config.test, arm, scene.plan);
        let spec = match TestSpec::try_from(fields) {
            Ok(spec) => spec,
            Err(errors) => return failed(FailureCode::Unsupported, errors.to_string()),
        };
        let place = match scene.places.get(&arm.transport) {
            Some(Ok(place)) => place,
            Some(Err(failure)) => return PartResult::Failed { failure: failure.clone() },
            None => return PartResult::Skipped,
        };
        let keep_intervals = matches!(kind, PartKind::Up | PartKind::Down);
        let client = client::Config { passage, ..self.client(place, spec, keep_intervals) };
        match Client::new(client).run_until(reason(self.told.clone())).await {
            Ok(outcome) => PartResult::Measured { outcome },
            Err(failure) => PartResult::Failed { failure },
        }
    }

    fn client(&self, place: &Place, spec: TestSpec, keep_intervals: bool) -> client::Config {
        client::Config {
            port: place.port,
            transports: place.transports.clone(),
            control: Some(self.config.control.clone()),
            connect_timeout: self.config.connect_timeout,
            queue_timeout: self.config.queue_timeout,
            auth: self.config.auth.clone(),
            proof: self.config.proof.clone(),
            tls: self.config.tls.clone(),
            drive: self.config.drive,
            keep_intervals,
            ..client::Config::new(&place.host, spec)
        }
    }

    /// Returns what an arm can do of what is planned.
    fn parts(&self, plan: &Plan, arm: &Arm) -> Vec<PartKind> {
        let transport = self.config.transports.get(&arm.transport);
        let suits = |part: &PartKind| transport.is_none_or(|of| part.suits(&**of));
        plan.parts.iter().copied().filter(suits).collect()
    }

    /// Returns something of each run of a block.
    fn each_run<T>(&self, of: impl Fn(&Plan, Vec<PartKind>) -> T) -> impl Iterator<Item = T> {
        let runs = self.plans.iter().flat_map(|plan| plan.arms.iter().map(move |arm| (plan, arm)));
        runs.map(move |(plan, arm)| of(plan, self.parts(plan, arm)))
    }

    fn announce(&mut self, block: u32, arm: &str, part: PartKind) {
        self.index += 1;
        let parts: usize = self.each_run(|_, parts| parts.len()).sum();
        let blocks = self.plans.first().map_or(0, |plan| plan.blocks);
        let of = parts * usize::try_from(blocks).unwrap_or(usize::MAX);
        let elapsed = self.started.elapsed();
        let done = self.index - 1;
        // One run of every arm says more of what failures and handshakes add than the plan does.
        let remaining = match done {
            done if done >= parts => each(elapsed, done).saturating_mul(number(of - done)),
            _ => {
                let lasts = |plan: &Plan, parts: Vec<PartKind>| {
                    parts.into_iter().map(|part| plan.lasts(part)).sum::<Duration>() + plan.gap
                };
                let block = self.each_run(lasts).sum::<Duration>();
                block.saturating_mul(blocks).saturating_sub(elapsed)
            }
        };
        let arm = arm.to_owned();
        (self.progress)(Step { block, arm, part, index: self.index, of, remaining });
    }
}

fn each(elapsed: Duration, done: usize) -> Duration {
    elapsed.checked_div(number(done)).unwrap_or_default()
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Returns `transport`, or all that are compared, and the transport of the control connection.
fn with_control(config: &Config, transport: Option<&Arc<dyn Transport>>) -> Registry {
    let standard = Registry::standard();
    let control =
        config.transports.get(&config.control).or_else(|| standard.get(&config.control)).cloned();
    // Control comes first: it picks the port, and the others follow it.
    let registry = control.into_iter().fold(Registry::empty(), Registry::with);
    match transport {
        Some(transport) => registry.with(Arc::clone(transport)),
        None => config.transports.iter().cloned().fold(registry, Registry::with),
    }
}

async fn reason(mut told: watch::Receiver<Option<String>>) -> String {
    let reason = match told.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone(),
        Err(_) => None,
    };
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

fn is_complete(outcome: &Outcome) -> bool {
    outcome.ended == Ended::Complete
}

/// Whether an experiment that was told to stop has something missing from this run.
fn was_cut_short(run: &Run) -> bool {
    run.parts.iter().any(|part| match &part.result {
        PartResult::Measured { outcome } => matches!(outcome.ended, Ended::Stopped { .. }),
        PartResult::Failed { failure } => failure.code == FailureCode::Cancelled,
        PartResult::Skipped => true,
    })
}

/// Where servers are that no link is in front of.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How often a test is done again that the emulator of its link has spoilt.
const MOST_REPEATS: u32 = 3;

/// Returns an error with everything that caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
