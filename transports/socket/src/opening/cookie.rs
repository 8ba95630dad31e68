//! Cookies, by which a listener knows that somebody receives at an address.

use std::{
    hash::Hasher,
    net::{IpAddr, SocketAddr},
};

use siphasher::sip128::{Hasher128, SipHasher24};

use super::{Cookie, Id};

/// Makes cookies, and knows its own again without keeping any.
#[derive(Clone)]
pub(super) struct Baker {
    key: [u8; 16],
}

impl Baker {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// Returns the cookie for the attempt `id` with `hello`, which may have parts, of whoever is at
    /// `address`, in `epoch`.
    pub(super) fn bake(
        &self,
        address: SocketAddr,
        id: &Id,
        hello: [&[u8]; 2],
        epoch: u64,
    ) -> Cookie {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        let address = octets(address);
        for part in [&address[..], id, hello[0], hello[1]] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.write_u64(epoch);
        hasher.finish128().as_bytes()
    }

    /// Returns whether `cookie` was made for just this, in `epoch` or the one before.
    pub(super) fn knows(
        &self,
        cookie: &Cookie,
        address: SocketAddr,
        id: &Id,
        hello: [&[u8]; 2],
        epoch: u64,
    ) -> bool {
        // As a number, so that the time it takes does not tell how much of it was right.
        let cookie = u128::from_ne_bytes(*cookie);
        let fresh = |epoch| u128::from_ne_bytes(self.bake(address, id, hello, epoch)) == cookie;
        fresh(epoch) || epoch.checked_sub(1).is_some_and(fresh)
    }
}

impl std::fmt::Debug for Baker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Baker").finish_non_exhaustive()
    }
}

/// Returns the bytes by which a cookie knows an address.
fn octets(peer: SocketAddr) -> [u8; 18] {
    let ip = match peer.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&peer.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_two_units_of_time_and_what_it_was_made_for() {
        let baker = Baker::new([7; 16]);
        let at = |host: u8| SocketAddr::from(([192, 0, 2, host], 7));
        let (address, id, hello) = (at(1), [1; 16], [&b"its"[..], b"hello"]);
        let cookie = baker.bake(address, &id, hello, 10);
        let knows = |epoch| baker.knows(&cookie, address, &id, hello, epoch);
        assert!(knows(10) && knows(11));
        assert!(!knows(12) && !knows(9), "too old, or from the future");
        assert!(!baker.knows(&cookie, at(2), &id, hello, 10));
        assert!(!baker.knows(&cookie, address, &[2; 16], hello, 10));
        assert!(!baker.knows(&cookie, address, &id, [b"itsh", b"ello"], 10));
        assert!(!Baker::new([8; 16]).knows(&cookie, address, &id, hello, 10), "another listener's");
        assert!(!baker.knows(&[0; 16], address, &id, hello, 0));
    }
}
