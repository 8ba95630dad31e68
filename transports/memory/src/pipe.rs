//! A carrier shared by its two ends, with somebody to wake.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::carrier::Carrier;

/// One direction of an open stream.
///
/// Whoever polls moves the virtual time of the link on to now, and sets an alarm of its own for
/// what comes next: no task works in the background. A perfect link has nothing to wait for, so it
/// needs no clock and no timer.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    epoch: Option<Instant>,
}

impl Pipe {
    /// Returns a pipe; `timed` says whether anything in it takes time.
    pub(crate) fn new(carrier: Box<dyn Carrier>, timed: bool) -> Self {
        let state = State {
            carrier,
            cut: false,
            receiver_gone: false,
            sender_waker: None,
            receiver_waker: None,
        };
        Self { state: Mutex::new(state), epoch: timed.then(Instant::now) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done that would matter more than the panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the stream was opened, for its carrier.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.map_or(Duration::ZERO, |epoch| epoch.elapsed())
    }

    /// Returns when the carrier's time `at` is on the clock; `None` if that is never.
    pub(crate) fn on_the_clock(&self, at: Option<Duration>) -> Option<Instant> {
        self.epoch?.checked_add(at?)
    }

    pub(crate) fn set_cut(&self, cut: bool) {
        let mut state = self.lock();
        if state.cut == cut {
            return;
        }
        state.cut = cut;
        state.carrier.set_cut(self.now(), cut);
        let wakers = [state.sender_waker.take(), state.receiver_waker.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) carrier: Box<dyn Carrier>,
    /// Nothing crosses, so neither end learns of the other.
    pub(crate) cut: bool,
    pub(crate) receiver_gone: bool,
    pub(crate) sender_waker: Option<Waker>,
    pub(crate) receiver_waker: Option<Waker>,
}

/// Wakes a task when something in a pipe is due.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Wakes the task of `cx` at `at`, and forgets what was set before; ready if that is past.
    ///
    /// The timer is a new one each time, since a half may move between runtimes from poll to poll.
    pub(crate) fn set(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        self.0 = at.map(|at| Box::pin(sleep_until(at)));
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}
