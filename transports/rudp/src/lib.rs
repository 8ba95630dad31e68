//! RUDP: a reliable stream over UDP with the congestion control that is chosen; and [`Rudp`], the
//! transport.
//!
//! The protocol is this project's own, version 1; `docs/rudp.md` specifies it. A [`Connection`] is one
//! end of a flow; it has no socket and no clock.

mod client;
mod config;
mod connection;
mod machine;
mod pacer;
mod path;
mod ranges;
mod receiver;
mod ring;
mod rtt;
mod sender;
mod server;
mod settings;
mod socket;
mod stats;
mod syn;
mod transport;

pub mod congestion;
pub mod packet;

pub use polyperf_fec::{FecConfig, FecError, FecStats};
pub use polyperf_socket::{Flushed, Output};

pub use crate::{
    config::{
        Config, ConfigError, CongestionControl, MAX_MTU, MAX_WINDOW, MIN_MTU, MIN_WINDOW,
        UnknownControl,
    },
    connection::{Connection, Over},
    rtt::RoundTrips,
    stats::{Rejections, Retransmits, Stats},
    syn::{PARAMETERS, Parameters},
    transport::Rudp,
};

/// Returns the error for settings that cannot work.
fn invalid(mistake: &ConfigError) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, mistake.to_string())
}

const NAME: &str = "rudp";

/// What the packets that open a flow begin with.
const PREFIX: polyperf_socket::Prefix =
    polyperf_socket::Prefix::of_bytes(b'r', 1).with_parameters(PARAMETERS);
