use std::{
    env,
    io::{self, IsTerminal as _, Stdout, Write as _},
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        execute,
        terminal::{EnterAlternateScreen, enable_raw_mode},
    },
};
use tracing_subscriber::fmt::MakeWriter as _;

use super::Stage;

/// Why there is no screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Standard output or input is none.
    #[error("standard input or output is no terminal")]
    NoTerminal,
    /// `TERM` says that it cannot move its cursor.
    #[error("TERM says that this terminal can write lines alone")]
    Dumb,
}

/// Checks that there is a terminal that a screen can be drawn on.
///
/// # Errors
///
/// What is in the way.
pub fn fits() -> Result<(), Unfit> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Unfit::NoTerminal);
    }
    match env::var("TERM").as_deref() {
        Ok("dumb" | "") | Err(_) => Err(Unfit::Dumb),
        Ok(_) => Ok(()),
    }
}

/// The terminal, until it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    stage: Stage,
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Guard {
    pub(super) fn take(stage: Stage) -> io::Result<Self> {
        stage.take();
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => {
                stage.show_log();
                Ok(Self { stage, terminal })
            }
            Err(error) => {
                stage.restore();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // Whoever ends the program has the terminal already.
        if !self.stage.is_taken() {
            return Ok(());
        }
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stage.restore();
        // Lines that nobody has seen are not lost.
        for line in self.stage.logged() {
            let _ = writeln!(self.stage.make_writer(), "{line}");
        }
    }
}
