use std::{collections::HashMap, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::Instant;

/// Who has logged in, by the digests of their secrets: whoever reads this memory has no cookie.
#[derive(Debug, Default)]
pub(super) struct Logins {
    until: HashMap<Digest, Instant>,
}

pub(super) type Digest = [u8; 32];

impl Logins {
    /// Lets somebody in for so long, and returns the secret to know them by.
    pub(super) fn open(&mut self, lifetime: Duration, now: Instant) -> String {
        self.until.retain(|_, until| now < *until);
        if self.until.len() >= MAX_LOGINS {
            let oldest = self.until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            oldest.map(|oldest| self.until.remove(&oldest));
        }
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        self.until.insert(digest_of(&secret), now + lifetime);
        secret
    }

    /// Returns whether the secret is of somebody who is still logged in.
    pub(super) fn knows(&self, secret: &str, now: Instant) -> bool {
        self.until.get(&digest_of(secret)).is_some_and(|until| now < *until)
    }

    pub(super) fn close(&mut self, secret: &str) {
        self.until.remove(&digest_of(secret));
    }
}

pub(super) fn digest_of(secret: &str) -> Digest {
    let digest = digest(&SHA256, secret.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

const MAX_LOGINS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_login_holds_until_its_time_is_over_or_it_is_closed() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let (one, two) = (logins.open(HOUR, now), logins.open(HOUR, now));
        assert_ne!(one, two);
        assert!(logins.knows(&one, now) && logins.knows(&two, now));
        logins.close(&one);
        assert!(!logins.knows(&one, now) && logins.knows(&two, now));
        assert!(!logins.knows(&two, now + HOUR));
        assert!(!logins.knows("", now) && !logins.knows("guessed", now));
    }

    #[test]
    fn logins_take_bounded_room_and_the_oldest_gives_way() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let first = logins.open(HOUR, now);
        let mut last = String::new();
        for _ in 0..MAX_LOGINS {
            last = logins.open(2 * HOUR, now);
        }
        assert_eq!(logins.until.len(), MAX_LOGINS);
        assert!(!logins.knows(&first, now) && logins.knows(&last, now));
    }
}
