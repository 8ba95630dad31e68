//! One perf server for every transport.

pub mod event;
pub mod measure;
mod micros;
pub mod outcome;
pub mod report;
pub mod spec;
pub mod units;

pub use polyperf_transport as transport;
