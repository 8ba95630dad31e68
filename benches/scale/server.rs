//! The server that the crowd comes to.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Holdings, Process, Result, cpu_of};

/// A server process of the program itself.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) addr: SocketAddr,
    /// What its identity is kept in.
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server for so many tests at a time, on a free port.
    pub(crate) fn start(sessions: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -Sn 1024 && exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_polyperf"))
            .args(["server", "-p", "0", "--log-format", "json"])
            .args(["--max-sessions", &sessions.to_string(), "--state-dir"])
            .arg(folder.path());
        let (process, port) = Process::start_logging(&mut command, port)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self { process, addr, _folder: folder })
    }

    /// Returns what it holds now.
    pub(crate) fn holdings(&self) -> Result<Holdings> {
        Holdings::of(self.process.id())
    }

    /// Returns the processor time that it has used.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        Ok(cpu_of(self.process.id())?.0)
    }

    /// Returns what it holds when its last test has been over for a while.
    pub(crate) async fn rested(&self) -> Result<Holdings> {
        tokio::time::sleep(REST).await;
        self.holdings()
    }

    /// Returns what it holds once it has no more descriptors and threads than `base`, or after a
    /// while.
    pub(crate) async fn settled(&self, base: Holdings) -> Result<Holdings> {
        let until = Instant::now() + SETTLE;
        loop {
            let now = self.holdings()?;
            if kept(base, now).is_empty() || Instant::now() >= until {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Says what of `end` is more than it was at the `start`.
pub(crate) fn kept(start: Holdings, end: Holdings) -> Vec<String> {
    let mut kept = Vec::new();
    if end.descriptors > start.descriptors {
        let (was, is) = (start.descriptors, end.descriptors);
        kept.push(format!("{is} descriptors are open, and {was} were at the start"));
    }
    if end.threads > start.threads {
        let (was, is) = (start.threads, end.threads);
        kept.push(format!("{is} threads run, and {was} did at the start"));
    }
    kept
}

/// Lets this process have so many descriptors, or says that it cannot.
pub(crate) fn provide_descriptors(wanted: usize) -> Result<()> {
    let wanted = libc::rlim_t::try_from(wanted + SPARE)?;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it fills in the structure, which is there.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    if limit.rlim_max < wanted {
        let max = limit.rlim_max;
        return Err(format!("this takes {wanted} descriptors, and the hard limit is {max}").into());
    }
    limit.rlim_cur = limit.rlim_cur.max(wanted);
    // SAFETY: it reads the structure, which is there.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}

/// Returns the port of a line of the log that names the address listened on.
fn port(line: &str) -> Option<u16> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(line["addr"].as_str()?.parse::<SocketAddr>().ok()?.port())
}

/// Longer than flows linger whose last acknowledgement may be lost.
const REST: Duration = Duration::from_secs(4);
/// How long the last of a crowd may take to go.
const SETTLE: Duration = Duration::from_secs(10);
/// What the process has open beside.
const SPARE: usize = 200;
