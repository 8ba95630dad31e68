//! From a test to what is stored of it, and back.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Entry, Error, Record, Summary};
use crate::{event::FailedEvent, measure::LatencySummary, outcome::Outcome};

/// What is stored of a test.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) summary: Summary,
    /// The outcome, without its intervals and distributions.
    pub(super) document: String,
    pub(super) intervals: Option<String>,
    pub(super) histograms: Vec<Histogram>,
}

/// A distribution, taken out of a document.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Histogram {
    /// Where it belongs, as a JSON pointer to what surrounds it.
    pub(super) place: String,
    pub(super) histogram: Vec<u8>,
}

impl Parts {
    /// Takes a test apart.
    pub(super) fn new(entry: &Entry) -> Result<Self, Error> {
        let mut summary = Summary::new(entry);
        let (mut document, intervals) = match &entry.record {
            Record::Finished(outcome) => {
                let bare = Outcome { intervals: Vec::new(), ..Outcome::clone(outcome) };
                let some = !outcome.intervals.is_empty();
                let intervals = some.then(|| text(&outcome.intervals)).transpose()?;
                (value(&bare)?, intervals)
            }
            Record::Failed(event) => (value(event)?, None),
        };
        let mut histograms = Vec::new();
        for side in ["local", "remote"] {
            if let Some(side_of) = document.get_mut(side) {
                take(side_of, format!("/{side}"), &mut histograms);
            }
        }
        let document = text(&document)?;
        let bytes = document.len()
            + intervals.as_ref().map_or(0, String::len)
            + histograms.iter().map(|of| of.place.len() + of.histogram.len()).sum::<usize>();
        summary.size = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_add(OF_A_LINE);
        Ok(Self { summary, document, intervals, histograms })
    }
}

impl Histogram {
    /// Returns what it is of: the last word of its place.
    pub(super) fn what(&self) -> &str {
        self.place.rsplit('/').next().unwrap_or_default()
    }
}

/// Puts a test together again.
pub(super) fn whole(
    has_outcome: bool,
    document: &str,
    intervals: Option<&str>,
    histograms: &[Histogram],
) -> Result<Record, String> {
    if !has_outcome {
        return read::<FailedEvent>(document).map(Arc::new).map(Record::Failed);
    }
    let mut document: Value = read(document)?;
    for Histogram { place, histogram } in histograms {
        if let Some(place) = document.pointer_mut(place).and_then(|of| of.get_mut("histogram")) {
            *place = STANDARD.encode(histogram).into();
        }
    }
    let mut outcome: Outcome =
        serde_json::from_value(document).map_err(|error| error.to_string())?;
    if let Some(intervals) = intervals {
        outcome.intervals = read(intervals)?;
    }
    Ok(Record::Finished(Arc::new(outcome)))
}

/// Takes out every distribution that comes back the same.
fn take(value: &mut Value, place: String, found: &mut Vec<Histogram>) {
    if let Some(histogram) = distribution(value) {
        value["histogram"] = String::new().into();
        return found.push(Histogram { place, histogram });
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                take(field, format!("{place}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                take(value, format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Returns the bytes of a distribution, if this is one that can be merged with others. The other end
/// may have sent anything in its place; that stays in the document.
fn distribution(value: &Value) -> Option<Vec<u8>> {
    let encoded = value.get("histogram")?.as_str()?;
    let summary: LatencySummary = serde_json::from_value(value.clone()).ok()?;
    summary.latencies()?;
    STANDARD.decode(encoded).ok().filter(|bytes| STANDARD.encode(bytes) == encoded)
}

fn value(of: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(of).map_err(|error| Error::Unwritable(error.to_string()))
}

fn text(of: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(of).map_err(|error| Error::Unwritable(error.to_string()))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// What a line takes in its table and the indexes, in bytes.
const OF_A_LINE: i64 = 1536;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        measure::{ExchangeSummary, Latencies},
        report::testing,
        spec::Direction,
    };

    fn entry(outcome: Outcome) -> Entry {
        Entry::new(Record::Finished(Arc::new(outcome)), Duration::from_secs(1))
    }

    fn back(parts: &Parts) -> Record {
        let intervals = parts.intervals.as_deref();
        whole(parts.summary.ended != "nothing", &parts.document, intervals, &parts.histograms)
            .unwrap()
    }

    fn asking() -> Outcome {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|micros| latencies.record(Duration::from_micros(micros)));
        let mut outcome = testing::outcome(Direction::Forward, 2);
        for flow in &mut outcome.local.flows {
            flow.exchanges = Some(Box::new(ExchangeSummary {
                latency: latencies.summary(),
                ..ExchangeSummary::default()
            }));
        }
        outcome
    }

    #[test]
    fn what_was_taken_apart_is_put_together_the_same() {
        for outcome in [asking(), testing::hostile(), testing::of_no_time()] {
            let entry = entry(outcome);
            assert_eq!(back(&Parts::new(&entry).unwrap()), entry.record);
        }
    }

    #[test]
    fn distributions_are_apart_and_their_quantiles_in_the_summary() {
        let parts = Parts::new(&entry(asking())).unwrap();
        let places: Vec<_> = parts.histograms.iter().map(|of| of.place.as_str()).collect();
        let place = |flow| format!("/local/flows/{flow}/exchanges/latency");
        assert_eq!(places, [place(0), place(1)]);
        assert_eq!(parts.histograms[0].what(), "latency");
        let p50 = parts.summary.latency_p50_ns.unwrap();
        assert!((50_000..=50_100).contains(&p50), "{p50}");
    }

    #[test]
    fn what_is_no_distribution_stays_where_it_is() {
        let mut outcome = asking();
        let exchanges = outcome.local.flows[0].exchanges.as_mut().unwrap();
        exchanges.latency.as_mut().unwrap().histogram = "=cmd()".to_owned();
        let entry = entry(outcome);
        let parts = Parts::new(&entry).unwrap();
        assert_eq!(parts.histograms.len(), 1);
        assert_eq!(back(&parts), entry.record);
    }

    #[test]
    fn a_text_that_no_database_takes_is_in_no_column() {
        let mut outcome = testing::hostile();
        Arc::make_mut(&mut outcome.info).user = Some("a\0b".repeat(1000));
        let parts = Parts::new(&entry(outcome)).unwrap();
        let user = parts.summary.username.unwrap();
        assert!(user.starts_with("a\u{fffd}b") && user.chars().count() == 256, "{user}");
        assert!(!parts.document.contains('\0'));
    }
}
