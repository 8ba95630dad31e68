//! A peer of which nothing is heard, and what ends a flow.

use std::{fmt, time::Duration};

/// When something was heard of the peer.
#[derive(Debug)]
pub(super) struct Silence {
    timeout: Duration,
    heard: Option<Duration>,
    over: Option<Over>,
}

/// Why a flow is over before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing was heard of the peer.
    Silent {
        /// For how long.
        after: Duration,
    },
    /// The peer has ended it.
    Reset {
        /// Why, as it says.
        code: u32,
    },
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { after } => {
                write!(f, "is gone: it did not answer for {} seconds", after.as_secs_f64())
            }
            Self::Reset { code: super::NOBODY_READS } => {
                f.write_str("has ended the flow: nobody reads there any more")
            }
            Self::Reset { code: super::SILENCE } => {
                f.write_str("has ended the flow: it had heard nothing for too long")
            }
            Self::Reset { code } => write!(f, "has ended the flow, with code {code}"),
        }
    }
}

impl Silence {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, heard: None, over: None }
    }

    /// Hears of the peer.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = Some(now);
    }

    /// Hears that the peer has ended the flow.
    pub(super) fn reset(&mut self, code: u32) {
        self.over.get_or_insert(Over::Reset { code });
    }

    /// Returns why the flow is over.
    pub(super) fn over(&self) -> Option<Over> {
        self.over
    }

    /// Ends the flow if there has been silence for too long, and returns whether it has just done so.
    pub(super) fn check(&mut self, now: Duration, probe_timeout: Duration) -> bool {
        let heard = *self.heard.get_or_insert(now);
        let limit = self.limit(probe_timeout);
        let late = now >= heard + limit;
        if late {
            self.over = Some(Over::Silent { after: limit });
        }
        late
    }

    /// Returns whether the peer should be asked whether it is there: a third of the time has passed
    /// in which it was neither heard nor asked.
    pub(super) fn asks(&self, now: Duration, last_sent: Duration) -> bool {
        now >= self.asks_at(last_sent)
    }

    /// Returns when there is something to do about it.
    pub(super) fn due(&self, last_sent: Duration, probe_timeout: Duration) -> Duration {
        let heard = self.heard.unwrap_or_default();
        let end = heard + self.limit(probe_timeout);
        end.min(self.asks_at(last_sent))
    }

    fn asks_at(&self, last_sent: Duration) -> Duration {
        self.heard.unwrap_or_default().max(last_sent) + self.timeout / 3
    }

    fn limit(&self, probe_timeout: Duration) -> Duration {
        self.timeout.max(probe_timeout * 3)
    }
}
