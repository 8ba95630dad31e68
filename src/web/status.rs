//! What the server permits, and what it has counted.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use super::App;
use crate::server::Reject;

/// Returns what tells of the server itself.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/server", get(status))
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    addresses: Vec<Address>,
    serving: bool,
    running: usize,
    waiting: usize,
    served: u64,
    limits: Permitted,
    accepted: BTreeMap<&'static str, u64>,
    rejected: BTreeMap<&'static str, u64>,
    watching: Watching,
}

#[derive(Serialize)]
struct Address {
    transport: &'static str,
    address: String,
}

#[derive(Serialize)]
struct Permitted {
    max_sessions: usize,
    max_queue: usize,
    max_duration_s: u64,
    /// In bits per second; left out where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rate: Option<u64>,
}

/// Who watches events.
#[derive(Serialize)]
struct Watching {
    readers: usize,
    max_readers: usize,
    /// Let go of because they did not read.
    dropped: u64,
}

async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let (limits, counts) = (app.handle.limits(), app.handle.counts());
    let addresses = app.handle.local_addrs().into_iter();
    let (readers, dropped) = app.hub.readers();
    let rejected = |reason: Reject| counts.rejected.get(&reason).copied().unwrap_or(0);
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        addresses: addresses
            .map(|(transport, addr)| Address { transport, address: addr.to_string() })
            .collect(),
        serving: app.handle.is_serving(),
        running: app.handle.running(),
        waiting: app.handle.waiting(),
        served: app.handle.served(),
        limits: Permitted {
            max_sessions: limits.max_sessions.get(),
            max_queue: limits.max_queue,
            max_duration_s: limits.max_duration.as_secs(),
            max_rate: limits.max_rate,
        },
        rejected: Reject::ALL.map(|reason| (reason.name(), rejected(reason))).into(),
        accepted: counts.accepted,
        watching: Watching { readers, max_readers: app.limits.readers, dropped },
    })
}
