use std::{fmt::Debug, net::SocketAddr};

use async_trait::async_trait;

/// A peer that speaks a protocol which the transport serves by itself, beside polyperf's own:
/// QUIC's `perf`, for instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest<'a> {
    /// Its address, which it has proved.
    pub peer: SocketAddr,
    /// The protocol.
    pub protocol: &'a str,
}

/// A guest's stay, which ends when this is dropped.
#[async_trait]
pub trait Visit: Debug + Send + Sync + 'static {
    /// Waits until the guest has to leave, and returns why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn over(&self) -> String;

    /// Takes note that so many more bytes have been received, and sent.
    fn moved(&self, received: u64, sent: u64);
}
