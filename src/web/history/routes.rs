use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    routing::get,
};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{
    compare::{self, Group},
    query::{Chosen, Words},
    store,
};
use crate::{
    event::FailedEvent,
    history::{Bucket, Filter, Page, Record, Summary, bucket_width},
    outcome::Outcome,
    trial::unix_time,
    web::{
        App,
        live::{Point, Tally},
        problem::Problem,
    },
};

/// Returns what tells of the history.
pub(in crate::web) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/history", get(list))
        .route("/api/v1/history/series", get(series))
        .route("/api/v1/history/compare", get(compare))
        .route("/api/v1/history/{id}", get(show))
        .route("/api/v1/history/{id}/points", get(points))
}

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// How a figure went.
#[derive(Serialize)]
struct Series {
    metric: &'static str,
    since_us: u64,
    until_us: u64,
    /// How long each bucket is. One without tests is left out: it is a gap.
    width_us: u64,
    buckets: Vec<Bucket>,
}

/// A test with everything that is kept of it.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Arc<Outcome>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_event: Option<Arc<FailedEvent>>,
}

/// A test's intervals, for a chart.
#[derive(Serialize)]
struct Points {
    id: i64,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Compared {
    groups: Vec<Group>,
    /// Tests that are not there any more.
    missing: Vec<i64>,
}

async fn list(State(app): State<Arc<App>>, pairs: Pairs) -> Result<Json<Page>, Problem> {
    let filter = words(pairs)?.list()?;
    Ok(Json(store(&app).await?.list(&filter).await?))
}

async fn series(State(app): State<Arc<App>>, pairs: Pairs) -> Result<Json<Series>, Problem> {
    let (filter, span) = words(pairs)?.series(unix_time())?;
    let store = store(&app).await?;
    let buckets = store.series(&filter, span.metric, span.from, span.to, span.buckets).await?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Ok(Json(Series {
        metric: span.metric.name(),
        since_us: micros(span.from),
        until_us: micros(span.to),
        width_us: micros(bucket_width(span.from, span.to, span.buckets)),
        buckets,
    }))
}

async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Document>, Problem> {
    let test = store(&app).await?.get(number(&id)?).await?.ok_or_else(gone)?;
    let (outcome, failure_event) = match test.record {
        Record::Finished(outcome) => (Some(outcome), None),
        Record::Failed(event) => (None, Some(event)),
    };
    Ok(Json(Document { summary: test.summary, outcome, failure_event }))
}

async fn points(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Points>, Problem> {
    let id = number(&id)?;
    let test = store(&app).await?.get(id).await?.ok_or_else(gone)?;
    let Record::Finished(outcome) = test.record else {
        return Ok(Json(Points { id, points: Vec::new() }));
    };
    let points = apart(move || drawn(&outcome)).await?;
    Ok(Json(Points { id, points }))
}

async fn compare(State(app): State<Arc<App>>, pairs: Pairs) -> Result<Json<Compared>, Problem> {
    let chosen = words(pairs)?.compare()?;
    let store = store(&app).await?;
    let (mut groups, mut missing) = (Vec::new(), Vec::new());
    match chosen {
        Chosen::Tests(ids) => {
            let mut tests = Vec::new();
            for id in ids {
                match store.summary(id).await? {
                    Some(test) => tests.push(test),
                    None => missing.push(id),
                }
            }
            groups.extend(compare::by_transport(tests));
        }
        Chosen::Transports(names, filter) => {
            for name in names {
                let filter = Filter { transport: Some(name.clone()), ..Filter::clone(&filter) };
                groups.push((name, store.list(&filter).await?.tests));
            }
        }
    }
    let groups = apart(move || compare::figured(groups)).await?;
    Ok(Json(Compared { groups, missing }))
}

/// Returns as many points as a chart has use for: of a long test, each adds up several intervals.
fn drawn(outcome: &Outcome) -> Vec<Point> {
    let at_once = outcome.intervals.len().div_ceil(MOST_POINTS).max(1);
    let point = |intervals: &[Arc<_>]| {
        let mut tally = Tally::default();
        intervals.iter().for_each(|interval| tally.add(&outcome.info, interval));
        tally.point()
    };
    outcome.intervals.chunks(at_once).map(point).collect()
}

/// Does what takes a while beside the thread that answers everybody.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let text = "the answer cannot be made; the server's log says why";
    let done = spawn_blocking(work).await;
    done.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text))
}

fn words(pairs: Pairs) -> Result<Words, Problem> {
    let refused = |error: QueryRejection| Problem::new(StatusCode::BAD_REQUEST, error.body_text());
    pairs.map_err(refused).and_then(|Query(pairs)| Words::new(pairs))
}

/// What is no number is the name of no test.
fn number(id: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_| gone())
}

fn gone() -> Problem {
    let text = "there is no such test in the history: it may have been let go of since";
    Problem::new(StatusCode::NOT_FOUND, text)
}

const MOST_POINTS: usize = 600;
