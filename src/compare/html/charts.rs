//! What the script draws, worked out so far that it only has to draw.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::{
    compare::{
        Metric,
        distributions::{self, Course, Load},
        experiment::{Experiment, PartKind},
        shown::{self, Middle, median},
    },
    report::safe,
};

/// Every chart. One of which nothing is known is left out.
#[derive(Debug, Serialize)]
pub(super) struct Charts {
    arms: Vec<Arm>,
    /// Goodput against latency, by which percentile of it.
    pub(super) scatter: Vec<Scatter>,
    pub(super) latency: Option<Percentiles>,
    pub(super) up: Option<OverTime>,
    pub(super) down: Option<OverTime>,
    /// One metric each, run by run.
    pub(super) strips: Vec<Strip>,
}

#[derive(Debug, Serialize)]
struct Arm {
    name: String,
    mark: Mark,
}

/// What an arm is told by, apart from its colour.
#[derive(Debug, Serialize)]
pub(super) struct Mark {
    /// The corners of its shape, around 0, within 1 of it.
    corners: Vec<[f64; 2]>,
    /// Dash and gap, in turn; a solid line has none.
    dashes: &'static [u8],
}

/// Every run as a point.
#[derive(Debug, Serialize)]
pub(super) struct Scatter {
    pub(super) name: &'static str,
    /// For each arm, of each run: latency in milliseconds, goodput up in bits per second, block.
    arms: Vec<Vec<(f64, f64, u32)>>,
    /// What there is to see, in words.
    pub(super) summary: String,
}

/// Latencies in milliseconds by the share of requests that took no longer.
#[derive(Debug, Serialize)]
pub(super) struct Percentiles {
    /// The shares, as the negative decadic logarithm of what they leave: 1 is 90 %, 2 is 99 %.
    nines: Vec<f64>,
    idle: Vec<Vec<Option<f64>>>,
    loaded: Vec<Vec<Option<f64>>>,
}

/// Goodput over time in one direction, in bits per second.
#[derive(Debug, Serialize)]
pub(super) struct OverTime {
    /// The middles of the steps, in seconds since the load began.
    pub(super) times: Vec<f64>,
    /// When what counts began.
    measured_from: Option<f64>,
    runs: Vec<OneRun>,
    /// For each arm, the median of its runs at each time.
    pub(super) medians: Vec<Vec<Option<f64>>>,
}

#[derive(Debug, Serialize)]
struct OneRun {
    arm: usize,
    block: u32,
    rates: Vec<Option<f64>>,
}

/// One metric: for each arm its runs, its median and the interval of that.
#[derive(Debug, Serialize)]
pub(super) struct Strip {
    pub(super) title: &'static str,
    /// What the axis is in.
    pub(super) unit: &'static str,
    /// For each arm, of each run: value, block.
    runs: Vec<Vec<(f64, u32)>>,
    medians: Vec<Option<[f64; 3]>>,
    /// What there is to see, in words.
    pub(super) summary: String,
}

impl Charts {
    pub(super) fn of(experiment: &Experiment) -> Self {
        let arms = experiment.plan.arms.iter().enumerate();
        let arm = |(index, arm): (usize, &crate::compare::experiment::Arm)| Arm {
            name: safe::short(&arm.name),
            mark: Mark::of(index),
        };
        Self {
            arms: arms.map(arm).collect(),
            scatter: SCATTERS.iter().filter_map(|by| Scatter::of(experiment, *by)).collect(),
            latency: Percentiles::of(experiment),
            up: OverTime::of(experiment, PartKind::Up),
            down: OverTime::of(experiment, PartKind::Down),
            strips: STRIPS.iter().filter_map(|metric| Strip::of(experiment, *metric)).collect(),
        }
    }
}

impl Mark {
    /// Returns the mark of the arm with this number: those of the first eight differ in shape, and
    /// so do those of any that have the same colour in their dashes.
    pub(super) fn of(arm: usize) -> Self {
        let corners = match arm % 8 {
            0 => polygon(24, 0.0, 0.9),
            1 => polygon(4, 45.0, 1.1),
            2 => polygon(3, 0.0, 1.1),
            3 => polygon(4, 0.0, 1.15),
            4 => polygon(3, 180.0, 1.1),
            5 => cross(0.0),
            6 => cross(45.0),
            _ => star(),
        };
        Self { corners, dashes: DASHES[arm % DASHES.len()] }
    }

    /// Returns the corners for an SVG polygon around (8, 8).
    pub(super) fn points(&self) -> String {
        self.corners.iter().fold(String::new(), |mut points, [x, y]| {
            let _ = write!(points, "{:.2},{:.2} ", 8.0 + x * 5.5, 8.0 + y * 5.5);
            points
        })
    }

    /// Returns the dashes for an SVG line.
    pub(super) fn dashes(&self) -> String {
        let dashes: Vec<_> = self.dashes.iter().map(ToString::to_string).collect();
        dashes.join(" ")
    }
}

/// Returns a regular polygon with a corner this far from the top, clockwise, in degrees.
fn polygon(corners: u32, turned: f64, radius: f64) -> Vec<[f64; 2]> {
    let corner = |n: u32| at(360.0 / f64::from(corners) * f64::from(n) + turned, radius);
    (0..corners).map(corner).collect()
}

fn cross(turned: f64) -> Vec<[f64; 2]> {
    let arm = |n: u32| {
        let middle = 90.0 * f64::from(n) + turned;
        [at(middle - 18.0, 1.1), at(middle + 18.0, 1.1), at(middle + 45.0, 0.48)]
    };
    (0..4).flat_map(arm).collect()
}

fn star() -> Vec<[f64; 2]> {
    let ray = |n: u32| {
        let middle = 72.0 * f64::from(n);
        [at(middle, 1.2), at(middle + 36.0, 0.5)]
    };
    (0..5).flat_map(ray).collect()
}

fn at(degrees: f64, radius: f64) -> [f64; 2] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    [sin * radius, -cos * radius].map(|value| (value * 1e3).round() / 1e3)
}

impl Scatter {
    fn of(experiment: &Experiment, (name, metric): (&'static str, Metric)) -> Option<Self> {
        let points = |arm: &str| {
            let runs = experiment.runs_of(arm).filter_map(|run| {
                let [latency, goodput] = [metric, Metric::GoodputUp].map(|of| run.values.get(&of));
                Some((drawn(latency? * 1e3)?, drawn(*goodput?)?, run.block))
            });
            runs.filter(|(latency, ..)| *latency > 0.0).collect::<Vec<_>>()
        };
        let arms: Vec<_> = experiment.plan.arms.iter().map(|arm| points(&arm.name)).collect();
        let summary = in_words(experiment, &[Metric::GoodputUp, metric]);
        arms.iter().any(|points| !points.is_empty()).then_some(Self { name, arms, summary })
    }
}

impl Percentiles {
    fn of(experiment: &Experiment) -> Option<Self> {
        let of_load = |load| {
            let arms = experiment.plan.arms.iter();
            arms.map(|arm| distributions::latencies(experiment, &arm.name, load)).collect()
        };
        let [idle, loaded]: [Vec<_>; 2] = [Load::Idle, Load::Loaded].map(of_load);
        let all = idle.iter().chain(&loaded);
        let most = all.map(|latencies| latencies.count()).max().filter(|most| *most > 0)?;
        let steps = (nines_of(most) / STEP_OF_NINES).ceil();
        let nines: Vec<f64> = (0..=MOST_STEPS)
            .map(|n| f64::from(n) * STEP_OF_NINES)
            .take_while(|nines| *nines <= steps * STEP_OF_NINES)
            .collect();
        let curve = |latencies: &crate::measure::Latencies| {
            let reach = nines_of(latencies.count());
            let at = |&nines: &f64| {
                let time = latencies.quantile(1.0 - 10f64.powf(-nines))?;
                // Beyond its last request a curve has no end that it could tell of.
                (nines <= reach).then(|| drawn(time.as_secs_f64() * 1e3))?
            };
            nines.iter().map(at).collect::<Vec<_>>()
        };
        let [idle, loaded] = [idle, loaded].map(|arms| arms.iter().map(curve).collect());
        Some(Self { idle, loaded, nines })
    }
}

/// Returns how many nines the largest of so many has.
#[allow(clippy::cast_precision_loss, reason = "it is drawn")]
fn nines_of(count: u64) -> f64 {
    (count.max(1) as f64).log10().min(f64::from(MOST_STEPS) * STEP_OF_NINES)
}

impl OverTime {
    fn of(experiment: &Experiment, part: PartKind) -> Option<Self> {
        let arms = experiment.plan.arms.iter().enumerate();
        let courses: Vec<_> = arms
            .flat_map(|(index, arm)| {
                experiment.runs_of(&arm.name).filter_map(move |run| {
                    Some((index, run.block, Course::of(run.outcome(part)?)?))
                })
            })
            .collect();
        let end = courses.iter().map(|(.., course)| course.end()).max()?;
        let step = courses.iter().filter_map(|(.., course)| course.step()).min()?;
        let step = step.max(end / MOST_TIMES).max(SHORTEST_STEP);
        let middles: Vec<_> = (0..MOST_TIMES)
            .map(|n| step * n + step / 2)
            .take_while(|middle| *middle < end)
            .collect();
        let rates =
            |course: &Course| middles.iter().map(|middle| drawn(course.at(*middle)?)).collect();
        let runs: Vec<OneRun> = courses
            .iter()
            .map(|(arm, block, course)| OneRun { arm: *arm, block: *block, rates: rates(course) })
            .collect();
        let median_at = |arm: usize, at: usize| {
            let of_arm = runs.iter().filter(|run| run.arm == arm);
            median(of_arm.filter_map(|run| run.rates[at])).and_then(drawn)
        };
        let medians = (0..experiment.plan.arms.len())
            .map(|arm| (0..middles.len()).map(|at| median_at(arm, at)).collect());
        Some(Self {
            measured_from: courses
                .iter()
                .find_map(|(.., course)| course.measured_from)
                .map(|time| time.as_secs_f64()),
            medians: medians.collect(),
            times: middles.iter().filter_map(|middle| drawn(middle.as_secs_f64())).collect(),
            runs,
        })
    }
}

impl Strip {
    fn of(
        experiment: &Experiment,
        (title, unit, metric): (&'static str, &'static str, Metric),
    ) -> Option<Self> {
        let factor = if unit == "ms" { 1e3 } else { 1.0 };
        let arms = &experiment.plan.arms;
        let values = |arm: &str| {
            let runs = experiment.runs_of(arm);
            let of_run = |run: &crate::compare::experiment::Run| {
                Some((drawn(run.values.get(&metric)? * factor)?, run.block))
            };
            runs.filter_map(of_run).collect::<Vec<_>>()
        };
        let runs: Vec<_> = arms.iter().map(|arm| values(&arm.name)).collect();
        let medians = arms.iter().map(|arm| {
            let middle = Middle::of(experiment, &arm.name, metric)?;
            let [low, high] = middle.interval.unwrap_or([middle.value; 2]);
            let [value, low, high] = [middle.value, low, high].map(|value| drawn(value * factor));
            Some([value?, low?, high?])
        });
        let medians = medians.collect();
        let summary = in_words(experiment, &[metric]);
        let known = runs.iter().any(|runs| !runs.is_empty());
        known.then_some(Self { title, unit, runs, medians, summary })
    }
}

/// Returns each arm's medians by these metrics, for those who cannot see them.
fn in_words(experiment: &Experiment, metrics: &[Metric]) -> String {
    let arms = experiment.plan.arms.iter().filter_map(|arm| {
        let figure = |&metric: &Metric| {
            let middle = Middle::of(experiment, &arm.name, metric)?;
            Some(format!("{} {}", metric.label(), shown::figure(metric, middle.value)))
        };
        let figures = metrics.iter().map(figure).collect::<Option<Vec<_>>>()?;
        Some(format!("{}: {}", safe::short(&arm.name), figures.join(", ")))
    });
    arms.collect::<Vec<_>>().join("; ")
}

/// Returns a value with the digits that a screen can show; `None` if it cannot be drawn.
fn drawn(value: f64) -> Option<f64> {
    if value == 0.0 {
        return Some(0.0);
    }
    // Text rounds to digits, whatever the magnitude.
    let rounded = format!("{value:.4e}").parse().ok()?;
    value.is_finite().then_some(rounded)
}

const SCATTERS: [(&str, Metric); 3] =
    [("p50", Metric::LoadedP50), ("p95", Metric::LoadedP95), ("p99", Metric::LoadedP99)];
const STRIPS: [(&str, &str, Metric); 14] = [
    ("Time to first reply", "ms", Metric::FirstReply),
    ("Time to first reply, resumed", "ms", Metric::FirstReplyResumed),
    ("Time to first reply, 0-RTT", "ms", Metric::FirstReplyZeroRtt),
    ("Completion of 10 kB", "ms", Metric::Complete10k),
    ("Completion of 1 MB", "ms", Metric::Complete1m),
    ("Completion of 10 MB", "ms", Metric::Complete10m),
    ("Start: time to 50 % of the rate", "ms", Metric::ToHalf),
    ("Start: time to 90 % of the rate", "ms", Metric::ToNineTenths),
    ("CPU-seconds per GB, both ends", "s/GB", Metric::CpuPerGb),
    ("Wire bytes / goodput bytes", "×", Metric::WireOverhead),
    ("Goodput up", "bit/s", Metric::GoodputUp),
    ("Goodput down", "bit/s", Metric::GoodputDown),
    ("Transactions, one at a time", "/s", Metric::Transactions),
    ("Connections, one at a time", "/s", Metric::Connections),
];
const DASHES: [&[u8]; 7] =
    [&[], &[8, 4], &[2, 3], &[10, 3, 2, 3], &[5, 3], &[14, 4], &[4, 2, 1, 2]];
const STEP_OF_NINES: f64 = 0.02;
/// Six nines.
const MOST_STEPS: u32 = 300;
/// More than a screen has columns for.
const MOST_TIMES: u32 = 1000;
const SHORTEST_STEP: Duration = Duration::from_millis(10);
