/// Lets this process have as many descriptors as it is permitted.
///
/// Shells and service managers start programs with 1024, for the sake of such as still call
/// `select`: a server would be out of them with some 250 tests.
pub(crate) fn permit_all() {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: it fills in the structure, which is there.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
        if known && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            // Where it is refused, there are as many as there were.
            // SAFETY: it reads the structure, which is there.
            let _ = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        }
    }
}
