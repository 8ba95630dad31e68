//! What a link is like.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use super::{Script, Trace};

/// What one direction of a link is like; starts as [`perfect`](Self::perfect).
///
/// ```
/// use std::time::Duration;
///
/// use polyperf_memory::link::{BitRate, LinkConfig, Loss, Probability, QueueLimit};
///
/// let wifi = LinkConfig::perfect()
///     .rate(BitRate::mbps(20))
///     .queue(QueueLimit::Packets(100))
///     .delay(Duration::from_millis(40))
///     .jitter(Duration::from_millis(5))
///     .loss(Loss::bursts(Probability::new(0.02), 3.0))
///     .seed(7);
/// assert!(!wifi.is_perfect());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// What is let through before it comes to the queue; `None`: everything.
    pub policer: Option<Policer>,
    /// How fast bits leave; `None`: all at once.
    pub rate: Option<Rate>,
    /// What waits for the serializer at most.
    pub queue: QueueLimit,
    /// How the queue is kept short before it is full.
    pub aqm: Aqm,
    /// Bytes that the link adds to every packet, as its framing; they count for the rate, the queue
    /// and the policer.
    pub overhead: usize,
    /// How long each packet is on the wire.
    pub delay: Duration,
    /// Standard deviation of the delay. The order of packets is kept.
    ///
    /// The deviation follows a slow random curve over *time*: packets sent together are late
    /// together, however many they are. Drawing it for each packet would, with the order kept, make
    /// every packet wait for the latest before it, and the delay grow with the packet rate. The
    /// delay is never less than zero, so a jitter of the size of the delay also adds to its mean.
    pub jitter: Duration,
    /// What is added to the delay, drawn anew from time to time.
    pub steps: Option<Steps>,
    /// When the wire is dark, and loses all that is sent.
    pub blackouts: Option<Blackouts>,
    /// Which packets are lost.
    pub loss: Loss,
    /// Which packets are held back from their place.
    pub reorder: Reorder,
    /// How many packets arrive twice.
    pub duplicate: Probability,
    /// What happens to exact packets, whatever the dice say.
    pub script: Script,
    /// Where randomness starts: equal seeds make equal links.
    ///
    /// Loss, duplication, reordering, jitter and steps draw from separate streams, so that changing
    /// one of them leaves the others' choices as they were.
    pub seed: u64,
}

impl LinkConfig {
    /// Returns a link that hands on each packet at once, as it came.
    #[must_use]
    pub const fn perfect() -> Self {
        Self {
            policer: None,
            rate: None,
            queue: QueueLimit::Unbounded,
            aqm: Aqm::Off,
            overhead: 0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            steps: None,
            blackouts: None,
            loss: Loss::Never,
            reorder: Reorder { probability: Probability::ZERO, hold: Duration::ZERO },
            duplicate: Probability::ZERO,
            script: Script::new(),
            seed: 0,
        }
    }

    /// Sets what is let through before it comes to the queue.
    #[must_use]
    pub const fn policer(mut self, policer: Policer) -> Self {
        self.policer = Some(policer);
        self
    }

    /// Sets how fast bits leave.
    #[must_use]
    pub fn rate(mut self, rate: BitRate) -> Self {
        self.rate = Some(Rate::Fixed(rate));
        self
    }

    /// Sets when bits leave.
    #[must_use]
    pub fn trace(mut self, trace: Trace) -> Self {
        self.rate = Some(Rate::Trace(trace));
        self
    }

    /// Sets what waits for the serializer at most.
    #[must_use]
    pub const fn queue(mut self, limit: QueueLimit) -> Self {
        self.queue = limit;
        self
    }

    /// Sets how the queue is kept short before it is full.
    #[must_use]
    pub const fn aqm(mut self, aqm: Aqm) -> Self {
        self.aqm = aqm;
        self
    }

    /// Sets how many bytes the link adds to every packet.
    #[must_use]
    pub const fn overhead(mut self, bytes: usize) -> Self {
        self.overhead = bytes;
        self
    }

    /// Sets how long each packet is on the wire.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the standard deviation of the delay.
    #[must_use]
    pub const fn jitter(mut self, deviation: Duration) -> Self {
        self.jitter = deviation;
        self
    }

    /// Sets what is added to the delay, drawn anew from time to time.
    #[must_use]
    pub const fn steps(mut self, steps: Steps) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Sets when the wire is dark.
    #[must_use]
    pub const fn blackouts(mut self, blackouts: Blackouts) -> Self {
        self.blackouts = Some(blackouts);
        self
    }

    /// Sets which packets are lost.
    #[must_use]
    pub const fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Holds back packets for `hold`, so that those sent meanwhile overtake them.
    #[must_use]
    pub const fn reorder(mut self, probability: Probability, hold: Duration) -> Self {
        self.reorder = Reorder { probability, hold };
        self
    }

    /// Sets how many packets arrive twice.
    #[must_use]
    pub const fn duplicate(mut self, probability: Probability) -> Self {
        self.duplicate = probability;
        self
    }

    /// Sets what happens to exact packets.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Sets where randomness starts.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns whether the link hands on each packet at once, as it came.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        let policed = self.policer.is_some() || self.rate.is_some();
        // Neither a queue that never fills nor dice that are never thrown make a difference.
        let idle = Self {
            queue: self.queue,
            aqm: self.aqm,
            overhead: if policed { 0 } else { self.overhead },
            seed: self.seed,
            ..Self::perfect()
        };
        *self == idle
    }

    /// Returns whether each packet must be judged by itself.
    ///
    /// Otherwise only the time of a packet matters: several that are sent at one moment fare alike,
    /// and may cross as one.
    #[must_use]
    pub fn is_per_packet(&self) -> bool {
        let by_time = Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            steps: None,
            blackouts: None,
            ..self.clone()
        };
        !by_time.is_perfect()
    }

    /// Returns the rate that the link carries in the long run: that of its serializer or of its
    /// policer, whichever is lower; `None` if neither limits it.
    #[must_use]
    pub fn mean_rate(&self) -> Option<BitRate> {
        let rate = self.rate.as_ref().map(Rate::mean);
        let policed = self.policer.map(|policer| policer.rate);
        rate.into_iter().chain(policed).min()
    }

    /// Returns how long a packet is on the wire at most, but for jitter and what is held back.
    #[must_use]
    pub fn longest_delay(&self) -> Duration {
        let step = self.steps.map_or(Duration::ZERO, |steps| steps.from.max(steps.to));
        self.delay.saturating_add(step)
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::perfect()
    }
}

/// Bits per second, more than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(NonZeroU64);

impl BitRate {
    pub(super) const SLOWEST: Self = Self(NonZeroU64::MIN);

    /// Returns a rate in bits per second; `None` if it is zero.
    #[must_use]
    pub const fn new(bits_per_second: u64) -> Option<Self> {
        match NonZeroU64::new(bits_per_second) {
            Some(rate) => Some(Self(rate)),
            None => None,
        }
    }

    /// Returns a rate in megabits (10⁶ bits) per second.
    ///
    /// # Panics
    ///
    /// Panics if the rate is zero or beyond what 64 bits hold.
    #[must_use]
    pub const fn mbps(megabits: u64) -> Self {
        let bits = megabits.checked_mul(1_000_000).expect("the rate fits into 64 bits");
        Self::new(bits).expect("the rate is not zero")
    }

    /// Returns the rate in bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0.get()
    }
}

/// How fast bits leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rate {
    /// Always as fast.
    Fixed(BitRate),
    /// At the moments of a trace.
    Trace(Trace),
}

impl Rate {
    /// Returns the rate in the long run.
    #[must_use]
    pub fn mean(&self) -> BitRate {
        match self {
            Self::Fixed(rate) => *rate,
            Self::Trace(trace) => trace.mean_rate(),
        }
    }
}

/// A token bucket without a queue: drops whatever does not conform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policer {
    /// What it lets through in the long run.
    pub rate: BitRate,
    /// Bytes that it lets through at once after a pause; no larger packet ever comes through.
    pub burst: usize,
}

/// How a queue is kept short before it is full (active queue management).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aqm {
    /// Not at all.
    #[default]
    Off,
    /// By how long packets have waited, as RFC 8289 has it.
    CoDel(CoDel),
    /// Packets that find more than this many before them are marked, as DCTCP (RFC 8257) wants it;
    /// those that take no marks just pass.
    MarkAbove(usize),
}

/// CoDel's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoDel {
    /// How long packets may wait all the time.
    pub target: Duration,
    /// How long they may wait longer: about the longest round trip of those that use the link.
    pub interval: Duration,
    /// Whether packets that take marks are marked instead of dropped.
    pub ecn: bool,
}

impl CoDel {
    /// What RFC 8289 recommends for the Internet: 5 ms, 100 ms, and drops.
    #[must_use]
    pub const fn new() -> Self {
        let (target, interval) = (Duration::from_millis(5), Duration::from_millis(100));
        Self { target, interval, ecn: false }
    }

    /// Marks instead of dropping whatever takes marks.
    #[must_use]
    pub const fn with_ecn(self) -> Self {
        Self { ecn: true, ..self }
    }
}

impl Default for CoDel {
    fn default() -> Self {
        Self::new()
    }
}

/// What is added to the delay: the same for a while, and then drawn anew, as when a satellite hands
/// over to the next.
///
/// The order of packets is kept: after a step down, the first wait for those before the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// How long a step lasts; the first begins at the epoch.
    pub every: Duration,
    /// The least that is added.
    pub from: Duration,
    /// The most that is added.
    pub to: Duration,
}

/// When the wire is dark: light for a while, dark for a while, and again.
///
/// What leaves the serializer in the dark is lost, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blackouts {
    /// When the first round begins, since the epoch; before that the wire is light.
    pub offset: Duration,
    /// How long the wire is light, at the beginning of each round.
    pub on: Duration,
    /// How long it is dark then.
    pub off: Duration,
    /// How many rounds there are; `None`: no end of them.
    pub rounds: Option<NonZeroU32>,
}

impl Blackouts {
    /// Returns rounds without end that begin at the epoch.
    #[must_use]
    pub const fn new(on: Duration, off: Duration) -> Self {
        Self { offset: Duration::ZERO, on, off, rounds: None }
    }

    /// Returns whether the wire is dark at `time`.
    #[must_use]
    pub fn is_dark(&self, time: Duration) -> bool {
        let Some(since) = time.checked_sub(self.offset) else { return false };
        let round = self.on.as_nanos() + self.off.as_nanos();
        if round == 0 {
            return false;
        }
        let (number, within) = (since.as_nanos() / round, since.as_nanos() % round);
        let over = self.rounds.is_some_and(|rounds| number >= u128::from(rounds.get()));
        !over && within >= self.on.as_nanos()
    }
}

/// A probability: from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// Never.
    pub const ZERO: Self = Self(0.0);
    /// Always.
    pub const ONE: Self = Self(1.0);

    /// Returns a probability that is known to be one.
    ///
    /// # Panics
    ///
    /// Panics if `value` is not from 0 to 1; see [`checked`](Self::checked) for what users type.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self::checked(value).expect("a probability is from 0 to 1")
    }

    /// Returns a probability; `None` if `value` is not from 0 to 1.
    #[must_use]
    pub const fn checked(value: f64) -> Option<Self> {
        if 0.0 <= value && value <= 1.0 { Some(Self(value)) } else { None }
    }

    /// Returns the probability as a number from 0 to 1.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// Which packets are lost on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// None is.
    Never,
    /// Each with the same probability, whatever became of the one before.
    Iid(Probability),
    /// As `Iid`, but never more than so many in a row.
    Bounded {
        /// Loss of each packet by which the limit is not exceeded.
        probability: Probability,
        /// The most that are lost in a row.
        longest: NonZeroU32,
    },
    /// In bursts: Gilbert's and Elliott's chain of a good and a bad state, one step per packet.
    GilbertElliott {
        /// Probability of turning bad before a packet.
        to_bad: Probability,
        /// Probability of turning good again before a packet.
        to_good: Probability,
        /// Loss in the good state.
        in_good: Probability,
        /// Loss in the bad state.
        in_bad: Probability,
    },
}

impl Loss {
    /// Returns a loss of one in `1 / probability` packets, each by itself.
    #[must_use]
    pub const fn iid(probability: Probability) -> Self {
        Self::Iid(probability)
    }

    /// Returns a loss of one in `1 / probability` packets, but never more than `longest` in a row.
    #[must_use]
    pub const fn bounded(probability: Probability, longest: NonZeroU32) -> Self {
        Self::Bounded { probability, longest }
    }

    /// Returns a loss of `mean` of all packets, in bursts of `burst` packets on average.
    ///
    /// Bursts are one packet long at least, and as long as `mean` makes necessary.
    #[must_use]
    pub fn bursts(mean: Probability, burst: f64) -> Self {
        let mean = mean.value();
        if mean >= 1.0 {
            return Self::Iid(Probability::ONE);
        }
        // In the long run the chain is bad for to_bad / (to_bad + to_good) of the time; bad times
        // last 1 / to_good packets, and to_bad is a probability only if they are long enough.
        let burst = burst.max(1.0).max(mean / (1.0 - mean));
        let to_good = 1.0 / burst;
        Self::GilbertElliott {
            to_bad: Probability((to_good * mean / (1.0 - mean)).min(1.0)),
            to_good: Probability(to_good),
            in_good: Probability::ZERO,
            in_bad: Probability::ONE,
        }
    }
}

/// Which packets are held back, and for how long.
///
/// A packet held back is overtaken by those sent meanwhile, and by no others: the share of packets
/// that arrive late is the probability asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorder {
    /// How many packets are held back.
    pub probability: Probability,
    /// How much later than in its turn such a packet arrives.
    pub hold: Duration,
}

/// What a queue holds at most; the packet on the serializer counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    /// Whatever comes.
    Unbounded,
    /// This many packets.
    Packets(usize),
    /// This many bytes.
    Bytes(usize),
    /// What leaves within this time: the bytes that a fixed rate sends in it, or those for which a
    /// trace has opportunities until then.
    Time(Duration),
}
