//! What a link is like.

use std::{num::NonZeroU64, time::Duration};

use super::Script;

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
    /// How fast bits leave; `None`: all at once.
    pub rate: Option<BitRate>,
    /// What waits for the serializer at most.
    pub queue: QueueLimit,
    /// How long each packet is on the wire.
    pub delay: Duration,
    /// Standard deviation of the delay. The order of packets is kept.
    ///
    /// The deviation follows a slow random curve over *time*: packets sent together are late
    /// together, however many they are. Drawing it for each packet would, with the order kept, make
    /// every packet wait for the latest before it, and the delay grow with the packet rate. The
    /// delay is never less than zero, so a jitter of the size of the delay also adds to its mean.
    pub jitter: Duration,
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
    /// Loss, duplication, reordering and jitter draw from separate streams, so that changing one of
    /// them leaves the others' choices as they were.
    pub seed: u64,
}

impl LinkConfig {
    /// Returns a link that hands on each packet at once, as it came.
    #[must_use]
    pub const fn perfect() -> Self {
        Self {
            rate: None,
            queue: QueueLimit::Unbounded,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::Never,
            reorder: Reorder { probability: Probability::ZERO, hold: Duration::ZERO },
            duplicate: Probability::ZERO,
            script: Script::new(),
            seed: 0,
        }
    }

    /// Sets how fast bits leave.
    #[must_use]
    pub const fn rate(mut self, rate: BitRate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Sets what waits for the serializer at most.
    #[must_use]
    pub const fn queue(mut self, limit: QueueLimit) -> Self {
        self.queue = limit;
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
        // Neither a queue that never fills nor dice that are never thrown make a difference.
        *self == Self { queue: self.queue, seed: self.seed, ..Self::perfect() }
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
}
