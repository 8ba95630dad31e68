//! QUIC over loopback: ours with ours, with quinn as it is, and with whoever means harm.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;
mod datagrams;
mod hostile;
mod perf;
mod ports;
mod resumption;
mod retry;
mod settings;
mod successive;
mod support;
mod windows;

#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod moving;
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "these tests use a part of it")]
#[path = "../../../../tests/support/relay.rs"]
mod relay;
