//! Something tried in a copy of this process, so that what it changes is gone afterwards.

use std::{
    fs::File,
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use super::{checked, init::pipe, wait};

/// Does something in a copy of this process, and returns what it wrote to its output.
///
/// To be called by the only thread: a copy of a process has a single one.
pub(in crate::lab) fn in_a_copy(
    work: impl FnOnce(&mut File),
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let (read, write) = pipe()?;
    // SAFETY: there is only one thread, so that the copy finds every lock open.
    let copy = checked(unsafe { libc::fork() })?;
    if copy == 0 {
        drop(read);
        let mut output = File::from(write);
        // SAFETY: it takes numbers. The copy is not to outlive who asked.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut output)));
        let _ = output.flush();
        // SAFETY: it ends the copy, with nothing of the original's left to do.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let answer = read_all(File::from(read), limit);
    // SAFETY: it is our child and has not been waited for, so that its number is still its own.
    unsafe {
        libc::kill(copy, libc::SIGKILL);
        libc::waitpid(copy, std::ptr::null_mut(), 0);
    }
    answer
}

fn read_all(mut from: File, limit: Duration) -> io::Result<Vec<u8>> {
    let until = Instant::now() + limit;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while answer.len() < LONGEST_ANSWER {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {limit:?}"),
            ));
        }
        if !wait::readable(&from, Some(left))? {
            continue;
        }
        match from.read(&mut part)? {
            0 => break,
            len => answer.extend_from_slice(&part[..len]),
        }
    }
    Ok(answer)
}

const LONGEST_ANSWER: usize = 1 << 20;
