//! iperf3's protocol: our machines with each other, and with peers that do as they like.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod dialogues;
mod endings;
mod offsets;
mod pair;
mod peer;
mod strangers;
mod walk;
