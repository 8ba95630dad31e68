use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Bytes that begin on a page.
///
/// The kernel copies to and from them with one instruction, whose speed depends on alignment: where
/// an allocator happened to put them decided over half of the goodput.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn new(len: usize) -> Self {
        let bytes = vec![0; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start, len }
    }

    /// Returns bytes that do not compress. The same for every flow: nobody reads them.
    pub(super) fn payload(len: usize) -> Self {
        let mut payload = Self::new(len);
        SmallRng::seed_from_u64(PAYLOAD_SEED).fill_bytes(payload.bytes_mut());
        payload
    }

    /// Returns the digits over and over, as other programs send them.
    pub(super) fn digits(len: usize) -> Self {
        let mut payload = Self::new(len);
        for (byte, digit) in payload.bytes_mut().iter_mut().zip((b'0'..=b'9').cycle()) {
            *byte = digit;
        }
        payload
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

const PAGE: usize = 4096;
const PAYLOAD_SEED: u64 = 0x706f_6c79;
