//! Histories: what is kept, found again, and survives whatever happens to the database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod faults;
mod full;
mod killed;
mod places;
mod postgres;
mod store;
mod tests;
mod writer;
