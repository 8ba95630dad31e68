//! Experiments, from the first block to the last, over real sockets and in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{future, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use polyperf::{
    Registry, Server,
    compare::{
        self, Config, Decision, Metric, Step, Target,
        experiment::{Experiment, PartKind, PartResult, Run},
    },
    outcome::{Ended, FailureCode},
    spec::Limit,
    transport::{Connection, Delivery, Error, Gate, Listener, Peer, Transport, async_trait},
};
use polyperf_memory::{Memory, Network, link::LinkConfig};

#[tokio::test]
async fn every_usual_transport_is_measured_in_every_part() {
    let mut steps = Vec::new();
    let config = short(Config::in_process());
    let experiment =
        compare::run(&config, |step| steps.push(step), future::pending()).await.unwrap();
    let arms: Vec<_> = experiment.plan.arms.iter().map(|arm| &*arm.transport).collect();
    assert_eq!(arms, Registry::standard().usual().names());
    assert_eq!(experiment.stopped, None);
    assert_eq!(experiment.runs.len(), arms.len());
    for run in &experiment.runs {
        assert_eq!(run.failure(), None, "{}", run.arm);
        for part in &run.parts {
            let outcome = part.result.outcome().unwrap();
            assert_eq!(outcome.ended, Ended::Complete, "{} {:?}", run.arm, part.part);
        }
        let always = [
            Metric::GoodputUp,
            Metric::GoodputDown,
            Metric::FirstReply,
            Metric::Connections,
            Metric::Transactions,
            Metric::IdleP99,
            Metric::LoadedP50,
            Metric::CpuPerGb,
        ];
        for metric in always {
            let value = run.values.get(&metric).copied();
            assert!(value.is_some_and(|value| value > 0.0), "{} {metric:?} {value:?}", run.arm);
        }
        let bytes =
            run.outcome(PartKind::Up).unwrap().info.flows.iter().all(|flow| !flow.datagrams);
        assert_eq!(run.values.contains_key(&Metric::Complete1m), bytes, "{}", run.arm);
        for metric in [Metric::FirstReplyResumed, Metric::FirstReplyZeroRtt] {
            assert_eq!(
                run.values.contains_key(&metric),
                run.arm == "quic",
                "{} {metric:?}",
                run.arm
            );
        }
    }
    let of = arms.len() * (PartKind::ALL.len() - 2) - 3 + 2;
    assert_eq!(steps.len(), of, "udp carries no transfers, and only quic resumes");
    let expected: Vec<_> = (1..=of).collect();
    assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), expected);
    assert!(steps.iter().all(|step| step.of == of));
    assert!(!compare::text::render(&experiment).is_empty());
}

#[tokio::test]
async fn the_seed_decides_the_order_and_each_block_has_every_arm_once() {
    let run = |seed| {
        let transports = ["one", "two", "three"].map(named);
        let transports = transports.into_iter().fold(Registry::empty(), Registry::with);
        let parts = vec![PartKind::Transfer10k];
        let config = Config { transports, parts, seed: Some(seed), ..short(Config::in_process()) };
        let config = Config { blocks: Some(4), negative_control: true, ..config };
        async move { compared(config).await }
    };
    let order = |experiment: &Experiment| {
        experiment.runs.iter().map(|run| (run.block, run.arm.clone())).collect::<Vec<_>>()
    };
    let (first, again, other) = (run(1).await, run(1).await, run(2).await);
    assert_eq!(order(&first), order(&again));
    assert_ne!(order(&first), order(&other));
    for block in 1..=4 {
        let mut arms: Vec<_> =
            first.runs.iter().filter(|run| run.block == block).map(|run| &*run.arm).collect();
        arms.sort_unstable();
        assert_eq!(arms, ["one", "one again", "three", "two"]);
    }
    assert_eq!(first.plan.baseline, "one");
    let decided = first.verdicts.iter().filter_map(|verdict| verdict.against_baseline.as_ref());
    for against in decided {
        assert_eq!(against.decision, Decision::NoDifferenceShown, "four blocks cannot show one");
        assert!(against.blocks_needed.is_some());
    }
}

#[tokio::test]
async fn what_fails_is_a_failed_run_and_the_rest_goes_on() {
    let transports = Registry::empty().with(Arc::new(Broken(Fails::Listen))).with(named("memory"));
    let config = Config { transports, blocks: Some(2), ..short(Config::in_process()) };
    let experiment = compared(config).await;
    assert_eq!(experiment.runs.len(), 4);
    for run in experiment.runs_of("broken") {
        assert!(message(run).contains("it is broken"), "{run:?}");
        assert!(run.values.is_empty());
        assert_eq!(run.parts[1].result, PartResult::Skipped);
    }
    for run in experiment.runs_of("memory") {
        assert!(run.values.contains_key(&Metric::GoodputUp), "{run:?}");
    }
    let failed = experiment.verdicts.iter().find(|verdict| verdict.arm == "broken");
    if let Some(verdict) = failed {
        assert_eq!((verdict.runs.measured, verdict.runs.failed, verdict.median), (0, 2, None));
    }
    let shown = compare::text::render(&experiment);
    assert!(shown.contains("it is broken") && shown.contains("memory"), "{shown}");
}

#[tokio::test]
async fn a_transport_that_cannot_connect_is_a_failed_run() {
    let transports = Registry::empty().with(named("memory")).with(Arc::new(Broken(Fails::Connect)));
    let config = Config { transports, parts: vec![PartKind::Up], ..short(Config::in_process()) };
    let experiment = compared(config).await;
    let broken = experiment.runs_of("broken").next().unwrap();
    assert!(message(broken).contains("it is broken"), "{experiment:?}");
    assert!(experiment.runs_of("memory").next().unwrap().outcome(PartKind::Up).is_some());
}

#[tokio::test]
async fn a_transport_that_the_server_lacks_is_told_as_not_offered() {
    let server = Server::builder().listen(loopback()).bind().await.unwrap();
    let (_, addr) = server.local_addrs()[0];
    let handle = server.handle();
    let serving = tokio::spawn(server.run(future::pending()));
    let max = NonZeroUsize::new(1400).unwrap();
    let memory = Memory::messages(&Network::new(LinkConfig::perfect()), max);
    let tcp = Registry::standard().get("tcp").cloned().unwrap();
    let transports = Registry::empty().with(tcp).with(Arc::new(memory));
    let config = Config { transports, ..short(Config::against("127.0.0.1", addr.port())) };
    let experiment = compared(config).await;
    handle.stop();
    serving.await.unwrap();

    assert!(matches!(experiment.target, Target::Host { .. }));
    let offered = experiment.runs_of("tcp").next().unwrap();
    assert_eq!(offered.failure(), None);
    let lacking = experiment.runs_of("memory-messages").next().unwrap();
    assert!(message(lacking).contains("does not offer memory-messages"), "{lacking:?}");
    let shown = compare::text::render(&experiment);
    assert!(shown.contains("does not offer memory-messages"), "{shown}");
}

#[tokio::test]
async fn an_experiment_that_is_stopped_shows_what_there_is() {
    let mut config = short(Config::in_process());
    config.transports = Registry::empty().with(named("one")).with(named("two"));
    (config.parts, config.blocks) = (vec![PartKind::Up, PartKind::Down], Some(3));
    config.test.limit = Limit::Time(Duration::from_secs(3600));
    let (started, told) = tokio::sync::oneshot::channel();
    let mut started = Some(started);
    let stop = async {
        told.await.unwrap();
        "interrupted".to_owned()
    };
    let progress = |_: Step| {
        if let Some(started) = started.take() {
            started.send(()).unwrap();
        }
    };
    let experiment = compare::run(&config, progress, stop).await.unwrap();
    assert_eq!(experiment.stopped.as_deref(), Some("interrupted"));
    assert_eq!(experiment.runs.len(), 1, "what was not begun is not there");
    assert_eq!(experiment.runs[0].parts[1].result, PartResult::Skipped);
    assert!(experiment.runs[0].values.is_empty(), "what was cut short is no value");
}

#[tokio::test]
async fn json_has_every_run_and_is_read_back() {
    let config = Config {
        transports: Registry::empty().with(named("memory")),
        blocks: Some(2),
        ..short(Config::in_process())
    };
    let experiment = compared(config).await;
    let json = compare::json::render(&experiment).unwrap();
    assert!(!json.contains("null"), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["schema"], compare::experiment::SCHEMA);
    let run = &value["runs"][0];
    assert!(run["values"]["goodput_up"].as_f64().unwrap() > 0.0, "{json}");
    let idle = &run["parts"][1]["result"]["outcome"]["local"]["flows"][0]["exchanges"]["latency"];
    assert!(idle["histogram"].is_string(), "{json}");
    let read: Experiment = serde_json::from_str(&json).unwrap();
    let again = compare::json::render(&read).unwrap();
    assert!(again == json, "times are whole microseconds, and everything else is as it was");
}

#[tokio::test]
async fn an_experiment_that_is_none_is_refused_with_a_reason() {
    let refused = async |config: Config| {
        let errors = compare::run(&config, |_| (), future::pending()).await.unwrap_err();
        errors.to_string()
    };
    let mut config = Config::in_process();
    (config.test.streams, config.test.limit) = (0, Limit::Time(Duration::ZERO));
    let errors = compare::run(&config, |_| (), future::pending()).await.unwrap_err();
    assert_eq!(errors.iter().count(), 2);
    let unknown = Config { baseline: Some("sctp".to_owned()), ..Config::in_process() };
    assert!(refused(unknown).await.contains("baseline of sctp"));
    let empty = Config { transports: Registry::empty(), ..Config::in_process() };
    assert!(refused(empty).await.contains("baseline"));
    let mut endless = Config::in_process();
    endless.test.limit = Limit::Endless;
    assert!(refused(endless).await.contains("limit"));
}

async fn compared(config: Config) -> Experiment {
    compare::run(&config, |_| (), future::pending()).await.expect("it can be run")
}

/// One block of as little as can be measured.
fn short(mut config: Config) -> Config {
    config.test.limit = Limit::Time(Duration::from_millis(50));
    config.test.omit = Duration::from_millis(20);
    Config { blocks: Some(1), gap: Duration::ZERO, ..config }
}

/// A transport over a network of its own, by another name.
fn named(name: &'static str) -> Arc<dyn Transport> {
    Arc::new(Named(name, Memory::bytes(&Network::new(LinkConfig::perfect()))))
}

fn message(run: &Run) -> &str {
    let (_, failure) = run.failure().unwrap_or_else(|| panic!("it should have failed: {run:?}"));
    assert_ne!(failure.code, FailureCode::Internal);
    &failure.message
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[derive(Debug)]
struct Named(&'static str, Memory);

#[async_trait]
impl Transport for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn delivery(&self) -> Delivery {
        self.1.delivery()
    }

    fn check(&self, tuning: &polyperf::transport::Tuning) -> Result<(), Error> {
        self.1.check(tuning)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        self.1.listen(addr, gate).await
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.1.connect(peer).await
    }
}

/// A transport that fails.
#[derive(Debug)]
struct Broken(Fails);

#[derive(Debug, PartialEq)]
enum Fails {
    Listen,
    Connect,
}

#[async_trait]
impl Transport for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn delivery(&self) -> Delivery {
        Delivery::Bytes
    }

    fn check(&self, tuning: &polyperf::transport::Tuning) -> Result<(), Error> {
        tuning.without_connections(self.name())
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        match self.0 {
            Fails::Listen => Err(Error::Listen { addr, source: broken() }),
            // Its own network: whoever listens there is never reached.
            Fails::Connect => {
                Memory::bytes(&Network::new(LinkConfig::perfect())).listen(addr, gate).await
            }
        }
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Err(Error::Connect { addr: peer.addr, source: broken() })
    }
}

fn broken() -> std::io::Error {
    std::io::Error::other("it is broken")
}
