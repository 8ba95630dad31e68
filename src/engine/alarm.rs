use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use super::Clock;

/// Rings at a time that may be set anew as often as wanted.
#[derive(Debug)]
pub(super) struct Alarm {
    clock: Clock,
    /// When it rings. It may be earlier than what was last asked for: then it is set anew when it
    /// rings, which costs less than to set it each time.
    set: Option<Duration>,
    sleep: Pin<Box<Sleep>>,
    #[cfg(target_os = "linux")]
    exact: Option<exact::Timer>,
}

impl Alarm {
    /// Returns an alarm that is as precise as the runtime's timer, to a millisecond.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            set: None,
            sleep: Box::pin(tokio::time::sleep_until(clock.at(Duration::MAX))),
            #[cfg(target_os = "linux")]
            exact: None,
        }
    }

    /// Returns an alarm that is as precise as the system's timers, where it has such. It follows the
    /// system's clock, and no virtual one.
    pub(super) fn exact(clock: Clock) -> Self {
        let alarm = Self::new(clock);
        #[cfg(target_os = "linux")]
        return Self { exact: exact::Timer::new().ok(), ..alarm };
        #[cfg(not(target_os = "linux"))]
        alarm
    }

    /// Is ready once it is `at`; never if that is `None`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Option<Duration>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        loop {
            if self.clock.now() >= at {
                return Poll::Ready(());
            }
            if self.set.is_none_or(|set| at < set) {
                self.set(at);
            }
            if self.poll_ring(cx).is_pending() {
                return Poll::Pending;
            }
            self.set = None;
        }
    }

    fn set(&mut self, at: Duration) {
        self.set = Some(at);
        #[cfg(target_os = "linux")]
        if let Some(exact) = &self.exact {
            return exact.set(at.saturating_sub(self.clock.now()));
        }
        self.sleep.as_mut().reset(self.clock.at(at));
    }

    fn poll_ring(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(target_os = "linux")]
        if let Some(exact) = &self.exact {
            return exact.poll(cx);
        }
        self.sleep.as_mut().poll(cx)
    }
}

#[cfg(target_os = "linux")]
mod exact {
    use std::{
        io,
        os::fd::{AsRawFd, FromRawFd, OwnedFd},
        ptr,
        task::{Context, Poll, ready},
        time::Duration,
    };

    use tokio::io::{Interest, unix::AsyncFd};

    /// A timer of the kernel's.
    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            // SAFETY: it takes numbers alone; what it returns is checked and owned by nobody else.
            let timer = unsafe {
                let fd = libc::timerfd_create(
                    libc::CLOCK_MONOTONIC,
                    libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
                );
                if fd < 0 {
                    return Err(io::Error::last_os_error());
                }
                OwnedFd::from_raw_fd(fd)
            };
            // SAFETY: the descriptor is owned by what watches it, and stays open for as long.
            let watched = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
            watched.map(Self).map_err(io::Error::from)
        }

        /// Has it ring after this time.
        pub(super) fn set(&self, after: Duration) {
            // A time of nothing would stop it.
            let after = after.max(Duration::from_nanos(1));
            let spec = libc::itimerspec {
                it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: libc::timespec {
                    tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
                    tv_nsec: after.subsec_nanos().into(),
                },
            };
            // SAFETY: the kernel reads the structure, and is not asked for the earlier setting. It
            // cannot fail: the descriptor is a timer's, and the time is one.
            let _ = unsafe {
                libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const spec, ptr::null_mut())
            };
        }

        /// Is ready once it has rung.
        pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
            loop {
                let Ok(mut guard) = ready!(self.0.poll_read_ready(cx)) else {
                    // The runtime is about to end, and everything with it.
                    return Poll::Pending;
                };
                if guard.try_io(|timer| rings(timer.get_ref())).is_ok() {
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Takes note of how often it has rung.
    fn rings(timer: &OwnedFd) -> io::Result<()> {
        let mut count = [0u8; 8];
        // SAFETY: the kernel writes no more than the buffer has.
        let read = unsafe { libc::read(timer.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        if read < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_was_last_set_to() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        poll_fn(|cx| {
            // Set to an earlier time first, which nobody waits for.
            let _ = alarm.poll(cx, Some(5 * MS));
            alarm.poll(cx, Some(20 * MS))
        })
        .await;
        assert_eq!(clock.now(), 20 * MS);
        poll_fn(|cx| alarm.poll(cx, Some(25 * MS))).await;
        assert_eq!(clock.now(), 25 * MS);
        poll_fn(|cx| alarm.poll(cx, Some(MS))).await;
        assert_eq!(clock.now(), 25 * MS, "that is over already");
    }

    #[tokio::test]
    async fn an_exact_one_rings_no_earlier_than_it_was_set_to() {
        let clock = Clock::start();
        let mut alarm = Alarm::exact(clock);
        for at in [MS, 3 * MS, 3 * MS + MS / 10] {
            poll_fn(|cx| alarm.poll(cx, Some(at))).await;
            assert!(clock.now() >= at);
        }
    }
}
