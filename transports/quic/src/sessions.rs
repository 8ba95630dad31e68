//! Sessions that a client may resume.

use std::{
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

/// Sessions with one server over one protocol: rustls' own store, and how many there are.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: ClientSessionMemoryCache,
    kept: Mutex<usize>,
    came: Notify,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        let store = ClientSessionMemoryCache::new(TICKETS);
        Self { store, kept: Mutex::default(), came: Notify::new() }
    }

    /// Waits until a session can be resumed, for `limit` at most, and returns whether it can.
    /// Tickets come a round trip after the handshake.
    pub(crate) async fn wait(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let came = self.came.notified();
                if !self.is_empty() {
                    return;
                }
                came.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Returns whether no session can be resumed.
    pub(crate) fn is_empty(&self) -> bool {
        self.with(|kept| *kept == 0)
    }

    fn with<T>(&self, work: impl FnOnce(&mut usize) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
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
        self.store.insert_tls13_ticket(server, value);
        self.with(|kept| *kept = (*kept + 1).min(TICKETS));
        self.came.notify_waiters();
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let taken = self.store.take_tls13_ticket(server);
        self.with(|kept| *kept = taken.as_ref().map_or(0, |_| kept.saturating_sub(1)));
        taken
    }
}

/// As many as rustls keeps of one server.
const TICKETS: usize = 8;
