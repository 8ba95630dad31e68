//! Waiting for descriptors, to the nanosecond.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use super::{checked, owned};

/// Waits until something can be read, for up to `limit`; returns whether it can.
pub(in crate::lab) fn readable(from: &impl AsFd, limit: Option<Duration>) -> io::Result<bool> {
    let mut waiting = Waiting::new([from.as_fd().as_raw_fd()]);
    waiting.wait(limit)?;
    Ok(waiting.is_ready(0))
}

/// Several descriptors that are waited for.
#[derive(Debug)]
pub(in crate::lab) struct Waiting {
    entries: Vec<libc::pollfd>,
}

impl Waiting {
    /// Waits for what can be read from these, which have to stay open meanwhile.
    pub(in crate::lab) fn new(descriptors: impl IntoIterator<Item = i32>) -> Self {
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        Self { entries: descriptors.into_iter().map(entry).collect() }
    }

    /// Waits for up to `limit`, or for ever; a signal ends it early.
    pub(in crate::lab) fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.map(timespec);
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        let count = libc::nfds_t::try_from(self.entries.len()).unwrap_or(0);
        for entry in &mut self.entries {
            entry.revents = 0;
        }
        // SAFETY: there are as many entries as it is told, and the time is there or null.
        match checked(unsafe { libc::ppoll(self.entries.as_mut_ptr(), count, limit, ptr::null()) })
        {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns whether the descriptor at this place can be read from, or has failed.
    pub(in crate::lab) fn is_ready(&self, place: usize) -> bool {
        self.entries.get(place).is_some_and(|entry| entry.revents != 0)
    }
}

/// Wakes up who waits for it.
#[derive(Debug)]
pub(in crate::lab) struct Bell(OwnedFd);

impl Bell {
    pub(in crate::lab) fn new() -> io::Result<Self> {
        // SAFETY: it takes numbers alone.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    pub(in crate::lab) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: it reads the bytes that are given. A bell that rings already rings on.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Stops its ringing.
    pub(in crate::lab) fn hush(&self) {
        let mut count = [0; 8];
        // SAFETY: it fills in the bytes that are given. A bell that is still stays so.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(in crate::lab) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Has the calling thread's waits end when they are due, and not up to 50 µs later, and have it run
/// before others that are ready.
///
/// What the system does not permit is left out: how late the thread was is measured anyway.
pub(in crate::lab) fn be_punctual() {
    let plain = Attributes { size: ATTRIBUTES_LEN, slice: SLICE, ..Attributes::default() };
    let urgent = Attributes { policy: ROUND_ROBIN, priority: 1, slice: 0, ..plain };
    // SAFETY: it takes numbers alone, and changes nothing but the calling thread's timers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOSECOND) };
    // Root may ask to be run before all others, and everybody for short slices (since Linux 6.12).
    if !urgent.apply() {
        plain.apply();
    }
}

/// `sched_attr`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// Nanoseconds for which a thread runs at a time: with shorter ones it is run earlier.
    slice: u64,
    deadline: u64,
    period: u64,
}

impl Attributes {
    /// Has the calling thread be run so; returns whether that is permitted.
    fn apply(self) -> bool {
        // SAFETY: the structure is there, and says how long it is.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const self, 0) == 0 }
    }
}

/// Returns how long a processor has worked for the calling thread; `None` if the kernel does not say.
pub(in crate::lab) fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills in the structure, which is there.
    let known = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } == 0;
    let seconds = u64::try_from(time.tv_sec).ok().filter(|_| known)?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

const NANOSECOND: libc::c_ulong = 1;
const ATTRIBUTES_LEN: u32 = 48;
/// `SCHED_RR`.
const ROUND_ROBIN: u32 = 2;
/// The shortest that there is.
const SLICE: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rings_until_it_is_hushed() {
        let bell = Bell::new().unwrap();
        let mut waiting = Waiting::new([bell.descriptor()]);
        waiting.wait(Some(Duration::ZERO)).unwrap();
        assert!(!waiting.is_ready(0));
        bell.ring();
        bell.ring();
        waiting.wait(None).unwrap();
        assert!(waiting.is_ready(0));
        bell.hush();
        waiting.wait(Some(Duration::ZERO)).unwrap();
        assert!(!waiting.is_ready(0));
    }
}
