//! What is printed.

use std::fmt::Write as _;

use crate::{
    Comparison,
    scenario::Direction,
    series::{Middle, cost, gbits},
    sustained::{LEAST_OF_FLOOR, MOST_LOST},
};

/// Returns the table of a comparison.
pub(crate) fn of(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Nothing can fail that is written into memory.
    let _ = write(&mut text, comparison);
    text
}

fn write(text: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let Comparison { scenario, load, series, verdicts, sustained } = comparison;
    let direction = match scenario.direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
        Direction::Both => "both directions",
    };
    let block = scenario.block.map_or("default length".to_owned(), |block| format!("-l {block}"));
    let singly = if scenario.singly { ", no offload" } else { "" };
    writeln!(
        text,
        "{}: {}, {block}, -P {}, {direction}{singly}, load {} to {}",
        scenario.name, scenario.transport, scenario.streams, load[0], load[1]
    )?;
    writeln!(
        text,
        "{:<10}{:>9}{:>18}{:>8}{:>8}{:>16}{:>10}{:>10}{:>9}{:>9}",
        "Gbit/s", "median", "95 %", "loss", "ratio", "95 %", "client", "server", "client", "server"
    )?;
    writeln!(text, "{:>79}{:>10}{:>9}{:>9}", "CPU-s/GB", "CPU-s/GB", "MB", "MB")?;
    for row in series {
        let Some(goodput) = row.of(gbits) else { continue };
        let losses: Vec<_> = row.runs.iter().filter_map(|run| run.loss).collect();
        let loss = crate::support::median(&losses);
        let ratio = series[0].over(row, gbits);
        let cpu = |figure: fn(&crate::tool::Run) -> f64| {
            row.of(figure).map_or("-".to_owned(), |middle| format!("{:.3}", middle.median))
        };
        let [client, server] = row.peaks_kb().map(|peak| {
            peak.map_or("-".to_owned(), |kb| format!("{}.{}", kb / 1000, kb % 1000 / 100))
        });
        writeln!(
            text,
            "{:<10}{:>9.3}{:>18}{:>8}{:>8}{:>16}{:>10}{:>10}{client:>9}{server:>9}",
            row.tool,
            goodput.median,
            interval(&goodput),
            loss.map_or("-".to_owned(), |loss| format!("{:.2}%", loss * 100.0)),
            ratio.map_or("-".to_owned(), |ratio| format!("{:.2}", ratio.median)),
            ratio.as_ref().map_or("-".to_owned(), interval),
            cpu(|run| run.client_cpu_s_per_gb),
            cpu(|run| run.server_cpu_s_per_gb),
        )?;
    }
    for row in series.iter().skip(1) {
        if let Some(ratio) = series[0].over(row, cost) {
            let (median, interval) = (ratio.median, interval(&ratio));
            writeln!(text, "{median:.2} ({interval}) times the processor time of {}", row.tool)?;
        }
    }
    if let Some(sustained) = sustained {
        let of_floor = sustained.of_floor.map_or("-".to_owned(), |part| format!("{part:.2}"));
        writeln!(
            text,
            "{}: {:.1} Gbit/s sustained with {:.2} % lost (below {:.0} %), {of_floor} of the floor \
             (at least {LEAST_OF_FLOOR:.2})",
            word(sustained.holds),
            sustained.gbit_per_second,
            sustained.loss * 100.0,
            MOST_LOST * 100.0,
        )?;
    }
    for verdict in verdicts {
        writeln!(text, "{}: {}", word(verdict.holds), verdict.text)?;
    }
    Ok(())
}

fn interval(middle: &Middle) -> String {
    middle.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"))
}

fn word(holds: bool) -> &'static str {
    if holds { "holds" } else { "BROKEN" }
}
