//! Memory to receive into.

use std::io::IoSliceMut;

/// Room for several trains, of which each begins on a page: the kernel copies to elsewhere at half
/// the speed on some processors. Memory is taken as it is used.
#[derive(Debug)]
pub struct Rooms {
    bytes: Vec<u8>,
    start: usize,
}

impl Rooms {
    /// Returns room in which nothing has been received yet.
    #[must_use]
    pub fn new() -> Self {
        let bytes = vec![0; COUNT * EACH + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    /// Returns the first.
    pub(crate) fn first(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..EACH]
    }

    /// Returns the one with this number.
    pub(crate) fn at(&self, index: usize) -> &[u8] {
        &self.bytes[self.start + index * EACH..][..EACH]
    }

    /// Returns all of them.
    pub(crate) fn all(&mut self) -> [IoSliceMut<'_>; COUNT] {
        let mut rooms = self.bytes[self.start..].chunks_exact_mut(EACH);
        std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()))
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self::new()
    }
}

/// How many trains one call receives at most.
pub(crate) const COUNT: usize = 16;

/// More than the longest train.
const EACH: usize = 1 << 16;
const PAGE: usize = 4096;
