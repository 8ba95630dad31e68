//! Command lines as users type them.

mod accepted;
mod diffs;
mod histories;
mod identities;
mod layered;
mod refused;
mod soup;

use std::ffi::OsString;

use super::{CertArgs, ClientArgs, Command, Exit, Invocation, ServerArgs, parse};
use crate::config::Sources;

const TRANSPORTS: [&str; 4] = ["tcp", "udp", "kcp", "quic"];

/// Parses a line, split at blanks.
fn line(text: &str) -> Result<Command, Exit> {
    words(&text.split_whitespace().collect::<Vec<_>>())
}

/// Parses words behind the program's name.
fn words(words: &[&str]) -> Result<Command, Exit> {
    with(words, &Sources::none()).map(|invocation| invocation.command)
}

/// Parses words behind the program's name, with what comes from elsewhere.
fn with(words: &[&str], sources: &Sources) -> Result<Invocation, Exit> {
    parse(["polyperf"].iter().chain(words).map(OsString::from), &TRANSPORTS, sources)
}

fn client(text: &str) -> ClientArgs {
    match line(text) {
        Ok(Command::Client(args)) => args,
        other => panic!("{text}: {other:?}"),
    }
}

fn server(text: &str) -> ServerArgs {
    match line(text) {
        Ok(Command::Server(args)) => args,
        other => panic!("{text}: {other:?}"),
    }
}

fn cert(text: &str) -> CertArgs {
    match line(text) {
        Ok(Command::Cert(args)) => args,
        other => panic!("{text}: {other:?}"),
    }
}

/// Returns the mistakes in a line.
#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let exit = line(text).expect_err(text);
    assert_eq!(
        (exit.stream, exit.code),
        (super::Stream::Stderr, super::exit::USAGE),
        "{text}: {exit:?}"
    );
    exit.text.lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect()
}
