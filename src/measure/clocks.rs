//! How far two clocks are apart, told from exchanges over the path between them.
//!
//! An exchange is asked at T1, read at T2, answered at T3 and back at T4; T2 and T3 are of the other
//! clock. Were both ways equally long, that clock would be ahead by ((T2−T1) + (T3−T4)) / 2; however
//! unequal they are, it is ahead by T3−T4 at least and by T2−T1 at most, which is as far from that
//! as half of what the ways took together (RFC 5905, section 8). So the exchange that took the least
//! says most.
//!
//! Clocks also run at different rates. The test is cut into windows, of each of which the exchange
//! that took the least is kept: 64 at most, of which neighbours are joined when there would be more.
//! They are the points of a line, and the bars that each line must cross (V. Paxson, "On
//! Calibrating Measurements of Packet Transit Times", 1998; S. Moon, P. Skelly, D. Towsley,
//! "Estimation and Removal of Clock Skew from Network Delay Measurements", 1999).

mod line;

use self::line::{Bar, Line};

/// The times of one exchange, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// When it was asked, in nanoseconds of the asker's clock.
    pub asked: u64,
    /// From when it was asked to when it was answered, by the asker's clock.
    pub took: u64,
    /// The part of that for which who answered held it, by its own clock.
    pub held: u64,
    /// How much later than asked it was read, each by its own clock; wraps, since either clock may
    /// begin anywhere.
    pub ahead: i64,
}

/// What is kept of exchanges to tie two clocks. Takes its memory at the start.
#[derive(Debug, Clone)]
pub struct Clocks {
    /// How far ahead the other clock is, nearly: what everything is told from, so that fractions of
    /// a nanosecond have room.
    base: Option<i64>,
    windows: Box<[Option<Bar>]>,
    /// How long a window is, in nanoseconds.
    width: u64,
    /// When the first exchange was asked, and the last one answered.
    span: (u64, u64),
}

/// How far the other clock is ahead, at any time of the test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    base: i64,
    line: Line,
    /// How fast it gains; `None`: the test was too short, or too little undisturbed, to tell.
    pub drift: Option<Drift>,
    /// How far ahead it was at the exchange that took the least, in nanoseconds.
    pub offset: i64,
    /// How far that can be off at any time of the test, in nanoseconds.
    pub uncertainty: u64,
}

/// How much faster a clock runs than another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// What it gains, as a part of the time.
    pub rate: f64,
    /// The standard error of that.
    pub error: f64,
}

impl RoundTrip {
    /// Returns the exchange of T1 to T4; `None` if it was held for longer than it took.
    #[must_use]
    pub fn new([asked, read, written, answered]: [u64; 4]) -> Option<Self> {
        let took = answered.checked_sub(asked)?;
        let held = written.checked_sub(read).filter(|held| *held <= took)?;
        Some(Self { asked, took, held, ahead: read.wrapping_sub(asked).cast_signed() })
    }

    /// Returns how long it was on its way, there and back, in nanoseconds.
    #[must_use]
    pub fn on_the_way(&self) -> u64 {
        self.took - self.held
    }
}

impl Clocks {
    /// Returns clocks of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        let windows = vec![None; WINDOWS].into_boxed_slice();
        Self { base: None, windows, width: FIRST_WIDTH, span: (u64::MAX, 0) }
    }

    /// Takes note of an exchange.
    #[inline]
    pub fn note(&mut self, exchange: &RoundTrip) {
        let base = *self.base.get_or_insert(exchange.ahead);
        self.span.0 = self.span.0.min(exchange.asked);
        self.span.1 = self.span.1.max(exchange.asked.saturating_add(exchange.took));
        while exchange.asked / self.width >= COUNT {
            self.join();
        }
        let window = usize::try_from(exchange.asked / self.width).unwrap_or(0);
        let Some(window) = self.windows.get_mut(window) else { return };
        let on_the_way = exchange.on_the_way();
        if window.as_ref().is_none_or(|kept| on_the_way < kept.on_the_way) {
            *window = Some(Bar::new(exchange, base));
        }
    }

    /// Returns how the clocks are tied; `None` of no exchange.
    #[must_use]
    pub fn tie(&self) -> Option<Tie> {
        let base = self.base?;
        let bars: Vec<Bar> = self.windows.iter().flatten().copied().collect();
        let best = bars.iter().min_by_key(|bar| bar.on_the_way)?;
        let fit = line::fit(&bars, best, self.span);
        let offset = base.wrapping_add(whole(fit.line.at(best.at)));
        let uncertainty = fit.uncertainty.max(half(best.on_the_way)).ceil();
        Some(Tie {
            base,
            line: fit.line,
            drift: fit.drift,
            offset,
            uncertainty: whole(uncertainty).unsigned_abs(),
        })
    }

    /// Joins each two windows, so that there is room for as many again.
    fn join(&mut self) {
        for window in 0..WINDOWS {
            let pair = [2 * window, 2 * window + 1].map(|at| self.windows.get(at).copied());
            let kept = pair.into_iter().flatten().flatten().min_by_key(|bar| bar.on_the_way);
            self.windows[window] = kept;
        }
        self.width = self.width.saturating_mul(2);
    }
}

impl Default for Clocks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tie {
    /// Returns how long the exchange took to get there, and to come back, in nanoseconds. Less than
    /// nothing by no more than the uncertainty, unless a clock was set.
    #[must_use]
    pub fn ways(&self, exchange: &RoundTrip) -> [i64; 2] {
        let there = exchange.ahead.wrapping_sub(self.base);
        let answered = exchange.asked.saturating_add(exchange.took);
        let [from, to] = [exchange.asked, answered].map(|at| whole(self.line.at(line::float(at))));
        let on_the_way = i64::try_from(exchange.on_the_way()).unwrap_or(i64::MAX);
        let back = on_the_way.saturating_sub(there);
        [there.saturating_sub(from), back.saturating_add(to)]
    }
}

#[allow(clippy::cast_possible_truncation, reason = "what is larger becomes the largest")]
fn whole(nanos: f64) -> i64 {
    nanos.round() as i64
}

fn half(nanos: u64) -> f64 {
    line::float(nanos) / 2.0
}

const WINDOWS: usize = 64;
const COUNT: u64 = WINDOWS as u64;
/// 2 ms, in nanoseconds: it doubles for the first time after an eighth of a second.
const FIRST_WIDTH: u64 = 2_000_000;

#[cfg(test)]
mod tests;
