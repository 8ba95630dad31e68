//! What is asked of a history, from the query of an address.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, UNIX_EPOCH},
};

use axum::http::StatusCode;

use crate::{
    history::{Filter, How, Metric},
    spec::Direction,
    web::problem::Problem,
};

/// The words of a query that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeMap<String, String>);

/// What a chart is to show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) metric: Metric,
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) buckets: u32,
}

/// What is to be compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chosen {
    /// These tests.
    Tests(Vec<i64>),
    /// The newest tests over each of these transports.
    Transports(Vec<String>, Box<Filter>),
}

impl Words {
    /// Takes words, of which each may be there once; an empty one is none.
    pub(super) fn new(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut words = BTreeMap::new();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            if value.len() > LONGEST {
                return Err(wrong(format!("{name} is longer than {LONGEST} bytes")));
            }
            if words.contains_key(&name) {
                return Err(wrong(format!("{name} is there more than once")));
            }
            words.insert(name, value);
        }
        Ok(Self(words))
    }

    /// Returns which tests are wanted, and how many at once.
    pub(super) fn list(mut self) -> Result<Filter, Problem> {
        let mut filter = self.filter()?;
        filter.limit = self.number("limit", 1..=MOST_ROWS)?.unwrap_or(USUAL_ROWS);
        let before = self.0.remove("before").map(|text| text.parse());
        filter.after = before.transpose().map_err(|error| wrong(format!("before {error}")))?;
        self.finish(filter)
    }

    /// Returns which tests a chart is of, and which figure; `now` is since the Unix epoch.
    pub(super) fn series(mut self, now: Duration) -> Result<(Filter, Span), Problem> {
        let name = self.0.remove("metric").unwrap_or_else(|| "goodput_up".to_owned());
        let Some(metric) = Metric::ALL.into_iter().find(|metric| is_called(*metric, &name)) else {
            let names = Metric::ALL.map(Metric::name).join(", ");
            return Err(wrong(format!("metric is not known: choose one of {names}")));
        };
        let filter = self.filter()?;
        let buckets = self.number("buckets", 1..=MOST_BUCKETS)?.unwrap_or(USUAL_BUCKETS);
        let to = filter.until.unwrap_or(now);
        let from = filter.since.unwrap_or_else(|| to.saturating_sub(USUAL_SPAN));
        if from >= to {
            return Err(wrong("since is not before until"));
        }
        self.finish((filter, Span { metric, from, to, buckets }))
    }

    /// Returns what is to be compared.
    pub(super) fn compare(mut self) -> Result<Chosen, Problem> {
        let several = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let chosen = match (self.0.remove("ids"), self.0.remove("transports")) {
            (Some(ids), None) => {
                let ids: Result<Vec<i64>, _> = ids.split(',').map(str::parse).collect();
                let ids = ids.map_err(|_| wrong("ids is no list of numbers: write 12,15"))?;
                if ids.len() > MOST_TESTS {
                    return Err(wrong(format!("ids has more than {MOST_TESTS} tests")));
                }
                Chosen::Tests(ids)
            }
            (None, Some(names)) => {
                let names = several(&names);
                if !(2..=MOST_TRANSPORTS).contains(&names.len()) {
                    return Err(wrong(format!("transports names 2 to {MOST_TRANSPORTS}")));
                }
                if self.0.contains_key("transport") {
                    return Err(wrong("transport and transports exclude each other"));
                }
                let filter = Filter { limit: MOST_ROWS, ..self.filter()? };
                Chosen::Transports(names, Box::new(filter))
            }
            _ => return Err(wrong("name either ids=ID,ID or transports=NAME,NAME")),
        };
        self.finish(chosen)
    }

    fn filter(&mut self) -> Result<Filter, Problem> {
        let mut time = |name: &str| self.0.remove(name).map(|text| when(name, &text)).transpose();
        let (since, until) = (time("since")?, time("until")?);
        let direction = match self.0.remove("direction").as_deref() {
            None => None,
            Some("forward") => Some(Direction::Forward),
            Some("reverse") => Some(Direction::Reverse),
            Some("bidirectional") => Some(Direction::Bidirectional),
            Some(_) => return Err(wrong("direction is forward, reverse or bidirectional")),
        };
        let ended = match self.0.remove("failed").as_deref() {
            None => Vec::new(),
            Some("true") => vec![How::Failed, How::Nothing],
            Some("false") => vec![How::Complete, How::Stopped],
            Some(_) => return Err(wrong("failed is true or false")),
        };
        let mut word = |name: &str| self.0.remove(name);
        Ok(Filter {
            since,
            until,
            transport: word("transport"),
            host: word("host"),
            text: word("text"),
            direction,
            ended,
            ..Filter::default()
        })
    }

    fn number(&mut self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        number.map(Some).ok_or_else(|| wrong(format!("{name} is a number from {least} to {most}")))
    }

    /// Refuses what nobody knows: it would be taken for something that holds.
    fn finish<T>(self, asked: T) -> Result<T, Problem> {
        match self.0.into_keys().next() {
            Some(name) => Err(wrong(format!("{name:?} is not known here"))),
            None => Ok(asked),
        }
    }
}

/// A figure goes by its name with its unit and without.
fn is_called(metric: Metric, name: &str) -> bool {
    let full = metric.name();
    full == name || full.strip_suffix("_us").or(full.strip_suffix("_ns")) == Some(name)
}

/// Returns a time since the Unix epoch.
fn when(name: &str, text: &str) -> Result<Duration, Problem> {
    let no_time = || {
        wrong(format!(
            "{name} is no time: write 2026-11-30, 2026-11-30T12:00:00Z, or seconds since 1970"
        ))
    };
    // No more than the microseconds that a history counts in.
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds).filter(|at| *at < LAST).map(Duration::from_secs).ok_or_else(no_time);
    }
    let day = if text.len() == "2026-11-30".len() { "T00:00:00Z" } else { "" };
    let time = humantime::parse_rfc3339_weak(&format!("{text}{day}")).map_err(|_| no_time())?;
    time.duration_since(UNIX_EPOCH).map_err(|_| no_time())
}

fn wrong(text: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, text)
}

const MOST_ROWS: u32 = 500;
const USUAL_ROWS: u32 = 100;
const MOST_BUCKETS: u32 = 2000;
const USUAL_BUCKETS: u32 = 100;
const USUAL_SPAN: Duration = Duration::from_secs(86_400);
/// Lines in a chart that can still be told apart.
const MOST_TESTS: usize = 12;
const MOST_TRANSPORTS: usize = 8;
const LONGEST: usize = 256;
/// The start of the year 10000.
const LAST: u64 = 253_402_300_800;
