use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Whether log lines are shown on the screen, because standard error is the same terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);
static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Where log lines go: to standard error, or onto the screen that covers it.
pub(crate) fn log() -> impl Write {
    Paper(Vec::new())
}

pub(super) fn show(shown: bool) {
    SHOWN.store(shown, Relaxed);
}

/// Takes the lines that have been logged since.
pub(super) fn drain() -> Vec<String> {
    lines().drain(..).collect()
}

fn lines() -> std::sync::MutexGuard<'static, VecDeque<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line of the log.
struct Paper(Vec<u8>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        if !SHOWN.load(Relaxed) {
            // A closed standard error leaves nobody to tell.
            let _ = io::stderr().write_all(&self.0);
            return;
        }
        let mut lines = lines();
        for line in String::from_utf8_lossy(&self.0).lines() {
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
}
