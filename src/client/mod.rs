//! The client: it reaches a server, agrees on a test with it, and runs its end of it.

mod builder;
mod churn;
mod config;
mod connect;
mod iperf3;
mod means;
mod native;
mod perf;
mod session;
mod streams;
mod tls;

use std::{future::Future, sync::Arc};

use tokio::sync::broadcast;

pub use self::{
    builder::Builder,
    config::{Config, DEFAULT_PORT, Family},
    tls::ControlTls,
};
use crate::{
    event::{Bus, Event, FailedEvent},
    outcome::{Failure, FailureCode, Outcome, Side},
};

/// A client that runs tests, one at a time, against one server.
#[derive(Debug)]
pub struct Client {
    config: Config,
    bus: Bus,
}

impl Client {
    /// Returns a client for the test that `config` describes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, bus: Bus::new() }
    }

    /// Returns a builder for a test against `host`, with every default.
    pub fn builder(host: impl Into<String>) -> Builder {
        Builder::new(host.into())
    }

    /// Returns a subscription to the events of every run from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.bus.subscribe()
    }

    /// Runs the test to its end.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if there is nothing to show. A test that had begun always has something to
    /// show; its [`Outcome::ended`] says how it ended.
    pub async fn run(&self) -> Result<Arc<Outcome>, Failure> {
        self.run_until(std::future::pending()).await
    }

    /// Runs the test until its end, or until `stop` is ready: then it ends in order, and what was
    /// counted up to there is its outcome, at both ends.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(
        &self,
        stop: impl Future<Output = String> + Send,
    ) -> Result<Arc<Outcome>, Failure> {
        let result = self.cross(stop).await;
        match &result {
            Ok(outcome) => self.bus.emit(Event::Finished(Arc::clone(outcome))),
            Err(failure) => self.bus.emit(Event::Failed(Arc::new(FailedEvent {
                side: Side::Client,
                session: None,
                peer: None,
                failure: failure.clone(),
            }))),
        }
        result
    }

    /// Runs the test, over an emulated link if it is to cross one.
    async fn cross(
        &self,
        stop: impl Future<Output = String> + Send,
    ) -> Result<Arc<Outcome>, Failure> {
        let Some(passage) = &self.config.passage else {
            return session::run(&self.config, &self.bus, stop).await;
        };
        passage.begin().map_err(|error| Failure::new(FailureCode::LocalIo, error.to_string()))?;
        let outcome = session::run(&self.config, &self.bus, stop).await?;
        let link = Some(Box::new(passage.report()));
        Ok(Arc::new(Outcome { link, ..Outcome::clone(&outcome) }))
    }
}
