//! Whether the peer is still there.

use std::{fmt, time::Duration};

use super::{Engine, moment::Moment};

/// Why a peer counts as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// A segment was sent so many times, in vain.
    Transmissions(u16),
    /// There was something to wait for, and nothing has come for so long.
    Silence(Duration),
}

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmissions(times) => {
                write!(f, "one segment was sent {times} times without an acknowledgement")
            }
            Self::Silence(time) => {
                write!(f, "it did not answer for {} seconds", time.as_secs_f64())
            }
        }
    }
}

/// For how long something has been waited for.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Since when there is something to wait for.
    since: Option<Moment>,
    /// When the peer was last heard of.
    heard: Moment,
    pub(super) is_over: bool,
}

impl Engine {
    /// Notes whether there is something to wait for, and whether it has been for too long.
    pub(super) fn listen_for(&mut self, now: Moment) {
        let waits = self.awaits_peer();
        let silence = &mut self.silence;
        let since = silence.since.filter(|_| waits).unwrap_or(now);
        silence.since = waits.then_some(since);
        silence.is_over = waits && now.since(since.max(silence.heard)) >= self.config.dead_after;
    }

    pub(super) fn hear(&mut self, now: Moment) {
        self.silence.heard = now;
    }

    /// Returns when the peer counts as gone, if it is not heard of before; `None` once it does.
    pub(super) fn silent_until(&self) -> Option<Duration> {
        let silence = &self.silence;
        let from = silence.since.filter(|_| !silence.is_over)?.max(silence.heard);
        Some(Duration::from_micros(from.micros()) + self.config.dead_after)
    }

    fn awaits_peer(&self) -> bool {
        self.sender.span() > 0 || (self.peer_window == 0 && self.sender.waiting() > 0)
    }
}
