//! `polyperf history`: tests that were kept, listed, shown, compared, exported and let go of.

mod listing;
mod place;

use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

pub(super) use self::place::{location, options};
use super::{complain, diff, print};
use crate::{
    cli::{HistoryArgs, HistoryAt, HistoryFilter, Report, When, exit},
    compare::diff::Saved,
    event::Event,
    history::{Error, Filter, Form, Record, Retention, Store},
    report::{Format, Options, Reporter, safe, text},
    trial::unix_time,
    units::Bytes,
};

/// Why nothing came of it: the exit code, and what to say.
struct Refused {
    code: u8,
    error: String,
}

/// Does what was asked for, and says what came of it.
pub(super) async fn run(args: HistoryArgs) -> u8 {
    let result = match args {
        HistoryArgs::List { at, filter, report } => list(&at, &filter, report).await,
        HistoryArgs::Show { at, id, json } => show(&at, id, json).await,
        HistoryArgs::Diff { at, ids, threshold, metrics, json } => {
            compare(&at, ids, diff::Wanted { threshold, metrics, json }).await
        }
        HistoryArgs::Export { at, filter, csv, output } => {
            let form = if csv { Form::Csv } else { Form::JsonLines };
            export(&at, &filter, form, output.as_deref()).await
        }
        HistoryArgs::Prune { at, retention } => prune(&at, retention).await,
    };
    result.unwrap_or_else(|Refused { code, error }| {
        complain(&safe::line(&error));
        code
    })
}

async fn list(at: &HistoryAt, filter: &HistoryFilter, report: Report) -> Result<u8, Refused> {
    let page = open(at).await?.list(&resolved(filter)).await?;
    let text = match report {
        Report::Csv => listing::csv(&page)?,
        Report::Json | Report::JsonStream => listing::json(&page)?,
        Report::Text => listing::text(&page),
    };
    Ok(print(&text, exit::SUCCESS))
}

async fn show(at: &HistoryAt, id: i64, json: bool) -> Result<u8, Refused> {
    let record = record(&open(at).await?, id).await?;
    let text = match &record {
        Record::Finished(outcome) if !json => text::render(outcome),
        _ => document(record, if json { Format::Json } else { Format::Text })?,
    };
    Ok(print(&text, exit::SUCCESS))
}

async fn compare(at: &HistoryAt, ids: [i64; 2], wanted: diff::Wanted) -> Result<u8, Refused> {
    let store = open(at).await?;
    let mut saved = Vec::new();
    for id in ids {
        let document = document(record(&store, id).await?, Format::Json)?;
        let read = Saved::read(format!("test {id}"), document.as_bytes());
        saved
            .push(read.map_err(|error| Refused::io(format!("cannot compare test {id}: {error}")))?);
    }
    let [before, after] = &saved[..] else { return Ok(exit::SUCCESS) };
    let (text, regressions) = diff::compared(before, after, &wanted).map_err(Refused::io)?;
    Ok(print(&text, if regressions == 0 { exit::SUCCESS } else { exit::FAILED }))
}

async fn export(
    at: &HistoryAt,
    filter: &HistoryFilter,
    form: Form,
    output: Option<&Path>,
) -> Result<u8, Refused> {
    let store = open(at).await?;
    let filter = resolved(filter);
    let Some(path) = output else {
        let mut stdout = io::stdout().lock();
        let exported = store.export(&filter, form, |line| stdout.write_all(line.as_bytes())).await;
        return match exported {
            // Whoever was reading has left, which ends the program quietly.
            Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(exit::SUCCESS)
            }
            exported => Ok(passed_over(exported?.1)),
        };
    };
    let failed = |error: &dyn std::fmt::Display| {
        Refused::io(format!("cannot write {}: {error}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-").permissions(Permissions::from_mode(0o600));
    let made = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
    let mut file = io::BufWriter::new(made.map_err(|error| failed(&error))?);
    let exported = store.export(&filter, form, |line| file.write_all(line.as_bytes())).await;
    let exported = exported.map_err(|error| match error {
        Error::Write(error) => failed(&error),
        error => error.into(),
    })?;
    let file = file.into_inner().map_err(|error| failed(&error.error()))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(passed_over(exported.1))
}

/// Says how many tests are not in an export.
fn passed_over(count: u64) -> u8 {
    if count > 0 {
        complain(&format!(
            "{count} tests are left out: they were kept by another version of polyperf, or went \
             meanwhile"
        ));
    }
    exit::SUCCESS
}

async fn prune(at: &HistoryAt, retention: Retention) -> Result<u8, Refused> {
    let store = open(at).await?;
    let gone = store.prune(retention, unix_time()).await?;
    let (left, size) = store.size().await?;
    let tests = if gone == 1 { "test" } else { "tests" };
    let are_left = if left == 1 { "test is left" } else { "tests are left" };
    let text = format!("let go of {gone} {tests}; {left} {are_left}, {}\n", Bytes(size));
    Ok(print(&text, exit::SUCCESS))
}

async fn open(at: &HistoryAt) -> Result<Store, Refused> {
    let location = location(at).map_err(Refused::io)?;
    Ok(Store::open_existing(&location).await?)
}

async fn record(store: &Store, id: i64) -> Result<Record, Refused> {
    let test = store.get(id).await?.ok_or_else(|| Refused {
        code: exit::FAILED,
        error: format!(
            "there is no test {id} in the history at {}; polyperf history list shows which there are",
            store.place()
        ),
    })?;
    Ok(test.record)
}

/// Returns the report of a test's end.
fn document(record: Record, format: Format) -> Result<String, Refused> {
    let event = match record {
        Record::Finished(outcome) => Event::Finished(outcome),
        Record::Failed(event) => Event::Failed(event),
    };
    let mut reporter = Reporter::new(Options { format, ..Options::default() }, Vec::new());
    let written = reporter.handle(&event).and_then(|()| reporter.finish());
    let bytes = written.map_err(|error| Refused::io(format!("cannot write a report: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the filter with its ages as points in time.
fn resolved(filter: &HistoryFilter) -> Filter {
    let time = |when| match when {
        When::At(time) => time,
        When::Ago(age) => unix_time().saturating_sub(age),
    };
    Filter { since: filter.since.map(time), until: filter.until.map(time), ..filter.filter.clone() }
}

impl Refused {
    fn io(error: impl Into<String>) -> Self {
        Self { code: exit::LOCAL_IO, error: error.into() }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::io(error.to_string())
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::io(format!("cannot write a list: {error}"))
    }
}
