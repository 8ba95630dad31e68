//! What the benchmarks share: a server in a process of its own, and what `/proc` says of a process.

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A child process, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts `command`, and waits for the first line of its output that `ready` takes.
    pub(crate) fn start<T>(
        command: &mut Command,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T)> {
        let mut process = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let output = process.0.stdout.take().ok_or("no standard output")?;
        Ok((process, wait_for(command, output, ready)?))
    }

    /// Starts `command`, and waits for the first line of its log that `ready` takes.
    pub(crate) fn start_logging<T>(
        command: &mut Command,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T)> {
        let mut process = Self(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?);
        let log = process.0.stderr.take().ok_or("no standard error")?;
        Ok((process, wait_for(command, log, ready)?))
    }

    /// Starts `command`, which says nothing of interest, and waits until it accepts connections at
    /// this port of this host.
    pub(crate) fn start_at(command: &mut Command, port: u16) -> Result<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let mut process = Self(child);
        let until = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = process.0.try_wait()? {
                return Err(format!("{command:?} ended before it was ready: {status}").into());
            }
            if Instant::now() > until {
                return Err(format!("{command:?} does not listen").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns what `ready` makes of the first line that it takes of what `command` says.
fn wait_for<T>(
    command: &Command,
    output: impl Read + Send + 'static,
    ready: impl Fn(&str) -> Option<T>,
) -> Result<T> {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next().transpose()? {
        if let Some(found) = ready(&line) {
            // What it says later is of no interest, but it must not block on saying it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(found);
        }
    }
    Err(format!("{command:?} ended before it was ready").into())
}

/// Starts this program once more, as a server.
pub(crate) fn start_server() -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    Process::start(command.arg("serve"), |line| line.parse().ok())
}

/// Serves so many tests at a time on a free port, whose address is printed first, until the process
/// is ended.
pub(crate) fn serve(max_sessions: usize) -> Result<()> {
    runtime()?.block_on(async {
        let builder = polyperf::Server::builder().max_sessions(max_sessions);
        let server = builder.listen("127.0.0.1:0".parse()?).bind().await?;
        let (_, addr) = server.local_addrs()[0];
        println!("{addr}");
        std::io::stdout().flush()?;
        server.run(std::future::pending()).await;
        Ok(())
    })
}

pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Holdings {
    pub(crate) rss_kb: u64,
    /// The most that was ever resident.
    pub(crate) peak_kb: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: usize,
}

impl Holdings {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            rss_kb: Self::figure(pid, "VmRSS:")?,
            peak_kb: Self::figure(pid, "VmHWM:")?,
            threads: Self::figure(pid, "Threads:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
        })
    }

    /// Returns what stands behind `key` in the status of a process.
    pub(crate) fn figure(pid: u32, key: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let word = line.and_then(|line| line.split_whitespace().next());
        Ok(word.ok_or_else(|| format!("no {key} in the status of {pid}"))?.parse()?)
    }

    /// Returns what the server holds once the last session has gone, and it has no more descriptors
    /// and threads than `base`, or after a while.
    pub(crate) async fn settled(server: &Process, base: Self) -> Result<Self> {
        let until = Instant::now() + SETTLE;
        loop {
            let now = Self::of(server.id())?;
            let back = now.descriptors <= base.descriptors && now.threads <= base.threads;
            if back || Instant::now() >= until {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Returns the processor time of a process: its own, and that of its children that have ended.
pub(crate) fn cpu_of(pid: u32) -> Result<(Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name comes before, in parentheses, and may contain anything.
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .ok_or("no name")?
        .1
        .split_whitespace()
        .map(str::parse::<u32>)
        .collect();
    let ticks = |index: usize| match fields.get(index) {
        Some(Ok(ticks)) => Ok(*ticks),
        _ => Err(format!("no field {index} in the stat of {pid}")),
    };
    let sum = |a, b| Ok::<_, String>(TICK * (ticks(a)? + ticks(b)?));
    Ok((sum(UTIME, STIME)?, sum(CUTIME, CSTIME)?))
}

/// Returns the middle one; of an even number, the mean of the two. `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let upper = percentile(values, 50)?;
    let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
    let lower = -percentile(&mirrored, 50)?;
    Some(f64::midpoint(lower, upper))
}

pub(crate) fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied()
}

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(10);
/// How long the server's last session may take to go.
const SETTLE: Duration = Duration::from_secs(3);
/// The kernel's unit of processor time towards programs.
const TICK: Duration = Duration::from_millis(10);
/// Fields of `/proc/PID/stat`, counted from the one after the name.
const UTIME: usize = 11;
const STIME: usize = 12;
const CUTIME: usize = 13;
const CSTIME: usize = 14;
