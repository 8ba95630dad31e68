//! The `polyperf` program: from its arguments to its exit code.

mod cert;
mod client;
mod compare;
mod config;
mod descriptors;
mod diff;
mod governance;
mod logging;
mod login;
mod memory;
mod output;
mod progress;
mod security;
mod server;
mod signals;

use std::{
    ffi::OsString,
    io::{self, Write as _},
};

use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{self, Command, Exit, Stream, exit},
    registry::Registry,
};

/// Runs the program with these arguments, the first of which is its name, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    memory::give_back_large_buffers();
    let names = Registry::standard().names();
    match cli::parse(args, &names) {
        Ok(Command::Client(args)) => on(&mut Builder::new_current_thread(), client::run(args)),
        Ok(Command::Server(args)) => on(&mut Builder::new_multi_thread(), server::run(args)),
        Ok(Command::Compare(args)) => on(&mut Builder::new_multi_thread(), compare::run(args)),
        Ok(Command::Diff(args)) => diff::run(&args),
        Ok(Command::Cert(args)) => cert::run(&args),
        Ok(Command::Psk(args)) => governance::make(&args),
        Err(exit) => leave(&exit),
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
    match io::stdout().write_all(text.as_bytes()) {
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
