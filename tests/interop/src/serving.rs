//! A polyperf server inside the test.

use std::{net::SocketAddr, sync::Arc};

use polyperf::{
    Server,
    event::Event,
    measure::Interval,
    outcome::Outcome,
    server::{Builder, Handle},
};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::{Cell, PATIENCE, compare};

/// A polyperf server inside the test.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens, over both families.
    pub port: u16,
    /// To ask it things.
    pub handle: Handle,
    events: broadcast::Receiver<Event>,
}

/// What a server tells, from now on.
#[derive(Debug)]
pub struct Listening(broadcast::Receiver<Event>);

impl Serving {
    /// Starts a server that `set` sets up.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn start(set: impl FnOnce(Builder) -> Builder) -> Self {
        let any = SocketAddr::from(([0_u16; 8], 0));
        let server = set(Server::builder().listen(any)).bind().await.expect("a free port");
        let (handle, port) = (server.handle(), server.local_addrs()[0].1.port());
        let events = handle.events();
        tokio::spawn(server.run(std::future::pending()));
        Self { port, handle, events }
    }

    /// Waits for the next test to end, and returns what the server has of it.
    ///
    /// # Panics
    ///
    /// If none does within a minute.
    pub async fn outcome(&mut self) -> Arc<Outcome> {
        let finished = async {
            loop {
                if let Event::Finished(outcome) = self.events.recv().await.expect("the server runs")
                {
                    return outcome;
                }
            }
        };
        tokio::time::timeout(PATIENCE, finished).await.expect("the test ends")
    }

    /// Runs the other program as a client, and returns how it and this server differ.
    pub fn compared(&self, cell: Arc<Cell>) -> impl Future<Output = Vec<String>> + Send + use<> {
        let (port, listening) = (self.port, self.listen());
        async move {
            match cell.peer.client(cell.host, port, &cell.args).await {
                Ok(theirs) => compare(&cell, &listening.outcome_of(&theirs).await, &theirs),
                Err(error) => vec![error],
            }
        }
    }

    /// Returns what the server tells from now on.
    #[must_use]
    pub fn listen(&self) -> Listening {
        Listening(self.handle.events())
    }
}

impl Listening {
    /// Returns how many tests the server has had at once, of those that are over by now.
    #[must_use]
    pub fn most_at_once(mut self) -> usize {
        let (mut running, mut most) = (0_usize, 0);
        while let Ok(event) = self.0.try_recv() {
            match event {
                Event::Connected(_) => running += 1,
                Event::Finished(_) => running -= 1,
                _ => {}
            }
            most = most.max(running);
        }
        most
    }

    /// Waits for the end of the test whose client has printed this document, and returns what the
    /// server has of it, with each of its intervals.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute.
    pub async fn outcome_of(mut self, document: &Value) -> Outcome {
        let address = |key: &str| document["start"]["connected"][0][key].clone();
        let (host, port) = (address("local_host"), address("local_port"));
        let is_its = |info: &polyperf::outcome::TestInfo| {
            let peer = info.flows[0].peer;
            let udp = document["start"]["test_start"]["protocol"] == "UDP";
            host == peer.ip().to_canonical().to_string().as_str()
                && port == peer.port()
                && udp == (info.spec.transport == "udp")
        };
        let mut intervals: Vec<Arc<Interval>> = Vec::new();
        let finished = async {
            loop {
                match self.0.recv().await.expect("the server runs") {
                    Event::Interval(event) if is_its(&event.info) => intervals.push(event.interval),
                    Event::Finished(outcome) if is_its(&outcome.info) => return outcome,
                    _ => {}
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, finished).await.expect("the test ends");
        Outcome { intervals, ..Outcome::clone(&outcome) }
    }
}
