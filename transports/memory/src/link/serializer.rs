//! How fast packets leave.

use std::time::Duration;

use super::{BitRate, Rate, Trace, trace::OPPORTUNITY};

/// Sends one packet after the other.
#[derive(Debug)]
pub(super) enum Serializer {
    AtOnce,
    Fixed(Fixed),
    Traced(Traced),
}

impl Serializer {
    pub(super) fn new(rate: Option<&Rate>) -> Self {
        match rate {
            None => Self::AtOnce,
            Some(Rate::Fixed(rate)) => Self::Fixed(Fixed::new(*rate)),
            Some(Rate::Trace(trace)) => Self::Traced(Traced::new(trace.clone())),
        }
    }

    /// Returns when a packet that came at `since` can start.
    pub(super) fn start(&self, since: Duration) -> Duration {
        match self {
            Self::AtOnce => since,
            Self::Fixed(fixed) => fixed.start(since),
            Self::Traced(traced) => traced.start(since),
        }
    }

    /// Sends `len` bytes that came at `since`, and returns when the last bit is out.
    pub(super) fn send(&mut self, since: Duration, len: usize) -> Duration {
        match self {
            Self::AtOnce => since,
            Self::Fixed(fixed) => fixed.send(since, len),
            Self::Traced(traced) => traced.send(since, len),
        }
    }

    /// Has had nothing to send until `now`.
    pub(super) fn idle(&mut self, now: Duration) {
        if let Self::Traced(traced) = self {
            // Nothing but what it saves looking for.
            (traced.at, traced.left) = traced.place(now);
        }
    }

    /// Returns how many bytes leave within `time` from `now` on, if they are there; what is being
    /// sent at a fixed rate does not count.
    pub(super) fn carries(&self, now: Duration, time: Duration) -> usize {
        match self {
            Self::AtOnce => usize::MAX,
            Self::Fixed(fixed) => fixed.carries(time),
            Self::Traced(traced) => traced.carries(now.saturating_add(time)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Fixed {
    rate: u64,
    free_at: Duration,
    /// What is left of the last nanosecond, in bits times 10⁹, so that rounding never adds up.
    remainder: u64,
}

impl Fixed {
    const fn new(rate: BitRate) -> Self {
        Self { rate: rate.bits_per_second(), free_at: Duration::ZERO, remainder: 0 }
    }

    fn start(&self, since: Duration) -> Duration {
        since.max(self.free_at)
    }

    fn send(&mut self, since: Duration, len: usize) -> Duration {
        let start = self.start(since);
        if start > self.free_at {
            self.remainder = 0;
        }
        let nanos = self.work(len);
        self.free_at = start.saturating_add(Duration::from_nanos(nanos));
        self.free_at
    }

    /// Does the work of `len` bytes, and returns how many nanoseconds it takes.
    fn work(&mut self, len: usize) -> u64 {
        let small = (len as u64).checked_mul(8 * NANOS_PER_SECOND);
        if let Some(work) = small.and_then(|work| work.checked_add(self.remainder)) {
            self.remainder = work % self.rate;
            return work / self.rate;
        }
        let work = len as u128 * u128::from(8 * NANOS_PER_SECOND) + u128::from(self.remainder);
        let rate = u128::from(self.rate);
        self.remainder = u64::try_from(work % rate).unwrap_or(0);
        u64::try_from(work / rate).unwrap_or(u64::MAX)
    }

    fn carries(&self, time: Duration) -> usize {
        let bits = time.as_nanos().saturating_mul(u128::from(self.rate));
        usize::try_from(bits / u128::from(8 * NANOS_PER_SECOND)).unwrap_or(usize::MAX)
    }
}

/// Sends when a trace has an opportunity. What a packet leaves of one is for those behind it that
/// are there by then; a packet that is larger takes several.
#[derive(Debug)]
pub(super) struct Traced {
    trace: Trace,
    /// Number of the opportunity in use, since the epoch.
    at: u64,
    /// Bytes left of it.
    left: usize,
}

impl Traced {
    const fn new(trace: Trace) -> Self {
        Self { trace, at: 0, left: OPPORTUNITY }
    }

    fn start(&self, since: Duration) -> Duration {
        self.trace.time(self.place(since).0)
    }

    fn send(&mut self, since: Duration, len: usize) -> Duration {
        let (at, left) = self.place(since);
        let beyond = len.saturating_sub(left).div_ceil(OPPORTUNITY);
        self.at = at.saturating_add(beyond as u64);
        self.left = left + beyond * OPPORTUNITY - len;
        self.trace.time(self.at)
    }

    fn carries(&self, until: Duration) -> usize {
        let after = self.trace.opportunities_by(until).saturating_sub(self.at);
        let Some(further) = after.checked_sub(1) else { return 0 };
        let further = usize::try_from(further).unwrap_or(usize::MAX);
        further.saturating_mul(OPPORTUNITY).saturating_add(self.left)
    }

    /// Returns the first opportunity for what came at `since`, and the bytes left of it.
    fn place(&self, since: Duration) -> (u64, usize) {
        let (at, left) =
            if self.left > 0 { (self.at, self.left) } else { (self.at + 1, OPPORTUNITY) };
        if self.trace.time(at) >= since {
            return (at, left);
        }
        (self.trace.first_from(since), OPPORTUNITY)
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
