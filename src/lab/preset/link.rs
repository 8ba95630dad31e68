//! One direction of a preset: what can be said of a link, and the link that it means.

use std::{hash::Hasher as _, num::NonZeroU32, time::Duration};

use polyperf_memory::link::{
    Aqm, BitRate, Blackouts, CoDel, LinkConfig, Loss, Policer, Probability, QueueLimit, Steps,
    Trace,
};
use schemars::JsonSchema;
use serde::Serialize;
use siphasher::sip::SipHasher24;

use crate::micros;

/// One direction of a link, all of it within bounds. Times in documents are in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LinkFile {
    /// What is let through before it comes to the queue; absent: everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policer: Option<PolicerFile>,
    /// How fast bits leave; absent: all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateFile>,
    /// What waits at most.
    pub queue: QueueFile,
    /// How the queue is kept short before it is full; absent: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aqm: Option<AqmFile>,
    /// Bytes that the link adds to every packet.
    #[serde(skip_serializing_if = "is_zero")]
    pub overhead_bytes: u32,
    /// How long each packet is on the wire.
    #[serde(rename = "delay_us", with = "micros")]
    #[schemars(with = "u64")]
    pub delay: Duration,
    /// Standard deviation of the delay, which follows a curve over time and keeps the order.
    #[serde(rename = "jitter_us", with = "micros", skip_serializing_if = "Duration::is_zero")]
    #[schemars(with = "u64")]
    pub jitter: Duration,
    /// What is added to the delay, drawn anew from time to time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepsFile>,
    /// When the wire is dark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blackout: Option<BlackoutFile>,
    /// Which packets are lost; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossFile>,
    /// The share of packets that are held back, so that later ones overtake them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<ReorderFile>,
    /// The share of packets that arrive twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<f64>,
}

/// A token bucket without a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicerFile {
    /// What comes through in the long run.
    pub bits_per_second: u64,
    /// What comes through at once after a pause.
    pub burst_bytes: u32,
}

/// How fast bits leave.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RateFile {
    /// Always as fast.
    Fixed {
        /// The rate.
        bits_per_second: u64,
    },
    /// At the moments of a trace, over and over again.
    Trace(TraceFile),
}

/// The trace that a link follows.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TraceFile {
    /// Its file, or how it was computed.
    pub source: String,
    /// Its rate in the long run.
    pub mean_bits_per_second: u64,
    /// How many opportunities of 1500 bytes it has.
    pub opportunities: u64,
    /// After how many milliseconds it begins again.
    pub length_ms: u64,
    /// The same for the same moments: `SipHash` of each as four bytes, the lowest first.
    pub fingerprint: String,
    #[serde(skip)]
    #[schemars(skip)]
    trace: Trace,
}

/// What waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QueueFile {
    /// Whatever comes.
    Unlimited,
    /// So many packets.
    Packets {
        /// How many.
        packets: u32,
    },
    /// So many bytes.
    Bytes {
        /// How many.
        bytes: u32,
    },
    /// What leaves within a time.
    Time {
        /// Which.
        #[serde(rename = "time_us", with = "micros")]
        #[schemars(with = "u64")]
        time: Duration,
    },
}

/// How a queue is kept short before it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AqmFile {
    /// By how long packets have waited, as RFC 8289 has it.
    Codel {
        /// How long they may wait all the time.
        #[serde(rename = "target_us", with = "micros")]
        #[schemars(with = "u64")]
        target: Duration,
        /// How long they may wait longer.
        #[serde(rename = "interval_us", with = "micros")]
        #[schemars(with = "u64")]
        interval: Duration,
        /// Whether packets that take marks are marked instead of dropped.
        ecn: bool,
    },
    /// Marks packets that find more than so many before them.
    MarkAbove {
        /// How many.
        packets: u32,
    },
}

/// What is added to the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StepsFile {
    /// How long a step lasts.
    #[serde(rename = "every_us", with = "micros")]
    #[schemars(with = "u64")]
    pub every: Duration,
    /// The least that is added.
    #[serde(rename = "from_us", with = "micros")]
    #[schemars(with = "u64")]
    pub from: Duration,
    /// The most that is added.
    #[serde(rename = "to_us", with = "micros")]
    #[schemars(with = "u64")]
    pub to: Duration,
}

/// When the wire is dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BlackoutFile {
    /// When the first round begins.
    #[serde(rename = "offset_us", with = "micros")]
    #[schemars(with = "u64")]
    pub offset: Duration,
    /// How long it is light in each round, before it is dark.
    #[serde(rename = "on_us", with = "micros")]
    #[schemars(with = "u64")]
    pub on: Duration,
    /// How long it is dark then.
    #[serde(rename = "off_us", with = "micros")]
    #[schemars(with = "u64")]
    pub off: Duration,
    /// How many rounds there are; absent: no end of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<NonZeroU32>,
}

/// Which packets are lost by chance. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LossFile {
    /// Each by itself.
    Independent {
        /// How many.
        share: f64,
    },
    /// Each by itself, but never more than so many in a row.
    Bounded {
        /// How many, where that is not exceeded.
        share: f64,
        /// The most in a row.
        longest: NonZeroU32,
    },
    /// In bursts.
    Bursts {
        /// How many.
        share: f64,
        /// The mean length of a burst.
        burst: f64,
    },
    /// By Gilbert's and Elliott's chain of a good and a bad state, one step per packet.
    GilbertElliott {
        /// Probability of turning bad before a packet.
        to_bad: f64,
        /// Probability of turning good again before a packet.
        to_good: f64,
        /// Loss in the good state.
        in_good: f64,
        /// Loss in the bad state.
        in_bad: f64,
    },
}

/// Which packets are held back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ReorderFile {
    /// How many, from 0 to 1.
    pub share: f64,
    /// How much later than in its turn such a packet arrives.
    #[serde(rename = "hold_us", with = "micros")]
    #[schemars(with = "u64")]
    pub hold: Duration,
}

impl LinkFile {
    /// Returns a link of which nothing is said.
    pub(super) const fn empty() -> Self {
        Self {
            policer: None,
            rate: None,
            queue: QueueFile::Unlimited,
            aqm: None,
            overhead_bytes: 0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            steps: None,
            blackout: None,
            loss: None,
            reorder: None,
            duplicate: None,
        }
    }

    /// Returns the link, with this seed.
    #[must_use]
    pub fn config(&self, seed: u64) -> LinkConfig {
        let mut link = LinkConfig::perfect()
            .queue(self.queue.limit())
            .overhead(size(self.overhead_bytes))
            .delay(self.delay)
            .jitter(self.jitter)
            .loss(self.loss.map_or(Loss::Never, LossFile::loss))
            .duplicate(self.duplicate.map_or(Probability::ZERO, probability))
            .seed(seed);
        if let Some(rate) = &self.rate {
            link = rate.of(link);
        }
        if let Some(PolicerFile { bits_per_second, burst_bytes }) = self.policer
            && let Some(rate) = BitRate::new(bits_per_second)
        {
            link = link.policer(Policer { rate, burst: size(burst_bytes) });
        }
        if let Some(ReorderFile { share, hold }) = self.reorder {
            link = link.reorder(probability(share), hold);
        }
        if let Some(StepsFile { every, from, to }) = self.steps {
            link = link.steps(Steps { every, from, to });
        }
        if let Some(BlackoutFile { offset, on, off, rounds }) = self.blackout {
            link = link.blackouts(Blackouts { offset, on, off, rounds });
        }
        link.aqm(self.aqm.map_or(Aqm::Off, AqmFile::aqm))
    }
}

impl RateFile {
    /// Returns the rate in the long run.
    #[must_use]
    pub const fn mean(&self) -> u64 {
        match self {
            Self::Fixed { bits_per_second } => *bits_per_second,
            Self::Trace(trace) => trace.mean_bits_per_second,
        }
    }

    fn of(&self, link: LinkConfig) -> LinkConfig {
        match self {
            Self::Fixed { bits_per_second } => match BitRate::new(*bits_per_second) {
                Some(rate) => link.rate(rate),
                None => link,
            },
            Self::Trace(file) => link.trace(file.trace.clone()),
        }
    }
}

impl TraceFile {
    pub(super) fn new(source: String, trace: Trace) -> Self {
        let mut hasher = SipHasher24::new();
        trace.moments().iter().for_each(|moment| hasher.write(&moment.to_le_bytes()));
        Self {
            source,
            mean_bits_per_second: trace.mean_rate().bits_per_second(),
            opportunities: trace.moments().len() as u64,
            length_ms: u64::try_from(trace.length().as_millis()).unwrap_or(u64::MAX),
            fingerprint: format!("{:016x}", hasher.finish()),
            trace,
        }
    }
}

impl QueueFile {
    fn limit(self) -> QueueLimit {
        match self {
            Self::Unlimited => QueueLimit::Unbounded,
            Self::Packets { packets } => QueueLimit::Packets(size(packets)),
            Self::Bytes { bytes } => QueueLimit::Bytes(size(bytes)),
            Self::Time { time } => QueueLimit::Time(time),
        }
    }
}

impl AqmFile {
    fn aqm(self) -> Aqm {
        match self {
            Self::Codel { target, interval, ecn } => Aqm::CoDel(CoDel { target, interval, ecn }),
            Self::MarkAbove { packets } => Aqm::MarkAbove(size(packets)),
        }
    }
}

impl LossFile {
    /// Returns the share of packets that are lost in the long run.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Independent { share } | Self::Bursts { share, .. } => share,
            Self::Bounded { share, longest } => {
                // After k losses in a row the chain of rows is in a state of weight share^k.
                let rows: f64 = (1..=longest.get()).map(|row| share.powf(f64::from(row))).sum();
                rows / (1.0 + rows)
            }
            Self::GilbertElliott { to_bad, to_good, in_good, in_bad } => {
                let bad = to_bad / (to_bad + to_good);
                in_bad * bad + in_good * (1.0 - bad)
            }
        }
    }

    fn loss(self) -> Loss {
        match self {
            Self::Independent { share } => Loss::iid(probability(share)),
            Self::Bounded { share, longest } => Loss::bounded(probability(share), longest),
            Self::Bursts { share, burst } => Loss::bursts(probability(share), burst),
            Self::GilbertElliott { to_bad, to_good, in_good, in_bad } => Loss::GilbertElliott {
                to_bad: probability(to_bad),
                to_good: probability(to_good),
                in_good: probability(in_good),
                in_bad: probability(in_bad),
            },
        }
    }
}

fn probability(share: f64) -> Probability {
    Probability::checked(share).unwrap_or(Probability::ZERO)
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
