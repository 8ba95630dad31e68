//! The lab: emulated links between two ends on one machine.

pub mod preset;
