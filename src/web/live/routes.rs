use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use futures_util::stream::unfold;
use serde::Deserialize;
use tracing::info;

use super::view::Shown;
use crate::{
    report::safe,
    web::{App, auth::Administrator, problem::Problem},
};

/// Returns what tells of the sessions, and ends them.
pub(in crate::web) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/events", get(events))
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/sessions/{session}/cancel", post(cancel))
}

async fn sessions(State(app): State<Arc<App>>) -> Json<Vec<Shown>> {
    Json(app.handle.sessions().iter().map(Shown::from).collect())
}

async fn events(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let Some(messages) = app.hub.join(&app.handle) else {
        let text = "too many watch already: close a page, or try again later";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text).retry_after(30));
    };
    let stream = unfold(messages, |mut messages| async move {
        let message = match tokio::time::timeout(QUIET, messages.recv()).await {
            Ok(message) => message?,
            // So that a connection which is dead is found out.
            Err(_) => Bytes::from_static(b": still here\n\n"),
        };
        Some((Ok::<_, Infallible>(message), messages))
    });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    /// Why, for the client's user.
    #[serde(default)]
    reason: String,
}

async fn cancel(
    _: Administrator,
    State(app): State<Arc<App>>,
    Path(session): Path<String>,
    cancel: Result<Json<Cancel>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(Cancel { reason }) = cancel?;
    let reason = match safe::short(reason.trim()) {
        reason if reason.is_empty() => "the server's operator ended the test".to_owned(),
        reason => format!("the server's operator ended the test: {reason}"),
    };
    if !app.handle.cancel(&session, &reason) {
        let text = "there is no such session any more";
        return Err(Problem::new(StatusCode::NOT_FOUND, text));
    }
    info!(session, reason, "cancelled from the web interface");
    Ok(StatusCode::NO_CONTENT)
}

/// How long a reader hears nothing.
const QUIET: Duration = Duration::from_secs(15);
