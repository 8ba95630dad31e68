//! Who may do how much: policies per address and per identity, and what they count.

mod book;
mod file;
mod policy;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

pub(crate) use self::book::network;
use self::book::{Book, Full, Moment, Subject, until_midnight};
pub(super) use self::policy::{Breach, Forbidden};
pub use self::{
    file::{PolicyMistake, PolicyMistakes},
    policy::{Arrivals, Policies, Policy},
};
use crate::{
    outcome::{Failure, FailureCode},
    spec::TestSpec,
    trial::unix_time,
};

/// Holds every client to its policy.
#[derive(Debug)]
pub(super) struct Governor {
    policies: ArcSwap<Policies>,
    book: Mutex<Book>,
    started: Instant,
}

/// A client's right to a test under its policy, which counts among its sessions until it is
/// dropped.
#[derive(Debug)]
pub(super) struct Permit {
    governor: Arc<Governor>,
    policy: Arc<Policy>,
    subject: Subject,
    session: u64,
    charged: u64,
    /// When to look next at how much has moved, where that is limited.
    look_at: Option<Instant>,
}

impl Governor {
    pub(super) fn new(policies: Policies) -> Arc<Self> {
        Arc::new(Self {
            policies: ArcSwap::from_pointee(policies),
            book: Mutex::default(),
            started: Instant::now(),
        })
    }

    pub(super) fn policies(&self) -> Arc<Policies> {
        self.policies.load_full()
    }

    /// Has other policies hold from now on; who has a permit keeps it as it is.
    pub(super) fn set_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
    }

    /// Takes note that somebody at this address wants a session, and says why not if there is to be
    /// none, whoever it may be.
    pub(super) fn knock(&self, ip: IpAddr) -> Result<(), Failure> {
        let policies = self.policies.load();
        if let Some(policy) = policies.closed_to(ip) {
            return policy.enter().map_err(|breach| breach.failure);
        }
        let knocked = self.book().knock(ip, policies.arrivals(), self.now());
        knocked.map_err(|retry_after| {
            let text = "too many sessions of this address in a short time; try again later";
            Failure { retry_after: Some(retry_after), ..Failure::new(FailureCode::Busy, text) }
        })
    }

    /// Permits a test to the client at this address, which has proved this identity, or says why
    /// not.
    pub(super) fn permit(
        self: &Arc<Self>,
        ip: IpAddr,
        identity: Option<&str>,
        spec: &TestSpec,
    ) -> Result<Permit, Breach> {
        let policy = Arc::clone(self.policies.load().of(ip, identity));
        policy.check(spec)?;
        self.enter(policy, ip, identity, spec)
    }

    /// Permits a visit to a guest, which tells nothing of itself and may do anything over this
    /// transport, or says why not.
    pub(super) fn permit_guest(
        self: &Arc<Self>,
        ip: IpAddr,
        transport: &str,
        spec: &TestSpec,
    ) -> Result<Permit, Failure> {
        let policy = Arc::clone(self.policies.load().of(ip, None));
        if let Some(why) = policy.beyond_guests(transport) {
            return Err(Failure::new(FailureCode::Denied, why));
        }
        self.enter(policy, ip, None, spec).map_err(|breach| breach.failure)
    }

    fn enter(
        self: &Arc<Self>,
        policy: Arc<Policy>,
        ip: IpAddr,
        identity: Option<&str>,
        spec: &TestSpec,
    ) -> Result<Permit, Breach> {
        let subject = match identity {
            Some(name) => Subject::Identity(name.to_owned()),
            None => Subject::Address(network(ip)),
        };
        let now = self.now();
        let mut book = self.book();
        let left = left(&policy, &mut book, &subject, now);
        policy.check_bytes(spec, left, until_midnight(now))?;
        let entered = book.enter(&subject, policy.max_sessions, spec.duration(), now);
        let session = entered.map_err(|full| match full {
            Full::Own(retry_after) => policy.crowded(retry_after),
            Full::Book => full_book(),
        })?;
        drop(book);
        let look_at = policy.bytes_per_day.map(|_| Instant::now());
        Ok(Permit { governor: Arc::clone(self), policy, subject, session, charged: 0, look_at })
    }

    fn now(&self) -> Moment {
        Moment { up: self.started.elapsed(), unix: unix_time() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Returns the highest rate of the test in all, in bits per second.
    pub(super) fn max_rate(&self) -> Option<u64> {
        self.policy.max_rate
    }

    /// Returns the longest that the test may run, of which `longest` is the server's own limit.
    pub(super) fn longest(&self, longest: Duration) -> Duration {
        self.policy.max_duration.map_or(longest, |own| own.min(longest))
    }

    /// Returns whether bytes are counted.
    pub(super) fn is_metered(&self) -> bool {
        self.policy.bytes_per_day.is_some()
    }

    /// Says in words what is left of this day's bytes, where they are limited.
    pub(super) fn note(&self) -> Option<String> {
        let (now, mut book) = (self.governor.now(), self.governor.book());
        self.policy.note(left(&self.policy, &mut book, &self.subject, now))
    }

    /// Takes note that the test has moved so many bytes since its start, and says if the client has
    /// had what it may have.
    pub(super) fn charge(&mut self, moved: u64) -> Result<(), Failure> {
        let Some(most) = self.policy.bytes_per_day else { return Ok(()) };
        let now = self.governor.now();
        let news = moved.saturating_sub(self.charged);
        self.charged = self.charged.max(moved);
        let had = self.governor.book().charge(&self.subject, news, now);
        if had < most {
            return Ok(());
        }
        Err(self.policy.spent(0, until_midnight(now)).failure)
    }

    /// Waits until it is time to [`charge`](Self::charge); for ever where nothing is counted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn due(permit: &mut Option<Self>) {
        let look_at = permit.as_mut().and_then(|permit| permit.look_at.as_mut());
        let Some(look_at) = look_at else { return std::future::pending().await };
        tokio::time::sleep_until(*look_at).await;
        *look_at = Instant::now() + LOOK;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.governor.book().leave(&self.subject, self.session);
    }
}

/// Returns how many bytes a client may still move on this day, where they are limited.
fn left(policy: &Policy, book: &mut Book, subject: &Subject, now: Moment) -> Option<u64> {
    let most = policy.bytes_per_day?;
    Some(most.saturating_sub(book.charge(subject, 0, now)))
}

fn full_book() -> Breach {
    let text = "the server keeps account of as many clients as it can; try again later";
    Breach { what: Forbidden::Crowd, failure: Failure::new(FailureCode::Busy, text) }
}

/// How often a test's bytes are counted: what it moves in this time, it may have too much.
pub(super) const LOOK: Duration = Duration::from_millis(100);
