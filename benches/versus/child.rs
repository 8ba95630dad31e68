//! A child process from its start to its end, and what it took.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::{Holdings, Result};

/// What a process printed, and what it took.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) output: Vec<u8>,
    pub(crate) cpu: Duration,
    /// The most that was resident, as far as it was looked at.
    pub(crate) peak_kb: Option<u64>,
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> Result<Ran> {
    let pipes = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let output = reader(child.stdout.take());
    let errors = reader(child.stderr.take());
    let (status, cpu, peak_kb) = watch(&child)?;
    let read = |thread: thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    let (output, errors) = (read(output), read(errors));
    if status != 0 {
        let said = String::from_utf8_lossy(&[&*output, &*errors].concat()).trim().to_owned();
        return Err(format!("{command:?} failed: {said}").into());
    }
    Ok(Ran { output, cpu, peak_kb })
}

fn reader(pipe: Option<impl std::io::Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read is missed by whoever looks for it.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// Waits for the end of `child`, and returns its status, its processor time and its memory.
fn watch(child: &Child) -> Result<(i32, Duration, Option<u64>)> {
    let pid = i32::try_from(child.id())?;
    let mut peak = None;
    loop {
        peak = peak_kb(child.id()).or(peak);
        let mut status = 0;
        // SAFETY: all zeros are a valid rusage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both outlive the call, and the process is a child that nobody else waits for.
        let ended = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) };
        match ended {
            0 => thread::sleep(LOOK),
            -1 => return Err(std::io::Error::last_os_error().into()),
            _ => return Ok((status, time(usage.ru_utime) + time(usage.ru_stime), peak)),
        }
    }
}

fn time(time: libc::timeval) -> Duration {
    let micros = time.tv_sec * 1_000_000 + time.tv_usec;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Returns the most that a process has had resident, since it started or since it was
/// [reset](reset_peak).
pub(crate) fn peak_kb(pid: u32) -> Option<u64> {
    Holdings::figure(pid, "VmHWM:").ok()
}

/// Forgets what a process has had resident at most.
pub(crate) fn reset_peak(pid: u32) {
    // Where that is not permitted, the figure is that of all its runs.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(10);
