//! Presets as text: a table of many, and one in full.

use std::fmt::Write as _;

use super::{
    AqmFile, BlackoutFile, LinkFile, LossFile, Preset, QueueFile, RateFile,
    amounts::{rounded, show_bytes, show_rate, show_rates, show_share, show_time},
};
use crate::report::safe;

/// Shows presets as a table, a line for each. What differs by direction stands as down / up: first
/// towards the client.
#[must_use]
pub fn table(presets: &[Preset]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(presets.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Shows all of a preset.
#[must_use]
pub fn show(preset: &Preset) -> String {
    let mut out = format!("{}: {}\n", preset.label(), safe::line(&preset.about));
    if !preset.source.is_empty() {
        let _ = writeln!(out, "from: {}", safe::line(&preset.source));
    }
    if let Some(mtu) = preset.mtu {
        let _ = writeln!(out, "largest packet: {mtu} bytes");
    }
    let (down, up) = (facts(&preset.to_near), facts(&preset.to_far));
    if down == up {
        section(&mut out, "both ways", &down);
    } else {
        section(&mut out, "down, to the client", &down);
        section(&mut out, "up, to the server", &up);
    }
    out
}

fn section(out: &mut String, title: &str, facts: &[(&str, String)]) {
    let _ = writeln!(out, "\n{title}");
    for (name, value) in facts {
        let _ = writeln!(out, "  {name:9}  {value}");
    }
}

fn row(preset: &Preset) -> [String; COLUMNS] {
    let pair = |cell: fn(&LinkFile) -> String| {
        let (down, up) = (cell(&preset.to_near), cell(&preset.to_far));
        if down == up { down } else { joined(&down, &up) }
    };
    [
        preset.name.clone() + "@" + &preset.version.to_string(),
        rates_cell(preset).unwrap_or_else(|| pair(rate_cell)),
        pair(delay_cell),
        pair(|link| time_cell(link.jitter)),
        pair(loss_cell),
        pair(queue_cell),
        safe::line(&preset.about).into_owned(),
    ]
}

/// Returns what there is to say of a preset in a line, part by part.
pub(super) fn facts_of(preset: &Preset) -> Vec<String> {
    let [_, rate, delay, jitter, loss, queue, _] = row(preset);
    let told = [
        (rate, "", ""),
        (delay, "", " one way"),
        (jitter, "jitter ", ""),
        (loss, "loss ", ""),
        (queue, "queue ", ""),
    ];
    let known = told.into_iter().filter(|(cell, ..)| cell != NOTHING);
    known.map(|(cell, before, after)| format!("{before}{cell}{after}")).collect()
}

/// Joins two amounts, and says a unit that they share once.
fn joined(down: &str, up: &str) -> String {
    match (down.rsplit_once(' '), up.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same && !number.contains(' ') => {
            format!("{number}/{up}")
        }
        _ => format!("{down} / {up}"),
    }
}

/// Returns two fixed rates that differ.
fn rates_cell(preset: &Preset) -> Option<String> {
    match (&preset.to_near.rate, &preset.to_far.rate) {
        (
            Some(RateFile::Fixed { bits_per_second: down }),
            Some(RateFile::Fixed { bits_per_second: up }),
        ) if down != up => Some(show_rates(*down, *up)),
        _ => None,
    }
}

fn rate_cell(link: &LinkFile) -> String {
    match (&link.rate, link.policer) {
        (Some(RateFile::Fixed { bits_per_second }), _) => show_rate(*bits_per_second),
        (Some(RateFile::Trace(trace)), _) => {
            let mbits = megabits(trace.mean_bits_per_second);
            format!("~{} Mbit/s", rounded(mbits))
        }
        (None, Some(policer)) => show_rate(policer.bits_per_second),
        (None, None) => NOTHING.to_owned(),
    }
}

fn delay_cell(link: &LinkFile) -> String {
    match link.steps {
        Some(steps) => {
            let [from, to] = [steps.from, steps.to].map(|step| show_time(link.delay + step));
            joined_range(&from, &to)
        }
        None => time_cell(link.delay),
    }
}

fn joined_range(from: &str, to: &str) -> String {
    match (from.rsplit_once(' '), to.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number}-{to}"),
        _ => format!("{from} - {to}"),
    }
}

fn time_cell(time: std::time::Duration) -> String {
    if time.is_zero() { NOTHING.to_owned() } else { show_time(time) }
}

fn loss_cell(link: &LinkFile) -> String {
    let loss = link.loss.map(|loss| match loss {
        LossFile::Independent { share } => show_share(share),
        LossFile::Bounded { share, longest } => format!("{}, max {longest}", show_share(share)),
        LossFile::Bursts { share, burst } => format!("{} by {}", show_share(share), rounded(burst)),
        LossFile::GilbertElliott { to_good, .. } => {
            format!("{} by {}", show_share(loss.mean()), rounded(1.0 / to_good))
        }
    });
    let dark = link.blackout.map(|blackout| format!("{} dark", show_time(blackout.off)));
    let cells: Vec<_> = loss.into_iter().chain(dark).collect();
    if cells.is_empty() { NOTHING.to_owned() } else { cells.join(", ") }
}

fn queue_cell(link: &LinkFile) -> String {
    let limit = match link.queue {
        _ if link.rate.is_none() => NOTHING.to_owned(),
        QueueFile::Unlimited => "unlimited".to_owned(),
        QueueFile::Packets { packets } => format!("{packets} packets"),
        QueueFile::Bytes { bytes } => show_bytes(bytes.into()),
        QueueFile::Time { time } => show_time(time),
    };
    match link.aqm {
        None => limit,
        Some(AqmFile::Codel { ecn: false, .. }) => limit + ", CoDel",
        Some(AqmFile::Codel { ecn: true, .. }) => limit + ", CoDel ECN",
        Some(AqmFile::MarkAbove { packets }) => format!("{limit}, marks>{packets}"),
    }
}

/// Returns all that is to be said of a link.
fn facts(link: &LinkFile) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(policer) = link.policer {
        let burst = show_bytes(policer.burst_bytes.into());
        facts.push(("policer", format!("{}, burst {burst}", show_rate(policer.bits_per_second))));
    }
    facts.push(("rate", rate(link)));
    if link.rate.is_some() {
        facts.push(("queue", queue_cell(link)));
    }
    if let Some(AqmFile::Codel { target, interval, .. }) = link.aqm {
        let [target, interval] = [target, interval].map(show_time);
        facts.push(("CoDel", format!("target {target}, interval {interval}")));
    }
    if link.overhead_bytes > 0 {
        facts.push((
            "overhead",
            format!("{} for each packet", show_bytes(link.overhead_bytes.into())),
        ));
    }
    facts.push(("delay", format!("{} one way", show_time(link.delay))));
    if !link.jitter.is_zero() {
        facts
            .push(("jitter", format!("{} standard deviation, order kept", show_time(link.jitter))));
    }
    if let Some(steps) = link.steps {
        let [every, from, to] = [steps.every, steps.from, steps.to].map(show_time);
        facts.push(("steps", format!("{from} to {to} more, drawn each {every}")));
    }
    if let Some(blackout) = link.blackout {
        facts.push(("blackout", dark(blackout)));
    }
    if let Some(loss) = link.loss {
        facts.push(("loss", lost(loss)));
    }
    if let Some(reorder) = link.reorder {
        let (share, hold) = (show_share(reorder.share), show_time(reorder.hold));
        facts.push(("reorder", format!("{share} held back by {hold}")));
    }
    if let Some(share) = link.duplicate {
        facts.push(("duplicate", format!("{} arrive twice", show_share(share))));
    }
    facts
}

fn rate(link: &LinkFile) -> String {
    match &link.rate {
        None => "not limited".to_owned(),
        Some(RateFile::Fixed { bits_per_second }) => show_rate(*bits_per_second),
        Some(RateFile::Trace(trace)) => {
            let mbits = rounded(megabits(trace.mean_bits_per_second));
            let length = show_time(std::time::Duration::from_millis(trace.length_ms));
            let source = safe::line(&trace.source);
            format!("trace, mean {mbits} Mbit/s, again each {length} ({source})")
        }
    }
}

fn dark(blackout: BlackoutFile) -> String {
    let [on, off] = [blackout.on, blackout.off].map(show_time);
    let offset = if blackout.offset.is_zero() {
        String::new()
    } else {
        format!(", from {} on", show_time(blackout.offset))
    };
    let rounds = match blackout.rounds {
        None => "again and again".to_owned(),
        Some(rounds) if rounds.get() == 1 => "once".to_owned(),
        Some(rounds) => format!("{rounds} times"),
    };
    format!("{on} light, {off} dark, {rounds}{offset}")
}

fn lost(loss: LossFile) -> String {
    let mean = show_share(loss.mean());
    match loss {
        LossFile::Independent { .. } => format!("{mean}, each by itself"),
        LossFile::Bounded { share, longest } => {
            format!("{}, at most {longest} in a row: {mean} in all", show_share(share))
        }
        LossFile::Bursts { burst, .. } => {
            format!("{mean}, in bursts of {} packets", rounded(burst))
        }
        LossFile::GilbertElliott { to_bad, to_good, in_good, in_bad } => format!(
            "{mean}, Gilbert and Elliott: to bad {}, to good {}, lost in good {}, in bad {}",
            show_share(to_bad),
            show_share(to_good),
            show_share(in_good),
            show_share(in_bad)
        ),
    }
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn megabits(bits_per_second: u64) -> f64 {
    bits_per_second as f64 / 1e6
}

const COLUMNS: usize = 7;
const HEADS: [&str; COLUMNS] = ["preset", "rate", "delay", "jitter", "loss", "queue", "about"];
/// Stands for what there is none of.
const NOTHING: &str = "-";
