use std::{io, net::SocketAddr};

/// Why a transport could not listen or connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The peer cannot be reached.
    #[error("cannot connect to {addr}")]
    Connect {
        /// The peer's address.
        addr: SocketAddr,
        /// What the system or the handshake said.
        source: io::Error,
    },
    /// Something was asked for that this transport, or this platform, does not have.
    #[error("{transport} cannot honour {option}: {reason}")]
    Unsupported {
        /// The transport's name.
        transport: &'static str,
        /// What was asked for, as the user knows it.
        option: String,
        /// Why not, and what to do instead.
        reason: String,
    },
}

/// Why [`Listener::accept`](crate::Listener::accept) returned no stream, sorted by what to do next.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// One peer failed; carry on at once.
    #[error("a peer failed before its stream was open")]
    Peer(#[source] io::Error),
    /// The system is out of something (descriptors, memory); back off, then carry on.
    #[error("out of resources for another stream")]
    Exhausted(#[source] io::Error),
    /// The listener is gone for good.
    #[error("the listener is closed")]
    Closed(#[source] io::Error),
}
