//! The first process of a namespace of processes, with which all others in it end.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    ptr,
};

use super::{checked, owned};

/// A namespace of processes that lasts as long as this value, and no longer than this process.
///
/// The kernel ends all that live in such a namespace when its first process ends, and that one ends
/// with its parent, however the parent came to its end.
#[derive(Debug)]
pub(in crate::lab) struct Processes {
    namespace: File,
    first: libc::pid_t,
    /// The first process reads from the other end; when nobody can write any more, it ends.
    lifeline: Option<OwnedFd>,
}

impl Processes {
    /// Makes the namespace, and its first process. To be called by the only thread.
    pub(in crate::lab) fn new() -> io::Result<Self> {
        let (read, write) = pipe()?;
        let kind = libc::c_long::from(libc::CLONE_NEWPID | libc::SIGCHLD);
        let nothing = ptr::null::<libc::c_void>();
        // SAFETY: without a stack of its own it is a fork. There is only one thread, and the child
        // makes nothing but system calls until it ends.
        let first =
            unsafe { libc::syscall(libc::SYS_clone, kind, nothing, nothing, nothing, nothing) };
        if first == 0 {
            wait_for_the_end(read.as_raw_fd());
        }
        let first = checked(libc::pid_t::try_from(first).unwrap_or(-1))?;
        let namespace = File::open(format!("/proc/{first}/ns/pid"));
        let mut processes = match namespace {
            Ok(namespace) => Self { namespace, first, lifeline: None },
            Err(error) => {
                drop(write);
                reap(first);
                return Err(error);
            }
        };
        processes.lifeline = Some(write);
        Ok(processes)
    }

    pub(in crate::lab) fn namespace(&self) -> &File {
        &self.namespace
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // SAFETY: it is our child and has not been waited for, so that its number is still its own.
        unsafe { libc::kill(self.first, libc::SIGKILL) };
        drop(self.lifeline.take());
        // It ends after all others of the namespace, and those wait for whoever started them: not
        // here, where that may be the caller.
        // SAFETY: it is told that nobody wants the status.
        unsafe { libc::waitpid(self.first, ptr::null_mut(), libc::WNOHANG) };
    }
}

/// What the first process does.
fn wait_for_the_end(lifeline: libc::c_int) -> ! {
    let kept = libc::c_uint::try_from(lifeline).unwrap_or(0);
    let mut byte = 0_u8;
    // SAFETY: system calls on numbers, and one that writes to the byte that is given. Descriptors
    // that are closed here are those of the copy, which nothing uses.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Orphans of this namespace become its children, and need nobody to wait for them.
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        if kept > 0 {
            libc::close_range(0, kept - 1, 0);
        }
        libc::close_range(kept + 1, libc::c_uint::MAX, 0);
        loop {
            let read = libc::read(lifeline, (&raw mut byte).cast(), 1);
            if read == 0 || (read < 0 && *libc::__errno_location() != libc::EINTR) {
                libc::_exit(0);
            }
        }
    }
}

/// Waits until a child has ended.
fn reap(child: libc::pid_t) {
    // SAFETY: it is told that nobody wants the status.
    while unsafe { libc::waitpid(child, ptr::null_mut(), 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// Returns the ends of a pipe, to read from and to write to.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: it fills in both numbers.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((owned(ends[0])?, owned(ends[1])?))
}

/// Has a program end when the thread that starts it does.
pub(in crate::lab) fn end_with_parent(command: &mut Command) {
    let end = || {
        // SAFETY: it takes numbers alone.
        checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
    };
    // SAFETY: between the fork and the program it makes a single system call.
    unsafe { command.pre_exec(end) };
}
