//! Commands of the sides of a link.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::Refused;
use crate::lab::{Endpoint, Lab};

/// A command that runs on one side.
#[derive(Debug)]
pub(super) struct Side {
    name: &'static str,
    child: Child,
}

impl Side {
    /// Starts a line of the shell's on a side. `{near}` and `{far}` in it stand for the addresses.
    pub(super) fn start(
        lab: &Lab,
        at: &Endpoint,
        name: &'static str,
        line: &str,
        output: Stdio,
    ) -> Result<Self, Refused> {
        let addresses = [
            ("{near}", lab.near().v4().to_string()),
            ("{far}", lab.far().v4().to_string()),
            ("{near6}", lab.near().v6().to_string()),
            ("{far6}", lab.far().v6().to_string()),
        ];
        let line = addresses
            .iter()
            .fold(line.to_owned(), |line, (mark, address)| line.replace(mark, address));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line]).stdin(Stdio::null()).stdout(output);
        Self::spawn(lab, at, name, command)
    }

    /// Starts a program on a side, which finds both addresses in its environment.
    pub(super) fn spawn(
        lab: &Lab,
        at: &Endpoint,
        name: &'static str,
        mut command: Command,
    ) -> Result<Self, Refused> {
        command.env("POLYPERF_NEAR", lab.near().v4().to_string());
        command.env("POLYPERF_FAR", lab.far().v4().to_string());
        let program = command.get_program().to_string_lossy().into_owned();
        let child = at.spawn(command).map_err(|error| {
            Refused::local(format!("cannot start {program} on the {name} side: {error}"))
        })?;
        Ok(Self { name, child })
    }

    /// Waits until it listens somewhere, so that who comes next finds it; not for long, since not
    /// every command does.
    pub(super) async fn ready(mut self) -> Result<Self, Refused> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && !listens(self.child.id()) {
            if let Some(status) = self.poll()? {
                return Err(Refused {
                    code: code(status),
                    text: format!("the command of the {} side has ended: {status}", self.name),
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(self)
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Refused> {
        loop {
            if let Some(status) = self.poll()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks it to end, and makes it, if it does not. What it has started ends with the lab.
    pub(super) async fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // One that has ended already need not be told.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        if tokio::time::timeout(PATIENCE, self.ended()).await.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>, Refused> {
        self.child.try_wait().map_err(|error| {
            Refused::local(format!(
                "cannot wait for the command of the {} side: {error}",
                self.name
            ))
        })
    }
}

/// Returns the exit code for what became of a command: 128 and the signal's number, as in a shell,
/// where a signal ended it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Returns whether anything in the network of a process takes connections or datagrams.
fn listens(process: u32) -> bool {
    let has = |table: &str, state: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| line.split_whitespace().nth(3) == Some(state))
    };
    ["tcp", "tcp6"].into_iter().any(|table| has(table, LISTENING))
        || ["udp", "udp6"].into_iter().any(|table| has(table, UNCONNECTED))
}

/// `TCP_LISTEN` and `TCP_CLOSE`, as in include/net/tcp_states.h; sockets of UDP have these, too.
const LISTENING: &str = "0A";
const UNCONNECTED: &str = "07";
/// How long a command may take to listen, and to end once it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_a_signal_ended_has_the_code_that_a_shell_gives_it() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn who_listens_is_seen() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listens(std::process::id()));
        drop(socket);
        assert!(!listens(u32::MAX));
    }
}
