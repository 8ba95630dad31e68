use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer as _, V2Serializer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long things took, each of them, to within a thousandth.
///
/// Recorders of several flows or tests can be merged. Nothing is allocated after construction.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

/// A distribution of latencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencySummary {
    /// How many there were.
    pub count: u64,
    /// The smallest, in nanoseconds.
    pub min_ns: u64,
    /// The mean, in nanoseconds.
    pub mean_ns: u64,
    /// What half of them did not exceed, in nanoseconds.
    pub p50_ns: u64,
    /// What 90 % of them did not exceed, in nanoseconds.
    pub p90_ns: u64,
    /// What 95 % of them did not exceed, in nanoseconds.
    pub p95_ns: u64,
    /// What 99 % of them did not exceed, in nanoseconds.
    pub p99_ns: u64,
    /// What 99.9 % of them did not exceed, in nanoseconds.
    pub p999_ns: u64,
    /// The largest, in nanoseconds.
    pub max_ns: u64,
    /// All of them in nanoseconds: HdrHistogram's format V2, in base64.
    pub histogram: String,
}

impl Latencies {
    /// Returns an empty record.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    /// Takes what one took; longer than a minute counts as a minute.
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all of another record.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Returns whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns what `part` of all, between 0 and 1, did not exceed; `None` of nothing.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_nanos(self.0.value_at_quantile(part)))
    }

    /// Returns each step of the distribution: what was taken at most, and by how large a part.
    pub fn steps(&self) -> impl Iterator<Item = (Duration, f64)> {
        self.0
            .iter_recorded()
            .map(|step| (Duration::from_nanos(step.value_iterated_to()), step.quantile()))
    }

    /// Returns the distribution; `None` of nothing.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of u64")]
    pub fn summary(&self) -> Option<LatencySummary> {
        if self.is_empty() {
            return None;
        }
        let at = |part| self.0.value_at_quantile(part);
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).ok()?;
        Some(LatencySummary {
            count: self.0.len(),
            min_ns: self.0.min(),
            mean_ns: self.0.mean() as u64,
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p95_ns: at(0.95),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: self.0.max(),
            histogram: STANDARD.encode(bytes),
        })
    }

    /// Returns all latencies of HdrHistogram's format V2; `None` if it is not one.
    ///
    /// What claims to be larger than any of ours is refused before anything is allocated.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bounds = bytes.get(HEADER_BOUNDS)?;
        let (digits, rest) = bounds.split_first_chunk::<4>()?;
        let (_lowest, rest) = rest.split_first_chunk::<8>()?;
        let highest = u64::from_be_bytes(*rest.first_chunk::<8>()?);
        if u32::from_be_bytes(*digits) != u32::from(DIGITS) || highest > LONGEST {
            return None;
        }
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).ok()?;
        let mut latencies = Self::new();
        latencies.0.add(&read).ok()?;
        Some(latencies)
    }
}

impl LatencySummary {
    /// Returns all latencies again; `None` if `histogram` is not one.
    ///
    /// What claims to be larger than any of ours is refused before anything is allocated.
    #[must_use]
    pub fn latencies(&self) -> Option<Latencies> {
        if self.histogram.len() > MAX_ENCODED {
            return None;
        }
        Latencies::from_bytes(&STANDARD.decode(&self.histogram).ok()?)
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies({} from {} to {} ns)", self.0.len(), self.0.min(), self.0.max())
    }
}

const LONGEST: u64 = 60_000_000_000;
const DIGITS: u8 = 3;
/// Significant digits, lowest and highest value, after the cookie, the length and the offset.
const HEADER_BOUNDS: std::ops::Range<usize> = 12..32;
/// More than all counts of a record within the bounds take, in base64.
const MAX_ENCODED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(micros: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        micros.into_iter().for_each(|micros| latencies.record(Duration::from_micros(micros)));
        latencies
    }

    fn close(left: u64, right: u64) -> bool {
        left.abs_diff(right) <= right / 500
    }

    #[test]
    fn a_summary_has_the_quantiles_to_a_thousandth() {
        let summary = recorded(1..=1000).summary().unwrap();
        assert_eq!(summary.count, 1000);
        assert!(close(summary.p50_ns, 500_000) && close(summary.p99_ns, 990_000), "{summary:?}");
        assert!(close(summary.min_ns, 1000) && close(summary.max_ns, 1_000_000), "{summary:?}");
        assert_eq!(Latencies::new().summary(), None);
    }

    #[test]
    fn what_was_written_is_read_back_and_merges() {
        let mut all = recorded(1..=10).summary().unwrap().latencies().unwrap();
        all.merge(&recorded([5_000_000, 100_000_000]));
        let summary = all.summary().unwrap();
        assert_eq!(summary.count, 12);
        assert!(close(summary.max_ns, 60_000_000_000), "a minute at most: {summary:?}");
    }

    #[test]
    fn garbage_is_no_histogram_and_allocates_nothing_large() {
        let good = recorded([1]).summary().unwrap();
        let with = |histogram: String| LatencySummary { histogram, ..good.clone() }.latencies();
        assert!(with(String::new()).is_none());
        assert!(with("!".repeat(10)).is_none());
        assert!(with("A".repeat(MAX_ENCODED + 4)).is_none());
        let bytes = STANDARD.decode(&good.histogram).unwrap();
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                // Whatever it is taken for, nothing panics.
                let _ = with(STANDARD.encode(&bytes));
            }
            assert!(with(STANDARD.encode(&bytes[..place])).is_none(), "cut at {place}");
        }
    }
}
