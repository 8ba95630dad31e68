//! The packets that open a flow; `docs/udp.md` has them byte by byte.

use polyperf_transport::Hello;

/// A packet of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// From the client: let me in.
    Open {
        /// What the client calls its attempt.
        id: Id,
        /// All zeros before there was a challenge.
        cookie: Cookie,
        /// What the protocol tells the server, as long as its [`Prefix`] says.
        parameters: &'a [u8],
        /// What the flow begins with.
        hello: &'a [u8],
    },
    /// From the server: say that again, with this.
    Challenge {
        /// That of the Open.
        id: Id,
        /// What to say it again with.
        cookie: Cookie,
    },
    /// From the server: the flow is open.
    Accept {
        /// That of the Open.
        id: Id,
        /// What the protocol tells the client, as long as its [`Prefix`] says.
        parameters: &'a [u8],
    },
}

/// What a client calls its attempt: random, so that nobody else can speak of it.
pub type Id = [u8; 16];

/// What a server gives to whoever is at an address, and to nobody else.
pub type Cookie = [u8; 16];

impl<'a> Packet<'a> {
    /// Returns the packet that `bytes` are; `None` if they are none.
    #[must_use]
    pub fn parse(prefix: Prefix, bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&prefix.bytes)?;
        let (&kind, rest) = rest.split_first()?;
        let (&id, rest) = rest.split_first_chunk()?;
        if kind == ACCEPT {
            let parameters = rest;
            let whole = parameters.len() == prefix.parameters;
            return whole.then_some(Self::Accept { id, parameters });
        }
        let (&cookie, rest) = rest.split_first_chunk()?;
        match kind {
            OPEN => {
                let (parameters, hello) = rest.split_at_checked(prefix.parameters)?;
                prefix.permits(hello).then_some(Self::Open { id, cookie, parameters, hello })
            }
            CHALLENGE if rest.is_empty() => Some(Self::Challenge { id, cookie }),
            _ => None,
        }
    }

    /// Returns the packet as it is sent.
    #[must_use]
    pub fn encode(&self, prefix: Prefix) -> Vec<u8> {
        let (kind, id, rest): (_, _, [&[u8]; 3]) = match self {
            Self::Open { id, cookie, parameters, hello } => (OPEN, id, [cookie, parameters, hello]),
            Self::Challenge { id, cookie } => (CHALLENGE, id, [cookie, &[], &[]]),
            Self::Accept { id, parameters } => (ACCEPT, id, [parameters, &[], &[]]),
        };
        let [first, second, third] = rest;
        [&prefix.bytes[..], &[kind], id, first, second, third].concat()
    }
}

/// What every packet begins with: a byte that no QUIC packet begins with, whose protocol it is, and
/// the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; 5],
    /// Bytes of the shortest hello.
    least: usize,
    /// Bytes of what either end tells the other besides.
    parameters: usize,
}

impl Prefix {
    /// Returns that of the protocol with this `letter`, which carries messages: a hello is one, and
    /// not empty.
    #[must_use]
    pub const fn of_messages(letter: u8, version: u8) -> Self {
        Self { bytes: [b'!', b'p', b'p', letter, version], least: 1, parameters: 0 }
    }

    /// Returns that of the protocol with this `letter`, which carries bytes, of which a hello may
    /// have none.
    #[must_use]
    pub const fn of_bytes(letter: u8, version: u8) -> Self {
        Self { least: 0, ..Self::of_messages(letter, version) }
    }

    /// Has either end tell the other so many bytes: the client with each Open, and the server with
    /// its Accept, which then has to arrive before anything else is taken.
    #[must_use]
    pub const fn with_parameters(self, parameters: usize) -> Self {
        Self { parameters, ..self }
    }

    /// Returns how many bytes either end tells the other.
    pub(super) fn parameters(self) -> usize {
        self.parameters
    }

    /// Returns whether a flow may begin with `hello`.
    pub(super) fn permits(self, hello: &[u8]) -> bool {
        (self.least..=Hello::MAX).contains(&hello.len())
    }
}

const OPEN: u8 = 1;
const CHALLENGE: u8 = 2;
const ACCEPT: u8 = 3;

#[cfg(test)]
mod tests;
