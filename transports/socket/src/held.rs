use std::cmp::min;

use crate::MAX_TRAIN;

/// Datagrams that came together, a stride apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Train {
    /// How many bytes of the buffer are filled.
    pub len: usize,
    /// How far apart datagrams start; the last one may be shorter.
    pub stride: usize,
}

impl Train {
    /// Moves the datagrams that `keep` wants to the front of `bytes`, and returns what is left.
    pub fn sift(self, bytes: &mut [u8], mut keep: impl FnMut(&[u8]) -> bool) -> Option<Self> {
        let mut kept = 0;
        let mut at = 0;
        while at < self.len {
            let end = min(at + self.stride, self.len);
            if keep(&bytes[at..end]) {
                if kept != at {
                    bytes.copy_within(at..end, kept);
                }
                kept += end - at;
            }
            at = end;
        }
        (kept > 0).then(|| Self { len: kept, stride: min(self.stride, kept) })
    }
}

/// Datagrams received that found no room in the caller's buffer.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    at: usize,
    train: Option<Train>,
}

impl Held {
    /// Takes `bytes`, which are `stride` apart, behind which there is nothing else yet.
    pub(crate) fn put(&mut self, bytes: &[u8], stride: usize) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.keep((!bytes.is_empty()).then_some(Train { len: bytes.len(), stride }));
    }

    /// Returns room for the longest train.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.resize(MAX_TRAIN, 0);
        &mut self.bytes
    }

    /// Says what has been written into the [room](Self::room).
    pub(crate) fn keep(&mut self, train: Option<Train>) {
        self.at = 0;
        self.train = train;
    }

    /// Returns what has been written into the room, or put there.
    pub(crate) fn filled(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.train.is_none()
    }

    /// Moves as many datagrams as fit to `buf`; one that is too long by itself is cut.
    pub(crate) fn take(&mut self, buf: &mut [u8]) -> Option<Train> {
        let train = self.train?;
        let rest = &self.bytes[self.at..train.len];
        let first = min(train.stride, rest.len());
        let (taken, copied) = if first > buf.len() {
            (first, buf.len())
        } else {
            let fits = min(buf.len() / first * first, rest.len());
            (fits, fits)
        };
        buf[..copied].copy_from_slice(&rest[..copied]);
        self.at += taken;
        if self.at == train.len {
            self.train = None;
        }
        Some(Train { len: copied, stride: min(first, copied).max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: &[u8], stride: usize) -> Held {
        let mut held = Held::default();
        held.put(bytes, stride);
        held
    }

    #[test]
    fn as_many_whole_datagrams_as_fit_are_taken() {
        let mut held = held(b"aabbccd", 2);
        let mut buf = [0; 5];
        assert_eq!(held.take(&mut buf), Some(Train { len: 4, stride: 2 }));
        assert_eq!(&buf[..4], b"aabb");
        assert_eq!(held.take(&mut buf), Some(Train { len: 3, stride: 2 }));
        assert_eq!(&buf[..3], b"ccd");
        assert!(held.is_empty());
        assert_eq!(held.take(&mut buf), None);
    }

    #[test]
    fn a_datagram_longer_than_the_buffer_is_cut_and_the_next_is_whole() {
        let mut held = held(b"aaaabbbbc", 4);
        let mut buf = [0; 3];
        assert_eq!(held.take(&mut buf), Some(Train { len: 3, stride: 3 }));
        assert_eq!(held.take(&mut buf), Some(Train { len: 3, stride: 3 }));
        assert_eq!(&buf, b"bbb");
        assert_eq!(held.take(&mut buf), Some(Train { len: 1, stride: 1 }));
    }

    #[test]
    fn sifting_closes_the_gaps() {
        let mut bytes = *b"aabbccd";
        let left = Train { len: 7, stride: 2 }.sift(&mut bytes, |datagram| datagram != b"bb");
        assert_eq!(left, Some(Train { len: 5, stride: 2 }));
        assert_eq!(&bytes[..5], b"aaccd");
        let none = Train { len: 5, stride: 2 }.sift(&mut bytes, |_| false);
        assert_eq!(none, None);
    }
}
