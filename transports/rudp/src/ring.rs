//! A part of a stream, in memory that is used again and again.

use std::{cmp::min, ops::Range};

/// The bytes of a stream from some offset on, as far as there is room.
///
/// It takes memory as it becomes fuller than it has been, and never gives any back: what is never
/// fuller than a few bytes takes no more than [`FIRST`]. When there is nothing in it, it begins at the
/// beginning, which is still in the cache.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    /// How many bytes there is room for, once they are needed.
    capacity: usize,
    /// Where the byte at `base` lies.
    head: usize,
    base: u64,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), capacity: capacity.max(1), head: 0, base: 0 }
    }

    /// Returns the lowest offset that is kept.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Returns the first offset that there is no room for.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.base + self.capacity as u64
    }

    /// Puts `bytes` at `offset`; there must be room.
    #[inline]
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.make_room(offset - self.base, bytes.len());
        let (first, second) = self.places(offset, bytes.len());
        let (front, back) = bytes.split_at(first.len());
        copy(front, &mut self.bytes[first]);
        copy(back, &mut self.bytes[second]);
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

    /// Takes more memory if it is needed for `len` bytes that are so far `ahead`.
    #[inline]
    fn make_room(&mut self, ahead: u64, len: usize) {
        let needed = usize::try_from(ahead).unwrap_or(usize::MAX).saturating_add(len);
        if needed > self.bytes.len() {
            self.grow(needed);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        assert!(needed <= self.capacity, "there is no room");
        let len = min(needed.next_power_of_two().max(FIRST), self.capacity);
        self.bytes.rotate_left(self.head);
        self.head = 0;
        self.bytes.resize(len, 0);
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

/// Copies bytes into as much room, a few at a time.
///
/// A long copy is one instruction on many processors, and on some at half the speed where the two do
/// not begin equally far from a cache line.
#[inline]
pub(crate) fn copy(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(PIECE).zip(to.chunks_mut(PIECE)) {
        to.copy_from_slice(from);
    }
}

const PIECE: usize = 1 << 10;

/// Bytes of memory that are taken at first.
const FIRST: usize = 64 << 10;

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
    fn it_becomes_as_large_as_it_has_to_with_everything_in_its_place() {
        let byte = |at: u64| (at % 251) as u8;
        let mut ring = Ring::new(1 << 20);
        assert_eq!(ring.end(), 1 << 20);
        let mut written = 0_u64;
        for (len, read) in [(60_000, 50_000), (40_000, 30_000), (100_000, 1000), (600_000, 0)] {
            let bytes: Vec<u8> = (written..written + len).map(byte).collect();
            ring.write(written, &bytes);
            written += len;
            ring.advance(ring.base() + read, false);
            let left: Vec<u8> = (ring.base()..written).map(byte).collect();
            assert_eq!(held(&ring, ring.base()..written), left);
        }
        assert_eq!(ring.bytes.len(), 1 << 20);
        let mut small = Ring::new(1 << 20);
        small.write(0, b"few");
        assert_eq!(small.bytes.len(), FIRST);
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
