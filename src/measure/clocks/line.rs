//! The line of how far a clock is ahead, through what the exchanges leave open.

use super::{Drift, RoundTrip};

/// What one exchange says of how far the other clock is ahead, in nanoseconds from the base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    /// When, on the asker's clock: the middle of the exchange.
    pub(super) at: f64,
    /// It is ahead by so much at least, ...
    low: f64,
    /// ... and by so much at most.
    high: f64,
    /// How long the exchange was on its way.
    pub(super) on_the_way: u64,
}

/// How far the other clock is ahead at each time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    at: f64,
    value: f64,
    slope: f64,
}

/// A line, and how far every other one that could be true is from it at most.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) line: Line,
    pub(super) drift: Option<Drift>,
    pub(super) uncertainty: f64,
}

impl Bar {
    pub(super) fn new(exchange: &RoundTrip, base: i64) -> Self {
        let there = signed(exchange.ahead.wrapping_sub(base));
        let (took, way) = (float(exchange.took), float(exchange.on_the_way()));
        // Each bound is of the time when it was read or answered, which is so far from the middle.
        let moved = MAX_DRIFT * took / 2.0;
        Self {
            at: float(exchange.asked) + took / 2.0,
            low: there - way - moved,
            high: there + moved,
            on_the_way: exchange.on_the_way(),
        }
    }

    fn middle(&self) -> f64 {
        f64::midpoint(self.low, self.high)
    }
}

impl Line {
    pub(super) fn at(&self, time: f64) -> f64 {
        self.value + self.slope * (time - self.at)
    }
}

/// Returns the line through the middle of `best` that goes as the middles do and crosses all bars,
/// and how far from it any line that does can be from `span.0` to `span.1`.
///
/// Where clocks do not run evenly, there may be no line that crosses all: then bars are as much
/// longer as is needed for one.
pub(super) fn fit(bars: &[Bar], best: &Bar, span: (u64, u64)) -> Fit {
    let gap = |slope| gap(bars, slope);
    let steadiest = lowest(-MAX_DRIFT, MAX_DRIFT, gap);
    let slack = (gap(steadiest) / 2.0).max(0.0);
    let longer = |bar: &Bar| Bar { low: bar.low - slack, high: bar.high + slack, ..*bar };
    let bars: Vec<Bar> = bars.iter().map(longer).collect();
    let (least, most) = slopes(&bars, steadiest);
    let drift =
        drift(&bars, best).map(|drift| Drift { rate: drift.rate.clamp(least, most), ..drift });
    let slope = drift.map_or(0.0, |drift| drift.rate).clamp(least, most);
    let (at, middle) = (best.at, best.middle());
    let value = middle.max(floor(&bars, slope, at)).min(ceiling(&bars, slope, at));
    let line = Line { at, value, slope };
    // The farthest that a line is above another, or below it, it is at one end.
    let farthest = [float(span.0), float(span.1)].map(|end| {
        let highest = lowest(least, most, |slope| -ceiling(&bars, slope, end));
        let deepest = lowest(least, most, |slope| floor(&bars, slope, end));
        let above = ceiling(&bars, highest, end) - line.at(end);
        above.max(line.at(end) - floor(&bars, deepest, end))
    });
    Fit { line, drift, uncertainty: farthest[0].max(farthest[1]) + slack }
}

/// Returns the slope of the least squares through the middles of the bars; `None` where that says
/// too little.
///
/// What a bar is longer than the shortest was waited for in queues, on one way or the other: its
/// middle is off by half of that at most, and it counts by its inverse square.
fn drift(bars: &[Bar], best: &Bar) -> Option<Drift> {
    let shortest = float(best.on_the_way);
    let weight = |bar: &Bar| 1.0 / ((float(bar.on_the_way) - shortest) / 2.0 + NOISE).powi(2);
    let sum = |value: &dyn Fn(&Bar) -> f64| bars.iter().map(|bar| weight(bar) * value(bar)).sum();
    let all: f64 = sum(&|_| 1.0);
    let mean_at = sum(&|bar| bar.at) / all;
    let mean = sum(&|bar| bar.middle()) / all;
    let spread: f64 = sum(&|bar| (bar.at - mean_at).powi(2));
    let rate = sum(&|bar| (bar.at - mean_at) * (bar.middle() - mean)) / spread;
    let left: f64 = sum(&|bar| (bar.middle() - mean - rate * (bar.at - mean_at)).powi(2));
    let free = bars.len().checked_sub(2).filter(|free| *free > 0)?;
    let scatter = (left / float(u64::try_from(free).ok()?)).max(1.0);
    let error = (scatter / spread).sqrt();
    (error <= TOLERABLE).then_some(Drift { rate, error })
}

/// Returns between which slopes there are lines that cross all bars. A line has `some` slope that
/// does, to within rounding.
fn slopes(bars: &[Bar], some: f64) -> (f64, f64) {
    let (mut least, mut most) = (-MAX_DRIFT, MAX_DRIFT);
    for (nth, earlier) in bars.iter().enumerate() {
        for later in &bars[nth + 1..] {
            let apart = later.at - earlier.at;
            if apart > 0.0 {
                least = least.max((later.low - earlier.high) / apart);
                most = most.min((later.high - earlier.low) / apart);
            }
        }
    }
    (least.min(some), most.max(some))
}

/// Returns how far a line of this slope lacks from crossing all bars; below 0, it has room.
fn gap(bars: &[Bar], slope: f64) -> f64 {
    floor(bars, slope, 0.0) - ceiling(bars, slope, 0.0)
}

/// Returns how high a line of this slope must be at this time.
fn floor(bars: &[Bar], slope: f64, time: f64) -> f64 {
    let at_least = bars.iter().map(|bar| bar.low + slope * (time - bar.at));
    at_least.fold(f64::NEG_INFINITY, f64::max)
}

/// Returns how high a line of this slope may be at this time.
fn ceiling(bars: &[Bar], slope: f64, time: f64) -> f64 {
    let at_most = bars.iter().map(|bar| bar.high + slope * (time - bar.at));
    at_most.fold(f64::INFINITY, f64::min)
}

/// Returns where a convex function is lowest.
fn lowest(mut from: f64, mut to: f64, of: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..STEPS {
        let third = (to - from) / 3.0;
        if of(from + third) <= of(to - third) {
            to -= third;
        } else {
            from += third;
        }
    }
    f64::midpoint(from, to)
}

#[allow(clippy::cast_precision_loss, reason = "exact for a hundred days in nanoseconds")]
pub(super) fn float(nanos: u64) -> f64 {
    nanos as f64
}

#[allow(clippy::cast_precision_loss, reason = "what a test sees is near the base")]
fn signed(nanos: i64) -> f64 {
    nanos as f64
}

/// The most that a clock gains or loses (RFC 5905 takes 500 parts in a million for the most that can
/// be corrected).
const MAX_DRIFT: f64 = 500e-6;
/// The standard error from which a drift is too uncertain to be told.
const TOLERABLE: f64 = 5e-6;
/// What the ends themselves add to an exchange without a queue, in nanoseconds.
const NOISE: f64 = 1_000.0;
/// Each leaves two thirds.
const STEPS: u32 = 100;
