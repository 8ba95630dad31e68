use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{cli::exit, tui::Stage};

/// What a terminal or a service manager sends to have a program stop.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    stage: Stage,
}

/// Returns what a service manager sends to have a program read its configuration again.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

impl Signals {
    /// The name of what asks for an end without a terminal.
    pub(super) const TERMINATE: &'static str = "SIGTERM";

    /// Listens, for a program with this terminal.
    pub(super) fn listen(stage: Stage) -> io::Result<Self> {
        Ok(Self {
            stage,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns the terminal that is given back before the program leaves.
    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Waits for the next one, and returns its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "an interrupt (Ctrl-C)",
            _ = self.terminate.recv() => Self::TERMINATE,
        }
    }

    /// Leaves at once when the next one comes.
    pub(super) fn then_leave(mut self) {
        tokio::spawn(async move {
            self.next().await;
            self.stage.restore();
            process::exit(exit::INTERRUPTED.into());
        });
    }
}
