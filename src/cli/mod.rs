//! The command line: from arguments to checked values.
//!
//! Everything here is pure. Options are scanned, sorted to their subcommand, filled in from the
//! environment and the configuration file, and handed to clap in one form; then each value is checked,
//! so that all mistakes are reported at once. iperf3's way of calling (`-c HOST`, `-s`) means the same
//! as the subcommands.

mod access;
mod args;
mod cert;
mod client;
mod compare;
mod config;
mod diff;
mod exchange;
pub mod exit;
mod explain;
mod governance;
mod history;
mod host;
mod identity;
mod iperf3;
mod kcp;
mod lab;
mod layers;
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
mod tools;
mod values;
mod web;

use std::{ffi::OsString, path::Path};

use clap::{CommandFactory, FromArgMatches};

pub use self::{
    args::{
        Access, CertArgs, ClientArgs, Command, CompareArgs, ConfigArgs, DiffArgs, DoctorArgs,
        Family, Governance, HistoryArgs, HistoryAt, HistoryFilter, HistoryKept, KeyFile, LabArgs,
        LabLink, LinkMade, LinksArgs, Local, Log, LogFormat, LogLevel, Login, Output, Place,
        Prefix, Proof, PskArgs, Report, ServerArgs, Shells, Target, Tls, Trust, Unit, When,
    },
    exit::{Exit, Stream},
    tools::{completion_script, manual},
    web::WebArgs,
};
use self::{
    explain::explain,
    layers::{Layers, Read},
    raw::{Raw, RawCommand},
    sort::{Request, Sorted},
    table::{Mode, Table},
    values::Mistakes,
};
use crate::config::{File, Settings, Sources};

/// What is to be done, and where its settings come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// What is to be done.
    pub command: Command,
    /// What its options are set to.
    pub settings: Settings,
}

/// Parses a command line, the program's name first. `transports` are the names to choose from, and
/// what was not typed may stand in `sources`.
///
/// # Errors
///
/// Returns what to print and the code to leave with: for help and version, and for mistakes, of
/// which it reports all at once.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    transports: &[&str],
    sources: &Sources,
) -> Result<Invocation, Exit> {
    let mut command = Raw::command();
    let table = Table::new(&command);
    let args: Vec<OsString> = args.into_iter().skip(1).collect();
    if args.is_empty() {
        return Err(Exit::usage(help(&mut command, None)));
    }
    match sort::sort(&command, scan::scan(&table, args)) {
        Request::Help(mode) => Err(Exit::answer(help(&mut command, mode))),
        Request::Version => Err(Exit::answer(command.render_version())),
        Request::Run(mut sorted) => {
            let settings = layers::fill_in(&command, &table, &mut sorted, sources);
            let mode = sorted.mode;
            match checked(command, sorted, transports) {
                Ok(command) => Ok(Invocation { command, settings }),
                Err(mistakes) => Err(complaint(&mistakes, mode, &settings)),
            }
        }
    }
}

/// Looks for mistakes in the text of the configuration file at `path`, and returns how many options
/// stand there.
///
/// # Errors
///
/// Every mistake.
pub fn check_file(path: &Path, text: &str, transports: &[&str]) -> Result<usize, Vec<String>> {
    let (mut count, mut lines) = (0, Vec::new());
    for mode in Mode::ALL.into_iter().filter(|mode| layers::prefix(*mode).is_some()) {
        let content = File::parse(path, text).map_err(|mistake| vec![mistake])?;
        let command = Raw::command();
        let table = Table::new(&command);
        let mut sorted = Sorted::bare(mode);
        let Some(layers) = Layers::new(&command, &table, Some(mode)) else { continue };
        let file = Read { path: path.to_owned(), content };
        let settings = layers.fill_in(&mut sorted, Some(file), &Sources::none());
        count += settings.all.iter().filter(|setting| setting.is_from_file()).count();
        if let Err(mistakes) = checked(command.clone(), sorted, transports) {
            lines.extend(mistakes.lines().map(|line| explain(&settings.all, line)));
        }
    }
    if lines.is_empty() { Ok(count) } else { Err(lines) }
}

/// Hands sorted options to clap, and checks their values.
fn checked(
    command: clap::Command,
    sorted: Sorted,
    transports: &[&str],
) -> Result<Command, Mistakes> {
    let argv = sorted.argv();
    let Sorted { complete, mut mistakes, .. } = sorted;
    if !complete {
        return Err(mistakes);
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
        _ => Err(mistakes),
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
        RawCommand::WebPassword(_) => Command::WebPassword,
        RawCommand::Cert(raw) => Command::Cert(cert::cert(&raw.command, mistakes)?),
        RawCommand::Config(raw) => Command::Config(config::config(&raw.command, mistakes)),
        RawCommand::Doctor(raw) => tools::doctor(raw, mistakes),
        RawCommand::Completions(raw) => tools::completions(raw, mistakes)?,
        RawCommand::Man(raw) => tools::man(raw, mistakes),
        RawCommand::History(raw) => Command::History(history::history(&raw.command, mistakes)?),
        RawCommand::Lab(raw) => Command::Lab(lab::lab(&raw.command, mistakes)?),
        RawCommand::Psk(raw) => Command::Psk(governance::psk(&raw.command, mistakes)?),
    })
}

/// Returns all mistakes, a line each, and where to read on.
fn complaint(mistakes: &Mistakes, mode: Option<Mode>, settings: &Settings) -> Exit {
    let mut text = String::new();
    for line in mistakes.lines() {
        text.push_str("error: ");
        text.push_str(&explain(&settings.all, line));
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
