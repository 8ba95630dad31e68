use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use ratatui::crossterm::{
    cursor::Show,
    execute,
    terminal::{LeaveAlternateScreen, disable_raw_mode},
};
use tracing_subscriber::fmt::MakeWriter;

/// The terminal that the program has: whether a screen covers it, and what is logged meanwhile.
/// Clones are of the same terminal.
#[derive(Debug, Clone, Default)]
pub struct Stage(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether a screen has the terminal, which has to be given back.
    taken: AtomicBool,
    /// Whether log lines are shown on the screen, because standard error is the same terminal.
    shown: AtomicBool,
    /// Whether panics give the terminal back.
    hooked: AtomicBool,
    lines: Mutex<VecDeque<String>>,
}

impl Stage {
    /// Gives the terminal back as it was, if a screen has it: for whoever ends the program at once.
    pub fn restore(&self) {
        if !self.0.taken.swap(false, SeqCst) {
            return;
        }
        self.0.shown.store(false, SeqCst);
        // What cannot be restored cannot be told either.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }

    /// Takes note that a screen has the terminal.
    pub(super) fn take(&self) {
        self.0.taken.store(true, SeqCst);
        if !self.0.hooked.swap(true, SeqCst) {
            self.restore_before_panics();
        }
    }

    pub(super) fn is_taken(&self) -> bool {
        self.0.taken.load(SeqCst)
    }

    /// Has log lines shown on the screen from now on, where they would be written over it.
    pub(super) fn show_log(&self) {
        self.0.shown.store(io::stderr().is_terminal(), SeqCst);
    }

    /// Takes the lines that have been logged since.
    pub(super) fn logged(&self) -> Vec<String> {
        self.lines().drain(..).collect()
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a panic shown on the terminal as it was.
    fn restore_before_panics(&self) {
        let usual = std::panic::take_hook();
        let stage = self.clone();
        std::panic::set_hook(Box::new(move |info| {
            // A session that breaks down is not the end of the program: the screen stays, and the
            // log has what is told.
            if std::thread::current().name().is_some_and(|name| name == "tui" || name == "main") {
                stage.restore();
            }
            usual(info);
        }));
    }
}

impl<'a> MakeWriter<'a> for Stage {
    type Writer = Paper;

    fn make_writer(&'a self) -> Paper {
        Paper { stage: self.clone(), bytes: Vec::new() }
    }
}

/// A line of the log, which goes to standard error, or onto the screen that covers it.
#[derive(Debug)]
pub struct Paper {
    stage: Stage,
    bytes: Vec<u8>,
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        if !self.stage.0.shown.load(SeqCst) {
            // A closed standard error leaves nobody to tell.
            let _ = io::stderr().write_all(&self.bytes);
            return;
        }
        let mut lines = self.stage.lines();
        for line in String::from_utf8_lossy(&self.bytes).lines() {
            if lines.len() >= MOST {
                lines.pop_front();
            }
            lines.push_back(plain(line));
        }
    }
}

/// Returns a line without the colours that the log has on a terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let text = part.find('m').map_or(part, |end| &part[end + 1..]);
        plain.push_str(text);
    }
    plain
}

/// Lines that may wait to be shown.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off_a_line() {
        assert_eq!(
            plain("\u{1b}[2m12:00\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m begun"),
            "12:00  INFO begun"
        );
        assert_eq!(plain("no colour"), "no colour");
        assert_eq!(plain("\u{1b}["), "");
    }

    #[test]
    fn a_log_under_a_screen_is_kept_to_its_last_lines() {
        let stage = Stage::default();
        stage.0.shown.store(true, SeqCst);
        for number in 0..1000 {
            writeln!(stage.make_writer(), "line {number}").unwrap();
        }
        let lines = stage.logged();
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (MOST, Some("line 999")));
        assert_eq!(stage.logged(), [""; 0]);
    }
}
