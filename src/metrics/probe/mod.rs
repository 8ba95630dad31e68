//! Tests that Prometheus asks for, as it asks a blackbox exporter: `/probe?target=…&module=…`.

mod module;
mod page;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::{runtime, time::Instant};

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
    /// The targets, as `HOST` or `HOST:PORT`; one that is not named is refused.
    pub targets: Vec<String>,
    /// How long a result is shown again rather than measured anew.
    pub keep: Duration,
    /// What the tests go over.
    pub transports: Registry,
    /// Where the tests run: whoever answers Prometheus may have little of the processor.
    pub tests: runtime::Handle,
}

/// Runs the tests that Prometheus asks for: never two at once against one target.
#[derive(Debug)]
pub struct Prober {
    config: Arc<Config>,
    targets: Mutex<HashMap<String, Arc<Target>>>,
}

/// What is asked for and cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status to answer with.
    pub status: StatusCode,
    /// Why, and what to do.
    pub message: String,
}

/// A target, which whoever tests it holds; and what was found there.
type Target = tokio::sync::Mutex<BTreeMap<Module, Arc<Probed>>>;

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
        Self { config: Arc::new(config), targets: Mutex::default() }
    }

    /// Answers what a query asks for. `patience` is how many seconds Prometheus waits.
    ///
    /// # Errors
    ///
    /// What cannot be asked for. That a test has failed is an answer.
    pub async fn answer(&self, query: &str, patience: Option<&str>) -> Result<String, Refused> {
        let wish = Wish::parse(query).map_err(bad)?;
        if !self.config.targets.contains(&wish.target) {
            let text = format!(
                "{:?} is not one of the targets that may be tested: name it with --probe-target",
                wish.target
            );
            return Err(Refused { status: StatusCode::FORBIDDEN, message: text });
        }
        if self.config.transports.get(&wish.module.transport).is_none() {
            let names = self.config.transports.names().join(", ");
            let text = format!("{} is no transport; there are {names}", wish.module.transport);
            return Err(bad(text));
        }
        let patience = self.patience(&wish.module, patience)?;
        let target = self.target(&wish.key());
        let probing = probe(Arc::clone(&self.config), target, wish.clone());
        // Who does not wait any more leaves the test to its end: the next one has to wait for that.
        let probing = self.config.tests.spawn(probing);
        let probed = match tokio::time::timeout(patience, probing).await {
            Ok(Ok(probed)) => probed,
            Ok(Err(_)) | Err(_) => {
                let text = format!(
                    "no result within {} s: {} is being tested for somebody else, or does not answer",
                    patience.as_secs(),
                    wish.target
                );
                let result = Err(Failure::new(FailureCode::Timeout, text));
                let ended = Instant::now();
                Arc::new(Probed { began: ended - patience, ended, result })
            }
        };
        Ok(match wish.names {
            Names::Ours => page::ours(&probed),
            Names::Iperf3Exporter => page::iperf3_exporter(&wish, &probed),
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

    fn target(&self, name: &str) -> Arc<Target> {
        // There are no more than the configuration names, each with a port that was asked for.
        let mut targets = self.targets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if targets.len() >= MAX_TARGETS {
            targets.retain(|_, target| Arc::strong_count(target) > 1);
        }
        Arc::clone(targets.entry(name.to_owned()).or_default())
    }
}

/// Returns what was found at a target lately, or what is found now that it is its turn.
async fn probe(config: Arc<Config>, target: Arc<Target>, wish: Wish) -> Arc<Probed> {
    let mut found = target.lock().await;
    if let Some(probed) = found.get(&wish.module)
        && probed.ended.elapsed() < config.keep
    {
        return Arc::clone(probed);
    }
    let began = Instant::now();
    let result = test(&config, &wish).await;
    let probed = Arc::new(Probed { began, ended: Instant::now(), result });
    found.retain(|_, probed| probed.ended.elapsed() < config.keep);
    found.insert(wish.module, Arc::clone(&probed));
    probed
}

async fn test(config: &Config, wish: &Wish) -> Result<Arc<Outcome>, Failure> {
    let module = &wish.module;
    let builder = Client::builder(wish.host.clone()).port(wish.port);
    let builder = builder.transports(config.transports.clone()).interval(None);
    let client = builder.spec(|spec| module.apply(spec)).build();
    let client =
        client.map_err(|mistakes| Failure::new(FailureCode::Unsupported, mistakes.to_string()))?;
    // A server without room would have it wait for longer than anybody does here.
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
const MAX_TARGETS: usize = 1024;

#[cfg(test)]
mod tests;
