//! Tests in a list: for people, and for programs.

use std::{io, time::Duration};

use crate::{
    history::{self, Page, Summary},
    report::{
        figure::{self, UNKNOWN},
        safe,
    },
};

/// Returns a table with a line for each test.
pub(super) fn text(page: &Page) -> String {
    if page.tests.is_empty() {
        return "no test is like that\n".to_owned();
    }
    let mut table = vec![HEADER.map(str::to_owned)];
    table.extend(page.tests.iter().map(cells));
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text: String = table.iter().map(|row| line(row, &widths)).collect();
    if page.next.is_some() {
        text.push_str("there are more: --limit shows more, --until older ones\n");
    }
    text
}

/// Returns a JSON document.
pub(super) fn json(page: &Page) -> io::Result<String> {
    Ok(safe::json(serde_json::to_string_pretty(page)?) + "\n")
}

/// Returns a table for programs.
pub(super) fn csv(page: &Page) -> io::Result<String> {
    let mut text = history::header()?;
    for test in &page.tests {
        text.push_str(&history::row(test)?);
    }
    Ok(text)
}

fn cells(test: &Summary) -> [String; COLUMNS] {
    let text = |text: &Option<String>| text.as_deref().map_or(UNKNOWN.to_owned(), safe::short);
    let rate = |rate| figure::rate(rate, None);
    let streams = test.streams.map_or(String::new(), |streams| format!(" x{streams}"));
    let started = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + test.started());
    let rtt = test.rtt_us.and_then(|rtt| u64::try_from(rtt).ok()).map(Duration::from_micros);
    let ended = match &test.failure {
        Some(failure) => format!("{} ({})", test.ended, safe::short(failure)),
        None => test.ended.clone(),
    };
    [
        test.id.to_string(),
        started.to_string(),
        test.side.clone(),
        text(&test.host.clone().or_else(|| test.peer.clone())),
        text(&test.username),
        text(&test.transport),
        text(&test.direction) + &streams,
        rate(test.goodput_up),
        rate(test.goodput_down),
        figure::rtt(rtt),
        ended,
    ]
}

fn line(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width - cell.chars().count());
        let figure = column == 0 || FIGURES.contains(&column);
        line += &if figure { format!("{gap}{cell}  ") } else { format!("{cell}{gap}  ") };
    }
    line.trim_end().to_owned() + "\n"
}

const COLUMNS: usize = 11;
const HEADER: [&str; COLUMNS] = [
    "ID",
    "Started",
    "Side",
    "With",
    "User",
    "Transport",
    "Direction",
    "Up",
    "Down",
    "RTT",
    "Ended",
];
/// Columns of figures, which stand at the right.
const FIGURES: std::ops::Range<usize> = 7..10;
