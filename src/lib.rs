//! One perf server for every transport.

pub mod engine;
pub mod event;
pub mod measure;
mod micros;
pub mod outcome;
pub mod protocol;
pub mod registry;
pub mod spec;
pub mod units;
pub mod workload;

pub use polyperf_transport as transport;
