//! The contract between polyperf and the transports that it measures.
//!
//! A transport is a [`Transport`] that listens and connects, and the [`Stream`]s that come of it.
//! Whoever passes the conformance suite (feature `conformance`) can be measured by polyperf, chosen
//! by name at run time, next to every other transport.
//!
//! Three rules shape it:
//!
//! - **Box once where a peer connects, poll where bytes move.** One virtual call carries a batch.
//! - **Halves, not locks.** What two tasks use is two objects.
//! - **No default methods.** A wrapper that forgets one would silently lose an ability, and the
//!   measurement with it; `#[deny(clippy::missing_trait_methods)]` on a wrapper proves it whole.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod guest;
mod opening;
mod path;
mod processors;
mod sockets;
mod stream;
mod tuning;

use std::{fmt::Debug, net::SocketAddr, num::NonZeroUsize, sync::Arc};

pub use async_trait::async_trait;

pub use crate::{
    error::{AcceptError, Error},
    guest::{Guest, Visit},
    opening::{Anyone, Gate, Hello, Mark, Opening, Verdict},
    path::{Arq, EarlyData, Path, PathStats, Security},
    processors::Processors,
    sockets::{HostSockets, Sockets},
    stream::{Chunk, Home, Received, RecvHalf, SendHalf, Stream, send_all},
    tuning::{Fec, KeepAlive, Setting, Tuning},
};

/// A way to carry streams between two hosts.
///
/// Implementations never create sockets themselves: they are built with an `Arc<dyn` [`Sockets`]`>`,
/// so that a test or an emulated network decides where a socket lives.
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Returns the name by which users choose this transport: lower case, `a-z0-9-`.
    fn name(&self) -> &'static str;

    /// Returns what a stream of this transport carries.
    ///
    /// The only fact about a transport that the layers above may branch on.
    fn delivery(&self) -> Delivery;

    /// Says whether streams can be set as `tuning` asks, as far as that is known beforehand.
    ///
    /// A transport may refuse here, or answer with a [`Setting`] that says why not once the stream
    /// is open; it never drops a setting.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a setting, or a value, that it does not have.
    fn check(&self, tuning: &Tuning) -> Result<(), Error>;

    /// Starts to listen on `addr`; port 0 picks a free one.
    ///
    /// Nothing is sent to an address that has not proved that somebody is there, unless `gate`
    /// accepts a stream from it.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the address cannot be had.
    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error>;

    /// Connects to `peer`.
    ///
    /// What one `connect` shares (a QUIC connection, or nothing at all for TCP) is the transport's
    /// affair; a [`Connection`] is whatever streams are opened from.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the attempt and leaks nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if the peer cannot be reached, [`Error::Unsupported`] if `peer` asks for a
    /// setting that this transport does not have.
    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error>;
}

/// What a stream carries from end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// An ordered sequence of bytes, none missing.
    Bytes,
    /// Messages that keep their boundaries, and may be lost, repeated or reordered.
    Messages {
        /// The longest message, in bytes.
        max: NonZeroUsize,
        /// The length that suits most paths, in bytes.
        usual: NonZeroUsize,
        /// Whether the transport slows its sender down where the network is congested; otherwise
        /// whoever sends has to choose a rate.
        controlled: bool,
    },
}

/// Whom to connect to, from where, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The address to connect to.
    pub addr: SocketAddr,
    /// The name that the user gave, for transports that verify whom they talk to.
    pub name: Option<String>,
    /// The local address to connect from; port 0 leaves the port to the system.
    ///
    /// Where one [`Connection`] opens several sockets, the n-th takes this port plus n.
    pub local: Option<SocketAddr>,
    /// What to set on each stream before its handshake, as far as that matters.
    pub tuning: Tuning,
    /// What another connection to the same host has told of the listener's
    /// [identity](Listener::identity).
    pub told: Option<String>,
    /// By which the listener's [`Gate`] knows what is to be [set](Gate::announced) on the
    /// connection.
    pub mark: Option<Mark>,
    /// The application protocol to ask for in place of the transport's own, where it has a choice.
    pub protocol: Option<String>,
}

impl Peer {
    /// Returns a peer at `addr`, with nothing else asked for.
    #[must_use]
    pub fn at(addr: SocketAddr) -> Self {
        Self {
            addr,
            name: None,
            local: None,
            tuning: Tuning::default(),
            told: None,
            mark: None,
            protocol: None,
        }
    }
}

/// The passive end of a transport.
#[async_trait]
pub trait Listener: Debug + Send + 'static {
    /// Returns the address that peers connect to, with the real port.
    fn local_addr(&self) -> SocketAddr;

    /// Returns what peers can know this listener by, such as the fingerprint of its certificate;
    /// `None` if it proves nothing about itself.
    fn identity(&self) -> Option<String>;

    /// Waits for the next stream that any peer has opened.
    ///
    /// A peer whose handshake is slow, or never ends, delays no other peer's stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no stream.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`]: the variant says what the caller does next.
    async fn accept(&mut self) -> Result<Stream, AcceptError>;
}

/// The active end of a transport, from which streams are opened.
#[async_trait]
pub trait Connection: Debug + Send + Sync + 'static {
    /// Opens a stream, which begins with `hello`: a QUIC stream, or a new TCP, KCP, RUDP or UDP
    /// flow.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the attempt and leaks nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if the stream needs a handshake of its own and that fails.
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error>;

    /// Closes what the streams of this connection share. Streams that are still open may fail.
    async fn close(&self);
}
