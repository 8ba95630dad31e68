//! The web interface over real connections: what it tells, what it does, and for whom.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod admin;
mod histories;
mod hostile;
mod http;
mod live;
mod runs;
mod support;
