//! The packets that open a flow; `docs/udp.md` has them byte by byte.

use std::hash::Hasher;

use polyperf_transport::Hello;
use siphasher::sip128::{Hasher128, SipHasher24};

/// A packet of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// From the client: let me in.
    Open {
        id: Id,
        /// All zeros before there was a challenge.
        cookie: Cookie,
        hello: &'a [u8],
    },
    /// From the server: say that again, with this.
    Challenge { id: Id, cookie: Cookie },
    /// From the server: the flow is open.
    Accept { id: Id },
}

/// What a client calls its attempt: random, so that nobody else can speak of it.
pub(crate) type Id = [u8; 16];

/// What a server gives to whoever is at an address, and to nobody else.
pub(crate) type Cookie = [u8; 16];

impl<'a> Packet<'a> {
    /// Returns the packet that `bytes` are; `None` if they are none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&PREFIX)?;
        let (&kind, rest) = rest.split_first()?;
        let (&id, rest) = rest.split_first_chunk()?;
        if kind == ACCEPT {
            return rest.is_empty().then_some(Self::Accept { id });
        }
        let (&cookie, hello) = rest.split_first_chunk()?;
        match kind {
            OPEN if (1..=Hello::MAX).contains(&hello.len()) => {
                Some(Self::Open { id, cookie, hello })
            }
            CHALLENGE if hello.is_empty() => Some(Self::Challenge { id, cookie }),
            _ => None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, id, cookie, hello): (_, _, &[u8], &[u8]) = match self {
            Self::Open { id, cookie, hello } => (OPEN, id, cookie, hello),
            Self::Challenge { id, cookie } => (CHALLENGE, id, cookie, &[]),
            Self::Accept { id } => (ACCEPT, id, &[], &[]),
        };
        [&PREFIX[..], &[kind], id, cookie, hello].concat()
    }
}

/// Makes cookies, and knows its own again without keeping any.
#[derive(Clone)]
pub(crate) struct Baker {
    key: [u8; 16],
}

impl Baker {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// Returns the cookie for the attempt `id` with `hello` of whoever is at `address`, in `epoch`.
    pub(crate) fn bake(&self, address: &[u8], id: &Id, hello: &[u8], epoch: u64) -> Cookie {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        for part in [address, id, hello] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.write_u64(epoch);
        hasher.finish128().as_bytes()
    }

    /// Returns whether `cookie` was made for just this, in `epoch` or the one before.
    pub(crate) fn knows(
        &self,
        cookie: &Cookie,
        address: &[u8],
        id: &Id,
        hello: &[u8],
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

/// What every packet begins with: a byte that no QUIC packet begins with, a name, and the version.
pub(crate) const PREFIX: [u8; 5] = *b"!ppu\x01";

const OPEN: u8 = 1;
const CHALLENGE: u8 = 2;
const ACCEPT: u8 = 3;

#[cfg(test)]
mod tests;
