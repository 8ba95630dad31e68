/// Has sleeps of the calling thread end when they are due.
///
/// Without it Linux lets them be 50 µs late, so that several threads may be woken up at once.
pub(super) fn be_punctual() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: it takes numbers alone, and changes nothing but the calling thread's timers.
        let _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOSECOND) };
    }
}

#[cfg(target_os = "linux")]
const NANOSECOND: libc::c_ulong = 1;
