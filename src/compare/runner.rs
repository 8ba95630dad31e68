use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use polyperf_transport::Transport;
use tokio::{sync::watch, task::JoinSet};

use super::{
    Config, Step, Target,
    experiment::{Experiment, Part, PartKind, PartResult, Plan, Run, SCHEMA},
    order, unequal, values, verdicts,
};
use crate::{
    client::{self, Client},
    engine,
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
    let plan = Plan::of(config, config.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())))?;
    let (tell, told) = watch::channel(None);
    let listen = async {
        tell.send_replace(Some(stop.await));
        std::future::pending::<Infallible>().await
    };
    let began = unix_time();
    let mut running = Running {
        config,
        plan: &plan,
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
    let all = plan.arms.len() * usize::try_from(plan.blocks).unwrap_or(usize::MAX);
    let incomplete = runs.len() < all || runs.iter().any(was_cut_short);
    let stopped = told.borrow().clone().filter(|_| incomplete);
    let verdicts = verdicts(&plan, &runs);
    let notes = unequal::notes(&plan, &runs);
    Ok(Experiment {
        schema: SCHEMA,
        target: config.target.clone(),
        started: began,
        took,
        host: engine::host_info(),
        plan,
        command: None,
        runs,
        verdicts,
        notes,
        stopped,
    })
}

struct Running<'a, P> {
    config: &'a Config,
    plan: &'a Plan,
    progress: P,
    /// Why to stop, once there is a reason.
    told: watch::Receiver<Option<String>>,
    started: Instant,
    index: usize,
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
    async fn all(&mut self) -> Vec<Run> {
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
        for transport in self.config.transports.iter() {
            let transports = with_control(self.config, Some(transport));
            let server = Server::builder()
                .listen(([127, 0, 0, 1], 0).into())
                .transports(transports.clone())
                .drive(self.config.drive)
                .bind()
                .await;
            let place = match server {
                Ok(server) => {
                    let addrs = server.local_addrs();
                    let control = addrs.into_iter().find(|(of, _)| *of == self.config.control);
                    let addr = control.map_or(([127, 0, 0, 1], 0).into(), |(_, addr)| addr);
                    handles.push(server.handle());
                    serving.spawn(async {
                        let _ = server.run(std::future::pending()).await;
                    });
                    Ok(Place { transports, host: addr.ip().to_string(), port: addr.port() })
                }
                Err(error) => Err(Failure::new(FailureCode::Connect, chain(&error))),
            };
            places.insert(transport.name().to_owned(), place);
        }
        (places, handles)
    }

    async fn blocks(&mut self, places: &Places) -> Vec<Run> {
        let mut runs = Vec::new();
        let orders = order::blocks(self.plan.seed, self.plan.arms.len(), self.plan.blocks);
        for (block, order) in (1..).zip(orders) {
            for arm in order {
                if !runs.is_empty() && self.told.borrow().is_none() {
                    tokio::time::sleep(self.plan.gap).await;
                }
                if self.told.borrow().is_some() {
                    return runs;
                }
                runs.push(self.run(block, arm, places).await);
            }
        }
        runs
    }

    /// Does every part of one arm, up to the first that does not begin: the others would not either,
    /// and each may take as long as its deadline to find out.
    async fn run(&mut self, block: u32, arm: usize, places: &Places) -> Run {
        let at = self.started.elapsed();
        let arm = &self.plan.arms[arm];
        let mut run = Run {
            block,
            arm: arm.name.clone(),
            at,
            values: BTreeMap::new(),
            limited_by: None,
            parts: Vec::new(),
        };
        let mut failed = false;
        let delivery = self.config.transports.get(&arm.transport).map(|found| found.delivery());
        for &kind in self.plan.parts.iter().filter(|part| delivery.is_none_or(|of| part.suits(of)))
        {
            let result = if failed || self.told.borrow().is_some() {
                PartResult::Skipped
            } else {
                self.announce(block, &arm.name, kind);
                match places.get(&arm.transport) {
                    Some(Ok(place)) => self.measure(kind, &arm.transport, place).await,
                    Some(Err(failure)) => PartResult::Failed { failure: failure.clone() },
                    None => PartResult::Skipped,
                }
            };
            failed |= matches!(result, PartResult::Failed { .. });
            if let Some(outcome) = result.outcome().filter(|outcome| is_complete(outcome)) {
                run.values.extend(values::of(kind, outcome, &self.config.target));
                if kind == PartKind::Up {
                    run.limited_by = values::limited_by(outcome);
                }
            }
            run.parts.push(Part { part: kind, result });
        }
        run
    }

    async fn measure(&self, kind: PartKind, transport: &str, place: &Place) -> PartResult {
        let fields = kind.test(&self.config.test, transport, self.plan.time);
        let spec = match TestSpec::try_from(fields) {
            Ok(spec) => spec,
            Err(errors) => {
                let failure = Failure::new(FailureCode::Unsupported, errors.to_string());
                return PartResult::Failed { failure };
            }
        };
        let client = Client::new(client::Config {
            port: place.port,
            transports: place.transports.clone(),
            control: Some(self.config.control.clone()),
            connect_timeout: self.config.connect_timeout,
            queue_timeout: self.config.queue_timeout,
            auth: self.config.auth.clone(),
            proof: self.config.proof.clone(),
            tls: self.config.tls.clone(),
            drive: self.config.drive,
            keep_intervals: matches!(kind, PartKind::Up | PartKind::Down),
            ..client::Config::new(&place.host, spec)
        });
        match client.run_until(reason(self.told.clone())).await {
            Ok(outcome) => PartResult::Measured { outcome },
            Err(failure) => PartResult::Failed { failure },
        }
    }

    fn announce(&mut self, block: u32, arm: &str, part: PartKind) {
        self.index += 1;
        let parts = self.plan.arms.len() * self.plan.parts.len();
        let of = parts * usize::try_from(self.plan.blocks).unwrap_or(usize::MAX);
        let elapsed = self.started.elapsed();
        let done = self.index - 1;
        // One run of every arm says more of what failures and handshakes add than the plan does.
        let remaining = match done {
            done if done >= parts => each(elapsed, done).saturating_mul(number(of - done)),
            _ => self.plan.duration().saturating_sub(elapsed),
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

/// Returns an error with everything that caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
