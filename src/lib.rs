#![doc = include_str!("../README.md")]
#![warn(clippy::print_stderr, clippy::print_stdout)]

// What tests of the library share with others names it as those do.
#[cfg(test)]
extern crate self as polyperf;

pub mod auth;
#[doc(hidden)]
pub mod cli;
pub mod client;
pub mod compare;
#[doc(hidden)]
pub mod config;
mod control;
pub mod engine;
pub mod event;
pub mod history;
pub mod lab;
pub mod measure;
pub mod metrics;
mod micros;
mod names;
pub mod outcome;
#[doc(hidden)]
pub mod program;
pub mod protocol;
pub mod registry;
pub mod report;
pub mod server;
mod session;
pub mod spec;
mod trial;
pub mod tui;
pub mod units;
pub mod web;
pub mod workload;

pub use polyperf_certs as certs;
pub use polyperf_transport as transport;

pub use crate::{client::Client, registry::Registry, server::Server};
