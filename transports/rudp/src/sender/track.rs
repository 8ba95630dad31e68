//! Packets that were sent, and what has become of them (RFC 9002, section 6).

use std::{collections::VecDeque, ops::Range, time::Duration};

use super::rate::Stamp;
use crate::{packet::Kind, rtt::Rtt};

/// Packets by number, from the oldest on of which something may still be heard.
#[derive(Debug, Default)]
pub(crate) struct Track {
    packets: VecDeque<Packet>,
    /// The number of the first of them.
    first: u64,
    /// All below are acknowledged, or given up.
    settled: u64,
    in_flight: u64,
    /// Numbers that were given up, as long as they are kept.
    given_up: VecDeque<u64>,
    /// When the oldest that is under way is lost, if nothing is heard of it.
    loss_due: Option<Duration>,
    /// How many packets later an acknowledgement may be before one is lost, beyond the usual three.
    reordering: u32,
    /// Eighths of a round trip beyond one that one may be late, beyond the usual one.
    lateness: u32,
}

/// What a packet is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) kind: Kind,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) bytes: u64,
}

/// A packet that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    offset: u64,
    at: u64,
    pub(crate) stamp: Stamp,
    len: u16,
    bytes: u16,
    kind: Kind,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Acked,
    GivenUp,
}

impl Packet {
    pub(crate) fn at(&self) -> Duration {
        Duration::from_nanos(self.at)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.into()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.len)
    }
}

impl Track {
    /// Returns the number of the packet that is sent next.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    /// Returns the lowest number that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(crate) fn loss_due(&self) -> Option<Duration> {
        self.loss_due
    }

    pub(crate) fn reordering(&self) -> u32 {
        PACKET_THRESHOLD + self.reordering
    }

    #[inline]
    pub(crate) fn push(&mut self, given: Given, now: Duration, stamp: Stamp) -> u64 {
        let Given { kind, offset, len, bytes } = given;
        let number = self.next();
        self.packets.push_back(Packet {
            offset,
            at: nanos(now),
            stamp,
            len: u16::try_from(len).unwrap_or(u16::MAX),
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            kind,
            state: State::UnderWay,
        });
        self.in_flight += bytes;
        number
    }

    /// Returns whether the packet with this number was sent at the time that an acknowledgement tells;
    /// of packets that are long gone it may be any.
    pub(crate) fn bears_out(&self, number: u64, echo: u32) -> bool {
        self.get(number).is_none_or(|packet| micros(packet.at) == echo)
    }

    /// Returns when the packet with this number was sent, if it is under way.
    pub(crate) fn sent_if_under_way(&self, number: u64) -> Option<Duration> {
        self.get(number).filter(|packet| packet.state == State::UnderWay).map(Packet::at)
    }

    /// Returns the data of the oldest packet that is under way and has any.
    pub(crate) fn oldest_data(&self) -> Option<Range<u64>> {
        let from = self.index(self.settled).unwrap_or(0);
        let mut packets = self.packets.range(from..);
        packets
            .find(|packet| packet.state == State::UnderWay && packet.kind == Kind::Data)
            .map(Packet::range)
    }

    /// Takes what has arrived out of what is under way, and hands it over to `each`: its number, and
    /// when it was given up, if it was.
    pub(crate) fn arrive(
        &mut self,
        numbers: Range<u64>,
        mut each: impl FnMut(u64, &Packet, Option<Duration>),
    ) {
        let end = numbers.end.min(self.next());
        for number in numbers.start.max(self.settled)..end {
            let Some(index) = self.index(number) else { continue };
            let packet = &mut self.packets[index];
            if packet.state != State::UnderWay {
                continue;
            }
            packet.state = State::Acked;
            self.in_flight -= u64::from(packet.bytes);
            each(number, packet, None);
        }
        if self.given_up.is_empty() || numbers.start >= self.settled {
            return;
        }
        self.arrive_late(&numbers, each);
    }

    fn arrive_late(
        &mut self,
        numbers: &Range<u64>,
        mut each: impl FnMut(u64, &Packet, Option<Duration>),
    ) {
        let from = self.given_up.partition_point(|number| *number < numbers.start);
        let to = self.given_up.partition_point(|number| *number < numbers.end);
        if from == to {
            return;
        }
        let late: Vec<u64> = self.given_up.drain(from..to).collect();
        for number in late {
            let Some(index) = self.index(number) else { continue };
            let distance = self.settled.saturating_sub(number);
            let distance = u32::try_from(distance).unwrap_or(u32::MAX);
            // What came late may do so again.
            self.reordering = self.reordering.max(distance).min(MOST_REORDERING);
            self.lateness = (self.lateness + 1).min(MOST_LATENESS);
            let packet = &mut self.packets[index];
            packet.state = State::Acked;
            each(number, packet, Some(packet.at()));
        }
    }

    /// Gives up what is lost by now, and hands it over to `each`: its number, the next one, and what is
    /// under way without it. Returns whether nothing came through for so long that the path may have
    /// changed.
    pub(crate) fn detect(
        &mut self,
        now: Duration,
        largest_acked: Option<u64>,
        rtt: &Rtt,
        mut each: impl FnMut(u64, &Packet, u64, u64),
    ) -> bool {
        self.loss_due = None;
        let Some(largest) = largest_acked else { return false };
        let late = rtt.loss_delay(1 + self.lateness);
        let threshold = u64::from(self.reordering());
        let mut gone: Option<(u64, u64)> = None;
        let mut span = 0;
        while self.settled <= largest {
            let Some(index) = self.index(self.settled) else {
                self.settled += 1;
                continue;
            };
            let next = self.next();
            let packet = &mut self.packets[index];
            if packet.state == State::UnderWay {
                let due = packet.at() + late;
                if self.settled + threshold > largest && due > now {
                    self.loss_due = Some(due);
                    break;
                }
                packet.state = State::GivenUp;
                self.in_flight -= u64::from(packet.bytes);
                self.given_up.push_back(self.settled);
                each(self.settled, packet, next, self.in_flight);
                let first = gone.map_or(packet.at, |(first, _)| first);
                gone = Some((first, packet.at));
                span = span.max(packet.at - first);
            } else if packet.state == State::Acked {
                gone = None;
            }
            self.settled += 1;
        }
        self.forget(now, rtt);
        let figures = rtt.figures().is_some();
        figures && Duration::from_nanos(span) > rtt.probe_timeout() * PERSISTENT
    }

    /// Lets go of packets of which nothing more needs to be known.
    fn forget(&mut self, now: Duration, rtt: &Rtt) {
        let kept = rtt.probe_timeout() * KEPT;
        while let Some(packet) = self.packets.front() {
            let done = match packet.state {
                State::UnderWay => false,
                State::Acked => true,
                State::GivenUp => packet.at() + kept < now || self.packets.len() > MOST_KEPT,
            };
            if !done || self.first >= self.settled {
                return;
            }
            if self.given_up.front() == Some(&self.first) {
                self.given_up.pop_front();
            }
            self.packets.pop_front();
            self.first += 1;
        }
    }

    fn get(&self, number: u64) -> Option<&Packet> {
        self.packets.get(self.index(number)?)
    }

    #[inline]
    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

/// The time as nanoseconds: an end that runs for 500 years has other worries.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time that a packet bears that was sent at so many nanoseconds.
#[allow(clippy::cast_possible_truncation, reason = "it wraps on the wire")]
pub(super) fn micros(nanos: u64) -> u32 {
    (nanos / 1000) as u32
}

/// How many packets later an acknowledgement is of a packet before this one is lost (RFC 9002,
/// section 6.1.1).
const PACKET_THRESHOLD: u32 = 3;

/// How far that grows where packets were seen to overtake each other.
const MOST_REORDERING: u32 = 300;

/// How many eighths of a round trip later it may be in the end.
const MOST_LATENESS: u32 = 7;

/// Probe timeouts between two packets that were lost with all between them, after which the path may
/// have changed (RFC 9002, section 7.6.1).
const PERSISTENT: u32 = 3;

/// Probe timeouts for which it is known that a packet was given up.
const KEPT: u32 = 3;

/// Packets that are kept in order to know that.
const MOST_KEPT: usize = 1 << 16;
