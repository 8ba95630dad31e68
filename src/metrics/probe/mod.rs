//! Tests that Prometheus asks for, as it asks a blackbox exporter: `/probe?target=…&module=…`.

mod module;
mod page;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::{
    runtime,
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

pub use self::module::Module;
use self::module::{Names, Wish};
use crate::{
    Client,
    outcome::{Failure, FailureCode, Outcome},
    registry::Registry,
};

/// Whom tests may be run against, and how long their results are good for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The targets; whatever is not among them is refused.
    pub targets: Vec<Target>,
    /// How long a result is shown again rather than measured anew.
    pub keep: Duration,
    /// What the tests go over.
    pub transports: Registry,
    /// Where the tests run: whoever answers Prometheus may have little of the processor.
    pub tests: runtime::Handle,
}

/// A server that may be tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How Prometheus names it.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Runs the tests that Prometheus asks for: never two at once against one target.
#[derive(Debug)]
pub struct Prober {
    config: Arc<Config>,
    /// Of each target, in their order.
    found: Vec<Arc<Found>>,
}

/// What is asked for and cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status to answer with.
    pub status: StatusCode,
    /// Why, and what to do.
    pub message: String,
}

/// What was found at a target, which whoever tests it holds.
type Found = Mutex<BTreeMap<Module, Arc<Probed>>>;

/// What one test has come to.
#[derive(Debug)]
struct Probed {
    began: Instant,
    ended: Instant,
    result: Result<Arc<Outcome>, Failure>,
}

impl Prober {
    /// Returns what tests these targets.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let found = config.targets.iter().map(|_| Arc::default()).collect();
        Self { config: Arc::new(config), found }
    }

    /// Answers what a query asks for. `patience` is how many seconds Prometheus waits.
    ///
    /// # Errors
    ///
    /// What cannot be asked for. That a test has failed is an answer.
    pub async fn answer(&self, query: &str, patience: Option<&str>) -> Result<String, Refused> {
        let wish = Wish::parse(query).map_err(bad)?;
        let at = self.config.targets.iter().position(|target| wish.means(target));
        let (Some(at), Some(found)) = (at, at.and_then(|at| self.found.get(at))) else {
            let text = format!(
                "{} is not one of the targets that may be tested: name it with --probe-target",
                wish.shown()
            );
            return Err(Refused { status: StatusCode::FORBIDDEN, message: text });
        };
        if self.config.transports.get(&wish.module.transport).is_none() {
            let names = self.config.transports.names().join(", ");
            let text = format!("{} is no transport; there are {names}", wish.module.transport);
            return Err(bad(text));
        }
        let patience = self.patience(&wish.module, patience)?;
        let reverse = wish.module.reverse;
        let asked = Instant::now();
        let probing = self.probe(at, Arc::clone(found), wish.module);
        let probed = match tokio::time::timeout(patience, probing).await {
            Ok(Some(probed)) => probed,
            Ok(None) | Err(_) => {
                let text = format!(
                    "no result within {} s: {} is being tested for somebody else, or does not answer",
                    patience.as_secs(),
                    self.config.targets[at].name
                );
                let result = Err(Failure::new(FailureCode::Timeout, text));
                Arc::new(Probed { began: asked, ended: Instant::now(), result })
            }
        };
        Ok(match wish.names {
            Names::Ours => page::ours(&probed),
            Names::Iperf3Exporter => {
                page::iperf3_exporter(&self.config.targets[at], reverse, &probed)
            }
        })
    }

    /// Returns how long to try for, which leaves Prometheus the time to read.
    fn patience(&self, module: &Module, told: Option<&str>) -> Result<Duration, Refused> {
        let least = module.time + MARGIN;
        let Some(told) = told else { return Ok(least + QUEUE) };
        let told = told.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let told = told.ok_or_else(|| bad("the scrape timeout is no number of seconds"))?;
        if told < least {
            let text = format!(
                "a test of {} s needs a scrape_timeout of {} s at least; this one is {} s",
                module.time.as_secs(),
                least.as_secs(),
                told.as_secs_f64()
            );
            return Err(bad(text));
        }
        Ok(told.saturating_sub(READING).min(least + QUEUE))
    }

    /// Returns what was found at a target lately, or what is found once it is its turn; `None` if the
    /// test broke down.
    async fn probe(&self, at: usize, found: Arc<Found>, module: Module) -> Option<Arc<Probed>> {
        // Who gives up before its turn leaves nothing behind.
        let found = found.lock_owned().await;
        if let Some(probed) = found.get(&module)
            && probed.ended.elapsed() < self.config.keep
        {
            return Some(Arc::clone(probed));
        }
        // A test that has begun goes on to its end, and holds its target until then.
        let testing = measure(Arc::clone(&self.config), at, found, module);
        self.config.tests.spawn(testing).await.ok()
    }
}

/// Runs a test, and takes note of what it has come to.
async fn measure(
    config: Arc<Config>,
    at: usize,
    mut found: OwnedMutexGuard<BTreeMap<Module, Arc<Probed>>>,
    module: Module,
) -> Arc<Probed> {
    let began = Instant::now();
    let result = test(&config, &config.targets[at], &module).await;
    let probed = Arc::new(Probed { began, ended: Instant::now(), result });
    found.retain(|_, probed| probed.ended.elapsed() < config.keep);
    found.insert(module, Arc::clone(&probed));
    probed
}

async fn test(config: &Config, target: &Target, module: &Module) -> Result<Arc<Outcome>, Failure> {
    let builder = Client::builder(target.host.clone()).port(target.port);
    let builder = builder.transports(config.transports.clone()).interval(None);
    let client = builder.spec(|spec| module.apply(spec)).build();
    let client =
        client.map_err(|mistakes| Failure::new(FailureCode::Unsupported, mistakes.to_string()))?;
    client.run().await
}

fn bad(message: impl Into<String>) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, message: message.into() }
}

/// What a test takes beside its own time: connecting, and the exchange of results.
const MARGIN: Duration = Duration::from_secs(3);
/// How long to wait for another test of the same target, where Prometheus does not say.
const QUEUE: Duration = Duration::from_secs(20);
/// What is left to Prometheus for reading the answer.
const READING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
