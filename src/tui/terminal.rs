use std::{
    env,
    io::{self, IsTerminal as _, Stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

use super::journal;

/// Whether the terminal is ours, and has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

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

/// Gives the terminal back as it was, if a screen has it: for whoever ends the program at once.
pub fn restore() {
    if !TAKEN.swap(false, SeqCst) {
        return;
    }
    journal::show(false);
    // What cannot be restored cannot be told either.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// The terminal, until it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Guard {
    pub(super) fn take() -> io::Result<Self> {
        restore_before_panics();
        TAKEN.store(true, SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => {
                journal::show(io::stderr().is_terminal());
                Ok(Self { terminal })
            }
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // Whoever ends the program has the terminal already.
        if !TAKEN.load(SeqCst) {
            return Ok(());
        }
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
        // Lines that nobody has seen are not lost.
        for line in journal::drain() {
            use io::Write as _;
            let _ = writeln!(journal::log(), "{line}");
        }
    }
}

/// Has a panic of any thread shown on the terminal as it was.
fn restore_before_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A session that breaks down is not the end of the program: the screen stays, and the
            // log has what is told.
            if std::thread::current().name().is_some_and(|name| name == "tui" || name == "main") {
                restore();
            }
            usual(info);
        }));
    });
}
