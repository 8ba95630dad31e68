use std::{fmt, io, io::IsTerminal as _, sync::Arc};

use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Log, LogFormat, LogLevel},
    tui::Stage,
};

/// Changes the level of the log while the program runs.
#[derive(Clone)]
pub(super) struct Level(Arc<dyn Fn(LogLevel) + Send + Sync>);

/// Sends log lines to standard error, or onto the screen that covers it: standard output holds results
/// alone.
pub(super) fn start(log: &Log, stage: &Stage) -> Level {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(log.level))
        .with_writer(stage.clone())
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && !plain);
    // Whoever has set up logging before, in a test say, keeps it.
    match log.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Level(Arc::new(move |level| drop(handle.reload(filter(level)))))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Level(Arc::new(move |level| drop(handle.reload(filter(level)))))
        }
    }
}

impl Level {
    /// Shows lines of this level and the more severe ones from now on.
    pub(super) fn set(&self, level: LogLevel) {
        (self.0)(level);
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level").finish_non_exhaustive()
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("polyperf={}", level.name()))
}
