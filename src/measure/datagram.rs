//! What stands at the start of each datagram of a flow that is measured one by one.
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 8 | sequence number, from 0 |
//! | 8 | 8 | when it was sent, in nanoseconds of the sender's clock |
//! | 16 | 1 | flags, none of which has a meaning yet: sent as 0 |
//! | 17 | 3 | reserved: sent as 0 |
//! | 20 | … | payload, not looked at |
//!
//! Numbers are big-endian. A datagram whose reserved bytes or flags are not 0 is not of this
//! format, and neither is one that is shorter: the version that gives them a meaning will have been
//! agreed on before. Twenty bytes are the payload of a G.729 call, the smallest that people ask for.

/// A datagram's number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramHeader {
    /// Its number, which repeats only in copies made on the way.
    pub sequence: u64,
    /// When it was sent, in nanoseconds since an epoch of the sender's choice.
    pub sent: u64,
}

impl DatagramHeader {
    /// Bytes of the header, and so of the smallest block.
    pub const LEN: usize = 20;

    /// Returns the header of a datagram; `None` if it has none.
    #[inline]
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (sequence, rest) = datagram.split_first_chunk()?;
        let (sent, rest) = rest.split_first_chunk()?;
        let (reserved, _) = rest.split_first_chunk()?;
        (*reserved == RESERVED).then(|| Self {
            sequence: u64::from_be_bytes(*sequence),
            sent: u64::from_be_bytes(*sent),
        })
    }

    /// Returns the header of the first datagram of a batch, one every `stride` bytes, and how many
    /// at its start are numbered one after another and were sent at the same time; `None` if there
    /// is none.
    #[inline]
    #[must_use]
    pub fn read_run(batch: &[u8], stride: usize) -> Option<(Self, u64)> {
        let mut datagrams = batch.chunks(stride.max(1));
        let first = Self::read(datagrams.next()?)?;
        let mut next = first;
        let mut count = 1;
        for datagram in datagrams {
            next.sequence = next.sequence.wrapping_add(1);
            if datagram.first_chunk() != Some(&next.to_bytes()) {
                break;
            }
            count += 1;
        }
        Some((first, count))
    }

    /// Returns the header as it goes out.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sent.to_be_bytes());
        bytes[16..].copy_from_slice(&RESERVED);
        bytes
    }

    /// Numbers the datagrams of a batch that lies in `batch`, one every `stride` bytes, from `first`
    /// on, all sent at `sent`. Returns how many there are.
    ///
    /// The last may be shorter than the others. One that has no room for a header gets none, and is
    /// not counted; with a stride below [`LEN`](Self::LEN) that is all of them.
    pub fn stamp(batch: &mut [u8], stride: usize, first: u64, sent: u64) -> u64 {
        if stride < Self::LEN {
            return 0;
        }
        let mut header = Self { sequence: first, sent };
        for datagram in batch.chunks_mut(stride) {
            if let Some(place) = datagram.first_chunk_mut() {
                *place = header.to_bytes();
                header.sequence = header.sequence.wrapping_add(1);
            }
        }
        header.sequence.wrapping_sub(first)
    }
}

const RESERVED: [u8; 4] = [0; 4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_what_the_table_says() {
        let header = DatagramHeader { sequence: 0x0102_0304_0506_0708, sent: 9 };
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(DatagramHeader::read(&bytes), Some(header));
    }

    #[test]
    fn a_run_ends_where_numbers_or_times_do() {
        let of = |headers: &[(u64, u64)], stride: usize| {
            let bytes = headers.iter().flat_map(|&(sequence, sent)| {
                let mut bytes = DatagramHeader { sequence, sent }.to_bytes().to_vec();
                bytes.resize(stride, 0xaa);
                bytes
            });
            let bytes: Vec<u8> = bytes.collect();
            let run = DatagramHeader::read_run(&bytes, stride);
            run.map(|(first, count)| (first.sequence, count))
        };
        assert_eq!(of(&[(7, 1), (8, 1), (9, 1)], 30), Some((7, 3)));
        assert_eq!(of(&[(7, 1), (9, 1)], 30), Some((7, 1)), "a gap");
        assert_eq!(of(&[(7, 1), (7, 1)], 30), Some((7, 1)), "a copy");
        assert_eq!(of(&[(7, 1), (8, 2)], 30), Some((7, 1)), "another time");
        assert_eq!(of(&[(u64::MAX, 1), (0, 1)], 20), Some((u64::MAX, 2)));
        assert_eq!(DatagramHeader::read_run(&[0; 21], 20).map(|(_, count)| count), Some(1));
        assert_eq!(DatagramHeader::read_run(&[0; 19], 19), None);
        assert_eq!(DatagramHeader::read_run(&[], 0), None);
    }

    #[test]
    fn a_batch_is_numbered_through_and_its_payload_kept() {
        let mut batch = vec![0xaa; 3 * 100 + 30];
        assert_eq!(DatagramHeader::stamp(&mut batch, 100, 41, 7), 4);
        for (datagram, sequence) in batch.chunks(100).zip(41..) {
            let header = DatagramHeader { sequence, sent: 7 };
            assert_eq!(DatagramHeader::read(datagram), Some(header));
            assert!(datagram[DatagramHeader::LEN..].iter().all(|byte| *byte == 0xaa));
        }
    }

    #[test]
    fn what_has_no_room_for_a_header_gets_none() {
        let mut batch = vec![0xaa; 119];
        assert_eq!(DatagramHeader::stamp(&mut batch, 100, 0, 7), 1);
        assert!(batch[100..].iter().all(|byte| *byte == 0xaa));
        for stride in [0, 19] {
            assert_eq!(DatagramHeader::stamp(&mut batch, stride, 0, 7), 0);
        }
        assert_eq!(DatagramHeader::stamp(&mut [], 100, 0, 7), 0);
    }

    #[test]
    fn short_and_strange_datagrams_have_no_header() {
        let bytes = DatagramHeader { sequence: u64::MAX, sent: u64::MAX }.to_bytes();
        for len in 0..DatagramHeader::LEN {
            assert_eq!(DatagramHeader::read(&bytes[..len]), None, "{len}");
        }
        for at in 16..DatagramHeader::LEN {
            let mut strange = bytes;
            strange[at] = 1;
            assert_eq!(DatagramHeader::read(&strange), None, "{at}");
        }
    }
}
