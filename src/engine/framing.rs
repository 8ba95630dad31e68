use std::{io, num::NonZeroUsize, ops::Range, time::Duration};

use polyperf_transport::{Chunk, Delivery};

use super::{Clock, buffer::Buffer, means::Tape};
use crate::{
    measure::DatagramHeader,
    protocol::iperf3::udp::{Counter, Header},
    spec::Limit,
};

/// What a flow carries, and what stands before each datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Bytes without boundaries.
    Bytes,
    /// Datagrams with our own header.
    Native,
    /// Datagrams with iperf3's.
    Iperf3(Counter),
}

impl Framing {
    /// Returns the framing of a test whose ends both are polyperf.
    pub(crate) fn native(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Bytes => Self::Bytes,
            Delivery::Messages { .. } => Self::Native,
        }
    }

    /// Returns the framing of a test under iperf3's protocol; `wide`: datagrams are counted with
    /// 64 bits.
    pub(crate) fn iperf3(delivery: Delivery, wide: bool) -> Self {
        match delivery {
            Delivery::Bytes => Self::Bytes,
            Delivery::Messages { .. } if wide => Self::Iperf3(Counter::Bits64),
            Delivery::Messages { .. } => Self::Iperf3(Counter::Bits32),
        }
    }

    pub(crate) fn is_datagrams(self) -> bool {
        self != Self::Bytes
    }

    /// Returns how many blocks a sender hands over at once, to a half that can carry `useful`.
    pub(super) fn batch(self, useful: NonZeroUsize, block: NonZeroUsize) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Native | Self::Iperf3(_) => useful.get().min(LONGEST_BATCH / block).max(1),
        }
    }

    /// Returns the limit as flows have it: datagrams go whole, so a count of bytes is one of blocks.
    pub(super) fn limit(self, limit: Limit, block: NonZeroUsize) -> Limit {
        match limit {
            Limit::Bytes(bytes) if self.is_datagrams() => {
                Limit::Blocks(bytes.div_ceil(u64::try_from(block.get()).unwrap_or(u64::MAX)))
            }
            other => other,
        }
    }

    /// Writes the headers of a batch, from the `first` datagram of the flow on.
    fn stamp(self, batch: &mut [u8], stride: NonZeroUsize, first: u64, now: Duration) {
        match self {
            Self::Bytes => {}
            Self::Native => {
                DatagramHeader::stamp(batch, stride.get(), first, nanos(now));
            }
            Self::Iperf3(counter) => {
                for (datagram, number) in batch.chunks_mut(stride.get()).zip(first + 1..) {
                    Header { sent: now, sequence: number }.write(datagram, counter);
                }
            }
        }
    }
}

/// What a sender sends: the same payload again and again, below a header for each datagram.
pub(super) struct Outbox {
    framing: Framing,
    stride: NonZeroUsize,
    payload: Buffer,
    /// What the payload is read from, in place of being the same again and again.
    tape: Option<Tape>,
    /// What was read and has not been taken yet.
    unsent: Range<usize>,
    /// How many datagrams have been taken so far.
    sent: u64,
}

impl Outbox {
    /// Returns an outbox of blocks of `stride` bytes, of which as many go at once as `payload` has.
    pub(super) fn new(framing: Framing, stride: NonZeroUsize, payload: Buffer) -> Self {
        Self { framing, stride, payload, tape: None, unsent: 0..0, sent: 0 }
    }

    /// Has bytes come from a file, if there is one. Datagrams do not.
    pub(super) fn reading(self, tape: Option<Tape>) -> Self {
        Self { tape: tape.filter(|_| !self.framing.is_datagrams()), ..self }
    }

    /// Returns how many bytes go at once at most.
    pub(super) fn longest(&self) -> usize {
        self.payload.len()
    }

    /// Returns how many of `len` bytes there are to send; 0 where a file has no more.
    pub(super) fn ready(&mut self, len: usize) -> io::Result<usize> {
        let Some(tape) = &mut self.tape else { return Ok(len) };
        if self.unsent.is_empty() {
            self.unsent = 0..tape.read(&mut self.payload.bytes_mut()[..len])?;
        }
        Ok(self.unsent.len().min(len))
    }

    /// Returns the next `len` bytes, stamped anew: also what could not be sent a moment ago.
    pub(super) fn chunk(&mut self, len: usize, clock: Clock) -> Chunk<'_> {
        let start = self.unsent.start;
        let bytes = &mut self.payload.bytes_mut()[start..start + len];
        if self.framing.is_datagrams() {
            self.framing.stamp(bytes, self.stride, self.sent, clock.now());
        }
        Chunk { bytes, stride: self.stride }
    }

    /// Takes note that so many bytes were taken, and returns how many datagrams those are.
    pub(super) fn took(&mut self, bytes: usize) -> u64 {
        if self.tape.is_some() {
            self.unsent.start += bytes;
        }
        if !self.framing.is_datagrams() {
            return 0;
        }
        let datagrams = u64::try_from(bytes.div_ceil(self.stride.get())).unwrap_or(u64::MAX);
        self.sent += datagrams;
        datagrams
    }
}

/// Returns nanoseconds as whole, or the most that fit.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What one segmented send can carry: the longest payload of UDP over IPv4.
const LONGEST_BATCH: usize = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    const STRIDE: NonZeroUsize = NonZeroUsize::new(100).unwrap();

    fn numbers(outbox: &mut Outbox, len: usize) -> Vec<u64> {
        let framing = outbox.framing;
        let read = |datagram: &[u8]| match framing {
            Framing::Iperf3(counter) => Header::read(datagram, counter).unwrap().sequence,
            Framing::Native | Framing::Bytes => DatagramHeader::read(datagram).unwrap().sequence,
        };
        outbox.chunk(len, Clock::start()).bytes.chunks(100).map(read).collect()
    }

    #[test]
    fn what_was_taken_in_part_goes_on_with_the_next_number() {
        for (framing, first) in [(Framing::Native, 0), (Framing::Iperf3(Counter::Bits32), 1)] {
            let mut outbox = Outbox::new(framing, STRIDE, Buffer::payload(400));
            assert_eq!(numbers(&mut outbox, 400), [first, first + 1, first + 2, first + 3]);
            assert_eq!(outbox.took(100), 1);
            assert_eq!(numbers(&mut outbox, 300), [first + 1, first + 2, first + 3]);
            assert_eq!(outbox.took(300), 3);
            assert_eq!(numbers(&mut outbox, 100), [first + 4]);
        }
    }

    #[test]
    fn numbers_of_iperf3_wrap_at_32_bits_unless_64_were_asked_for() {
        let mut datagram = [0xaa; 100];
        let first = u64::from(u32::MAX);
        for (counter, number) in [(Counter::Bits32, 0), (Counter::Bits64, first + 1)] {
            Framing::Iperf3(counter).stamp(&mut datagram, STRIDE, first, Duration::ZERO);
            let header = Header::read(&datagram, counter);
            assert_eq!(header.map(|header| header.sequence), Some(number));
        }
    }

    #[test]
    fn a_batch_is_no_longer_than_one_send_can_carry() {
        let batch = |framing: Framing, useful, block| {
            let nonzero = |n| NonZeroUsize::new(n).unwrap();
            framing.batch(nonzero(useful), nonzero(block))
        };
        assert_eq!(batch(Framing::Native, 64, 1448), 45);
        assert_eq!(batch(Framing::Native, 64, 100), 64);
        assert_eq!(batch(Framing::Native, 64, 1 << 20), 1);
        assert_eq!(batch(Framing::Bytes, 64, 1448), 1);
    }

    #[test]
    fn a_block_without_room_for_a_header_is_sent_as_it_is() {
        let stride = NonZeroUsize::new(3).unwrap();
        for framing in [Framing::Native, Framing::Iperf3(Counter::Bits64)] {
            let mut outbox = Outbox::new(framing, stride, Buffer::payload(9));
            assert_eq!(outbox.chunk(9, Clock::start()).bytes.len(), 9);
            assert_eq!(outbox.took(9), 3);
        }
    }
}
