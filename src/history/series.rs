//! How a figure went over time, for charts.

use std::time::Duration;

use serde::Serialize;

use super::{
    Error, Filter, Store,
    sql::Sql,
    summary::{micros, signed},
};

/// A figure of tests that can be followed over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Goodput towards the server, in bits per second.
    GoodputUp,
    /// Goodput towards the client, in bits per second.
    GoodputDown,
    /// Mean round-trip time, in microseconds.
    Rtt,
    /// Mean jitter, in microseconds.
    Jitter,
    /// The part of datagrams that was lost, from 0 to 1.
    Loss,
    /// Retransmissions.
    Retransmits,
    /// The median of what requests took, in nanoseconds.
    LatencyP50,
    /// What 99 % of requests did not exceed, in nanoseconds.
    LatencyP99,
    /// How long a test was counted, in microseconds.
    Duration,
}

/// A time with tests in it, and how a figure was distributed over them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, sqlx::FromRow)]
pub struct Bucket {
    /// When it began, in microseconds since the Unix epoch.
    #[sqlx(rename = "bucket")]
    pub start_us: i64,
    /// The smallest value.
    #[sqlx(rename = "least")]
    pub min: f64,
    /// The median.
    #[sqlx(rename = "median")]
    pub median: f64,
    /// The largest value.
    #[sqlx(rename = "most")]
    pub max: f64,
    /// Of how many tests; those that do not know the figure are left out.
    #[sqlx(rename = "n")]
    pub count: i64,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::GoodputUp,
        Self::GoodputDown,
        Self::Rtt,
        Self::Jitter,
        Self::Loss,
        Self::Retransmits,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::Duration,
    ];

    /// Returns its name, which is also its column's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GoodputUp => "goodput_up",
            Self::GoodputDown => "goodput_down",
            Self::Rtt => "rtt_us",
            Self::Jitter => "jitter_us",
            Self::Loss => "loss",
            Self::Retransmits => "retransmits",
            Self::LatencyP50 => "latency_p50_ns",
            Self::LatencyP99 => "latency_p99_ns",
            Self::Duration => "duration_us",
        }
    }
}

impl Store {
    /// Returns how a figure went from `from` up to `to`, cut into at most `buckets` times of equal
    /// length. A time without tests is left out: it is a gap, and no zero.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn series(
        &self,
        filter: &Filter,
        metric: Metric,
        from: Duration,
        to: Duration,
        buckets: u32,
    ) -> Result<Vec<Bucket>, Error> {
        if from >= to {
            return Ok(Vec::new());
        }
        let start = signed(micros(from));
        let width = signed(micros(bucket_width(from, to, buckets)));
        let within = Filter {
            since: Some(from.max(filter.since.unwrap_or_default())),
            until: Some(to.min(filter.until.unwrap_or(Duration::MAX))),
            after: None,
            ..filter.clone()
        };
        let mut found: Vec<Bucket> =
            self.rows(self.sorted_into(&within, metric, start, width)).await?;
        for bucket in &mut found {
            bucket.start_us = start.saturating_add(bucket.start_us.saturating_mul(width));
        }
        Ok(found)
    }

    /// Asks for the number of each bucket that has tests, and what is in it. The median is the mean of the
    /// one or two in the middle.
    fn sorted_into(&self, filter: &Filter, metric: Metric, start: i64, width: i64) -> Sql {
        let mut sql = Sql::new(
            "SELECT bucket, MIN(v) AS least, MAX(v) AS most, n, \
         AVG(CASE WHEN place = (n + 1) / 2 OR place = (n + 2) / 2 THEN v END) AS median \
         FROM (SELECT bucket, v, ROW_NUMBER() OVER (PARTITION BY bucket ORDER BY v) AS place, \
         COUNT(*) OVER (PARTITION BY bucket) AS n FROM (SELECT (started_us - ",
        );
        sql.bind(start).push(") / ").bind(width).push(" AS bucket, CAST(").push(metric.name());
        sql.push(" AS DOUBLE PRECISION) AS v FROM tests");
        filter.push(&mut sql, self.pool.find());
        sql.push(" AND ").push(metric.name()).push(" IS NOT NULL) AS points) AS ranked");
        sql.push(" GROUP BY bucket, n ORDER BY bucket");
        sql
    }
}

/// Returns how long each time is into which [`Store::series`] cuts what is between the two.
#[must_use]
pub fn bucket_width(from: Duration, to: Duration, buckets: u32) -> Duration {
    let span = micros(to).saturating_sub(micros(from));
    let buckets = u64::from(buckets.clamp(1, MOST_BUCKETS));
    Duration::from_micros(span.div_ceil(buckets).max(1))
}

/// More than any screen has columns.
const MOST_BUCKETS: u32 = 10_000;
