//! What a running server tells Prometheus: figures of the server and of its process, in base units
//! and never of one test (docs/metrics.md has them all), and tests that Prometheus asks for.

mod history;
pub mod probe;
mod process;
mod routes;
mod server;
mod sessions;

use std::{future::Future, sync::Arc};

use prometheus_client::{
    collector::Collector, encoding::text, metrics::info::Info, registry::Registry,
};

pub use self::{
    history::Kept,
    routes::{Served, routes},
};
use self::{process::Process, server::Figures, sessions::Sessions};
use crate::server::Handle;

/// The figures of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sessions: Sessions,
    handle: Handle,
}

impl Metrics {
    /// Returns the figures of the server that `handle` is of, and of this process.
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let ours = registry.sub_registry_with_prefix("polyperf");
        let version = ("version", env!("CARGO_PKG_VERSION"));
        ours.register("build", "Which program this is", Info::new(vec![version]));
        ours.register_collector(Box::new(Figures(handle.clone())));
        let sessions = Sessions::register(ours);
        Self { registry, sessions, handle: handle.clone() }
    }

    /// Adds further figures, under the same prefix.
    #[must_use]
    pub fn with(mut self, further: impl Collector) -> Self {
        let ours = self.registry.sub_registry_with_prefix("polyperf");
        ours.register_collector(Box::new(further));
        self
    }

    /// Counts what happens in the server's sessions, until the server is gone. What has happened
    /// before it is called is not counted.
    pub fn follow(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let events = self.handle.events();
        let sessions = self.sessions.clone();
        async move { sessions.follow(events).await }
    }

    /// Returns every figure as [OpenMetrics] text.
    ///
    /// [OpenMetrics]: https://prometheus.io/docs/specs/om/open_metrics_spec/
    #[must_use]
    pub fn encode(&self) -> String {
        encode(&self.registry)
    }
}

/// What [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn encode(registry: &Registry) -> String {
    let mut page = String::new();
    // A string takes whatever is written to it.
    let _ = text::encode(&mut page, registry);
    page
}
