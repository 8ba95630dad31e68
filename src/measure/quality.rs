use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DatagramCounts, Delays, Sequence};
use crate::micros;

/// What became of a flow's datagrams, as the end that received them counted.
///
/// `None` is what that end does not know, or does not tell apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatagramSummary {
    /// Different datagrams received.
    pub received: u64,
    /// Datagrams that were sent and did not arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Received after one that was sent later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reordered: Option<u64>,
    /// Further copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicated: Option<u64>,
    /// Received too late to tell whether they were copies: the true loss may be lower by as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<u64>,
    /// Received, and of no place in the sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strays: Option<u64>,
    /// How often datagrams were lost, however many in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_runs: Option<u64>,
    /// Most datagrams lost in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_loss_run: Option<u64>,
    /// Interarrival jitter of RFC 3550, at the end.
    #[serde(
        rename = "jitter_us",
        with = "micros::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub jitter: Option<Duration>,
    /// One-way delays less the smallest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_variation: Option<VariationSummary>,
}

/// How one-way delays vary (RFC 5481): each less the smallest of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariationSummary {
    /// Half of the datagrams had no more.
    #[serde(rename = "p50_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p50: Duration,
    /// Nine of ten had no more.
    #[serde(rename = "p90_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p90: Duration,
    /// All but one in a hundred had no more.
    #[serde(rename = "p99_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p99: Duration,
    /// The largest.
    #[serde(rename = "max_us", with = "micros")]
    #[schemars(with = "u64")]
    pub max: Duration,
}

/// How much later than due a sender sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatenessSummary {
    /// Datagrams sent on a schedule.
    pub count: u64,
    /// Half of them were no later.
    #[serde(rename = "p50_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p50: Duration,
    /// All but one in a hundred were no later.
    #[serde(rename = "p99_us", with = "micros")]
    #[schemars(with = "u64")]
    pub p99: Duration,
    /// The latest.
    #[serde(rename = "max_us", with = "micros")]
    #[schemars(with = "u64")]
    pub max: Duration,
}

/// How closely a sender kept to its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacingSummary {
    /// Bytes handed over less those that the rate permitted by the end of the flow.
    #[serde(rename = "token_error_bytes")]
    pub token_error: i64,
    /// The furthest that it was from what the rate permitted, ahead or behind, at any time that
    /// something was handed over.
    #[serde(rename = "max_token_error_bytes")]
    pub max_token_error: u64,
    /// How often the schedule gave up time, because the sender was too late to make up for it.
    pub slips: u64,
    /// How much time it gave up.
    #[serde(rename = "slipped_us", with = "micros")]
    #[schemars(with = "u64")]
    pub slipped: Duration,
    /// How often something went back to back: without a wait in between.
    pub bursts: u64,
    /// Blocks, which of datagrams are the datagrams, that went so.
    pub burst_blocks: SizeSummary,
    /// Bytes that went so.
    pub burst_bytes: SizeSummary,
}

/// How large things were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SizeSummary {
    /// Half of them were no larger.
    pub p50: u64,
    /// All but one in a hundred were no larger.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl DatagramSummary {
    /// Returns what a flow came to after `omitted`, which the counts were when the totals began.
    ///
    /// Runs and delays are those since they were last reset.
    #[must_use]
    pub fn new(sequence: &Sequence, omitted: &DatagramCounts, delays: &Delays) -> Self {
        let counts = sequence.counts().since(omitted);
        let runs = sequence.loss_runs();
        Self {
            loss_runs: Some(runs.count),
            longest_loss_run: Some(runs.longest),
            delay_variation: delays.variation(),
            ..Self::counted(&counts, delays.jitter())
        }
    }

    /// Returns the counts of a time, with the jitter at its end.
    #[must_use]
    pub fn counted(counts: &DatagramCounts, jitter: Option<Duration>) -> Self {
        Self {
            received: counts.received,
            lost: Some(counts.lost),
            reordered: Some(counts.reordered),
            duplicated: Some(counts.duplicated),
            late: Some(counts.late),
            strays: Some(counts.strays),
            jitter,
            ..Self::default()
        }
    }

    /// Returns several flows together: what each of them knows is added up, and the jitter is their
    /// mean. Runs and delays are each flow's own. `None` if a flow is unknown.
    #[must_use]
    pub fn together(flows: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let flows = flows.into_iter().collect::<Option<Vec<_>>>()?;
        let count = u32::try_from(flows.len()).ok().filter(|count| *count > 0)?;
        let sum = |pick: fn(&Self) -> Option<u64>| {
            flows.iter().map(pick).try_fold(0u64, |sum, part| Some(sum.saturating_add(part?)))
        };
        let jitters = flows
            .iter()
            .try_fold(Duration::ZERO, |sum, flow| Some(sum.saturating_add(flow.jitter?)));
        Some(Self {
            received: sum(|flow| Some(flow.received))?,
            lost: sum(|flow| flow.lost),
            reordered: sum(|flow| flow.reordered),
            duplicated: sum(|flow| flow.duplicated),
            late: sum(|flow| flow.late),
            strays: sum(|flow| flow.strays),
            jitter: jitters.map(|sum| sum / count),
            ..Self::default()
        })
    }

    /// Returns how many datagrams were sent, as the receiver has it; `None` where it does not know.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        Some(self.lost?.saturating_add(self.received))
    }

    /// Returns the share of the datagrams sent that were lost, from 0 to 1; `None` where it is not
    /// known, or where none were sent.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "2^53 datagrams are more than any test sends")]
    pub fn loss(&self) -> Option<f64> {
        let lost = self.lost?;
        let sent = self.expected()?;
        (sent > 0).then(|| lost as f64 / sent as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Window;

    #[test]
    fn what_is_omitted_is_in_no_figure() {
        let mut sequence = Sequence::new(0, Window::default());
        sequence.observe_all([0, 10, 11]);
        let omitted = sequence.counts();
        sequence.restart_runs();
        sequence.observe_all([12, 14, 14, 15]);
        sequence.sent(18);
        let summary = DatagramSummary::new(&sequence, &omitted, &Delays::new());
        assert_eq!((summary.received, summary.lost, summary.duplicated), (3, Some(3), Some(1)));
        assert_eq!((summary.loss_runs, summary.longest_loss_run), (Some(2), Some(2)));
        assert_eq!(summary.loss(), Some(0.5));
    }

    #[test]
    fn unknown_is_left_out_and_zero_is_not() {
        let unknown = serde_json::to_value(DatagramSummary::default()).unwrap();
        assert_eq!(unknown, serde_json::json!({ "received": 0 }));
        let zero = Duration::ZERO;
        let variation = VariationSummary { p50: zero, p90: zero, p99: zero, max: zero };
        let known = DatagramSummary {
            lost: Some(0),
            jitter: Some(Duration::ZERO),
            delay_variation: Some(variation),
            ..DatagramSummary::default()
        };
        let json = serde_json::to_value(known).unwrap();
        assert_eq!((&json["lost"], &json["jitter_us"]), (&0.into(), &0.into()));
        assert_eq!(json["delay_variation"]["p99_us"], 0);
        assert_eq!(serde_json::from_value::<DatagramSummary>(json).unwrap(), known);
    }

    #[test]
    fn flows_are_added_up_as_far_as_each_is_known() {
        let flow = |received, late, jitter| DatagramSummary {
            received,
            lost: Some(1),
            late,
            jitter: Some(Duration::from_micros(jitter)),
            loss_runs: Some(1),
            ..DatagramSummary::default()
        };
        let both = [Some(flow(5, Some(1), 10)), Some(flow(u64::MAX, None, 30))];
        let sum = DatagramSummary::together(both).unwrap();
        assert_eq!((sum.received, sum.lost, sum.late), (u64::MAX, Some(2), None));
        assert_eq!((sum.jitter, sum.loss_runs), (Some(Duration::from_micros(20)), None));
        assert_eq!(DatagramSummary::together([both[0], None]), None);
        assert_eq!(DatagramSummary::together([]), None);
    }

    #[test]
    fn a_flow_on_which_nothing_was_sent_has_no_share_of_losses() {
        assert_eq!(DatagramSummary::default().loss(), None);
        assert_eq!(DatagramSummary { lost: Some(0), ..Default::default() }.loss(), None);
    }
}
