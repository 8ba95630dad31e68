//! What the link itself has seen: the same for every transport, whatever that one says of itself.

use std::{fmt, net::SocketAddr, time::Duration};

#[cfg(target_os = "linux")]
use polyperf_memory::link::Cause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::doctor::Calibration;
use crate::micros;

/// What crossed the emulated link since it was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Truth {
    /// How long the link has been as it is.
    #[serde(rename = "lasted_us", with = "micros")]
    #[schemars(with = "u64")]
    pub lasted: Duration,
    /// Time that a processor worked for the link itself: part of no transport's cost.
    #[serde(
        rename = "cpu_us",
        with = "micros::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub cpu: Option<Duration>,
    /// From the near end, the client's, to the far one.
    pub to_far: Direction,
    /// From the far end to the near one.
    pub to_near: Direction,
}

/// What became of the packets in one direction. Packets are those of the wire, however many of them
/// a program handed to the kernel at once, and bytes are theirs from the IP header on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Direction {
    /// Bits per second that the link lets through at most, in the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// How long a packet is on the wire.
    #[serde(rename = "delay_us", with = "micros")]
    #[schemars(with = "u64")]
    pub delay: Duration,
    /// Whether each packet met its own fate. Where a link does nothing but delay, those that the
    /// kernel hands over together stay together.
    pub per_packet: bool,
    /// What all flows had together.
    #[serde(flatten)]
    pub total: Crossing,
    /// Copies that the link made.
    pub duplicated: u64,
    /// Packets that the link held back from their place.
    pub reordered: u64,
    /// The most packets that ever waited for the link's rate.
    pub longest_queue_packets: u64,
    /// The most bytes that ever waited for it.
    pub longest_queue_bytes: u64,
    /// How much later than due packets came out of the link, which is the emulator's own fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Spread>,
    /// Packets lost before the link got them; `None` if the kernel does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_drops: Option<u64>,
    /// Packets lost because the receiving end's kernel refused them.
    pub write_errors: u64,
    /// Packets lost because the link held as much as the emulator can hold.
    pub overflows: u64,
    /// Each flow, in the order in which they came up.
    pub flows: Vec<Flow>,
    /// What further flows had together, where there were more than are kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_flows: Option<Crossing>,
}

/// A flow in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Number of the protocol, as the IANA has it: 6 for TCP, 17 for UDP; 255 for what is not of the
    /// internet's protocols.
    pub protocol: u8,
    /// Who sent; with port 0 where the protocol has none.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What became of its packets.
    #[serde(flatten)]
    pub crossing: Crossing,
}

/// What became of packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Crossing {
    /// Packets put on the link.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that came through, copies included.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Packets that did not come through.
    pub drops: Drops,
    /// Packets that came through with a mark of congestion that the link gave them.
    pub marks: u64,
    /// How long packets that came through waited for the link's rate; `None` if none did come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queueing: Option<Spread>,
}

/// Packets that did not come through, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drops {
    /// The queue was full.
    pub queue: u64,
    /// The queue's management told the sender to slow down.
    pub aqm: u64,
    /// Beyond what the policer lets through.
    pub policer: u64,
    /// By chance.
    pub loss: u64,
    /// Sent while the link was dark.
    pub blackout: u64,
    /// By a script.
    pub script: u64,
    /// On the link when it was cut.
    pub cut: u64,
}

/// How times spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// The mean.
    #[serde(rename = "mean_us", with = "micros")]
    #[schemars(with = "u64")]
    pub mean: Duration,
    /// Half of them are no longer.
    #[serde(rename = "p50_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p50: Duration,
    /// All but one in twenty are no longer.
    #[serde(rename = "p95_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p95: Duration,
    /// All but one in a hundred are no longer.
    #[serde(rename = "p99_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p99: Duration,
    /// The longest.
    #[serde(rename = "max_us", with = "micros")]
    #[schemars(with = "u64")]
    pub max: Duration,
}

/// Where on the link something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Heading {
    /// From the near end to the far one.
    ToFar,
    /// From the far end to the near one.
    ToNear,
}

/// What the emulator did to a run that the link was not to do. Its figures are not to be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "spoilt", rename_all = "kebab-case")]
pub enum Spoilt {
    /// The kernel lost packets before the link got them.
    DeviceDrops {
        /// In which direction.
        heading: Heading,
        /// How many.
        packets: u64,
    },
    /// The kernel refused packets that came out of the link.
    WriteErrors {
        /// In which direction.
        heading: Heading,
        /// How many.
        packets: u64,
    },
    /// The link held more than the emulator can hold.
    Overflow {
        /// In which direction.
        heading: Heading,
        /// How many packets found no room.
        packets: u64,
    },
    /// Packets came out of the link too late.
    Late {
        /// In which direction.
        heading: Heading,
        /// All but one in a hundred came no later.
        #[serde(rename = "p99_us", with = "micros")]
        #[schemars(with = "u64")]
        p99: Duration,
        /// How late they may be.
        #[serde(rename = "limit_us", with = "micros")]
        #[schemars(with = "u64")]
        limit: Duration,
    },
    /// The link is faster than this machine can be trusted to emulate.
    TooFast {
        /// In which direction.
        heading: Heading,
        /// Bits per second of the link.
        rate: u64,
        /// Bits per second that were reached on this machine.
        ceiling: u64,
    },
}

impl Truth {
    /// Returns what the emulator itself has spoilt; nothing if the figures are the link's.
    ///
    /// Without a calibration of this machine nobody knows how fast a link may be. `latest` is how late
    /// packets may come out of it at p99; `None` is 1 ms, or a twentieth of the link's delay if that is
    /// more.
    #[must_use]
    pub fn spoilt(
        &self,
        calibration: Option<&Calibration>,
        latest: Option<Duration>,
    ) -> Vec<Spoilt> {
        let directions = [(Heading::ToFar, &self.to_far), (Heading::ToNear, &self.to_near)];
        let all = directions.into_iter();
        all.flat_map(|(heading, direction)| direction.spoilt(heading, calibration, latest))
            .collect()
    }
}

impl Direction {
    fn spoilt(
        &self,
        heading: Heading,
        calibration: Option<&Calibration>,
        latest: Option<Duration>,
    ) -> Vec<Spoilt> {
        let some = |packets: u64| (packets > 0).then_some(packets);
        let limit = latest.unwrap_or_else(|| LATEST.max(self.delay / PART_OF_DELAY));
        let late = self.lateness.map(|lateness| lateness.p99).filter(|p99| *p99 > limit);
        let ceiling =
            calibration.map(|found| if self.per_packet { found.exact } else { found.whole });
        let too_fast = self.rate.zip(ceiling).filter(|(rate, ceiling)| *rate > ceiling / 2);
        let device = self.device_drops.and_then(some);
        [
            device.map(|packets| Spoilt::DeviceDrops { heading, packets }),
            some(self.write_errors).map(|packets| Spoilt::WriteErrors { heading, packets }),
            some(self.overflows).map(|packets| Spoilt::Overflow { heading, packets }),
            late.map(|p99| Spoilt::Late { heading, p99, limit }),
            too_fast.map(|(rate, ceiling)| Spoilt::TooFast { heading, rate, ceiling }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Drops {
    /// Returns how many there are of whatever cause.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { queue, aqm, policer, loss, blackout, script, cut } = *self;
        queue + aqm + policer + loss + blackout + script + cut
    }

    #[cfg(target_os = "linux")]
    pub(super) const fn count(&mut self, cause: Cause, packets: u64) {
        *match cause {
            Cause::Queue => &mut self.queue,
            Cause::Aqm => &mut self.aqm,
            Cause::Policer => &mut self.policer,
            Cause::Loss => &mut self.loss,
            Cause::Blackout => &mut self.blackout,
            Cause::Script => &mut self.script,
            Cause::Cut => &mut self.cut,
        } += packets;
    }
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToFar => "to the far end",
            Self::ToNear => "to the near end",
        })
    }
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceDrops { heading, packets } => {
                write!(f, "{packets} packets {heading} were lost before they came to the link")
            }
            Self::WriteErrors { heading, packets } => {
                write!(f, "{packets} packets {heading} were refused by the receiving kernel")
            }
            Self::Overflow { heading, packets } => write!(
                f,
                "{packets} packets {heading} found no room, although the link has no limit: send \
                 more slowly, or give it a queue"
            ),
            Self::Late { heading, p99, limit } => write!(
                f,
                "packets {heading} came up to {p99:?} late at p99, and {limit:?} is the most: this \
                 machine is too busy, have less run beside"
            ),
            Self::TooFast { heading, rate, ceiling } => write!(
                f,
                "the link {heading} has {rate} bit/s, and this machine reaches {ceiling}, of which \
                 half can be trusted"
            ),
        }
    }
}

/// How late packets may be at p99, unless the delay is so long that it does not matter.
const LATEST: Duration = Duration::from_millis(1);

/// A twentieth of the delay.
const PART_OF_DELAY: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(to_far: Direction) -> Truth {
        let to_near = Direction::default();
        Truth { lasted: Duration::from_secs(1), cpu: None, to_far, to_near }
    }

    fn late(p99: Duration) -> Option<Spread> {
        let zero = Duration::ZERO;
        Some(Spread { count: 100, mean: zero, p50: zero, p95: zero, p99, max: p99 })
    }

    #[test]
    fn a_run_is_spoilt_by_what_the_emulator_did_and_not_by_what_the_link_is_to_do() {
        let drops = Drops { queue: 9, loss: 7, ..Drops::default() };
        let well =
            Direction { total: Crossing { drops, ..Crossing::default() }, ..Direction::default() };
        assert_eq!(truth(well).spoilt(None, None), []);
        let ill = Direction {
            device_drops: Some(3),
            write_errors: 2,
            overflows: 1,
            ..Direction::default()
        };
        let heading = Heading::ToFar;
        assert_eq!(
            truth(ill).spoilt(None, None),
            [
                Spoilt::DeviceDrops { heading, packets: 3 },
                Spoilt::WriteErrors { heading, packets: 2 },
                Spoilt::Overflow { heading, packets: 1 },
            ]
        );
    }

    #[test]
    fn lateness_is_judged_by_the_delay_and_never_below_a_millisecond() {
        let ms = Duration::from_millis;
        for (delay, p99, is_spoilt) in [
            (ms(0), ms(1), false),
            (ms(0), ms(2), true),
            (ms(10), ms(1), false),
            (ms(100), ms(5), false),
            (ms(100), ms(6), true),
        ] {
            let direction = Direction { delay, lateness: late(p99), ..Direction::default() };
            assert_eq!(
                !truth(direction).spoilt(None, None).is_empty(),
                is_spoilt,
                "{delay:?} {p99:?}"
            );
        }
    }

    #[test]
    fn a_link_may_have_half_of_what_the_machine_reaches() {
        let spread = late(Duration::ZERO).unwrap();
        let calibration = Calibration {
            tier: super::super::Tier::TunUser,
            round_trip: spread,
            exact: 6_000,
            whole: 10_000,
            lateness: spread,
        };
        for (rate, per_packet, is_spoilt) in
            [(3_000, true, false), (3_001, true, true), (5_000, false, false), (5_001, false, true)]
        {
            let direction = Direction { rate: Some(rate), per_packet, ..Direction::default() };
            let spoilt = truth(direction).spoilt(Some(&calibration), None);
            assert_eq!(!spoilt.is_empty(), is_spoilt, "{rate}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let flow = Flow {
            protocol: 6,
            from: "10.99.0.1:1".parse().unwrap(),
            to: "10.99.0.2:2".parse().unwrap(),
            crossing: Crossing { packets: 4, ..Crossing::default() },
        };
        let before = truth(Direction { flows: vec![flow], rate: Some(1), ..Direction::default() });
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), before, "{text}");
    }
}
