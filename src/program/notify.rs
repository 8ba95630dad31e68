//! What a service manager is told, if one wants to know: systemd, where the unit has `Type=notify`.

use std::net::SocketAddr;

use sd_notify::NotifyState;
use tracing::debug;

/// Says that the server listens, and where.
pub(super) fn ready(listening: &[(&'static str, SocketAddr)]) {
    let names: Vec<_> = listening.iter().map(|(name, _)| *name).collect();
    let port = listening.first().map_or(0, |(_, addr)| addr.port());
    let status = format!("serving {} on port {port}", names.join(", "));
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Says that the configuration is read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Says that it was read, and what came of it.
pub(super) fn reloaded(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the server is about to stop, and what it waits for.
pub(super) fn stopping(running: usize) {
    let status = format!("waiting for {running} running tests");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// Says that the server is alive, as often as somebody wants to know: as a task, it does so only as
/// long as the server's tasks have their turns.
pub(super) async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let mut due = tokio::time::interval(limit / 2);
    loop {
        due.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a service manager nothing is sent; one that does not listen is no reason to stop.
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager cannot be told");
    }
}
