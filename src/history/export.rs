//! A history as text, for other programs.

use std::io;

use serde::Serialize;

use super::{Error, Filter, Record, Store, Summary, sql::Value, summary::COLUMNS};
use crate::{event::FailedEvent, outcome::Outcome, report::safe};

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON object on each line, with the whole outcome of a test.
    JsonLines,
    /// A table of what a list tells: a line for each test, below one that names the columns.
    Csv,
}

/// A line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a FailedEvent>,
}

impl Store {
    /// Writes every test that `filter` asks for, newest first, whatever its limit is.
    ///
    /// A test that cannot be read is passed over. Returns how many were written, and how many were
    /// passed over.
    ///
    /// # Errors
    ///
    /// Those of the database, and of `write`.
    pub async fn export(
        &self,
        filter: &Filter,
        form: Form,
        mut write: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<(u64, u64), Error> {
        let mut filter = Filter { limit: AT_ONCE, ..filter.clone() };
        let (mut written, mut passed) = (0, 0);
        if form == Form::Csv {
            write(&header()?)?;
        }
        loop {
            let page = self.list(&filter).await?;
            for summary in &page.tests {
                let line = match form {
                    Form::Csv => Some(row(summary)?),
                    Form::JsonLines => self.line(summary).await?,
                };
                match line {
                    Some(line) => {
                        write(&line)?;
                        written += 1;
                    }
                    None => passed += 1,
                }
            }
            filter.after = page.next;
            if filter.after.is_none() {
                return Ok((written, passed));
            }
        }
    }

    async fn line(&self, summary: &Summary) -> Result<Option<String>, Error> {
        let test = match self.get(summary.id).await {
            Ok(Some(test)) => test,
            // One that went meanwhile, or that another version has written.
            Ok(None) | Err(Error::Unreadable { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (outcome, failed) = match &test.record {
            Record::Finished(outcome) => (Some(&**outcome), None),
            Record::Failed(event) => (None, Some(&**event)),
        };
        let line = serde_json::to_string(&Line { summary, outcome, failed });
        let line = line.map_err(|error| Error::Unwritable(error.to_string()))?;
        Ok(Some(safe::json(line) + "\n"))
    }
}

/// Returns the line that names the columns of the table.
pub(crate) fn header() -> io::Result<String> {
    csv(std::iter::once("id").chain(COLUMNS.iter().map(|(name, _)| *name)))
}

/// Returns a test's line of the table; no cell of it is a formula.
pub(crate) fn row(summary: &Summary) -> io::Result<String> {
    let cells = COLUMNS.iter().map(|(_, value)| cell(value(summary)));
    csv(std::iter::once(summary.id.to_string()).chain(cells))
}

fn cell(value: Value) -> String {
    match value {
        Value::Integer(number) => number.map_or(String::new(), |number| number.to_string()),
        Value::Real(number) => number.map_or(String::new(), |number| number.to_string()),
        Value::Text(text) => safe::cell(&text.unwrap_or_default()),
        Value::Bytes(_) => String::new(),
    }
}

fn csv(cells: impl Iterator<Item = impl AsRef<[u8]>>) -> io::Result<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(cells).map_err(io::Error::other)?;
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

const AT_ONCE: u32 = 500;
