//! What a history has to tell: tests in a list, how a figure went, one test, and groups of tests
//! beside each other.

mod compare;
mod query;
mod routes;

use axum::http::StatusCode;
use tokio::sync::OnceCell;
use tracing::warn;

pub(super) use self::routes::routes;
use super::{App, problem::Problem};
use crate::history::{Error, Location, Store};

/// A history that is opened when somebody first asks for it: its database may come later than the
/// server.
#[derive(Debug)]
pub(super) struct History {
    place: Location,
    store: OnceCell<Store>,
}

impl History {
    pub(super) fn new(place: Location) -> Self {
        Self { place, store: OnceCell::new() }
    }

    async fn store(&self) -> Result<&Store, Error> {
        self.store.get_or_try_init(|| Store::open_existing(&self.place)).await
    }
}

/// Returns the history, or says why there is none to read.
async fn store(app: &App) -> Result<&Store, Problem> {
    let Some(history) = &app.history else {
        let text = "this server keeps no history: start it with --history";
        return Err(Problem::new(StatusCode::NOT_FOUND, text));
    };
    Ok(history.store().await?)
}

impl From<Error> for Problem {
    /// Where the history is, and what its database says, is for the operator alone.
    fn from(error: Error) -> Self {
        warn!(%error, "the web interface cannot read the history");
        let text = match error {
            Error::Unreadable { id, .. } => {
                format!("test {id} was kept by another version of polyperf, and cannot be read")
            }
            _ => "the history cannot be read now; the server's log says why".to_owned(),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}
