//! Charts on a terminal, and the terminal afterwards.

use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::{Child, Command, ExitStatus, Stdio},
};

use crate::program::{Server, kill, polyperf};

/// A terminal, seen from outside.
struct Terminal {
    outside: File,
    inside: OwnedFd,
}

impl Terminal {
    fn open() -> Self {
        let (mut outside, mut inside) = (0, 0);
        let size = libc::winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let no_name = std::ptr::null_mut();
        // SAFETY: the three places exist, and nothing else is written to.
        let opened = unsafe {
            libc::openpty(
                &raw mut outside,
                &raw mut inside,
                no_name,
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both have just been opened, and belong to nobody else.
        unsafe {
            Self { outside: File::from_raw_fd(outside), inside: OwnedFd::from_raw_fd(inside) }
        }
    }

    /// Returns how the terminal treats what is typed and written.
    fn modes(&self) -> [libc::tcflag_t; 4] {
        // SAFETY: all zeros are a valid value, and it is filled in.
        let mut modes: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the terminal is open, and the place exists.
        assert_eq!(unsafe { libc::tcgetattr(self.inside.as_raw_fd(), &raw mut modes) }, 0);
        [modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag]
    }

    /// Starts a program on it, which takes it for a terminal of this kind.
    fn spawn(&self, mut command: Command, kind: &str) -> Child {
        let end = || Stdio::from(self.inside.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end()).env("TERM", kind);
        command.spawn().unwrap()
    }

    /// Reads until `part` has been written.
    fn until(&mut self, part: &str) -> String {
        let mut seen = Vec::new();
        let mut bytes = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains(part) {
            let read = self.outside.read(&mut bytes).unwrap();
            seen.extend_from_slice(&bytes[..read]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Waits for the program's end, and returns how it ended and what else it wrote.
    fn end(mut self, mut child: Child) -> (ExitStatus, String) {
        let mut outside = self.outside.try_clone().unwrap();
        let rest = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut bytes = [0; 4096];
            // Reading fails once nobody has the inside any more.
            while let Ok(read @ 1..) = outside.read(&mut bytes) {
                seen.extend_from_slice(&bytes[..read]);
            }
            String::from_utf8_lossy(&seen).into_owned()
        });
        let status = child.wait().unwrap();
        let modes = self.modes();
        let usual = Terminal::open().modes();
        assert_eq!(modes, usual, "the terminal is as it was");
        self.inside = File::open("/dev/null").unwrap().into();
        (status, rest.join().unwrap())
    }
}

/// What switches to another screen, and back.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";
const XTERM: &str = "xterm-256color";

#[test]
fn charts_are_shown_while_a_test_runs_and_the_report_follows() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::open();
    let command = server.command(&["-t", "1", "-i", "0.1", "-b", "10M", "--tui"]);
    let child = terminal.spawn(command, XTERM);
    let mut seen = terminal.until("goodput");
    let (status, rest) = terminal.end(child);
    seen.push_str(&rest);
    assert!(status.success());
    let (before, after) = seen.split_once(LEAVE).unwrap_or_else(|| panic!("{seen:?}"));
    assert!(before.contains(ENTER), "{before:?}");
    assert!(after.contains("receiver"), "{after:?}");
    assert!(!after.contains(ENTER), "{after:?}");
}

#[test]
fn a_server_that_is_told_to_stop_gives_the_terminal_back() {
    for signals in [1, 3] {
        let mut terminal = Terminal::open();
        let child = terminal.spawn(polyperf(&["server", "-p", "0", "--tui"]), XTERM);
        terminal.until("no test yet");
        for _ in 0..signals {
            kill(&child, libc::SIGTERM);
        }
        let (_, rest) = terminal.end(child);
        assert!(rest.contains(LEAVE), "{rest:?}");
    }
}

#[test]
fn where_there_is_no_terminal_lines_are_written_as_ever() {
    let server = Server::start(&[]);
    let ended = server.client(&["-t", "0.2", "--tui"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("receiver") && !ended.out.contains('\u{1b}'), "{ended:?}");
    assert!(ended.err.contains("no terminal"), "{ended:?}");
}

#[test]
fn a_terminal_that_can_write_lines_alone_gets_lines() {
    let server = Server::start(&[]);
    let terminal = Terminal::open();
    let child = terminal.spawn(server.command(&["-t", "0.2", "--tui"]), "dumb");
    let (status, seen) = terminal.end(child);
    assert!(status.success());
    assert!(seen.contains("lines alone") && seen.contains("receiver"), "{seen:?}");
    assert!(!seen.contains(ENTER), "{seen:?}");
}
