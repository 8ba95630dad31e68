use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;

use super::request::{MAX_TIME, Request};
use crate::{
    server::lock,
    spec::MAX_STREAMS,
    web::{App, auth::Administrator, problem::Problem},
};

/// Returns what starts runs, tells of them, and ends them.
pub(in crate::web) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/runs", get(list).post(start))
        .route("/api/v1/runs/choices", get(choices))
        .route("/api/v1/runs/{id}", get(show))
        .route("/api/v1/runs/{id}/cancel", post(cancel))
}

/// What a form can offer.
#[derive(Serialize)]
struct Choices {
    peers: Vec<String>,
    transports: Vec<&'static str>,
    max_time: u32,
    max_streams: u16,
}

#[derive(Serialize)]
struct Started {
    id: String,
}

async fn choices(State(app): State<Arc<App>>) -> Json<Choices> {
    Json(Choices {
        peers: app.peers.iter().map(|peer| peer.name.clone()).collect(),
        transports: app.transports.names(),
        max_time: MAX_TIME,
        max_streams: MAX_STREAMS,
    })
}

async fn start(
    _: Administrator,
    State(app): State<Arc<App>>,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(request) = request?;
    let id = super::start(&app, request)?;
    Ok((StatusCode::CREATED, Json(Started { id })))
}

async fn list(State(app): State<Arc<App>>) -> Response {
    let runs = lock(&app.runs.runs);
    let news: Vec<_> = runs.iter().rev().map(super::Run::line).collect();
    Json(news).into_response()
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    app.runs.with(&id, |run| Json(&*run).into_response()).ok_or_else(gone)
}

async fn cancel(
    _: Administrator,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.runs.with(&id, |run| run.stop("stopped from the page")).ok_or_else(gone)?;
    Ok(StatusCode::NO_CONTENT)
}

fn gone() -> Problem {
    let text =
        "there is no such run, or not any more: the server keeps the last ones, until it ends";
    Problem::new(StatusCode::NOT_FOUND, text)
}
