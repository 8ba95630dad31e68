//! The program as its users have it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod access;
mod cert;
mod config;
mod diff;
mod endings;
mod governance;
mod history;
mod identity;
mod lab;
mod local;
mod operations;
mod output;
mod processors;
mod program;
mod readme;
mod screen;
mod web;
