//! Where a protocol writes its datagrams.

use std::num::NonZeroUsize;

use polyperf_transport::Chunk;

/// Datagrams one behind the other, in one buffer that is used again and again.
///
/// They are in the order in which they are to be sent. Neighbours of equal length form a
/// [train](Self::trains), which a system with segmentation offload takes in one call.
#[derive(Debug)]
pub struct Output {
    /// Those before `start` are there so that the others begin on a page: the kernel copies from
    /// elsewhere at half the speed on some processors.
    bytes: Vec<u8>,
    start: usize,
    /// Where each datagram ends.
    ends: Vec<usize>,
    /// Where the last datagram starts, while it may still grow.
    open: Option<usize>,
    limit: usize,
}

/// Whether everything that could leave has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flushed {
    /// There is nothing more.
    All,
    /// The [`Output`] is full. What it holds should be sent, and more asked for.
    Full,
}

impl Output {
    /// Returns an empty buffer that a protocol stops to fill with data once another datagram would make
    /// it longer than `limit` bytes.
    ///
    /// It may still become longer by acknowledgements, of which all find room, and by parity.
    /// [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) is good for most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let bytes = Vec::with_capacity(PAGE + limit + SLACK);
        let mut output = Self { bytes, start: 0, ends: Vec::new(), open: None, limit };
        output.clear();
        output
    }

    /// Datagrams that one call to the system takes.
    pub const MOST: usize = MAX_TRAIN;

    /// Bytes that one call to the system takes.
    pub const DEFAULT_LIMIT: usize = MAX_TRAIN_BYTES;

    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.start = self.bytes.as_ptr().align_offset(PAGE).min(PAGE);
        self.bytes.resize(self.start, 0);
        self.ends.clear();
        self.open = None;
    }

    /// Returns whether there is no datagram.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns how many datagrams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| &self.bytes[self.place(index)])
    }

    /// Returns the datagrams in as few calls to the system as they can be sent with: up to 64 of
    /// them, and 65,507 bytes, at a time.
    pub fn trains(&self) -> Trains<'_> {
        Trains { output: self, next: 0 }
    }

    /// Returns whether another datagram of `len` bytes is more than it should hold. For one there is
    /// always room.
    #[must_use]
    pub fn is_full(&self, len: u16) -> bool {
        let held = self.bytes.len() - self.start;
        held > 0 && held + usize::from(len) > self.limit
    }

    /// Writes `parts` into the last datagram, or into a new one with `headroom` free at its head if
    /// the last would become longer than `mtu`. Returns whether it is a new one.
    #[inline]
    pub fn push<const N: usize>(&mut self, parts: [&[u8]; N], mtu: usize, headroom: usize) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let fits = |start| self.bytes.len() - start + len <= mtu;
        let new = !self.open.is_some_and(fits);
        if new {
            self.open = Some(self.bytes.len());
            self.bytes.resize(self.bytes.len() + headroom, 0);
            self.ends.push(self.bytes.len());
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        if let Some(end) = self.ends.last_mut() {
            *end = self.bytes.len();
        }
        new
    }

    /// Changes how long it becomes by data.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns how many bytes of data it should still take.
    #[must_use]
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len() - self.start)
    }

    /// Lets no datagram grow any more.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Adds a datagram of these parts as it is.
    #[inline]
    pub fn push_whole<const N: usize>(&mut self, parts: [&[u8]; N]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
        self.open = None;
    }

    /// Returns a datagram for changes, and lets none grow any more.
    pub fn datagram_mut(&mut self, index: usize) -> &mut [u8] {
        self.close();
        let place = self.place(index);
        &mut self.bytes[place]
    }

    fn place(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = start.copied().unwrap_or(self.start);
        start..self.ends.get(index).copied().unwrap_or(start)
    }
}

impl Default for Output {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

/// The trains of an [`Output`].
#[derive(Debug)]
pub struct Trains<'a> {
    output: &'a Output,
    next: usize,
}

impl<'a> Iterator for Trains<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let Output { bytes, ends, .. } = self.output;
        let first = self.output.place(self.next);
        let stride = NonZeroUsize::new(first.len())?;
        let mut end = *ends.get(self.next)?;
        let mut full = true;
        for count in 1..=MAX_TRAIN {
            self.next += 1;
            let place = self.output.place(self.next);
            let too_long = place.len() > stride.get() || place.end - first.start > MAX_TRAIN_BYTES;
            if place.is_empty() || too_long || !full || count == MAX_TRAIN {
                break;
            }
            full = place.len() == stride.get();
            end = place.end;
        }
        Some(Chunk { bytes: &bytes[first.start..end], stride })
    }
}

/// The most datagrams that Linux cuts one buffer into.
const MAX_TRAIN: usize = 64;

const MAX_TRAIN_BYTES: usize = 65_507;

const PAGE: usize = 4096;

/// Room for acknowledgements beyond the limit, without which everything would have to move.
const SLACK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_equal_length_and_one_shorter_form_a_train() {
        assert_eq!(trains(&[24, 100, 100, 100, 60, 100, 24]), [(1, 24), (4, 100), (2, 100)]);
        assert_eq!(trains(&[60, 100]), [(1, 60), (1, 100)]);
        assert_eq!(trains(&[]), []);
    }

    #[test]
    fn a_train_is_no_longer_than_the_system_takes() {
        assert_eq!(trains(&[10; 130]), [(64, 10), (64, 10), (2, 10)]);
        assert_eq!(trains(&[1400; 50]), [(46, 1400), (4, 1400)]);
    }

    fn trains(lens: &[usize]) -> Vec<(usize, usize)> {
        let mut output = Output::default();
        for &len in lens {
            output.push_whole([&vec![0; len], &[]]);
        }
        let trains = output.trains();
        trains
            .map(|Chunk { bytes, stride }| (bytes.chunks(stride.get()).count(), stride.get()))
            .collect()
    }
}
