//! polyperf's program, for the tests of this crate: it belongs to another.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(polyperf::program::run(std::env::args_os()))
}
