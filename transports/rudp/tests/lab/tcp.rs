//! A model of the kernel's TCP as a bulk sender, for whoever has to share a link with it.
//!
//! CUBIC (RFC 9438) in Linux's manner: slow start without pacing, selective acknowledgements that tell
//! of everything, three later packets for a loss, and a timeout of at least 200 ms.

use std::{collections::BTreeMap, time::Duration};

/// Both ends of a flow that always has something to send.
pub(crate) struct Tcp {
    start: Duration,
    next: u64,
    window: f64,
    threshold: f64,
    /// When each packet that is under way was sent; those that are to be sent again.
    under_way: BTreeMap<u64, Duration>,
    again: Vec<u64>,
    /// What was sent before this has been answered for.
    recovery: u64,
    epoch: Option<(Duration, f64)>,
    most: f64,
    rtt: Duration,
    heard: Duration,
    delivered: u64,
}

impl Tcp {
    pub(crate) fn new(start: Duration) -> Self {
        Self {
            start,
            next: 0,
            window: 10.0,
            threshold: f64::INFINITY,
            under_way: BTreeMap::new(),
            again: Vec::new(),
            recovery: 0,
            epoch: None,
            most: 0.0,
            rtt: Duration::from_millis(100),
            heard: start,
            delivered: 0,
        }
    }

    /// Returns how many bytes have arrived.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.delivered += (bytes.len() - HEADERS) as u64;
        bytes[..16].to_vec()
    }

    pub(crate) fn acknowledge(&mut self, ack: &[u8], now: Duration) {
        let field = |at: usize| u64::from_be_bytes(ack[at..at + 8].try_into().unwrap());
        let (number, sent) = (field(0), Duration::from_nanos(field(8)));
        self.heard = now;
        self.rtt = (self.rtt * 7 + (now - sent)) / 8;
        if self.under_way.remove(&number).is_none() {
            return;
        }
        if number >= self.recovery {
            self.grow(now);
        }
        // All that was sent well before this is lost.
        let lost: Vec<u64> = self
            .under_way
            .iter()
            .take_while(|(other, at)| **other + 3 <= number && **at < sent)
            .map(|(other, _)| *other)
            .collect();
        for number in lost {
            self.under_way.remove(&number);
            self.again.push(number);
            if number >= self.recovery {
                self.recovery = self.next;
                self.most = if self.window < self.most { self.window * 0.85 } else { self.window };
                self.window = (self.window * 0.7).max(2.0);
                self.threshold = self.window;
                self.epoch = None;
            }
        }
    }

    fn grow(&mut self, now: Duration) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let (since, reno) = self.epoch.get_or_insert((now, self.window));
        let k = ((self.most - self.threshold.min(self.most)) / 0.4).cbrt();
        let t = (now - *since + self.rtt).as_secs_f64() - k;
        let cubic = self.most + 0.4 * t * t * t;
        *reno += 0.53 / self.window;
        let target = cubic.clamp(self.window, self.window * 1.5).max(*reno);
        self.window += ((target - self.window) / self.window).max(0.0);
    }

    pub(crate) fn send(&mut self, now: Duration, mut each: impl FnMut(Vec<u8>)) {
        if now < self.start {
            return;
        }
        if !self.under_way.is_empty() && now >= self.timeout() {
            self.again.extend(self.under_way.keys());
            self.under_way.clear();
            self.threshold = self.window * 0.7;
            (self.window, self.recovery, self.heard, self.epoch) = (1.0, self.next, now, None);
        }
        #[allow(clippy::cast_precision_loss, reason = "there are few")]
        while (self.under_way.len() as f64) < self.window {
            if self.under_way.is_empty() {
                self.heard = now;
            }
            // What is sent again has a new number, as if by timestamps.
            self.again.pop();
            let number = self.next;
            self.next += 1;
            self.under_way.insert(number, now);
            let mut bytes = vec![0; 1448 + HEADERS];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            bytes[8..16].copy_from_slice(&u64::try_from(now.as_nanos()).unwrap().to_be_bytes());
            each(bytes);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        if self.next == 0 {
            return Some(self.start);
        }
        (!self.under_way.is_empty()).then(|| self.timeout())
    }

    fn timeout(&self) -> Duration {
        self.heard + (self.rtt * 2).max(Duration::from_millis(200))
    }
}

/// Bytes of headers beyond those that every datagram has.
const HEADERS: usize = 24;
