//! Where the histories of tests are.

use std::sync::Arc;

use polyperf::history::{Location, Store};

use crate::postgres::Postgres;

/// A database of a test's own.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) folder: tempfile::TempDir,
    url: String,
    /// The server, where it is on one.
    pub(crate) server: Option<Arc<Postgres>>,
}

impl Place {
    pub(crate) fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::File(folder.path().join("history.db"));
        Some(Self { location, folder, url: String::new(), server: None })
    }

    pub(crate) fn postgres() -> Option<Self> {
        let server = Postgres::shared()?;
        let url = server.database();
        let location = url.parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        Some(Self { location, folder, url, server: Some(server) })
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.location).await.unwrap()
    }

    /// Returns the URL, where it is on a server.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

/// Makes of each function a test with either database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::places::Place::sqlite().unwrap()).await;
            })*
        }

        mod postgresql {
            $(#[tokio::test]
            async fn $name() {
                if let Some(place) = $crate::places::Place::postgres() {
                    super::$name(place).await;
                }
            })*
        }
    };
}

pub(crate) use on_both;
