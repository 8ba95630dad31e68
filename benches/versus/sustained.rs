//! The highest rate of datagrams that the receiver sustains.

use serde::Serialize;

use crate::{
    scenario::Scenario,
    series::{Series, gbits},
    support::{Result, median},
    tool::{self, Settings, Tool},
};

/// A rate at which next to nothing is lost, and how it compares.
#[derive(Debug, Serialize)]
pub(crate) struct Sustained {
    pub(crate) gbit_per_second: f64,
    pub(crate) loss: f64,
    /// Its part of what the system calls alone bring across; `None` if they were not run.
    pub(crate) of_floor: Option<f64>,
    pub(crate) holds: bool,
}

/// Lowers the rate from what `tool`, whose runs come first, brought across at most, until less than
/// [`MOST_LOST`] of what it sends is lost.
pub(crate) fn search(
    tool: &mut dyn Tool,
    scenario: &Scenario,
    settings: &Settings,
    series: &[Series],
) -> Result<Sustained> {
    let of = |name: &str| {
        let series = series.iter().find(|series| series.tool == name)?;
        series.of(gbits).map(|middle| middle.median)
    };
    let floor = of("floor");
    let start = of(tool::OURS).ok_or("polyperf was not run")?;
    let mut found = (0.0, 1.0);
    for step in 0..STEPS {
        let rate = start * 1e9 * (1.04 - 0.04 * f64::from(step));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
        let settings = Settings { rate: Some(rate as u64), ..settings.clone() };
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(tool::run(tool, scenario, &settings)?);
        }
        let losses: Vec<_> = runs.iter().filter_map(|run| run.loss).collect();
        let rates: Vec<_> = runs.iter().map(gbits).collect();
        found = (median(&rates).unwrap_or(0.0), median(&losses).unwrap_or(1.0));
        if found.1 < MOST_LOST {
            break;
        }
    }
    let (gbit_per_second, loss) = found;
    let of_floor = floor.map(|floor| gbit_per_second / floor);
    let enough = of_floor.is_none_or(|part| part >= LEAST_OF_FLOOR);
    Ok(Sustained { gbit_per_second, loss, of_floor, holds: loss < MOST_LOST && enough })
}

const STEPS: u32 = 12;
const RUNS: usize = 3;
pub(crate) const MOST_LOST: f64 = 0.01;
pub(crate) const LEAST_OF_FLOOR: f64 = 0.95;
