//! Reports of tests: for people, and for programs. Pure formatting into a writer.
//!
//! A [`Reporter`] takes a test's events as they come, or those of many tests of a server at once,
//! and keeps nothing between them. What the formats for programs contain is in `docs/json.md`.

mod closing;
pub(crate) mod connection;
mod csv;
mod document;
mod exchange;
pub(crate) mod figure;
mod iperf3;
mod json;
pub(crate) mod link;
mod one_way;
mod repair;
mod row;
pub(crate) mod safe;
mod stream;
mod table;
pub mod text;

use std::io::{self, Write};

pub use self::{
    connection::{Carried, ConnectionSummary},
    document::{Goodput, Polyperf, SCHEMA},
    figure::{Unit, UnitError},
};

use crate::event::Event;

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people, in iperf3's layout.
    #[default]
    Text,
    /// One document for each test, at its end: iperf3's `-J` and a `polyperf` object.
    Json,
    /// One JSON value for each event, each on a line of its own.
    JsonStream,
    /// A table for programs: one line for each flow and interval.
    Csv,
}

/// What a report contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// How it looks.
    pub format: Format,
    /// The unit of rates in a text; `None` chooses one by the number.
    pub unit: Option<Unit>,
    /// Whether to say of each line of a text, and each value of a stream, to which session it
    /// belongs: the output of a server holds many.
    pub sessions: bool,
    /// Whether to leave out the lines of intervals. A JSON document has those that its outcome has.
    pub summary_only: bool,
}

/// Writes events as a report.
#[derive(Debug)]
pub struct Reporter<W> {
    options: Options,
    writer: W,
    /// Whether the table that a CSV report is has its first line.
    headed: bool,
}

impl<W: Write> Reporter<W> {
    /// Returns a reporter that has written nothing yet.
    pub fn new(options: Options, writer: W) -> Self {
        Self { options, writer, headed: false }
    }

    /// Writes what `event` has to say, and flushes it.
    ///
    /// # Errors
    ///
    /// Those of the writer. A reader that has gone away shows as [`io::ErrorKind::BrokenPipe`].
    pub fn handle(&mut self, event: &Event) -> io::Result<()> {
        let text = match self.options.format {
            Format::Text => text::event(event, &self.options),
            Format::Json => json::event(event)?,
            Format::JsonStream => stream::event(event, &self.options)?,
            Format::Csv => {
                let rows = csv::event(event, &self.options)?;
                if self.headed { rows } else { csv::header()? + &rows }
            }
        };
        self.headed = true;
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    /// Writes what is left to write, and gives the writer back.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
