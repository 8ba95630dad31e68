//! A part of a stream, in memory that is used again and again.

use std::{cmp::min, ops::Range};

/// The bytes of a stream from some offset on, as far as there is room.
///
/// Memory is taken as it is touched first, and from its beginning whenever there is nothing in it:
/// what is never fuller than a few bytes takes no more.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    /// Where the byte at `base` lies.
    head: usize,
    base: u64,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity.max(1)], head: 0, base: 0 }
    }

    /// Returns the lowest offset that is kept.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Returns the first offset that there is no room for.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Puts `bytes` at `offset`; there must be room.
    #[inline]
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (first, second) = self.places(offset, bytes.len());
        let (front, back) = bytes.split_at(first.len());
        self.bytes[first].copy_from_slice(front);
        self.bytes[second].copy_from_slice(back);
    }

    /// Returns the bytes of `range`, in at most two pieces.
    #[inline]
    pub(crate) fn read(&self, range: Range<u64>) -> (&[u8], &[u8]) {
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let (first, second) = self.places(range.start, len);
        (&self.bytes[first], &self.bytes[second])
    }

    /// Gives up what is below `base`; `empty` if there is nothing above it.
    #[inline]
    pub(crate) fn advance(&mut self, base: u64, empty: bool) {
        let ahead = base.saturating_sub(self.base);
        self.base += ahead;
        if empty {
            self.head = 0;
            return;
        }
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        self.head += min(ahead, self.bytes.len());
        if self.head >= self.bytes.len() {
            self.head -= self.bytes.len();
        }
    }

    #[inline]
    fn places(&self, offset: u64, len: usize) -> (Range<usize>, Range<usize>) {
        let ahead = usize::try_from(offset - self.base).unwrap_or(usize::MAX);
        let capacity = self.bytes.len();
        assert!(ahead <= capacity && len <= capacity - ahead, "there is no room");
        let start = self.head + ahead;
        let start = if start >= capacity { start - capacity } else { start };
        let first = min(len, capacity - start);
        (start..start + first, 0..len - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ring: &Ring, range: Range<u64>) -> Vec<u8> {
        let (first, second) = ring.read(range);
        [first, second].concat()
    }

    #[test]
    fn bytes_are_where_they_were_put_however_often_it_goes_around() {
        let mut ring = Ring::new(10);
        let mut written = 0_u64;
        for round in 0..50_u64 {
            let len = round % 8 + 1;
            let bytes: Vec<u8> = (written..written + len).map(|n| (n % 251) as u8).collect();
            ring.write(written, &bytes);
            assert_eq!(held(&ring, written..written + len), bytes);
            written += len;
            let base = written.saturating_sub(round % 3).max(ring.base());
            ring.advance(base, base == written);
            let left: Vec<u8> = (base..written).map(|n| (n % 251) as u8).collect();
            assert_eq!(held(&ring, base..written), left);
        }
        assert_eq!(ring.end() - ring.base(), 10);
    }

    #[test]
    fn what_is_emptied_begins_at_the_beginning() {
        let mut ring = Ring::new(100);
        ring.write(0, b"hello");
        ring.advance(5, true);
        ring.write(5, b"world");
        assert_eq!(&ring.bytes[..6], b"world\0");
    }
}
