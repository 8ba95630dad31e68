use std::{
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use polyperf_transport::{
    self as transport, Gate, Guest, Mark, Tuning, Verdict, Visit, async_trait,
};
use tokio::time::Instant;
use tracing::info;

use super::{
    admission::{Place, Ticket},
    census::Reject,
    governance::{LOOK, Permit},
    roster::{Entry, Stage},
    shared::{Shared, Urgency, lock},
    streams::Expected,
};
use crate::{
    outcome::{Dialect, Failure},
    registry::Registry,
    spec::{Limit, SpecFields, TestSpec},
};

/// What listeners ask who may come in: a stranger, and whoever claims another's address, is told
/// nothing.
#[derive(Debug)]
pub(super) struct Porter {
    expected: Arc<Expected>,
    /// The server, once it is there.
    shared: OnceLock<Weak<Shared>>,
}

/// A guest, which takes the place of a test.
#[derive(Debug)]
struct Stay {
    shared: Arc<Shared>,
    name: String,
    entry: Entry,
    permit: Mutex<Permit>,
    longest: Duration,
    _ticket: Ticket,
    since: Instant,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Porter {
    pub(super) fn new(expected: Arc<Expected>) -> Self {
        Self { expected, shared: OnceLock::new() }
    }

    /// Serves guests from now on.
    pub(super) fn serve(&self, shared: &Arc<Shared>) {
        // It is called once, by whoever has made both.
        let _ = self.shared.set(Arc::downgrade(shared));
    }

    fn turned_away(&self, guest: &Guest<'_>, why: &str) -> Option<Box<dyn Visit>> {
        info!(peer = %guest.peer, protocol = guest.protocol, "guest turned away: {why}");
        None
    }
}

impl Gate for Porter {
    fn admit(&self, opening: &transport::Opening<'_>) -> Verdict {
        self.expected.admit(opening)
    }

    fn announced(&self, mark: &Mark) -> Option<Tuning> {
        self.expected.announced(mark)
    }

    /// A guest cannot say who it is, nor wait, nor keep to a rate, so that it is let in only where
    /// nothing of that is asked of anybody.
    fn receive(&self, guest: &Guest<'_>) -> Option<Box<dyn Visit>> {
        let shared = self.shared.get()?.upgrade()?;
        if shared.is_closed() {
            return self.turned_away(
                guest,
                "its protocol has no logins, and this server lets in known clients alone",
            );
        }
        if shared.limits().max_rate.is_some() {
            return self
                .turned_away(guest, "its protocol has no rates, and this server limits them");
        }
        let spec = SpecFields { limit: Limit::Endless, ..SpecFields::default() };
        let spec = TestSpec::try_from(spec).ok()?;
        let (ip, transport) = (guest.peer.ip(), Registry::of_guests(guest.protocol));
        let places = shared.governor.knock(ip).and_then(|()| {
            let permit = shared.governor.permit_guest(ip, transport, &spec)?;
            Ok((permit, shared.admission.apply(&spec, None, false)?))
        });
        let (permit, mut ticket) = match places {
            Ok(places) => places,
            Err(failure) => {
                if let Some(reason) = Reject::of(failure.code) {
                    shared.census.rejected(reason);
                }
                return self.turned_away(guest, &failure.message);
            }
        };
        if !matches!(ticket.place(), Place::Running(_)) {
            return self.turned_away(guest, "there is no room");
        }
        let name = shared.next_name();
        info!(session = %name, peer = %guest.peer, protocol = guest.protocol, "guest let in");
        Some(Box::new(Stay {
            entry: shared.roster.enter(&name, guest.peer, Dialect::Perf, Stage::Visiting),
            longest: permit.longest(shared.longest()),
            permit: Mutex::new(permit),
            shared,
            name,
            _ticket: ticket,
            since: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }))
    }
}

#[async_trait]
impl Visit for Stay {
    async fn over(&self) -> String {
        let longest = self.longest;
        let mut urgency = self.shared.urgency();
        tokio::select! {
            () = tokio::time::sleep_until(self.since + longest) => {
                format!("this server permits {} s", longest.as_secs())
            }
            _ = urgency.wait_for(|urgency| *urgency == Urgency::Stop) => {
                "the server was told to stop".to_owned()
            }
            reason = self.entry.stopped() => reason,
            reason = self.spent() => reason,
        }
    }

    fn moved(&self, received: u64, sent: u64) {
        self.received.fetch_add(received, Relaxed);
        self.sent.fetch_add(sent, Relaxed);
    }
}

impl Stay {
    /// Counts what moves until the guest has had what it may have, and says so.
    async fn spent(&self) -> String {
        if !lock(&self.permit).is_metered() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(failure) = self.charge() {
                return failure.message;
            }
        }
    }

    fn charge(&self) -> Result<(), Failure> {
        let moved = self.received.load(Relaxed).saturating_add(self.sent.load(Relaxed));
        lock(&self.permit).charge(moved)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let (received, sent) = (self.received.load(Relaxed), self.sent.load(Relaxed));
        let stayed: Duration = self.since.elapsed();
        info!(session = %self.name, ?stayed, received, sent, "guest has left");
        // Whoever has had everything will hear of it with the next test.
        let _ = self.charge();
        self.shared.finished();
    }
}
