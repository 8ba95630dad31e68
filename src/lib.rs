//! One perf server for every transport.

#[doc(hidden)]
pub mod cli;
pub mod event;
pub mod measure;
mod micros;
pub mod outcome;
pub mod spec;
pub mod units;

pub use polyperf_transport as transport;
