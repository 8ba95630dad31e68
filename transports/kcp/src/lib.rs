//! KCP: a stream, or messages, reliably over UDP; and [`Kcp`], the transport.
//!
//! This is polyperf's own implementation of the protocol of skywind3000/kcp, on whose wire
//! xtaci/kcp-go and others agree. An [`Engine`] is one end of a conversation, and a [`Conversation`]
//! is that with the forward error correction of kcp-go around it; they have no socket and no clock.

mod client;
mod config;
mod conv;
mod conversation;
mod engine;
mod machine;
mod path;
mod seq;
mod server;
mod settings;
mod stats;
mod transport;

pub mod segment;

pub use polyperf_fec::{FecConfig, FecError, FecStats};
pub use polyperf_socket::{Flushed, Output, Trains};

pub use crate::{
    config::{
        Config, ConfigError, FlushPolicy, MAX_FRAGMENTS, MAX_MTU, MAX_WINDOW, MIN_MTU, Mode,
        Nodelay, Profile,
    },
    conversation::{Conversation, First},
    engine::{Dead, Engine, Rejected, RoundTrips, TooLong},
    stats::{Rejections, Retransmits, Stats, Traffic},
    transport::Kcp,
};

/// Returns the error for settings of which all that is wrong has been found.
fn invalid(mistakes: &[ConfigError]) -> std::io::Error {
    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    std::io::Error::new(std::io::ErrorKind::InvalidInput, mistakes.join("; "))
}

const NAME: &str = "kcp";

/// What the packets that open a flow begin with.
const PREFIX: polyperf_socket::Prefix = polyperf_socket::Prefix::of_bytes(b'k', 1);
