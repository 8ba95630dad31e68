use serde::Serialize;

use super::{
    Cursor, Entry, Error, Filter, Location, Record, Summary,
    document::{self, Histogram, Parts},
    pool::{FromEither, Pool},
    sql::{Sql, Value},
    summary::COLUMNS,
};
use crate::measure::{Latencies, LatencySummary};

/// A history: every test that was kept, in a database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) place: Location,
    pub(super) pool: Pool,
}

/// What came of keeping a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is in the history now, under this number.
    New(i64),
    /// It was there already.
    Known,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Page {
    /// Tests, newest first.
    pub tests: Vec<Summary>,
    /// Where the next page begins, if there is one.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// A test with everything that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What a list tells of it.
    pub summary: Summary,
    /// What it came to.
    pub record: Record,
}

impl Store {
    /// Opens a history, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Those of the database, and of a history that a newer program has made.
    pub async fn open(place: &Location) -> Result<Self, Error> {
        Ok(Self { place: place.clone(), pool: Pool::open(place, true).await? })
    }

    /// Opens a history that is there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Error::Missing`].
    pub async fn open_existing(place: &Location) -> Result<Self, Error> {
        Ok(Self { place: place.clone(), pool: Pool::open(place, false).await? })
    }

    /// Keeps a test. When this returns without an error, it is kept for good.
    ///
    /// # Errors
    ///
    /// Those of the database; none of the test is there then.
    pub async fn keep(&self, entry: &Entry) -> Result<Kept, Error> {
        self.keep_parts(Parts::new(entry)?).await
    }

    /// Keeps a test that was taken apart already.
    pub(super) async fn keep_parts(&self, parts: Parts) -> Result<Kept, Error> {
        let Parts { summary, document, intervals, histograms } = parts;
        let further = |id: i64| {
            let mut sql = Sql::new("INSERT INTO documents VALUES (");
            sql.bind_all([id.into(), document.into(), intervals.into()]).push(")");
            std::iter::once(sql).chain(histograms.into_iter().map(|of| insert(id, of))).collect()
        };
        let inserted = self.pool.insert(line(&summary), further).await;
        let id = inserted.map_err(Error::database("write to", &self.place))?;
        Ok(id.map_or(Kept::Known, Kept::New))
    }

    /// Returns a part of the list of tests, newest first.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        let page = filter.page();
        let mut tests: Vec<Summary> = self.rows(self.listing(filter)).await?;
        let further = tests.len() > usize::try_from(page).unwrap_or(usize::MAX);
        if further {
            tests.pop();
        }
        let next = tests.last().filter(|_| further).map(Cursor::behind);
        Ok(Page { tests, next })
    }

    /// Returns what a list tells of a test; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn summary(&self, id: i64) -> Result<Option<Summary>, Error> {
        let mut sql = select();
        sql.push(" WHERE id = ").bind(id);
        let summaries: Vec<Summary> = self.rows(sql).await?;
        Ok(summaries.into_iter().next())
    }

    /// Returns a test with everything that is kept of it; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// Those of the database, and of a document that another version has written.
    pub async fn get(&self, id: i64) -> Result<Option<Test>, Error> {
        let Some(summary) = self.summary(id).await? else { return Ok(None) };
        let mut sql = Sql::new("SELECT document, intervals FROM documents WHERE test_id = ");
        sql.bind(id);
        let documents: Vec<(String, Option<String>)> = self.rows(sql).await?;
        let mut sql = Sql::new("SELECT place, histogram FROM histograms WHERE test_id = ");
        sql.bind(id).push(" ORDER BY place");
        let histograms: Vec<Histogram> = self.rows(sql).await?;
        let Some((document, intervals)) = documents.into_iter().next() else { return Ok(None) };
        let has_outcome = summary.ended != "nothing";
        let record = document::whole(has_outcome, &document, intervals.as_deref(), &histograms)
            .map_err(|problem| Error::Unreadable { id, problem })?;
        Ok(Some(Test { summary, record }))
    }

    /// Returns a distribution of several tests together, such as `latency`, `idle` or `connect`;
    /// `None` if no test has one.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn latencies(
        &self,
        filter: &Filter,
        what: &str,
    ) -> Result<Option<LatencySummary>, Error> {
        let mut all = Latencies::new();
        // A few at a time: they would be large, all at once.
        let mut last = (0, String::new());
        loop {
            let mut sql =
                Sql::new("SELECT test_id, place, histogram FROM histograms WHERE what = ");
            sql.bind(what.to_owned()).push(" AND (test_id, place) > (");
            sql.bind(last.0).push(", ").bind(last.1).push(") AND test_id IN (SELECT id FROM tests");
            filter.push(&mut sql, self.pool.find());
            sql.push(") ORDER BY test_id, place LIMIT 256");
            let rows: Vec<(i64, String, Vec<u8>)> = self.rows(sql).await?;
            let read = rows.iter().filter_map(|(.., bytes)| Latencies::from_bytes(bytes));
            read.for_each(|latencies| all.merge(&latencies));
            let Some((id, place, _)) = rows.into_iter().next_back() else { break };
            last = (id, place);
        }
        Ok(all.summary())
    }

    /// Returns how many tests there are, and about how many bytes they take.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn size(&self) -> Result<(u64, u64), Error> {
        let sql = Sql::new("SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM tests");
        let rows: Vec<(i64, i64)> = self.rows(sql).await?;
        let (count, size) = rows.first().copied().unwrap_or_default();
        Ok((u64::try_from(count).unwrap_or(0), u64::try_from(size).unwrap_or(0)))
    }

    /// Returns how the database goes about a list, in its own words.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn plan(&self, filter: &Filter) -> Result<String, Error> {
        let mut sql = self.listing(filter);
        let lines = if matches!(self.pool, Pool::Sqlite(_)) {
            sql.text.insert_str(0, "EXPLAIN QUERY PLAN ");
            let rows: Vec<(i64, i64, i64, String)> = self.rows(sql).await?;
            rows.into_iter().map(|(.., line)| line).collect::<Vec<_>>()
        } else {
            sql.text.insert_str(0, "EXPLAIN ");
            let rows: Vec<(String,)> = self.rows(sql).await?;
            rows.into_iter().map(|(line,)| line).collect()
        };
        Ok(lines.join("\n"))
    }

    /// Returns where the history is.
    #[must_use]
    pub fn place(&self) -> &Location {
        &self.place
    }

    /// Ends every connection; what is under way is waited for.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Asks for one more than a page has, to know whether there is another.
    fn listing(&self, filter: &Filter) -> Sql {
        let mut sql = select();
        filter.push(&mut sql, self.pool.find());
        sql.push(" ORDER BY started_us DESC, id DESC LIMIT ").bind(i64::from(filter.page()) + 1);
        sql
    }

    pub(super) async fn rows<T: FromEither>(&self, sql: Sql) -> Result<Vec<T>, Error> {
        self.pool.rows(sql).await.map_err(Error::database("read", &self.place))
    }

    pub(super) async fn execute(&self, sql: Sql) -> Result<u64, Error> {
        self.pool.execute(sql).await.map_err(Error::database("write to", &self.place))
    }
}

fn select() -> Sql {
    let mut sql = Sql::new("SELECT id");
    for (name, _) in COLUMNS {
        sql.push(", ").push(name);
    }
    sql.push(" FROM tests");
    sql
}

fn line(summary: &Summary) -> Sql {
    let mut sql = Sql::new("INSERT INTO tests (search");
    for (name, _) in COLUMNS {
        sql.push(", ").push(name);
    }
    sql.push(") VALUES (");
    let values = COLUMNS.iter().map(|(_, value)| value(summary));
    sql.bind_all(std::iter::once(Value::from(summary.search())).chain(values));
    sql.push(") ON CONFLICT (key) DO NOTHING RETURNING id");
    sql
}

fn insert(id: i64, histogram: Histogram) -> Sql {
    let mut sql = Sql::new("INSERT INTO histograms (test_id, what, place, histogram) VALUES (");
    let what = histogram.what().to_owned();
    sql.bind_all([id.into(), what.into(), histogram.place.into(), histogram.histogram.into()]);
    sql.push(")");
    sql
}

#[allow(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_text<S: serde::Serializer>(
    cursor: &Option<Cursor>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    cursor.map(|cursor| cursor.to_string()).serialize(serializer)
}
