use std::time::Duration;

use super::{
    SizeSummary,
    histogram::{Distribution, nanos},
    quality::PacingSummary,
};

/// How closely a sender kept to its rate: how far ahead of it or behind it was, and how much went
/// back to back.
///
/// The rate permits as many bytes by some time as it has carried since the totals began, and not
/// one more: a burst is ahead by itself, and who is late is behind until he has caught up.
#[derive(Debug, Clone)]
pub struct Pacing {
    bytes_per_second: f64,
    /// When the totals began.
    began: Duration,
    sent: u64,
    /// Bytes sent less those permitted, when that was looked at last.
    error: i64,
    max_error: u64,
    slips: Slips,
    /// What has been given up before the totals began.
    omitted: Slips,
    burst: Burst,
    blocks: Sizes,
    bytes: Sizes,
}

/// Time that a schedule has given up, because its sender was too late to make up for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slips {
    /// How often.
    pub count: u64,
    /// How much in all.
    pub time: Duration,
}

/// What has gone since the sender last waited.
#[derive(Debug, Clone, Copy, Default)]
struct Burst {
    blocks: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Sizes {
    sizes: Distribution,
    max: u64,
}

impl Pacing {
    /// Returns an empty record of a sender that is to send at this rate from time zero.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "to within a byte in any rate that there is")]
    pub fn new(bits_per_second: u64) -> Self {
        Self {
            bytes_per_second: bits_per_second as f64 / 8.0,
            began: Duration::ZERO,
            sent: 0,
            error: 0,
            max_error: 0,
            slips: Slips::default(),
            omitted: Slips::default(),
            burst: Burst::default(),
            blocks: Sizes::new(),
            bytes: Sizes::new(),
        }
    }

    /// Takes note of `bytes` that were handed over at `now`, with which so many blocks began.
    #[inline]
    pub fn sent(&mut self, now: Duration, blocks: u64, bytes: u64) {
        let permitted = self.permitted(now);
        // Before, it was the furthest behind; after, it is the furthest ahead.
        self.compare(permitted);
        self.sent += bytes;
        self.compare(permitted);
        self.burst.blocks += blocks;
        self.burst.bytes += bytes;
    }

    /// Takes note that the sender waits: what comes next is another burst.
    pub fn waits(&mut self) {
        let Burst { blocks, bytes } = std::mem::take(&mut self.burst);
        if bytes > 0 {
            self.blocks.record(blocks);
            self.bytes.record(bytes);
        }
    }

    /// Takes note of what the schedule has given up so far.
    pub fn slipped(&mut self, slips: Slips) {
        self.slips = slips;
    }

    /// Takes note that there is nothing more to send at `now`.
    pub fn ends(&mut self, now: Duration) {
        self.waits();
        if self.sent > 0 {
            self.compare(self.permitted(now));
        }
    }

    /// Forgets all that went before `now`, as at the end of the time that totals leave out.
    pub fn restart(&mut self, now: Duration) {
        self.began = now;
        (self.sent, self.error, self.max_error) = (0, 0, 0);
        self.omitted = self.slips;
        self.burst = Burst::default();
        self.blocks.clear();
        self.bytes.clear();
    }

    /// Returns what was recorded; `None` if nothing was sent.
    #[must_use]
    pub fn summary(&self) -> Option<PacingSummary> {
        Some(PacingSummary {
            token_error: self.error,
            max_token_error: self.max_error,
            slips: self.slips.count.saturating_sub(self.omitted.count),
            slipped: self.slips.time.saturating_sub(self.omitted.time),
            bursts: self.bytes.sizes.count(),
            burst_blocks: self.blocks.summary()?,
            burst_bytes: self.bytes.summary()?,
        })
    }

    fn compare(&mut self, permitted: i64) {
        let sent = i64::try_from(self.sent).unwrap_or(i64::MAX);
        self.error = sent.saturating_sub(permitted);
        self.max_error = self.max_error.max(self.error.unsigned_abs());
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "it is a whole number to within a byte, and what is too much becomes the most"
    )]
    fn permitted(&self, now: Duration) -> i64 {
        let time = nanos(now.saturating_sub(self.began));
        (time as f64 * self.bytes_per_second / 1e9) as i64
    }
}

impl Sizes {
    fn new() -> Self {
        Self { sizes: Distribution::new(), max: 0 }
    }

    fn record(&mut self, size: u64) {
        self.sizes.record(size, 1);
        self.max = self.max.max(size);
    }

    fn clear(&mut self) {
        self.sizes.clear();
        self.max = 0;
    }

    fn summary(&self) -> Option<SizeSummary> {
        if self.sizes.is_empty() {
            return None;
        }
        // The quantiles are rounded, and the largest is not.
        let quantile = |part| self.sizes.quantile(part).min(self.max);
        Some(SizeSummary { p50: quantile(0.5), p99: quantile(0.99), max: self.max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A kilobyte in each millisecond.
    fn pacing() -> Pacing {
        Pacing::new(8_000_000)
    }

    fn summary(pacing: &Pacing) -> PacingSummary {
        pacing.summary().unwrap()
    }

    #[test]
    fn who_sends_each_block_when_it_is_due_is_no_further_ahead_than_a_block() {
        let mut pacing = pacing();
        for at in 0..1000 {
            pacing.sent(at * MS, 1, 1000);
            pacing.waits();
        }
        pacing.ends(1000 * MS);
        let summary = summary(&pacing);
        assert_eq!((summary.token_error, summary.max_token_error), (0, 1000));
        assert_eq!((summary.bursts, summary.slips), (1000, 0));
        assert_eq!(summary.burst_blocks, SizeSummary { p50: 1, p99: 1, max: 1 });
        assert_eq!(summary.burst_bytes.max, 1000);
    }

    #[test]
    fn who_is_late_is_behind_until_he_has_caught_up_in_one_burst() {
        let mut pacing = pacing();
        pacing.sent(Duration::ZERO, 1, 1000);
        pacing.waits();
        for _ in 0..10 {
            pacing.sent(10 * MS, 1, 1000);
        }
        pacing.ends(10 * MS);
        let late = summary(&pacing);
        assert_eq!((late.token_error, late.max_token_error), (1000, 9000));
        assert_eq!((late.bursts, late.burst_blocks.max), (2, 10));
        assert!(late.burst_bytes.p50.abs_diff(1000) <= 10, "to within a hundredth: {late:?}");
        assert_eq!(late.burst_bytes.max, 10_000);
    }

    #[test]
    fn what_is_owed_at_the_end_is_negative() {
        let mut pacing = pacing();
        pacing.sent(Duration::ZERO, 1, 1000);
        pacing.ends(50 * MS);
        assert_eq!(
            (summary(&pacing).token_error, summary(&pacing).max_token_error),
            (-49_000, 49_000)
        );
    }

    #[test]
    fn what_is_omitted_is_in_no_figure() {
        let mut pacing = pacing();
        pacing.sent(Duration::ZERO, 50, 50_000);
        pacing.slipped(Slips { count: 2, time: 30 * MS });
        pacing.restart(100 * MS);
        pacing.slipped(Slips { count: 3, time: 31 * MS });
        pacing.sent(101 * MS, 1, 1000);
        pacing.ends(102 * MS);
        let summary = summary(&pacing);
        assert_eq!((summary.token_error, summary.max_token_error), (-1000, 1000));
        assert_eq!((summary.slips, summary.slipped, summary.bursts), (1, MS, 1));
    }

    #[test]
    fn of_a_sender_that_sent_nothing_nothing_is_known() {
        let mut pacing = pacing();
        pacing.waits();
        pacing.ends(10 * MS);
        assert_eq!(pacing.summary(), None);
    }

    #[test]
    fn a_block_that_goes_in_parts_is_one_block_of_one_burst() {
        let mut pacing = pacing();
        pacing.sent(Duration::ZERO, 1, 400);
        pacing.sent(Duration::ZERO, 0, 600);
        pacing.ends(MS);
        let summary = summary(&pacing);
        assert_eq!((summary.burst_blocks.max, summary.burst_bytes.max), (1, 1000));
        assert_eq!((summary.token_error, summary.bursts), (0, 1));
    }

    #[test]
    fn a_rate_and_a_time_beyond_all_bounds_are_only_much() {
        let mut pacing = Pacing::new(u64::MAX);
        pacing.sent(Duration::MAX, 1, 1);
        pacing.ends(Duration::MAX);
        assert_eq!(summary(&pacing).token_error, 1 - i64::MAX);
    }
}
