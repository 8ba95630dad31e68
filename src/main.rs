//! One network performance server for every transport, and its client.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(polyperf::program::run(std::env::args_os()))
}
