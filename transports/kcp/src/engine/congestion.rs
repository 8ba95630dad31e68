//! KCP's congestion control, in segments: TCP's Reno in its main features.

/// How much may be under way.
#[derive(Debug)]
pub(super) struct Congestion {
    /// In segments.
    window: u32,
    threshold: u32,
    /// The window in bytes, so that it grows by less than a segment.
    bytes: usize,
    mss: usize,
}

impl Congestion {
    pub(super) fn new(mss: usize) -> Self {
        Self { window: 1, threshold: LEAST_THRESHOLD, bytes: mss, mss }
    }

    /// Takes into account that a datagram has acknowledged data of a peer with such a window.
    pub(super) fn on_acknowledged(&mut self, peer_window: u32) {
        if self.window >= peer_window {
            return;
        }
        if self.window < self.threshold {
            self.window += 1;
            self.bytes += self.mss;
        } else {
            self.bytes = self.bytes.max(self.mss);
            self.bytes += self.mss * self.mss / self.bytes + self.mss / 16;
            if (self.window as usize + 1) * self.mss <= self.bytes {
                self.window += 1;
            }
        }
        if self.window > peer_window {
            self.window = peer_window;
            self.bytes = peer_window as usize * self.mss;
        }
    }

    /// Takes into account that later data has overtaken some, while `under_way` segments were.
    pub(super) fn on_overtaken(&mut self, under_way: u32, resend: u8) {
        self.threshold = (under_way / 2).max(LEAST_THRESHOLD);
        self.window = self.threshold + u32::from(resend);
        self.bytes = self.window as usize * self.mss;
    }

    /// Takes into account that no acknowledgement came in time, while `allowed` segments might have
    /// been under way.
    pub(super) fn on_timeout(&mut self, allowed: u32) {
        self.threshold = (allowed / 2).max(LEAST_THRESHOLD);
        self.window = 1;
        self.bytes = self.mss;
    }

    /// Returns how many segments may be under way.
    pub(super) fn window(&self) -> u32 {
        self.window
    }
}

const LEAST_THRESHOLD: u32 = 2;
