//! Everything random about a link.

use std::{f64::consts::TAU, time::Duration};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{Cause, LinkConfig, Loss, Probability, Reorder, Steps};

/// What happens to one packet on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) lost: Option<Cause>,
    pub(super) duplicated: bool,
    /// Beyond `delay`; zero for a packet that keeps its place.
    pub(super) held_back: Duration,
    pub(super) delay: Duration,
}

/// The dice of one link. Each purpose has a stream of its own, and each packet one throw of each.
#[derive(Debug)]
pub(super) struct Dice {
    loss: LossDie,
    duplicate: (Probability, Stream),
    reorder: (Reorder, Stream),
    jitter: Jitter,
    steps: StepDie,
    delay: Duration,
}

impl Dice {
    pub(super) fn new(config: &LinkConfig) -> Self {
        // The order is part of what a seed means: a new purpose goes to the end.
        let mut seeds = Stream::seed_from_u64(config.seed);
        let (loss, duplicate) = (seeds.fork(), seeds.fork());
        let (reorder, jitter) = (seeds.fork(), seeds.random());
        let steps = seeds.random();
        Self {
            loss: LossDie { loss: config.loss, bad: false, row: 0, stream: loss },
            duplicate: (config.duplicate, duplicate),
            reorder: (config.reorder, reorder),
            jitter: Jitter::new(config.jitter, jitter),
            steps: StepDie::new(config.steps, steps),
            delay: config.delay,
        }
    }

    /// Throws all dice for a packet that leaves at `sent`.
    pub(super) fn throw(&mut self, sent: Duration) -> Fate {
        let held = happens(&mut self.reorder.1, self.reorder.0.probability);
        Fate {
            lost: self.loss.throw().then_some(Cause::Loss),
            duplicated: happens(&mut self.duplicate.1, self.duplicate.0),
            held_back: if held { self.reorder.0.hold } else { Duration::ZERO },
            delay: self.jitter.around(self.delay.saturating_add(self.steps.at(sent)), sent),
        }
    }
}

#[derive(Debug)]
struct LossDie {
    loss: Loss,
    /// The state of Gilbert's and Elliott's chain.
    bad: bool,
    /// Packets lost in a row.
    row: u32,
    stream: Stream,
}

impl LossDie {
    fn throw(&mut self) -> bool {
        match self.loss {
            Loss::Never => false,
            Loss::Iid(probability) => happens(&mut self.stream, probability),
            Loss::Bounded { probability, longest } => {
                let lost = happens(&mut self.stream, probability) && self.row < longest.get();
                self.row = if lost { self.row + 1 } else { 0 };
                lost
            }
            Loss::GilbertElliott { to_bad, to_good, in_good, in_bad } => {
                let turn = if self.bad { to_good } else { to_bad };
                self.bad ^= happens(&mut self.stream, turn);
                happens(&mut self.stream, if self.bad { in_bad } else { in_good })
            }
        }
    }
}

/// A random curve over time: normal values at knots, and straight lines between them.
///
/// The knots are so far apart that the curve practically never falls faster than time passes: the
/// order of packets is kept without waiting for each other, which would raise the mean.
#[derive(Debug)]
struct Jitter {
    deviation: f64,
    spacing: f64,
    seed: u64,
    /// Where the knots below are, in spacings since the epoch.
    index: u64,
    knots: [f64; 2],
}

impl Jitter {
    fn new(deviation: Duration, seed: u64) -> Self {
        let deviation = deviation.as_secs_f64();
        let spacing = (deviation * KNOT_SPACING).max(1e-6);
        Self { deviation, spacing, seed, index: 0, knots: [knot(seed, 0), knot(seed, 1)] }
    }

    /// Returns `delay`, jittered as it is at time `at`.
    fn around(&mut self, delay: Duration, at: Duration) -> Duration {
        if self.deviation == 0.0 {
            return delay;
        }
        let place = at.as_secs_f64() / self.spacing;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times are positive"
        )]
        let index = place as u64;
        if index != self.index {
            self.index = index;
            self.knots = [knot(self.seed, index), knot(self.seed, index + 1)];
        }
        let right = place.fract();
        let left = 1.0 - right;
        // Half-way between knots the mean of two would vary less than either.
        let spread = left.hypot(right);
        let value = (left * self.knots[0] + right * self.knots[1]) / spread;
        let seconds = delay.as_secs_f64() + self.deviation * value;
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(delay)
    }
}

/// What is added to the delay, step for step; a step can be read from anywhere.
#[derive(Debug)]
struct StepDie {
    steps: Option<Steps>,
    seed: u64,
    /// The step that was read last, and what it adds.
    last: (u64, Duration),
}

impl StepDie {
    fn new(steps: Option<Steps>, seed: u64) -> Self {
        let mut die = Self { steps, seed, last: (0, Duration::ZERO) };
        die.last = (0, die.draw(0));
        die
    }

    fn at(&mut self, time: Duration) -> Duration {
        let Some(steps) = self.steps else { return Duration::ZERO };
        let number = time.as_nanos() / steps.every.as_nanos().max(1);
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        if number != self.last.0 {
            self.last = (number, self.draw(number));
        }
        self.last.1
    }

    fn draw(&self, number: u64) -> Duration {
        let Some(Steps { from, to, .. }) = self.steps else { return Duration::ZERO };
        let share: f64 = nth(self.seed, number).random();
        from.saturating_add(to.saturating_sub(from).mul_f64(share))
    }
}

/// Returns the n-th value of a normal sequence that can be read from anywhere.
fn knot(seed: u64, index: u64) -> f64 {
    let mut stream = nth(seed, index);
    let (u, v): (f64, f64) = (stream.random(), stream.random());
    // Box and Muller's way; `1 - u` keeps the logarithm from zero.
    (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()
}

/// Returns the n-th of as many streams as one likes.
fn nth(seed: u64, index: u64) -> Stream {
    Stream::seed_from_u64(seed ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

fn happens(stream: &mut Stream, probability: Probability) -> bool {
    stream.random::<f64>() < probability.value()
}

/// Its algorithm is fixed by name, so a seed means the same on every platform and for ever.
type Stream = Xoshiro256PlusPlus;

/// Distance of knots, in standard deviations: a fall of one in one takes more than five of them.
const KNOT_SPACING: f64 = 8.0;
