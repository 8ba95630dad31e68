//! What who answers tells of its own clock, inside of the response.
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 8 | `ppstamp1` |
//! | 8 | 8 | when the whole request had been read, in nanoseconds of the answerer's clock |
//! | 16 | 8 | when the response was handed over, in nanoseconds of the same clock |
//!
//! Numbers are big-endian. It stands at the start of a response of bytes, and behind the header of
//! one that is a datagram. Where no stamp is expected those bytes have no meaning, so that an end
//! which knows of none takes no notice; and where one is expected, an end which writes none is told
//! by the first eight bytes, that its payload has by no accident.

use super::{DatagramHeader, clocks::RoundTrip};

/// When a request was read and its response written, on the clock of who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When the request was there, in nanoseconds since an epoch of the answerer's choice.
    pub read: u64,
    /// When the response went, in nanoseconds since the same epoch.
    pub written: u64,
}

impl Stamp {
    /// Bytes of a stamp.
    pub const LEN: usize = 24;

    /// Returns how many bytes of a response come before its stamp.
    #[must_use]
    pub const fn offset(is_datagram: bool) -> usize {
        if is_datagram { DatagramHeader::LEN } else { 0 }
    }

    /// Returns whether a response of `len` bytes has room for a stamp.
    #[must_use]
    pub const fn fits(len: usize, is_datagram: bool) -> bool {
        len >= Self::offset(is_datagram) + Self::LEN
    }

    /// Returns the stamp that `bytes` begin with; `None` if they do with none.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MARK)?;
        let (read, rest) = rest.split_first_chunk()?;
        let (written, _) = rest.split_first_chunk()?;
        Some(Self { read: u64::from_be_bytes(*read), written: u64::from_be_bytes(*written) })
    }

    /// Returns the stamp as it goes out.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(MARK);
        bytes[8..16].copy_from_slice(&self.read.to_be_bytes());
        bytes[16..].copy_from_slice(&self.written.to_be_bytes());
        bytes
    }

    /// Writes the stamp at the start of `bytes`, if they have room.
    #[inline]
    pub fn write(self, bytes: &mut [u8]) {
        if let Some(place) = bytes.first_chunk_mut() {
            *place = self.to_bytes();
        }
    }

    /// Returns the exchange that was asked and answered at these times of the asker's clock, in
    /// nanoseconds; `None` if the response was held for longer than the whole took.
    #[must_use]
    pub fn round_trip(self, asked: u64, answered: u64) -> Option<RoundTrip> {
        RoundTrip::new([asked, self.read, self.written, answered])
    }
}

const MARK: &[u8; 8] = b"ppstamp1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_what_the_table_says() {
        let stamp = Stamp { read: 0x0102_0304_0506_0708, written: 9 };
        let bytes = *b"ppstamp1\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x09";
        assert_eq!(stamp.to_bytes(), bytes);
        assert_eq!(Stamp::read(&bytes), Some(stamp));
        assert_eq!(Stamp::read(&[&bytes[..], b"more"].concat()), Some(stamp));
    }

    #[test]
    fn what_is_cut_or_differs_in_a_bit_of_the_mark_is_no_stamp() {
        let bytes = Stamp { read: 1, written: 2 }.to_bytes();
        for len in 0..Stamp::LEN {
            assert_eq!(Stamp::read(&bytes[..len]), None, "{len}");
        }
        for bit in 0..64 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Stamp::read(&other), None, "{bit}");
        }
    }

    #[test]
    fn what_has_no_room_gets_none() {
        let mut short = [7; Stamp::LEN - 1];
        Stamp { read: 1, written: 2 }.write(&mut short);
        assert_eq!(short, [7; Stamp::LEN - 1]);
        assert!(Stamp::fits(24, false) && !Stamp::fits(23, false));
        assert!(Stamp::fits(44, true) && !Stamp::fits(43, true));
    }
}
