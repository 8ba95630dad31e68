//! Comparisons, from the first transport to the last, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{future, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use polyperf::{
    Registry, Server,
    compare::{self, Comparison, Config, Run, Step, Target},
    outcome::{Ended, FailureCode},
    spec::{Direction, Limit},
    transport::{Connection, Delivery, Error, Gate, Listener, Peer, Transport, async_trait},
};
use polyperf_memory::{Memory, Network, link::LinkConfig};

#[tokio::test]
async fn every_standard_transport_is_measured_both_ways() {
    let mut steps = Vec::new();
    let config = short(Config::in_process());
    let comparison =
        compare::run(&config, |step| steps.push(step), future::pending()).await.unwrap();
    let names: Vec<_> = comparison.rows.iter().map(|row| &*row.transport).collect();
    assert_eq!(names, config.transports.names());
    assert_eq!(comparison.stopped, None);
    for (_, run) in comparison.rows.iter().flat_map(|row| row.runs()) {
        let outcome = run.outcome().unwrap_or_else(|| panic!("{run:?}"));
        assert_eq!(outcome.ended, Ended::Complete);
        assert!(outcome.intervals.is_empty(), "a comparison needs totals only");
        assert!(run.figures().unwrap().goodput_bps.unwrap() > 0.0);
        assert!(run.figures().unwrap().cpu.unwrap().seconds_per_gb.is_finite());
    }
    let of = config.transports.names().len() * 2;
    let first = Step { transport: "tcp", direction: Direction::Forward, index: 1, of };
    let second = Step { direction: Direction::Reverse, index: 2, ..first };
    assert_eq!(steps[..2], [first, second]);
    assert_eq!(steps.len(), of);
}

#[tokio::test]
async fn what_fails_is_a_row_and_the_rest_goes_on() {
    let memory = Memory::bytes(&Network::new(LinkConfig::perfect()));
    let transports = Registry::empty().with(Arc::new(Broken(Fails::Listen))).with(Arc::new(memory));
    let comparison = compared(Config { transports, ..short(Config::in_process()) }).await;
    let [broken, memory] = &comparison.rows[..] else { panic!("{comparison:?}") };
    assert!(message(&broken.forward).contains("it is broken"), "{broken:?}");
    assert_eq!(broken.reverse, Run::Skipped);
    let figures = memory.forward.figures().unwrap();
    assert!(figures.goodput_bps.is_some(), "{figures:?}");
    assert_eq!(figures.rtt_mean, None, "memory does not measure it");
    let shown = compare::table::render(&comparison);
    assert!(shown.contains("it is broken") && shown.contains("memory"), "{shown}");
}

#[tokio::test]
async fn a_transport_that_cannot_connect_is_a_row() {
    let transports = Registry::standard().with(Arc::new(Broken(Fails::Connect)));
    let comparison = compared(Config { transports, ..short(Config::in_process()) }).await;
    let broken = comparison.rows.last().unwrap();
    assert!(message(&broken.forward).contains("it is broken"), "{comparison:?}");
    assert!(comparison.rows[0].reverse.outcome().is_some());
}

#[tokio::test]
async fn a_transport_that_the_server_lacks_is_listed_as_not_offered() {
    let server = Server::builder().listen(loopback()).bind().await.unwrap();
    let (_, addr) = server.local_addrs()[0];
    let handle = server.handle();
    let serving = tokio::spawn(server.run(future::pending()));
    let max = NonZeroUsize::new(1400).unwrap();
    let memory = Memory::messages(&Network::new(LinkConfig::perfect()), max);
    let transports = Registry::standard().with(Arc::new(memory));
    let config = Config { transports, ..short(Config::against("127.0.0.1", addr.port())) };
    let comparison = compared(config).await;
    handle.stop();
    serving.await.unwrap();

    assert!(matches!(comparison.target, Target::Host { .. }));
    let [all @ .., memory] = &comparison.rows[..] else { panic!("{comparison:?}") };
    assert_eq!(all.len(), Registry::standard().names().len());
    for offered in all {
        assert!(offered.forward.outcome().is_some() && offered.reverse.outcome().is_some());
    }
    assert!(message(&memory.forward).contains("does not offer memory-messages"), "{memory:?}");
    let shown = compare::table::render(&comparison);
    assert!(shown.contains("does not offer memory-messages"), "{shown}");
}

#[tokio::test]
async fn a_comparison_that_is_stopped_shows_what_there_is() {
    let memory = Memory::bytes(&Network::new(LinkConfig::perfect()));
    let transports = Registry::standard().with(Arc::new(memory));
    let mut config = Config { transports, ..short(Config::in_process()) };
    config.test.limit = Limit::Endless;
    let (started, told) = tokio::sync::oneshot::channel();
    let mut started = Some(started);
    let stop = async {
        told.await.unwrap();
        "interrupted".to_owned()
    };
    let progress = |_| {
        if let Some(started) = started.take() {
            started.send(()).unwrap();
        }
    };
    let comparison = compare::run(&config, progress, stop).await.unwrap();
    assert_eq!(comparison.stopped.as_deref(), Some("interrupted"));
    let all = config.transports.names().len();
    assert_eq!(comparison.rows.len(), all, "what was not run is listed all the same");
    assert_eq!(comparison.rows[0].reverse, Run::Skipped);
    assert_eq!(comparison.rows[1].forward, Run::Skipped);
}

#[tokio::test]
async fn json_has_every_figure_that_is_known() {
    let comparison = compared(short(Config::in_process())).await;
    let json = compare::json::render(&comparison).unwrap();
    assert!(!json.contains("null"), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["schema"], compare::SCHEMA);
    let forward = &value["rows"][0]["forward"];
    assert!(forward["figures"]["goodput_bps"].as_f64().unwrap() > 0.0, "{json}");
    assert!(forward["outcome"]["local"]["flows"].is_array(), "{json}");
    let read: Comparison = serde_json::from_str(&json).unwrap();
    assert_eq!(read.rows.len(), comparison.rows.len());
}

#[tokio::test]
async fn a_test_that_is_none_is_refused_with_every_mistake() {
    let mut config = Config::in_process();
    (config.test.streams, config.test.limit) = (0, Limit::Time(Duration::ZERO));
    let errors = compare::run(&config, |_| (), future::pending()).await.unwrap_err();
    assert_eq!(errors.iter().count(), 2);
}

async fn compared(config: Config) -> Comparison {
    compare::run(&config, |_| (), future::pending()).await.expect("the test is one")
}

fn short(mut config: Config) -> Config {
    config.test.limit = Limit::Bytes(4 << 20);
    config
}

fn message(run: &Run) -> &str {
    match run {
        Run::Failed { failure } => {
            assert_ne!(failure.code, FailureCode::Internal);
            &failure.message
        }
        other => panic!("it should have failed: {other:?}"),
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
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
