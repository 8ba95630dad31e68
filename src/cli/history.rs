//! The options of `polyperf history`, for each of its commands, and those of who keeps one.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    args::{HistoryArgs, HistoryAt, HistoryFilter, HistoryKept, When},
    client, diff, exit,
    values::{Mistakes, one_of, size, whole},
};
use crate::{
    history::{Filter, How, Retention},
    outcome::Side,
    spec::Direction,
};

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf history COMMAND [OPTIONS]",
    after_help = after(EXAMPLES)
)]
pub(super) struct RawHistory {
    #[command(subcommand)]
    pub(super) command: RawHistoryCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawHistoryCommand {
    /// List tests, newest first.
    List(RawList),
    /// Show a test as it showed itself.
    Show(RawShow),
    /// Compare two tests, and tell regressions.
    Diff(RawDiffOf),
    /// Write tests for other programs: a line of JSON for each, or a table.
    Export(RawExport),
    /// Let go of tests that are old, or that take much room.
    Prune(RawPrune),
}

/// Where a history is.
#[derive(Debug, Args)]
#[command(next_help_heading = "History")]
pub(super) struct RawAt {
    /// File of the history, or URL of a PostgreSQL database [default: history.db in the user's or the
    /// service's state folder].
    #[arg(long, value_name = "PATH|URL", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option, reason = "what clap makes of an option with an optional value")]
    history: Option<Option<String>>,
}

/// Whether a server keeps a history.
#[derive(Debug, Args)]
#[command(next_help_heading = "History")]
pub(super) struct RawKept {
    /// Keep every test in a history: a file, or the URL of a PostgreSQL database; history.db in the
    /// state folder if none is given.
    #[arg(long, value_name = "PATH|URL", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option, reason = "what clap makes of an option with an optional value")]
    history: Option<Option<String>>,
    #[command(flatten)]
    retention: RawRetention,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "History")]
pub(super) struct RawRetention {
    /// Days that a test is kept [default: for ever].
    #[arg(long, value_name = "N")]
    history_days: Option<String>,
    /// Bytes that all tests may take; the oldest go first [default: no limit].
    #[arg(long, value_name = "N[KMGT]")]
    history_size: Option<String>,
}

/// Whether a client keeps a history.
#[derive(Debug, Args)]
#[command(next_help_heading = "History")]
pub(super) struct RawSaved {
    /// Keep the test in a history: a file, or the URL of a PostgreSQL database; history.db in the
    /// state folder if none is given.
    #[arg(long, value_name = "PATH|URL", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option, reason = "what clap makes of an option with an optional value")]
    history: Option<Option<String>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which tests")]
pub(super) struct RawFilter {
    /// Started then or later: 2026-11-30, "2026-11-30 08:00:00" (UTC), or an age such as 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Started before then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Over this transport.
    #[arg(long, value_name = "NAME")]
    transport: Option<String>,
    /// In this direction: forward, reverse or bidirectional.
    #[arg(long, value_name = "NAME")]
    direction: Option<String>,
    /// With this host: as it was named, or by the other end's address.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Told by this end: client or server.
    #[arg(long, value_name = "END")]
    side: Option<String>,
    /// By this user, who has proved to be it.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// With this text in a name, a title or a message.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// That failed, with or without something to show.
    #[arg(long)]
    failed: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf history list [OPTIONS]",
    after_help = after(LIST_EXAMPLES)
)]
pub(super) struct RawList {
    #[command(flatten)]
    filter: RawFilter,
    /// Tests at the most, up to 1000 [default: 50].
    #[arg(long, value_name = "N", help_heading = "Which tests")]
    limit: Option<String>,
    #[command(flatten)]
    at: RawAt,
    /// List them as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
    /// List them as comma-separated values.
    #[arg(long, help_heading = "Report")]
    csv: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf history show ID [OPTIONS]",
    after_help = after(SHOW_EXAMPLES)
)]
pub(super) struct RawShow {
    /// The test's number, as polyperf history list shows it.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    at: RawAt,
    /// Show it as the JSON document that -J of the test would have been.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf history diff ID ID [OPTIONS]",
    after_help = format!("Examples:\n{DIFF_EXAMPLES}\n{}", exit::section_of_diff())
)]
pub(super) struct RawDiffOf {
    /// The test to compare with, and the one to compare.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    at: RawAt,
    /// Percent by which something must be worse to be a regression [default: what matters of each
    /// metric, which is 5 of times and 3 of everything else].
    #[arg(long, value_name = "PCT")]
    threshold: Option<String>,
    /// Metrics to compare, separated by commas, such as goodput_up,rtt [default: all].
    #[arg(long, value_name = "NAMES")]
    metric: Option<String>,
    /// Report one JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf history export [OPTIONS]",
    after_help = after(EXPORT_EXAMPLES)
)]
pub(super) struct RawExport {
    #[command(flatten)]
    filter: RawFilter,
    #[command(flatten)]
    at: RawAt,
    /// Write comma-separated values, without what only a document has.
    #[arg(long, help_heading = "Report")]
    csv: bool,
    /// Write to a file, which is replaced and for its owner alone.
    #[arg(short, long, value_name = "FILE", help_heading = "Report")]
    output: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf history prune [OPTIONS]",
    after_help = after(PRUNE_EXAMPLES)
)]
pub(super) struct RawPrune {
    #[command(flatten)]
    retention: RawRetention,
    #[command(flatten)]
    at: RawAt,
}

/// Checks the options of one of the commands. Returns `None` if a mistake leaves nothing to do.
pub(super) fn history(raw: &RawHistoryCommand, mistakes: &mut Mistakes) -> Option<HistoryArgs> {
    Some(match raw {
        RawHistoryCommand::List(RawList { filter: raw, limit, at: place, json, csv }) => {
            let mut filter = filter(raw, mistakes);
            let limit = mistakes.value("--limit", limit.as_ref(), whole(1..=Filter::MOST));
            filter.filter.limit = limit.unwrap_or(LIMIT);
            let report = client::report(*json, false, *csv, mistakes);
            HistoryArgs::List { at: at(place, mistakes), filter, report }
        }
        RawHistoryCommand::Show(RawShow { ids: words, at: place, json }) => {
            let [id] = ids(words, "one test, as in polyperf history show 42", mistakes)?;
            HistoryArgs::Show { at: at(place, mistakes), id, json: *json }
        }
        RawHistoryCommand::Diff(RawDiffOf { ids: words, at: place, threshold, metric, json }) => {
            let at = at(place, mistakes);
            let threshold = mistakes.value("--threshold", threshold.as_ref(), diff::part);
            let metrics = mistakes.value("--metric", metric.as_ref(), diff::metrics);
            let ids = ids(words, "two tests, as in polyperf history diff 41 42", mistakes)?;
            let metrics = metrics.unwrap_or_default();
            HistoryArgs::Diff { at, ids, threshold, metrics, json: *json }
        }
        RawHistoryCommand::Export(RawExport { filter: raw, at: place, csv, output }) => {
            HistoryArgs::Export {
                at: at(place, mistakes),
                filter: filter(raw, mistakes),
                csv: *csv,
                output: mistakes.value("-o", output.as_ref(), client::output_file),
            }
        }
        RawHistoryCommand::Prune(RawPrune { retention: raw, at: place }) => {
            let retention = retention(raw, mistakes);
            if raw.history_days.is_none() && raw.history_size.is_none() {
                mistakes.add("nothing says what is to go: give --history-days or --history-size");
            }
            HistoryArgs::Prune { at: at(place, mistakes), retention }
        }
    })
}

/// Checks whether, where and for how long a server keeps a history.
pub(super) fn kept(raw: &RawKept, mistakes: &mut Mistakes) -> Option<HistoryKept> {
    let retention = retention(&raw.retention, mistakes);
    if raw.history.is_none() {
        let RawRetention { history_days, history_size } = &raw.retention;
        let given = [("--history-days", history_days), ("--history-size", history_size)];
        for (option, _) in given.iter().filter(|(_, given)| given.is_some()) {
            mistakes.add(format!("{option} needs --history as well"));
        }
    }
    let at = named(raw.history.as_ref()?, mistakes);
    Some(HistoryKept { at, retention })
}

/// Checks whether and where a client keeps a history.
pub(super) fn saved(raw: &RawSaved, mistakes: &mut Mistakes) -> Option<HistoryAt> {
    raw.history.as_ref().map(|named_at| named(named_at, mistakes))
}

fn at(raw: &RawAt, mistakes: &mut Mistakes) -> HistoryAt {
    raw.history.as_ref().map_or(HistoryAt::Default, |place| named(place, mistakes))
}

/// Returns the history that was named. What is wrong with it is said without it: it may hold a
/// password.
#[allow(clippy::ref_option, reason = "what clap has of it")]
fn named(place: &Option<String>, mistakes: &mut Mistakes) -> HistoryAt {
    match place.as_ref().map(|place| place.parse()) {
        None => HistoryAt::Default,
        Some(Ok(location)) => HistoryAt::Location(location),
        Some(Err(error)) => {
            mistakes.add(format!("--history {error}"));
            HistoryAt::Default
        }
    }
}

fn retention(raw: &RawRetention, mistakes: &mut Mistakes) -> Retention {
    let RawRetention { history_days, history_size } = raw;
    let days = mistakes.value("--history-days", history_days.as_ref(), whole(1..=MOST_DAYS));
    Retention {
        max_age: days.map(|days| Duration::from_secs(days * DAY)),
        max_bytes: mistakes.value("--history-size", history_size.as_ref(), |text| {
            let size = size(text)?;
            let fits = size >= LEAST_SIZE;
            if fits { Ok(size) } else { Err("is too little: give 1M or more".to_owned()) }
        }),
    }
}

fn filter(raw: &RawFilter, mistakes: &mut Mistakes) -> HistoryFilter {
    let RawFilter { since, until, transport, direction, host, side, user, text, failed } = raw;
    let direction = mistakes.value("--direction", direction.as_ref(), |text| {
        one_of(text, &["forward", "reverse", "bidirectional"]).map(|name| match name.as_str() {
            "forward" => Direction::Forward,
            "reverse" => Direction::Reverse,
            _ => Direction::Bidirectional,
        })
    });
    let side = mistakes.value("--side", side.as_ref(), |text| {
        one_of(text, &["client", "server"]).map(|name| match name.as_str() {
            "client" => Side::Client,
            _ => Side::Server,
        })
    });
    HistoryFilter {
        since: mistakes.value("--since", since.as_ref(), when),
        until: mistakes.value("--until", until.as_ref(), when),
        filter: Filter {
            transport: mistakes.text("--transport", transport.as_ref()),
            direction,
            host: mistakes.text("--host", host.as_ref()),
            side,
            user: mistakes.text("--user", user.as_ref()),
            text: mistakes.text("--text", text.as_ref()),
            ended: if *failed { vec![How::Failed, How::Nothing] } else { Vec::new() },
            ..Filter::default()
        },
    }
}

/// Parses a point in time, or how long ago it was.
fn when(text: &str) -> Result<When, String> {
    let day = text.len() == DATE.len() && text.contains('-');
    let full = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    if let Ok(time) = humantime::parse_rfc3339_weak(&full) {
        let since_epoch = time.duration_since(std::time::UNIX_EPOCH);
        return since_epoch.map(When::At).map_err(|_| "is before 1970".to_owned());
    }
    humantime::parse_duration(text).map(When::Ago).map_err(|_| {
        format!("is no time: write {DATE}, {DATE}T08:00:00Z, or an age such as 12h or 7d")
    })
}

/// Parses the numbers of as many tests as are wanted.
fn ids<const N: usize>(
    words: &[String],
    wanted: &str,
    mistakes: &mut Mistakes,
) -> Option<[i64; N]> {
    let ids = words.iter().map(|word| mistakes.value("ID", Some(word), whole(1..=MOST_ID)));
    let ids: Vec<Option<u64>> = ids.collect();
    if ids.len() != N {
        mistakes.add(format!("name {wanted}; polyperf history list shows their numbers"));
        return None;
    }
    let ids: Option<Vec<_>> = ids.into_iter().map(|id| i64::try_from(id?).ok()).collect();
    ids?.try_into().ok()
}

fn after(examples: &str) -> String {
    format!("Examples:\n{examples}\n{}", exit::section_of_history())
}

const DATE: &str = "2026-11-30";
const DAY: u64 = 86_400;
const MOST_DAYS: u64 = 36_500;
const LEAST_SIZE: u64 = 1 << 20;
const LIMIT: u32 = 50;
const MOST_ID: u64 = i64::MAX.unsigned_abs();
const EXAMPLES: &str = "  polyperf history list --since 7d --transport quic
  polyperf history show 42
  polyperf history diff 41 42
";
const LIST_EXAMPLES: &str = "  polyperf history list --failed --since 1d
  polyperf history list --host perf.example.net --csv
  polyperf history list --history=postgres://polyperf@db.example.net/perf -J
";
const SHOW_EXAMPLES: &str = "  polyperf history show 42
  polyperf history show 42 -J
";
const DIFF_EXAMPLES: &str = "  polyperf history diff 41 42
  polyperf history diff 41 42 --threshold 10 --metric goodput_up
";
const EXPORT_EXAMPLES: &str = "  polyperf history export -o tests.jsonl
  polyperf history export --since 2026-11-01 --csv
";
const PRUNE_EXAMPLES: &str = "  polyperf history prune --history-days 90
  polyperf history prune --history-size 1G
";
