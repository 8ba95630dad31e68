use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::shared::lock;
use crate::{
    micros,
    outcome::{Dialect, TestInfo},
    spec::TestSpec,
    trial::unix_time,
};

/// A session of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// Its name, unique on its server.
    pub session: String,
    /// The client's address.
    pub peer: SocketAddr,
    /// The control protocol.
    pub dialect: Dialect,
    /// Who the client is, if it has proved that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When it began, since the Unix epoch.
    #[serde(rename = "since_us", with = "micros")]
    #[schemars(with = "u64")]
    pub since: Duration,
    /// How far it is.
    pub stage: Stage,
}

/// How far a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "stage", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// It has not said yet what it wants, or its streams are being opened.
    Preparing,
    /// Its test waits for its turn.
    Queued {
        /// 1 is next.
        position: u32,
        /// The test.
        spec: Box<TestSpec>,
    },
    /// Its test runs.
    Running {
        /// The test.
        info: Arc<TestInfo>,
    },
    /// Bytes move without a test that was agreed on.
    Visiting,
}

/// Every session that there is.
#[derive(Debug, Default)]
pub(super) struct Roster {
    sessions: Mutex<BTreeMap<String, Listed>>,
}

#[derive(Debug)]
struct Listed {
    view: SessionView,
    stop: watch::Sender<Option<String>>,
}

/// A session's line in the roster, until it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    roster: Arc<Roster>,
    name: String,
    told: watch::Receiver<Option<String>>,
}

impl Roster {
    pub(super) fn enter(
        self: &Arc<Self>,
        name: &str,
        peer: SocketAddr,
        dialect: Dialect,
        stage: Stage,
    ) -> Entry {
        let (stop, told) = watch::channel(None);
        let session = name.to_owned();
        let view = SessionView { session, peer, dialect, user: None, since: unix_time(), stage };
        lock(&self.sessions).insert(name.to_owned(), Listed { view, stop });
        Entry { roster: Arc::clone(self), name: name.to_owned(), told }
    }

    /// Returns every session, in the order of their names.
    pub(super) fn views(&self) -> Vec<SessionView> {
        lock(&self.sessions).values().map(|listed| listed.view.clone()).collect()
    }

    /// Has a session end, for this reason; returns whether there is one of that name.
    pub(super) fn stop(&self, name: &str, reason: &str) -> bool {
        let sessions = lock(&self.sessions);
        let Some(listed) = sessions.get(name) else { return false };
        listed.stop.send_replace(Some(reason.to_owned()));
        true
    }
}

impl Entry {
    pub(super) fn is(&self, stage: Stage) {
        self.change(|view| view.stage = stage);
    }

    pub(super) fn belongs_to(&self, user: &str) {
        self.change(|view| view.user = Some(user.to_owned()));
    }

    /// Waits until this session is to end, and returns why. Dropping the future loses nothing.
    pub(super) async fn stopped(&self) -> String {
        let mut told = self.told.clone();
        match told.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // Nobody is left who could say so.
            _ => std::future::pending().await,
        }
    }

    fn change(&self, change: impl FnOnce(&mut SessionView)) {
        if let Some(listed) = lock(&self.roster.sessions).get_mut(&self.name) {
            change(&mut listed.view);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.roster.sessions).remove(&self.name);
    }
}
