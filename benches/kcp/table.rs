//! Runs side by side.

use crate::{
    support::{Result, median},
    tool::{Run, Tool, Where},
};

/// Runs each tool once in each of so many rounds, for so many seconds, and prints what came of it.
pub(crate) fn rounds(
    name: &str,
    tools: &mut [Tool],
    place: &Where,
    (rounds, seconds): (usize, u64),
) -> Result<Vec<Vec<Run>>> {
    let mut series: Vec<Vec<Run>> = tools.iter().map(|_| Vec::new()).collect();
    println!("{name}, {seconds} s, {rounds} rounds, load {}", load());
    for _ in 0..rounds {
        for (tool, runs) in tools.iter_mut().zip(&mut series) {
            runs.push(tool.run(seconds, place)?);
        }
    }
    print(tools, &series);
    Ok(series)
}

/// Says whether everything holds that was to.
pub(crate) fn conclude(holds: bool) {
    println!("{}, load {}\n", if holds { "holds" } else { "BROKEN" }, load());
}

/// Returns the median ratio of the rounds.
pub(crate) fn ratio(ours: &[Run], theirs: &[Run], figure: fn(&Run) -> f64) -> f64 {
    let ratios: Vec<_> = ours.iter().zip(theirs).map(|(a, b)| figure(a) / figure(b)).collect();
    median(&ratios).unwrap_or(f64::NAN)
}

fn print(tools: &[Tool], series: &[Vec<Run>]) {
    println!(
        "{:<10}{:>15}{:>9}{:>9}{:>16}{:>16}{:>13}",
        "", "goodput Gbit/s", "min", "max", "sender CPU-s/GB", "receiver", "sent again"
    );
    for (tool, runs) in tools.iter().zip(series) {
        let of = |figure: fn(&Run) -> f64| {
            median(&runs.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        let rates = runs.iter().map(Run::gbits);
        let again: Vec<_> = runs
            .iter()
            .map(|run| run.figures.retransmits.map_or("-".to_owned(), |again| again.to_string()))
            .collect();
        println!(
            "{:<10}{:>15.3}{:>9.3}{:>9.3}{:>16.3}{:>16.3}  {}",
            tool.name,
            of(Run::gbits),
            rates.clone().fold(f64::INFINITY, f64::min),
            rates.fold(0.0, f64::max),
            of(Run::sender_cost),
            of(Run::receiver_cost),
            again.join(", "),
        );
    }
}

/// Returns the load of the machine: how many tasks ran or waited to, over the last minute.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
