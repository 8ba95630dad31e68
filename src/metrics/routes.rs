use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{CONTENT_TYPE, Metrics, probe::Prober};
use crate::server::Handle;

/// What is served to Prometheus.
#[derive(Debug, Clone)]
pub struct Served {
    /// The server.
    pub handle: Handle,
    /// Its figures.
    pub metrics: Arc<Metrics>,
    /// What runs tests for Prometheus.
    pub prober: Arc<Prober>,
}

/// Returns `/metrics`, `/healthz`, `/readyz` and `/probe`.
pub fn routes(served: Served) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/probe", get(probe))
        .with_state(served)
}

async fn metrics(State(served): State<Served>) -> Response {
    page(served.metrics.encode())
}

/// Whoever answers is alive.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(served): State<Served>) -> Response {
    match served.handle.is_serving() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the server is about to stop\n").into_response(),
    }
}

async fn probe(
    State(served): State<Served>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let patience = headers.get("x-prometheus-scrape-timeout-seconds");
    let patience = patience.and_then(|value| value.to_str().ok());
    match served.prober.answer(query.as_deref().unwrap_or_default(), patience).await {
        Ok(text) => page(text),
        Err(refused) => (refused.status, format!("{}\n", refused.message)).into_response(),
    }
}

fn page(text: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], text)
        .into_response()
}
