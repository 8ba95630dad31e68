use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::{error, warn};

use super::governance::network;
use crate::{
    auth::{PrivateKey, UsersFile, sha256},
    outcome::{Failure, FailureCode},
    protocol::auth::{Denied, Gate, Opened, SealedToken},
    trial::unix_time,
};

/// Whom a server lets in, in either dialect.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What opens the clients' tokens.
    pub key: PrivateKey,
    /// The users. It is read again when a client comes after it has changed.
    pub users: UsersFile,
    /// How far a client's clock may be off.
    pub skew: Duration,
    /// Whether to take tokens with the padding of iperf3 up to 3.16, PKCS#1 v1.5, as well.
    pub pkcs1: bool,
}

impl Auth {
    /// Returns what lets these users in, with every default.
    #[must_use]
    pub fn new(key: PrivateKey, users: UsersFile) -> Self {
        Self { key, users, skew: DEFAULT_SKEW, pkcs1: false }
    }
}

/// Finds out who clients are.
///
/// That costs the server more than the client, so clients of one address take turns, and few are
/// looked at at once.
#[derive(Debug)]
pub(super) struct Verifier {
    key: PrivateKey,
    pkcs1: bool,
    door: Mutex<Door>,
    at_once: Semaphore,
    lines: Arc<Mutex<HashMap<IpAddr, Line>>>,
}

/// A test that is wanted by a client of whom it is not known yet who it is.
#[derive(Debug)]
pub(super) struct Unidentified<T> {
    verdict: oneshot::Receiver<Result<String, Denied>>,
    wanted: T,
}

#[derive(Debug)]
struct Door {
    gate: Gate,
    users: UsersFile,
}

/// The clients of an address, one of which has its turn.
#[derive(Debug)]
struct Line {
    turn: Arc<Semaphore>,
    length: usize,
}

/// A place in a line, until it is dropped.
#[derive(Debug)]
struct Place {
    lines: Arc<Mutex<HashMap<IpAddr, Line>>>,
    address: IpAddr,
    turn: Arc<Semaphore>,
}

impl Verifier {
    pub(super) fn new(auth: Auth) -> Arc<Self> {
        let Auth { key, users, skew, pkcs1 } = auth;
        if pkcs1 {
            warn!(
                "tokens with PKCS#1 v1.5 padding are accepted, which has let others find out what is in them; stop that when the last client older than iperf3 3.17 is gone"
            );
        }
        let gate = Gate::new(users.users().clone(), skew);
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Arc::new(Self {
            key,
            pkcs1,
            door: Mutex::new(Door { gate, users }),
            at_once: Semaphore::new((cores / 2).max(1)),
            lines: Arc::default(),
        })
    }

    /// Begins to find out who wants this. Goes on if nobody waits for it any more, so that no
    /// client gets more than its turn by leaving.
    ///
    /// Gives up at once where too many clients of this address wait already.
    pub(super) fn identify<T>(
        self: &Arc<Self>,
        ip: IpAddr,
        token: Option<SealedToken>,
        wanted: T,
    ) -> Result<Unidentified<T>, Failure> {
        let place = Place::take(&self.lines, network(ip)).ok_or_else(|| {
            let text = "too many clients of this address wait to be let in; try again later";
            Failure::new(FailureCode::Busy, text)
        })?;
        let (answer, verdict) = oneshot::channel();
        let verifier = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(turn) = place.turn().await else { return };
            if answer.is_closed() {
                return;
            }
            let result = verifier.look_at(token).await;
            let denied = result.is_err();
            let _ = answer.send(result);
            if denied {
                tokio::time::sleep(PENALTY).await;
            }
            drop(turn);
        });
        Ok(Unidentified { verdict, wanted })
    }

    /// Lets in these users from now on.
    pub(super) fn set_users(&self, users: UsersFile) {
        let mut door = lock(&self.door);
        door.gate.set_users(users.users().clone());
        door.users = users;
    }

    async fn look_at(self: Arc<Self>, token: Option<SealedToken>) -> Result<String, Denied> {
        let verifier = Arc::clone(&self);
        let _one = self.at_once.acquire().await.map_err(|_| Denied)?;
        let work = tokio::task::spawn_blocking(move || verifier.check(token.as_ref()));
        work.await.unwrap_or(Err(Denied))
    }

    fn check(&self, token: Option<&SealedToken>) -> Result<String, Denied> {
        let opened = Opened::new(token, |sealed| self.key.decrypt(sealed, self.pkcs1));
        let Door { gate, users } = &mut *lock(&self.door);
        if let Some((users, problem)) = users.refresh() {
            gate.set_users(users);
            if let Some(problem) = problem {
                error!(%problem, "the users have changed, and cannot be taken over");
            }
        }
        gate.admit(&opened, unix_time(), &sha256)
    }
}

impl<T> Unidentified<T> {
    /// Waits until it is known who the client is, and returns that and what it wants. Dropping the
    /// future loses nothing.
    pub(super) async fn verdict(this: &mut Option<Self>) -> (Result<String, Failure>, T) {
        let verdict = match this {
            Some(unidentified) => (&mut unidentified.verdict).await.unwrap_or(Err(Denied)),
            None => std::future::pending().await,
        };
        match this.take() {
            Some(unidentified) => (verdict.map_err(denied), unidentified.wanted),
            None => std::future::pending().await,
        }
    }
}

impl Place {
    fn take(lines: &Arc<Mutex<HashMap<IpAddr, Line>>>, address: IpAddr) -> Option<Self> {
        let mut all = lock(lines);
        if !all.contains_key(&address) && all.len() >= MAX_LINES {
            return None;
        }
        let new = || Line { turn: Arc::new(Semaphore::new(1)), length: 0 };
        let line = all.entry(address).or_insert_with(new);
        if line.length >= MAX_LENGTH {
            return None;
        }
        line.length += 1;
        Some(Self { lines: Arc::clone(lines), address, turn: Arc::clone(&line.turn) })
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.turn).acquire_owned().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.lines);
        if let Some(line) = all.get_mut(&self.address) {
            line.length -= 1;
            if line.length == 0 {
                all.remove(&self.address);
            }
        }
    }
}

/// Says the same whatever the reason.
fn denied(_: Denied) -> Failure {
    let text = "this server does not let this client in: it needs a user that it knows with the right password, its public key, and clocks that agree; see --username and --rsa-public-key-path";
    Failure::new(FailureCode::Denied, text)
}

/// Says what a client has to do that has not proved who it is. That the ways are known here tells
/// nobody anything.
pub(super) fn unproved() -> Failure {
    let text = "this server lets in clients alone that prove who they are, with a pre-shared key that both know or with a key of their own that it knows; see --psk-file and --key-file";
    Failure::new(FailureCode::Denied, text)
}

/// Says the same whatever is wrong with a proof.
pub(super) fn disproved() -> Failure {
    let text = "this server does not let this client in: it knows another key of that identity, or none; see --psk-file at both ends";
    Failure::new(FailureCode::Denied, text)
}

/// Says the same whatever is wrong with a proof by a client's own key.
pub(super) fn unauthorized() -> Failure {
    let text = "this server does not let this client in: it does not know the key; polyperf cert show prints the fingerprint, which has to be in the server's --authorized-keys";
    Failure::new(FailureCode::Denied, text)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const DEFAULT_SKEW: Duration = Duration::from_secs(10);
/// How long an address waits for its next turn after a client that was not let in: ten guesses a
/// second.
const PENALTY: Duration = Duration::from_millis(100);
/// Clients of one address: with the penalty of each, the last still has its turn within its
/// patience.
const MAX_LENGTH: usize = 32;
const MAX_LINES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_end_and_leaves_nothing_behind() {
        let lines = Arc::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let places: Vec<_> =
            (0..MAX_LENGTH).map(|_| Place::take(&lines, one).expect("a place")).collect();
        assert!(Place::take(&lines, one).is_none());
        assert!(Place::take(&lines, other).is_some());
        drop(places);
        assert!(lock(&lines).is_empty());
    }

    #[tokio::test]
    async fn clients_of_one_address_take_turns() {
        let lines = Arc::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let places = [(); 2].map(|()| Place::take(&lines, address).expect("a place"));
        let turn = places[0].turn().await.expect("a turn");
        assert!(Arc::clone(&places[1].turn).try_acquire_owned().is_err());
        drop(turn);
        assert!(places[1].turn().await.is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
