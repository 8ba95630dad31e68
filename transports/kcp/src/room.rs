//! Memory to receive into.

/// Bytes that begin on a page: the kernel copies to others at half the speed on some processors.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Room {
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start, len }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

const PAGE: usize = 4096;
