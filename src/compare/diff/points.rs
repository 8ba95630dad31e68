use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Options, unequal};
use crate::{
    compare::{Better, Metric, Thresholds},
    measure::{Latencies, LatencySummary},
    report::{Goodput, figure::UNKNOWN, safe},
};

/// One figure of two single tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The metric.
    pub metric: Metric,
    /// Its value before.
    pub before: f64,
    /// Its value after.
    pub after: f64,
    /// One over the other; `None` where they can be zero or less and so have no ratios.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Whether it is worse by more than the threshold. One run each does not tell whether that is
    /// chance.
    pub regression: bool,
}

/// A test that was read, with what it takes to compare it.
#[derive(Debug)]
pub struct SavedTest {
    values: BTreeMap<Metric, f64>,
    /// What must be the same for results to be comparable.
    conditions: Vec<(&'static str, String)>,
    /// Why it did not run to its end, if so.
    error: Option<String>,
}

/// Compares each figure that both have. The second value is what is not the same on both sides, and
/// what this cannot tell.
pub(super) fn changes(
    before: &SavedTest,
    after: &SavedTest,
    options: &Options,
) -> (Vec<Point>, Vec<String>) {
    let both = |metric| Some((metric, *before.values.get(&metric)?, *after.values.get(&metric)?));
    let point = |(metric, before, after)| Point::of(metric, before, after, &options.thresholds);
    let points = options.metrics().filter_map(both).map(point).collect();
    let pairs = before.conditions.iter().zip(&after.conditions);
    let mut notes =
        unequal(pairs.map(|((what, from), (_, to))| (*what, [from.clone(), to.clone()])));
    for error in [before, after].into_iter().filter_map(|test| test.error.as_deref()) {
        notes.push(format!("A test did not run to its end: {}.", safe::short(error)));
    }
    notes.push(ONE_RUN.to_owned());
    (points, notes)
}

impl Point {
    fn of(metric: Metric, before: f64, after: f64, thresholds: &Thresholds) -> Self {
        let part = metric.threshold(thresholds);
        let ratios = metric.least_difference().is_none() && before > 0.0 && after >= 0.0;
        let ratio = ratios.then(|| (after / before).min(f64::MAX));
        let (change, least) = match ratio {
            Some(ratio) => (ratio - 1.0, part),
            None => {
                let least = metric.least_difference().unwrap_or_default();
                (after - before, least.max(part * before.abs()))
            }
        };
        let worse = match metric.better() {
            Better::Higher => -change,
            Better::Lower => change,
        };
        Self { metric, before, after, ratio, regression: worse > least }
    }
}

/// iperf3's document, with or without polyperf's object.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    start: Start,
    end: End,
    error: Option<String>,
    polyperf: Option<Polyperf>,
}

#[derive(Debug, Deserialize)]
struct Start {
    version: Option<String>,
    timestamp: Option<Timestamp>,
    test_start: Option<TestStart>,
}

#[derive(Debug, Deserialize)]
struct Timestamp {
    timesecs: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TestStart {
    protocol: Option<String>,
    num_streams: Option<u64>,
    duration: Option<f64>,
    bytes: Option<u64>,
    blksize: Option<u64>,
    target_bitrate: Option<u64>,
    reverse: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct End {
    sum: Option<Sum>,
    sum_sent: Option<Sum>,
    sum_received: Option<Sum>,
    sum_received_bidir_reverse: Option<Sum>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sum {
    bytes: Option<f64>,
    bits_per_second: Option<f64>,
    retransmits: Option<f64>,
    packets: Option<f64>,
    lost_percent: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Polyperf {
    schema: u64,
    transport: Option<String>,
    #[serde(default)]
    goodput_bps: Goodput,
    test: Option<Test>,
    local: Option<Counted>,
    error: Option<Failed>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    message: String,
}

#[derive(Debug, Deserialize)]
struct Test {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    workload: Option<Workload>,
}

#[derive(Debug, Deserialize)]
struct Workload {
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Counted {
    flows: Vec<Flow>,
}

#[derive(Debug, Deserialize)]
struct Flow {
    exchanges: Option<Exchanges>,
}

#[derive(Debug, Deserialize)]
struct Exchanges {
    latency: Option<LatencySummary>,
    idle: Option<LatencySummary>,
}

impl Document {
    /// Returns the version of polyperf's object, if there is one.
    pub(super) fn schema(&self) -> Option<u64> {
        self.polyperf.as_ref().map(|polyperf| polyperf.schema)
    }

    pub(super) fn program(&self) -> Option<String> {
        self.start.version.clone()
    }

    pub(super) fn started_us(&self) -> Option<u64> {
        self.start.timestamp.as_ref()?.timesecs?.checked_mul(1_000_000)
    }

    /// Returns what is compared.
    ///
    /// # Errors
    ///
    /// Fails with the reason if the test has nothing to show.
    pub(super) fn test(self) -> Result<SavedTest, String> {
        let found = self.latencies().unwrap_or_else(|| self.bulk());
        let values: BTreeMap<Metric, f64> = found
            .into_iter()
            .filter_map(|(metric, value)| Some((metric, value.filter(|value| value.is_finite())?)))
            .collect();
        let conditions = self.conditions();
        let told = self.polyperf.and_then(|polyperf| polyperf.error);
        let error = self.error.or(told.map(|failed| failed.message));
        if values.is_empty() {
            return Err(error.unwrap_or_else(|| "no end says what arrived".to_owned()));
        }
        Ok(SavedTest { values, conditions, error })
    }

    /// Returns what a test of bulk came to, in each direction that it had.
    fn bulk(&self) -> Vec<(Metric, Option<f64>)> {
        let Goodput { forward, reverse } = match &self.polyperf {
            Some(polyperf) => polyperf.goodput_bps,
            None => self.goodput(),
        };
        let mut values = vec![(Metric::GoodputUp, forward), (Metric::GoodputDown, reverse)];
        if forward.is_some() {
            let received = self.end.sum_received.as_ref().and_then(|sum| sum.bytes);
            let again = self.end.sum_sent.as_ref().and_then(|sum| sum.retransmits);
            let gigabytes = received.map(|bytes| bytes / 1e9).filter(|bytes| *bytes > 0.0);
            let lost = self.end.sum.as_ref().filter(|sum| sum.packets.is_some_and(|n| n > 0.0));
            let lost = lost.and_then(|sum| sum.lost_percent);
            values.push((Metric::Retransmits, again.zip(gigabytes).map(|(n, gb)| n / gb)));
            values.push((Metric::Loss, lost.map(|percent| percent / 100.0)));
        }
        values.extend(self.probed());
        values
    }

    /// Returns what iperf3's own sums say of what arrived. A test that was cut short may not know,
    /// and then says 0.
    fn goodput(&self) -> Goodput {
        let known = |sum: &Option<Sum>| {
            let rate = sum.as_ref()?.bits_per_second?;
            (rate > 0.0 || self.error.is_none()).then_some(rate)
        };
        let sum = known(&self.end.sum_received);
        let other = known(&self.end.sum_received_bidir_reverse);
        let reverse = self.start.test_start.as_ref().and_then(|test| test.reverse);
        match reverse {
            Some(1) => Goodput { forward: other, reverse: sum },
            _ => Goodput { forward: sum, reverse: other },
        }
    }

    /// Returns what a test of requests and responses came to; `None` of another.
    fn latencies(&self) -> Option<Vec<(Metric, Option<f64>)>> {
        let workload = self.polyperf.as_ref()?.test.as_ref()?.spec.workload.as_ref()?;
        let latency = self.merged(|exchanges| exchanges.latency.as_ref());
        match &*workload.kind {
            "rr" => Some(quantiles(latency.as_ref(), &IDLE)),
            "churn" => Some(quantiles(latency.as_ref(), &[(Metric::FirstReply, 0.5)])),
            _ => None,
        }
    }

    /// Returns what probes beside bulk came to, if there were any.
    fn probed(&self) -> Vec<(Metric, Option<f64>)> {
        let loaded = self.merged(|exchanges| exchanges.latency.as_ref());
        let idle = self.merged(|exchanges| exchanges.idle.as_ref());
        let median = |of: &Option<Latencies>| Some(of.as_ref()?.quantile(0.5)?.as_secs_f64());
        let added = median(&loaded).zip(median(&idle)).map(|(loaded, idle)| loaded - idle);
        let mut values = quantiles(loaded.as_ref(), &LOADED);
        values.extend(quantiles(idle.as_ref(), &IDLE));
        values.push((Metric::LatencyIncrease, added));
        values
    }

    /// Returns the latencies of all flows together; `None` of none.
    fn merged(&self, pick: impl Fn(&Exchanges) -> Option<&LatencySummary>) -> Option<Latencies> {
        let flows = self.polyperf.as_ref()?.local.as_ref()?.flows.iter();
        let all = flows.filter_map(|flow| pick(flow.exchanges.as_ref()?)?.latencies());
        all.reduce(|mut all, one| {
            all.merge(&one);
            all
        })
    }

    fn conditions(&self) -> Vec<(&'static str, String)> {
        let none = TestStart::default();
        let test = self.start.test_start.as_ref().unwrap_or(&none);
        let named = self.polyperf.as_ref().and_then(|polyperf| polyperf.transport.clone());
        let transport = named.or_else(|| test.protocol.as_ref().map(|name| name.to_lowercase()));
        let number = |number: Option<u64>| number.map_or(UNKNOWN.to_owned(), |n| n.to_string());
        vec![
            ("The transport", transport.unwrap_or(UNKNOWN.to_owned())),
            ("The number of streams", number(test.num_streams)),
            (
                "The duration in seconds",
                test.duration.map_or(UNKNOWN.to_owned(), |s| s.to_string()),
            ),
            ("The number of bytes that ends the test", number(test.bytes)),
            ("The size of blocks", number(test.blksize)),
            ("The rate of each stream", number(test.target_bitrate)),
        ]
    }
}

fn quantiles(
    latencies: Option<&Latencies>,
    wanted: &[(Metric, f64)],
) -> Vec<(Metric, Option<f64>)> {
    let at = |part| Some(latencies?.quantile(part)?.as_secs_f64());
    wanted.iter().map(|(metric, part)| (*metric, at(*part))).collect()
}

const IDLE: [(Metric, f64); 3] =
    [(Metric::IdleP50, 0.5), (Metric::IdleP95, 0.95), (Metric::IdleP99, 0.99)];
const LOADED: [(Metric, f64); 3] =
    [(Metric::LoadedP50, 0.5), (Metric::LoadedP95, 0.95), (Metric::LoadedP99, 0.99)];
const ONE_RUN: &str = "One run each does not tell a difference from chance: two tests of the same \
    differ as well. Save polyperf compare -J before and after to tell.";
