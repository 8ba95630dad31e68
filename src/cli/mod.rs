//! The command line: from arguments to checked values.
//!
//! Everything here is pure. Options are scanned, sorted to their subcommand, and handed to clap in
//! one form; then each value is checked, so that all mistakes are reported at once. iperf3's way of
//! calling (`-c HOST`, `-s`) means the same as the subcommands.

mod access;
mod args;
mod client;
mod compare;
pub mod exit;
mod host;
mod iperf3;
mod packets;
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
        Access, ClientArgs, Command, CompareArgs, Family, Local, Log, LogFormat, LogLevel, Login,
        Output, Prefix, Report, ServerArgs, Target, Unit,
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
    let Some(mode) = mode else { return Err(complaint(&mistakes, None)) };
    // A missing host is one mistake among others, for which clap would not look any more.
    let command = match mode {
        Mode::Client => command
            .mut_subcommand("client", |client| client.mut_arg("host", |host| host.required(false))),
        Mode::Server | Mode::Compare => command,
    };
    let raw =
        command.try_get_matches_from(argv).and_then(|matches| Raw::from_arg_matches(&matches));
    let checked = match raw {
        Ok(raw) => check(&raw, transports, &mut mistakes),
        Err(error) => {
            mistakes.add(error.kind().to_string());
            None
        }
    };
    match checked {
        Some(checked) if mistakes.is_empty() => Ok(checked),
        _ => Err(complaint(&mistakes, Some(mode))),
    }
}

fn check(raw: &Raw, transports: &[&str], mistakes: &mut Mistakes) -> Option<Command> {
    Some(match &raw.command {
        RawCommand::Client(raw) => Command::Client(client::client(raw, transports, mistakes)?),
        RawCommand::Server(raw) => Command::Server(server::server(raw, mistakes)),
        RawCommand::Compare(raw) => Command::Compare(compare::compare(raw, transports, mistakes)),
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
    let named = mode.and_then(|mode| command.find_subcommand_mut(mode.name()));
    match named {
        Some(named) => named.render_help().to_string(),
        None => command.render_help().to_string(),
    }
}
