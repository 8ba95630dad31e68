//! Lets through what conforms to a rate.

use std::time::Duration;

use super::Policer;

/// A bucket that fills with tokens at the policer's rate, from which each packet takes its bits.
///
/// Tokens are counted in bits times 10⁹, so a nanosecond brings a whole number of them.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u128,
    size: u128,
    tokens: u128,
    filled: Duration,
}

impl Bucket {
    pub(super) fn new(policer: Policer) -> Self {
        let size = policer.burst as u128 * TOKENS_PER_BYTE;
        let rate = u128::from(policer.rate.bits_per_second());
        Self { rate, size, tokens: size, filled: Duration::ZERO }
    }

    /// Takes the tokens of `len` bytes, if there are as many.
    pub(super) fn takes(&mut self, now: Duration, len: usize) -> bool {
        let passed = now.saturating_sub(self.filled);
        let fresh = passed.as_nanos().saturating_mul(self.rate);
        self.tokens = self.tokens.saturating_add(fresh).min(self.size);
        self.filled = self.filled.max(now);
        match self.tokens.checked_sub(len as u128 * TOKENS_PER_BYTE) {
            Some(rest) => {
                self.tokens = rest;
                true
            }
            None => false,
        }
    }
}

const TOKENS_PER_BYTE: u128 = 8 * 1_000_000_000;
