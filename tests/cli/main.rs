//! The program as its users have it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod access;
mod cert;
mod diff;
mod endings;
mod governance;
mod identity;
mod local;
mod output;
mod program;
mod readme;
