//! UDP streams: how one is opened, what stands before each datagram's payload, and what the
//! receiver makes of it.

use std::time::Duration;

use super::{Datagrams, Omitted};

/// How a client opens a UDP stream: four bytes, which are a number in the byte order of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connect {
    /// 3.12 and later, but for what follows.
    Current,
    /// 3.12 to 3.16 on a big-endian host.
    Swapped,
    /// Up to 3.11 on a little-endian host.
    Legacy,
    /// Up to 3.11 on a big-endian host.
    LegacySwapped,
}

/// The width of a datagram's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// The default.
    Bits32,
    /// If `udp_counters_64bit` was asked for.
    Bits64,
}

/// What stands before the payload of each datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When it was sent, on the sender's clock, in whole microseconds. Seconds wrap at 2^32.
    pub sent: Duration,
    /// Its number, from 1 in each stream.
    pub sequence: u64,
}

/// What iperf3 makes of the datagrams of one stream.
///
/// Duplicates count as out of order, and take back a loss: so do late ones, for which it is right.
#[derive(Debug, Clone, Default)]
pub struct Iperf3Receiver {
    highest: u64,
    lost: u64,
    out_of_order: u64,
    /// In seconds.
    jitter: f64,
    /// From sending to arrival, in seconds, on two clocks that need not agree.
    transit: Option<f64>,
    omitted: Omitted,
    omitted_out_of_order: u64,
}

impl Connect {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Current, Self::Swapped, Self::Legacy, Self::LegacySwapped];

    /// Returns the way that this datagram is; `None` if it does not open a stream.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|connect| connect.word() == datagram)
    }

    /// Returns whether this datagram is a server's reply, whatever server it is.
    #[must_use]
    pub fn is_reply(datagram: &[u8]) -> bool {
        Self::ALL.iter().any(|connect| connect.reply() == datagram)
    }

    /// Returns the bytes with which a client opens a stream.
    #[must_use]
    pub fn word(self) -> [u8; 4] {
        match self {
            Self::Current => *b"9876",
            Self::Swapped => *b"6789",
            Self::Legacy => 123_456_789_u32.to_le_bytes(),
            Self::LegacySwapped => 123_456_789_u32.to_be_bytes(),
        }
    }

    /// Returns the bytes with which a server replies to such a client.
    #[must_use]
    pub fn reply(self) -> [u8; 4] {
        match self {
            Self::Current => *b"6789",
            Self::Swapped => *b"9876",
            Self::Legacy => 987_654_321_u32.to_le_bytes(),
            Self::LegacySwapped => 987_654_321_u32.to_be_bytes(),
        }
    }
}

impl Counter {
    /// Returns the length of a header with such a number.
    #[must_use]
    pub fn header_len(self) -> usize {
        match self {
            Self::Bits32 => 12,
            Self::Bits64 => 16,
        }
    }
}

impl Header {
    /// Reads the header of a datagram; `None` if it is too short for one.
    #[must_use]
    pub fn read(datagram: &[u8], counter: Counter) -> Option<Self> {
        let word = |at: usize| {
            let bytes = datagram.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        let (seconds, micros, number) = (word(0)?, word(4)?, u64::from(word(8)?));
        let sequence = match counter {
            Counter::Bits32 => number,
            Counter::Bits64 => number << 32 | u64::from(word(12)?),
        };
        let sent = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into());
        Some(Self { sent, sequence })
    }

    /// Writes the header to the start of a datagram. Returns whether there is room for it.
    #[allow(clippy::cast_possible_truncation, reason = "both wrap on the wire")]
    pub fn write(&self, datagram: &mut [u8], counter: Counter) -> bool {
        let Some(room) = datagram.get_mut(..counter.header_len()) else { return false };
        room[..4].copy_from_slice(&(self.sent.as_secs() as u32).to_be_bytes());
        room[4..8].copy_from_slice(&self.sent.subsec_micros().to_be_bytes());
        match counter {
            Counter::Bits32 => room[8..].copy_from_slice(&(self.sequence as u32).to_be_bytes()),
            Counter::Bits64 => room[8..].copy_from_slice(&self.sequence.to_be_bytes()),
        }
        true
    }
}

impl Iperf3Receiver {
    /// Takes note of a datagram that arrived at `now`, on this end's clock.
    pub fn receive(&mut self, header: Header, now: Duration) {
        if header.sequence > self.highest {
            self.lost = self.lost.saturating_add(header.sequence - self.highest - 1);
            self.highest = header.sequence;
        } else {
            self.out_of_order += 1;
            self.lost = self.lost.saturating_sub(1);
        }
        let transit = now.as_secs_f64() - header.sent.as_secs_f64();
        let change = (transit - self.transit.unwrap_or(transit)).abs();
        self.transit = Some(transit);
        self.jitter += (change - self.jitter) / 16.0;
    }

    /// Leaves out of the figures what was counted so far: the omitted time is over.
    pub fn omit(&mut self) {
        self.omitted = Omitted { packets: self.highest, lost: self.lost };
        self.omitted_out_of_order = self.out_of_order;
        self.jitter = 0.0;
    }

    /// Returns the figures so far.
    #[must_use]
    pub fn figures(&self) -> Datagrams {
        Datagrams {
            packets: self.highest - self.omitted.packets,
            // A late datagram of the omitted time takes back a loss of then.
            lost: self.lost.saturating_sub(self.omitted.lost),
            out_of_order: Some(self.out_of_order - self.omitted_out_of_order),
            jitter: Duration::try_from_secs_f64(self.jitter).unwrap_or_default(),
            omitted: Some(self.omitted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn receiver(sequence: &[u64]) -> Iperf3Receiver {
        let mut receiver = Iperf3Receiver::default();
        for (at, &sequence) in (0_u32..).zip(sequence) {
            receiver.receive(Header { sent: MS * at, sequence }, MS * at);
        }
        receiver
    }

    fn counts(sequence: &[u64]) -> (u64, u64, u64) {
        let figures = receiver(sequence).figures();
        (figures.packets, figures.lost, figures.out_of_order.unwrap())
    }

    #[test]
    fn golden_bytes_of_connects_and_replies() {
        let bytes = |connect: Connect| (connect.word(), connect.reply());
        assert_eq!(bytes(Connect::Current), ([0x39, 0x38, 0x37, 0x36], [0x36, 0x37, 0x38, 0x39]));
        assert_eq!(bytes(Connect::Swapped), ([0x36, 0x37, 0x38, 0x39], [0x39, 0x38, 0x37, 0x36]));
        assert_eq!(bytes(Connect::Legacy), ([0x15, 0xcd, 0x5b, 0x07], [0xb1, 0x68, 0xde, 0x3a]));
        let swapped = ([0x07, 0x5b, 0xcd, 0x15], [0x3a, 0xde, 0x68, 0xb1]);
        assert_eq!(bytes(Connect::LegacySwapped), swapped);
    }

    #[test]
    fn every_word_is_described() {
        let description = include_str!("../../../docs/iperf3.md");
        for connect in Connect::ALL {
            for [a, b, c, d] in [connect.word(), connect.reply()] {
                let bytes = format!("`{a:02X} {b:02X} {c:02X} {d:02X}`");
                assert!(description.contains(&bytes), "{bytes}");
            }
        }
    }

    #[test]
    fn only_the_four_words_open_a_stream() {
        for connect in Connect::ALL {
            assert_eq!(Connect::parse(&connect.word()), Some(connect));
            assert!(Connect::is_reply(&connect.reply()));
            assert_eq!(Connect::parse(&connect.word()[..3]), None);
            assert_eq!(Connect::parse(&[&connect.word()[..], &[0]].concat()), None);
        }
        assert_eq!(Connect::parse(b""), None);
        assert!(!Connect::is_reply(b"GET "));
    }

    #[test]
    fn golden_bytes_of_headers() {
        let header = Header { sent: Duration::from_micros(1_000_002), sequence: 0x1_0000_0003 };
        let mut datagram = [0xaa; 17];
        assert!(header.write(&mut datagram, Counter::Bits64));
        assert_eq!(datagram, *b"\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\x03\xaa");
        assert_eq!(Header::read(&datagram, Counter::Bits64), Some(header));
        assert!(header.write(&mut datagram[..12], Counter::Bits32));
        assert_eq!(datagram[8..13], *b"\0\0\0\x03\0");
        let read = Header::read(&datagram, Counter::Bits32);
        assert_eq!(read.map(|header| header.sequence), Some(3));
    }

    #[test]
    fn datagrams_too_short_for_a_header_have_none() {
        for counter in [Counter::Bits32, Counter::Bits64] {
            for length in 0..counter.header_len() {
                let mut short = vec![0; length];
                assert_eq!(Header::read(&short, counter), None);
                assert!(!Header { sent: MS, sequence: 1 }.write(&mut short, counter));
            }
        }
        assert!(Header::read(&[0xff; 65_507], Counter::Bits32).is_some());
    }

    #[test]
    fn losses_and_late_arrivals_are_counted_as_in_iperf3() {
        assert_eq!(counts(&[1, 2, 3]), (3, 0, 0));
        assert_eq!(counts(&[1, 4]), (4, 2, 0));
        assert_eq!(counts(&[1, 4, 2]), (4, 1, 1));
        assert_eq!(counts(&[1, 1, 1]), (1, 0, 2));
        assert_eq!(counts(&[3]), (3, 2, 0));
        assert_eq!(counts(&[0, u64::MAX, u64::MAX]), (u64::MAX, u64::MAX - 2, 2));
    }

    #[test]
    fn jitter_follows_the_formula_and_no_clock_needs_to_agree() {
        let mut receiver = Iperf3Receiver::default();
        let offset = Duration::from_secs(1000);
        receiver.receive(Header { sent: offset, sequence: 1 }, MS);
        assert_eq!(receiver.figures().jitter, Duration::ZERO);
        receiver.receive(Header { sent: offset + MS, sequence: 2 }, MS * 18);
        assert_eq!(receiver.figures().jitter.as_micros(), 1000);
    }

    #[test]
    fn what_is_omitted_is_kept_apart() {
        let mut receiver = receiver(&[1, 3]);
        receiver.omit();
        receiver.receive(Header { sent: MS, sequence: 6 }, MS);
        let figures = receiver.figures();
        assert_eq!((figures.packets, figures.lost), (3, 2));
        assert_eq!(figures.omitted, Some(Omitted { packets: 3, lost: 1 }));
    }
}
