//! The command line: from arguments to checked values.
//!
//! Everything here is pure. Options are scanned, sorted to their subcommand, and handed to clap in
//! one form; then each value is checked, so that all mistakes are reported at once. iperf3's way of
//! calling (`-c HOST`, `-s`) means the same as the subcommands.

mod access;
mod args;
mod cert;
mod client;
mod compare;
mod diff;
mod exchange;
pub mod exit;
mod governance;
mod host;
mod identity;
mod iperf3;
mod kcp;
mod packets;
mod quic;
mod raw;
mod scan;
mod server;
mod shared;
mod sort;
mod table;
mod test_spec;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

pub use self::{
    args::{
        Access, CertArgs, ClientArgs, Command, CompareArgs, DiffArgs, Family, Governance, KeyFile,
        Local, Log, LogFormat, LogLevel, Login, Output, Place, Prefix, Proof, PskArgs, Report,
        ServerArgs, Target, Tls, Trust, Unit,
    },
    exit::{Exit, Stream},
};
use self::{
    raw::{Raw, RawCommand},
    sort::{Request, Sorted},
    table::{Mode, Table},
    values::Mistakes,
};

/// Parses a command line, the program's name first. `transports` are the names to choose from.
///
/// # Errors
///
/// Returns what to print and the code to leave with: for help and version, and for mistakes, of
/// which it reports all at once.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    transports: &[&str],
) -> Result<Command, Exit> {
    let mut command = Raw::command();
    let table = Table::new(&command);
    let args: Vec<OsString> = args.into_iter().skip(1).collect();
    if args.is_empty() {
        return Err(Exit::usage(help(&mut command, None)));
    }
    match sort::sort(&command, scan::scan(&table, args)) {
        Request::Help(mode) => Err(Exit::answer(help(&mut command, mode))),
        Request::Version => Err(Exit::answer(command.render_version())),
        Request::Run(sorted) => run(command, sorted, transports),
    }
}

fn run(command: clap::Command, sorted: Sorted, transports: &[&str]) -> Result<Command, Exit> {
    let Sorted { mode, argv, mut mistakes } = sorted;
    if argv.is_empty() {
        return Err(complaint(&mistakes, mode));
    }
    let raw = lenient(command)
        .try_get_matches_from(argv)
        .and_then(|matches| Raw::from_arg_matches(&matches));
    let checked = match raw {
        Ok(raw) => check(&raw, transports, &mut mistakes),
        Err(error) => {
            mistakes.add(error.kind().to_string());
            None
        }
    };
    match checked {
        Some(checked) if mistakes.is_empty() => Ok(checked),
        _ => Err(complaint(&mistakes, mode)),
    }
}

/// Leaves it to us to miss what is required: clap would look for no other mistake any more.
fn lenient(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.required(false)).mut_subcommands(lenient)
}

fn check(raw: &Raw, transports: &[&str], mistakes: &mut Mistakes) -> Option<Command> {
    Some(match &raw.command {
        RawCommand::Client(raw) => Command::Client(client::client(raw, transports, mistakes)?),
        RawCommand::Server(raw) => Command::Server(server::server(raw, mistakes)),
        RawCommand::Compare(raw) => Command::Compare(compare::compare(raw, transports, mistakes)),
        RawCommand::Diff(raw) => Command::Diff(diff::diff(raw, mistakes)?),
        RawCommand::Cert(raw) => Command::Cert(cert::cert(&raw.command, mistakes)?),
        RawCommand::Psk(raw) => Command::Psk(governance::psk(&raw.command, mistakes)?),
    })
}

/// Returns all mistakes, a line each, and where to read on.
fn complaint(mistakes: &Mistakes, mode: Option<Mode>) -> Exit {
    let mut text = String::new();
    for line in mistakes.lines() {
        text.push_str("error: ");
        text.push_str(line);
        text.push('\n');
    }
    let of = mode.map(|mode| format!(" {}", mode.name())).unwrap_or_default();
    Exit::usage(format!("{text}see polyperf{of} --help\n"))
}

fn help(command: &mut clap::Command, mode: Option<Mode>) -> String {
    command.build();
    let mut words = mode.into_iter().flat_map(Mode::words);
    let named = words.try_fold(command, |command, word| command.find_subcommand_mut(word));
    named.map(|named| named.render_help().to_string()).unwrap_or_default()
}
