//! The native control protocol's machines, over a link and a clock that the tests hold in hand.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod clean;
mod deadlines;
mod distrust;
mod document;
mod driver;
mod faults;
mod fixtures;
mod link;
mod pair;
mod queue;
mod stops;
mod walk;
