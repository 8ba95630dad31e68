use std::{fmt::Debug, net::SocketAddr};

use async_trait::async_trait;

use crate::{Guest, Tuning, Visit};

/// What a stream begins with, by which the listener's side can tell whose it is.
///
/// Either way the bytes are the first that the other end receives: as a message of their own, where
/// the transport carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hello<'a> {
    /// Brought to the listener by the transport's own means, which repeat it until it is answered
    /// where it can be lost. May be empty for byte streams alone; [`Hello::MAX`] bytes at most.
    Own(&'a [u8]),
    /// Sent once, exactly so, and not waited for: whoever listens need not be of this project.
    Bare(&'a [u8]),
}

impl<'a> Hello<'a> {
    /// The most bytes of a hello: with what a transport adds, it fits any path's packet.
    pub const MAX: usize = 256;

    /// Returns its bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Own(bytes) | Self::Bare(bytes) => bytes,
        }
    }
}

/// Says which streams a listener lets in.
///
/// Asked by transports whose packets may claim an address that their sender does not have, before
/// anything is kept of the peer or sent to it. Transports whose handshake proves the address, as
/// TCP's and QUIC's do, need not ask.
pub trait Gate: Debug + Send + Sync + 'static {
    /// Says what to do about a hello. It is called for each that arrives, so it must be quick, and
    /// it must not wait.
    fn admit(&self, opening: &Opening<'_>) -> Verdict;

    /// Returns what is to be set on a connection that comes with this mark, before its handshake;
    /// `None` if none was announced.
    fn announced(&self, mark: &Mark) -> Option<Tuning>;

    /// Lets in a peer that speaks a protocol which the transport serves by itself; `None` turns it
    /// away.
    fn receive(&self, guest: &Guest<'_>) -> Option<Box<dyn Visit>>;
}

/// What a client's connection carries for the listener to know it by before its handshake, where
/// the transport has such a place. It tells nothing to others, and proves nothing.
pub type Mark = [u8; 12];

/// A stream that somebody wants to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening<'a> {
    /// Where the hello claims to come from.
    pub peer: SocketAddr,
    /// The hello.
    pub hello: Hello<'a>,
    /// Whether the peer has shown that it receives what is sent to that address.
    pub proven: bool,
}

/// What to do about an [`Opening`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is kept, and nothing answered.
    Refuse,
    /// Let the peer prove its address first, by an answer no longer than the hello was; then it is
    /// asked again. A hello that is bare cannot be challenged, and is refused.
    Challenge,
    /// The stream is opened.
    Accept,
}

/// Lets in whoever is at the address that it claims.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anyone;

impl Gate for Anyone {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        if opening.proven { Verdict::Accept } else { Verdict::Challenge }
    }

    fn announced(&self, _: &Mark) -> Option<Tuning> {
        None
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        Some(Box::new(Unlimited))
    }
}

#[derive(Debug)]
struct Unlimited;

#[async_trait]
impl Visit for Unlimited {
    async fn over(&self) -> String {
        std::future::pending().await
    }

    fn moved(&self, _: u64, _: u64) {}
}
