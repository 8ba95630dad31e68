use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{
    super::{App, problem::Problem},
    admin::MAX_PASSWORD,
};

/// Returns what logs people in and out, and tells who they are.
pub(in crate::web) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/me", get(me))
        .route("/api/v1/login", post(log_in))
        .route("/api/v1/logout", post(log_out))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    password: String,
}

#[derive(Serialize)]
struct Me {
    admin: bool,
    ways: Vec<&'static str>,
    public: bool,
}

async fn me(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<Me> {
    let admin = app.gate.knows(&headers);
    Json(Me { admin, ways: app.gate.ways(), public: app.public_read })
}

async fn log_in(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<SocketAddr>,
    headers: HeaderMap,
    login: Result<Json<Login>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(Login { password }) = login?;
    if password.len() > 4 * MAX_PASSWORD {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "this is not the password"));
    }
    // A browser that speaks to a proxy over TLS says so here.
    let secure = headers.get(header::ORIGIN).is_some_and(|it| it.as_bytes().starts_with(b"https:"));
    let cookie = app.gate.log_in(peer.ip(), password, secure).await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])))
}

async fn log_out(State(app): State<Arc<App>>, headers: HeaderMap) -> impl IntoResponse {
    let cookie = app.gate.log_out(&headers);
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)]))
}
