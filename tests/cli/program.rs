//! The program as its users have it: processes, real sockets, what they print and how they exit.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

/// A `polyperf server` on a free port, killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

/// What a server has logged so far, and what wakes who waits for the next line.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<serde_json::Value>>,
    grown: Condvar,
}

/// A program that has ended: its exit code, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Returns a command that runs polyperf with these arguments. What is kept from one run to the next
/// is among what cargo builds.
pub(crate) fn polyperf(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyperf"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR");
    command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    // What is configured on this machine is nobody's business here.
    command.env("POLYPERF_CONFIG", "none");
    command
}

/// Runs polyperf to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    polyperf(args).output().unwrap().into()
}

impl Server {
    /// Starts a server with these arguments, and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = polyperf(&["server", "-p", "0", "--log-format", "json"]);
        Self::spawn(command.args(args).stdout(Stdio::null()))
    }

    /// Starts a server by this command, which logs as JSON, and waits until it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut first: Vec<serde_json::Value> = Vec::new();
        while first.last().is_none_or(|line| line["addr"].is_null()) {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            first.push(serde_json::from_str(&line).unwrap());
        }
        let addr = first.last().and_then(|line| line["addr"].as_str()).unwrap();
        let addr: std::net::SocketAddr = addr.parse().unwrap();
        let log = Arc::new(Log { lines: Mutex::new(first), ..Log::default() });
        let reader = Some(std::thread::spawn({
            let log = Arc::clone(&log);
            move || collect(lines, &log)
        }));
        Self { child, port: addr.port(), log, reader }
    }

    /// Runs a client against this server to its end.
    pub(crate) fn client(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// Starts a client against this server.
    pub(crate) fn start_client(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = polyperf(&["client", "127.0.0.1", "-p"]);
        command.arg(self.port.to_string()).args(args);
        command
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, signal: i32) {
        kill(&self.child, signal);
    }

    /// Waits until the server has logged a line with this message.
    pub(crate) fn wait_for(&self, message: &str) -> serde_json::Value {
        self.wait_for_nth(message, 1)
    }

    /// Waits until the server has logged so many lines with this message, and returns the last one.
    pub(crate) fn wait_for_nth(&self, message: &str, count: usize) -> serde_json::Value {
        let said = |line: &&serde_json::Value| {
            line["message"].as_str().is_some_and(|text| text.contains(message))
        };
        let lines = self.log.lines.lock().unwrap();
        let absent = |lines: &mut Vec<_>| lines.iter().filter(said).count() < count;
        let (lines, _) = self.log.grown.wait_timeout_while(lines, PATIENCE, absent).unwrap();
        let found = lines.iter().filter(said).nth(count - 1).cloned();
        found.unwrap_or_else(|| panic!("no {message:?} in {lines:#?}"))
    }

    /// Waits until the server has ended, and returns how, and its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<serde_json::Value>) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, std::mem::take(&mut self.log.lines.lock().unwrap()))
    }

    pub(crate) fn stdout(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Sends a program a signal.
pub(crate) fn kill(child: &Child, signal: i32) {
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: a child that was not waited for keeps its number, so no other program is hit.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
}

fn collect(lines: BufReader<ChildStderr>, log: &Log) {
    for line in lines.lines().map_while(Result::ok) {
        let value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        log.lines.lock().unwrap().push(value);
        log.grown.notify_all();
    }
}

/// A safety net: what is waited for comes at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(60);
