use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::cli::{Log, LogFormat};

/// Sends log lines to standard error: standard output holds results alone.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::new(format!("polyperf={}", log.level.name()));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(crate::tui::log)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && !plain);
    // Whoever has set up logging before, in a test say, keeps it.
    let _ = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
