//! How a flow is opened: by whoever has shown that it receives at its address.
//!
//! The packets, and who sends which when, are specified in `docs/udp.md`. Transports differ in their
//! [`Prefix`] alone.

mod attempt;
mod cookie;
mod door;
mod listener;
mod packet;
mod sieve;

pub use self::{
    attempt::{dial, open, open_with},
    door::Door,
    listener::{Accepted, FlowListener},
    packet::{Cookie, Id, Packet, Prefix},
    sieve::Sieve,
};
