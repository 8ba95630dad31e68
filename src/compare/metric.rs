use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::name_of;

/// What transports are compared by. One run of one transport has at most one value of each.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// What the server counted of what the client sent, in bits per second.
    GoodputUp,
    /// What the client counted of what the server sent, in bits per second.
    GoodputDown,
    /// From the first packet of a new connection to the last byte of its first response, median,
    /// in seconds.
    FirstReply,
    /// The same of connections that resume an earlier one.
    FirstReplyResumed,
    /// The same of connections whose request is on its way before the handshake is over.
    FirstReplyZeroRtt,
    /// Requests and responses a second, one at a time, on an idle path.
    Transactions,
    /// Connections made, used once and closed a second, one at a time.
    Connections,
    /// From request to response on an idle path, median, in seconds.
    IdleP50,
    /// The same, 95th percentile.
    IdleP95,
    /// The same, 99th percentile.
    IdleP99,
    /// From request to response while the client sends bulk beside, median, in seconds.
    LoadedP50,
    /// The same, 95th percentile.
    LoadedP95,
    /// The same, 99th percentile.
    LoadedP99,
    /// How much the load adds to the median latency, in seconds.
    LatencyIncrease,
    /// Round trips a minute under load: 60 over the mean of the latencies under load, in the manner
    /// of draft-ietf-ippm-responsiveness ("RPM-like").
    Responsiveness,
    /// Datagrams lost on the way up, as a share of those sent.
    Loss,
    /// Packets or segments sent again on the way up, for each gigabyte received.
    Retransmits,
    /// Bytes that the sender put on the wire, as far down as the transport sees, over bytes received,
    /// on the way up.
    WireOverhead,
    /// How long packets on the way up waited for the rate of an emulated link, 95th percentile, in
    /// seconds, as the link itself saw it.
    QueueP95,
    /// Packets or segments sent again on the way up beyond those that an emulated link has lost, for
    /// each gigabyte received.
    Spurious,
    /// What an arm got through of all that it and its competitors did, as a share of one.
    ShareOfLink,
    /// Jain's index of the streams of an arm and of its competitors, from 0 to 1.
    Fairness,
    /// How much of what competitors get through among their own kind they lose beside an arm, as a
    /// share of one.
    Harm,
    /// Seconds of processor time of both ends for each gigabyte received, on the way up.
    CpuPerGb,
    /// From the start of the way up to half of its final rate, in seconds.
    ToHalf,
    /// From the start of the way up to nine tenths of its final rate, in seconds.
    ToNineTenths,
    /// From the first packet to the last byte of 10 kB, in seconds.
    Complete10k,
    /// From the first packet to the last byte of 1 MB, in seconds.
    Complete1m,
    /// From the first packet to the last byte of 10 MB, in seconds.
    Complete10m,
}

/// What a [`Metric`] is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bits per second.
    BitsPerSecond,
    /// Seconds.
    Seconds,
    /// So many a second.
    PerSecond,
    /// So many a minute.
    PerMinute,
    /// A share of one.
    Share,
    /// A factor, 1 or more.
    Factor,
    /// So many a gigabyte (10^9 bytes).
    PerGigabyte,
    /// Seconds of processor time a gigabyte.
    SecondsPerGigabyte,
}

/// Which of two values of a [`Metric`] is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The higher.
    Higher,
    /// The lower.
    Lower,
}

impl Metric {
    /// Every metric, in the order in which reports have them.
    pub const ALL: [Self; 29] = [
        Self::GoodputUp,
        Self::GoodputDown,
        Self::FirstReply,
        Self::FirstReplyResumed,
        Self::FirstReplyZeroRtt,
        Self::Transactions,
        Self::Connections,
        Self::IdleP50,
        Self::IdleP95,
        Self::IdleP99,
        Self::LoadedP50,
        Self::LoadedP95,
        Self::LoadedP99,
        Self::LatencyIncrease,
        Self::Responsiveness,
        Self::Loss,
        Self::Retransmits,
        Self::WireOverhead,
        Self::QueueP95,
        Self::Spurious,
        Self::ShareOfLink,
        Self::Fairness,
        Self::Harm,
        Self::CpuPerGb,
        Self::ToHalf,
        Self::ToNineTenths,
        Self::Complete10k,
        Self::Complete1m,
        Self::Complete10m,
    ];

    /// Returns the metric's name in documents and on command lines: `goodput_up`.
    #[must_use]
    pub fn name(self) -> String {
        name_of(&self)
    }

    /// Returns the metric's name, for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::GoodputUp => "goodput up",
            Self::GoodputDown => "goodput down",
            Self::FirstReply => "time to first reply",
            Self::FirstReplyResumed => "time to first reply, resumed",
            Self::FirstReplyZeroRtt => "time to first reply, 0-RTT",
            Self::Transactions => "transactions",
            Self::Connections => "connections",
            Self::IdleP50 => "idle latency p50",
            Self::IdleP95 => "idle latency p95",
            Self::IdleP99 => "idle latency p99",
            Self::LoadedP50 => "loaded latency p50",
            Self::LoadedP95 => "loaded latency p95",
            Self::LoadedP99 => "loaded latency p99",
            Self::LatencyIncrease => "latency increase",
            Self::Responsiveness => "RPM-like",
            Self::Loss => "loss",
            Self::Retransmits => "retransmits",
            Self::WireOverhead => "wire bytes / goodput bytes",
            Self::QueueP95 => "queueing delay p95",
            Self::Spurious => "spurious retransmits",
            Self::ShareOfLink => "share of the link",
            Self::Fairness => "Jain's index",
            Self::Harm => "harm",
            Self::CpuPerGb => "CPU-s per GB",
            Self::ToHalf => "time to 50 % of the rate",
            Self::ToNineTenths => "time to 90 % of the rate",
            Self::Complete10k => "completion of 10 kB",
            Self::Complete1m => "completion of 1 MB",
            Self::Complete10m => "completion of 10 MB",
        }
    }

    /// Returns what the metric is counted in.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::GoodputUp | Self::GoodputDown => Unit::BitsPerSecond,
            Self::Transactions | Self::Connections => Unit::PerSecond,
            Self::Responsiveness => Unit::PerMinute,
            Self::Loss | Self::ShareOfLink | Self::Fairness | Self::Harm => Unit::Share,
            Self::Retransmits | Self::Spurious => Unit::PerGigabyte,
            Self::WireOverhead => Unit::Factor,
            Self::CpuPerGb => Unit::SecondsPerGigabyte,
            Self::FirstReply
            | Self::FirstReplyResumed
            | Self::FirstReplyZeroRtt
            | Self::QueueP95
            | Self::IdleP50
            | Self::IdleP95
            | Self::IdleP99
            | Self::LoadedP50
            | Self::LoadedP95
            | Self::LoadedP99
            | Self::LatencyIncrease
            | Self::ToHalf
            | Self::ToNineTenths
            | Self::Complete10k
            | Self::Complete1m
            | Self::Complete10m => Unit::Seconds,
        }
    }

    /// Returns which of two values is the better one.
    #[must_use]
    pub fn better(self) -> Better {
        match self {
            Self::GoodputUp
            | Self::GoodputDown
            | Self::Transactions
            | Self::Connections
            | Self::Responsiveness
            | Self::ShareOfLink
            | Self::Fairness => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// Returns the smallest effect that matters in practice, as a part of the baseline's value.
    #[must_use]
    pub fn threshold(self, thresholds: &Thresholds) -> f64 {
        match self.unit() {
            Unit::Seconds | Unit::PerMinute => thresholds.latency,
            _ => thresholds.goodput,
        }
    }
}

/// What a difference must exceed to be called one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thresholds {
    /// The smallest effect on times that matters in practice, as a part.
    pub latency: f64,
    /// The smallest effect on everything else.
    pub goodput: f64,
    /// How likely chance alone may be, after correction for the number of comparisons.
    pub alpha: f64,
}

impl Default for Thresholds {
    /// 5 % of latency, 3 % of everything else, and one in a hundred.
    fn default() -> Self {
        Self { latency: 0.05, goodput: 0.03, alpha: 0.01 }
    }
}
