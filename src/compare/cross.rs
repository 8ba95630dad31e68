//! Traffic beside what is measured, on the same bottleneck.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::experiment::{Arm, PartKind};
use crate::{
    measure::{Role, Sample},
    outcome::Outcome,
    spec::{Direction, Limit, SpecFields},
};

/// Competitors: streams of one kind that send as much as they get through, while bulk is measured
/// beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cross {
    /// Their transport, and their congestion control where one was asked for.
    pub arm: Arm,
    /// How many streams.
    pub streams: u16,
}

/// What competitors got through while a test was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Competitor {
    /// Who: the name of the arm that it would be.
    pub arm: String,
    /// How many streams.
    pub streams: u16,
    /// What their receiver counted meanwhile, in bits per second; `None` if it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_bps: Option<f64>,
    /// Why they ended before the measured test did, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Cross {
    /// Returns their test, the same way as that of `kind`.
    pub(super) fn test(&self, kind: PartKind, common: &SpecFields) -> SpecFields {
        let mut fields = SpecFields {
            transport: self.arm.transport.clone(),
            direction: direction(kind),
            limit: Limit::Endless,
            streams: self.streams,
            interval: Some(INTERVAL),
            ..SpecFields::default()
        };
        fields.tuning.congestion.clone_from(&self.arm.congestion);
        fields.tuning.window = common.tuning.window;
        fields
    }

    /// Returns what they got through while `measured` was.
    pub(super) fn beside(&self, measured: &Outcome, competitors: &Outcome) -> Competitor {
        Competitor {
            arm: self.arm.name.clone(),
            streams: self.streams,
            goodput_bps: goodput(measured, competitors),
            failure: None,
        }
    }

    /// Returns that nothing is known of them.
    pub(super) fn failed(&self, failure: String) -> Competitor {
        let (arm, streams) = (self.arm.name.clone(), self.streams);
        Competitor { arm, streams, goodput_bps: None, failure: Some(failure) }
    }
}

/// Returns Jain's index of these rates: 1 if all are equal, 1/n if one has everything (R. Jain,
/// D. Chiu and W. Hawe: A Quantitative Measure of Fairness and Discrimination, DEC-TR-301, 1984);
/// `None` of nothing.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "there are few rates")]
pub fn jain(rates: &[f64]) -> Option<f64> {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    (squares > 0.0).then(|| sum * sum / (rates.len() as f64 * squares))
}

/// Returns how much of what competitors get among their own kind they lose beside something else
/// (R. Ware et al.: Beyond Jain's Fairness Index, HotNets 2019): 0 if they lose nothing, 1 if
/// everything; `None` if they got nothing in the first place.
#[must_use]
pub fn harm(among_themselves: f64, beside: f64) -> Option<f64> {
    (among_themselves > 0.0).then(|| ((among_themselves - beside) / among_themselves).max(0.0))
}

/// Returns what the receiver counted of `competitors` in the time that `measured` counts.
#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
fn goodput(measured: &Outcome, competitors: &Outcome) -> Option<f64> {
    let spec = &measured.info.spec;
    let Limit::Time(time) = spec.limit else { return None };
    let from = measured.info.started + spec.omitted();
    let until = from + time;
    let began = competitors.info.started;
    let (mut bytes, mut counted) = (0_u64, Duration::ZERO);
    for interval in &competitors.intervals {
        let samples = [Some(&interval.local), interval.remote.as_ref()];
        let Some(sample) = samples.into_iter().flatten().find(|sample| receives(sample)) else {
            continue;
        };
        let middle = began + sample.end - sample.duration() / 2;
        if from <= middle && middle < until {
            let received = sample.flows.iter().filter(|flow| flow.role == Role::Receiver);
            bytes += received.map(|flow| flow.bytes).sum::<u64>();
            counted += sample.duration();
        }
    }
    let seconds = counted.as_secs_f64();
    (counted >= time / 2).then(|| bytes as f64 * 8.0 / seconds)
}

fn receives(sample: &Sample) -> bool {
    sample.flows.iter().any(|flow| flow.role == Role::Receiver)
}

fn direction(kind: PartKind) -> Direction {
    if kind == PartKind::Down { Direction::Reverse } else { Direction::Forward }
}

/// Short beside what is measured, so that little is counted at its edges that is not of it.
const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_is_one_among_equals_and_one_of_n_where_one_has_all() {
        assert_eq!(jain(&[3.0, 3.0, 3.0]), Some(1.0));
        assert_eq!(jain(&[8.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain(&[]), None);
        assert_eq!(jain(&[0.0]), None);
        // Of 1, 2 and 3: 36 / (3 · 14).
        let index = jain(&[1.0, 2.0, 3.0]).unwrap();
        assert!((index - 36.0 / 42.0).abs() < 1e-12);
    }

    #[test]
    fn harm_is_what_is_lost_of_what_one_gets_among_ones_own_kind() {
        assert_eq!(harm(10.0, 2.5), Some(0.75));
        assert_eq!(harm(10.0, 12.0), Some(0.0));
        assert_eq!(harm(0.0, 1.0), None);
    }
}
