//! The `polyperf` program: from its arguments to its exit code.

mod cert;
mod client;
mod compare;
mod config;
mod descriptors;
mod diff;
mod doctor;
mod governance;
mod history;
mod lab;
mod logging;
mod login;
mod manual;
mod memory;
mod notify;
mod output;
mod progress;
mod reload;
mod screen;
mod security;
mod server;
mod settings;
mod signals;
mod sources;
mod web;

use std::{
    ffi::OsString,
    io::{self, Write as _},
};

use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{self, Command, Exit, Invocation, Stream, exit},
    registry::Registry,
};

/// Runs the program with these arguments, the first of which is its name, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    memory::give_back_large_buffers();
    let names = Registry::standard().names();
    let line: Vec<OsString> = args.into_iter().collect();
    let parsed = cli::parse(line.iter().cloned(), &names, &sources::of_process());
    let Invocation { command, settings } = match parsed {
        Ok(invocation) => invocation,
        Err(exit) => return leave(&exit),
    };
    match command {
        Command::Client(args) => {
            on(&mut Builder::new_current_thread(), client::run(args, &settings.warnings, None))
        }
        Command::Server(args) => {
            if let Err(mistake) = server::keep_off(args.data_processors.as_ref()) {
                complain(&mistake);
                return exit::LOCAL_IO;
            }
            on(&mut Builder::new_multi_thread(), server::run(args, settings, line))
        }
        Command::Compare(args) => compare::start(args, &settings.warnings),
        Command::Lab(args) => lab::run(args),
        Command::Diff(args) => diff::run(&args),
        Command::Cert(args) => cert::run(&args),
        Command::Psk(args) => governance::make(&args),
        Command::History(args) => on(&mut Builder::new_current_thread(), history::run(args)),
        Command::Config(args) => settings::run(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(shell) => manual::completions(shell),
        Command::Man(folder) => manual::manual(folder.as_deref()),
        Command::WebPassword => web::password(),
    }
}

fn on(builder: &mut Builder, work: impl Future<Output = u8>) -> u8 {
    let runtime: Runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return exit::LOCAL_IO;
        }
    };
    let code = runtime.block_on(work);
    // A name look-up that hangs must not hold up the exit.
    runtime.shutdown_background();
    code
}

/// Does some work on as many threads as there are processors.
fn on_threads(work: impl Future<Output = u8>) -> u8 {
    on(&mut Builder::new_multi_thread(), work)
}

fn leave(exit: &Exit) -> u8 {
    // A closed stream leaves nobody to tell.
    let _ = match exit.stream {
        Stream::Stdout => io::stdout().write_all(exit.text.as_bytes()),
        Stream::Stderr => io::stderr().write_all(exit.text.as_bytes()),
    };
    exit.code
}

/// Writes what was asked for to standard output, and returns the exit code: `code`, unless it
/// cannot be written. A closed stream leaves nobody to tell.
fn print(text: &str, code: u8) -> u8 {
    print_bytes(text.as_bytes(), code)
}

fn print_bytes(text: &[u8], code: u8) -> u8 {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"));
            exit::LOCAL_IO
        }
        _ => code,
    }
}

/// Says on standard error why something could not be done.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "polyperf: {text}");
}
