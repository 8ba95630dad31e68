//! Sessions that a client may resume.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    NamedGroup,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    },
    pki_types::ServerName,
};
use tokio::sync::Notify;

/// rustls' own store, and how many sessions of each server it has.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: ClientSessionMemoryCache,
    kept: Mutex<HashMap<ServerName<'static>, usize>>,
    came: Notify,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        let store = ClientSessionMemoryCache::new(SERVERS);
        Self { store, kept: Mutex::default(), came: Notify::new() }
    }

    /// Returns whether a session with this server can be resumed.
    pub(crate) fn has(&self, server: &ServerName<'static>) -> bool {
        self.with(server, |kept| *kept > 0)
    }

    /// Waits until a session with this server can be resumed, for `limit` at most, and returns
    /// whether it can. Tickets come a round trip after the handshake.
    pub(crate) async fn wait(&self, server: &ServerName<'static>, limit: Duration) -> bool {
        let wait = async {
            loop {
                let came = self.came.notified();
                if self.has(server) {
                    return;
                }
                came.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    fn with<T>(&self, server: &ServerName<'static>, work: impl FnOnce(&mut usize) -> T) -> T {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() > SERVERS {
            // The store forgets some as well, and a session that is not there is a full handshake.
            kept.clear();
        }
        work(kept.entry(server.clone()).or_default())
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.store.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.store.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.store.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.store.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.store.insert_tls13_ticket(server.clone(), value);
        self.with(&server, |kept| *kept = (*kept + 1).min(TICKETS));
        self.came.notify_waiters();
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let taken = self.store.take_tls13_ticket(server);
        self.with(server, |kept| *kept = taken.as_ref().map_or(0, |_| kept.saturating_sub(1)));
        taken
    }
}

/// Servers whose sessions are kept.
const SERVERS: usize = 64;
/// As many as rustls keeps of each.
const TICKETS: usize = 8;
