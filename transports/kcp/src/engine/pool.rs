//! Buffers for payloads.

/// Buffers of one length, of which there are only as many as were needed at once.
///
/// The one that was given back last is the first to be handed out, since it is the likeliest to
/// be in the processor's cache.
#[derive(Debug)]
pub(super) struct Pool {
    bytes: Vec<u8>,
    len: usize,
    free: Vec<u32>,
    made: u32,
}

impl Pool {
    /// Returns a pool of buffers of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: Vec::new(), len, free: Vec::new(), made: 0 }
    }

    /// Hands out a buffer with anything in it.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            self.bytes.resize(self.bytes.len() + self.len, 0);
            self.made - 1
        })
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: u32) {
        self.free.push(buffer);
    }

    /// Returns a buffer that is out.
    pub(super) fn at(&self, buffer: u32) -> &[u8] {
        &self.bytes[self.start(buffer)..][..self.len]
    }

    /// Returns a buffer that is out, for writing.
    pub(super) fn at_mut(&mut self, buffer: u32) -> &mut [u8] {
        let start = self.start(buffer);
        &mut self.bytes[start..][..self.len]
    }

    /// Returns how long a buffer is.
    pub(super) fn buffer_len(&self) -> usize {
        self.len
    }

    fn start(&self, buffer: u32) -> usize {
        buffer as usize * self.len
    }
}
