//! Connections to either database, and what is done over them.

use std::{fs, io, path::Path, str::FromStr as _, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Database, FromRow, PgPool, Row as _,
    SqlitePool,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};

use super::{
    Error, Location,
    sql::{Sql, Value},
};

/// Connections to a database.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A row of either database.
pub(super) trait FromEither:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> FromEither for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// Does the same with the connections to either database.
macro_rules! with {
    ($pool:expr, $name:ident => $body:expr) => {
        match $pool {
            Pool::Sqlite($name) => $body,
            Pool::Postgres($name) => $body,
        }
    };
}

/// Returns a query with its values.
macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Integer(value) => query.bind(value),
                Value::Real(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Pool {
    /// Opens a database, and brings its form up to date; makes a file if `make` says so.
    pub(super) async fn open(place: &Location, make: bool) -> Result<Self, Error> {
        match place {
            Location::File(path) => {
                if !make && !path.exists() {
                    return Err(Error::Missing { place: place.clone() });
                }
                prepare(path).map_err(|error| Error::opening(place, &error.into()))?;
                // Nothing in SQLite keeps several from making the same tables at once.
                for pause in PAUSES_MS.map(Duration::from_millis) {
                    match sqlite(place, path).await {
                        Err(error) if error.is_of_others() => tokio::time::sleep(pause).await,
                        opened => return opened,
                    }
                }
                sqlite(place, path).await
            }
            Location::Postgres(url) => postgres(place, url.secret()).await,
        }
    }

    /// Runs a statement, and returns how many rows it touched.
    pub(super) async fn execute(&self, sql: Sql) -> Result<u64, sqlx::Error> {
        let Sql { text, values } = sql;
        with!(self, pool => {
            let query = bound!(sqlx::query(AssertSqlSafe(text)), values);
            Ok(query.execute(pool).await?.rows_affected())
        })
    }

    /// Returns all rows that a statement asks for.
    pub(super) async fn rows<T: FromEither>(&self, sql: Sql) -> Result<Vec<T>, sqlx::Error> {
        let Sql { text, values } = sql;
        with!(self, pool => bound!(sqlx::query_as(AssertSqlSafe(text)), values).fetch_all(pool).await)
    }

    /// Runs a statement that returns the number of a new row, and then, if there is one, those that
    /// `further` makes of that number: all of them, or none.
    pub(super) async fn insert(
        &self,
        first: Sql,
        further: impl FnOnce(i64) -> Vec<Sql> + Send,
    ) -> Result<Option<i64>, sqlx::Error> {
        let Sql { text, values } = first;
        with!(self, pool => {
            let mut writing = Writing::new(pool.acquire().await?);
            let mut transaction = writing.connection.begin().await?;
            let query = bound!(sqlx::query(AssertSqlSafe(text)), values);
            let row = query.fetch_optional(&mut *transaction).await?;
            let id: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
            for Sql { text, values } in id.map(further).into_iter().flatten() {
                let query = bound!(sqlx::query(AssertSqlSafe(text)), values);
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            writing.done = true;
            Ok(id)
        })
    }

    /// Gives room back that deleted rows have left. PostgreSQL does so by itself.
    pub(super) async fn shrink(&self) -> Result<(), sqlx::Error> {
        if let Self::Sqlite(pool) = self {
            // A statement of its own for each step: pages are given back while its rows are read.
            sqlx::query("PRAGMA incremental_vacuum").fetch_all(pool).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(pool).await?;
        }
        Ok(())
    }

    /// Returns the name of the function that tells where in a text another one is, from 1.
    pub(super) fn find(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "INSTR",
            Self::Postgres(_) => "STRPOS",
        }
    }

    pub(super) async fn close(&self) {
        with!(self, pool => pool.close().await);
    }
}

/// A connection on which a transaction is under way.
///
/// One whose transaction did not end well is closed, and never used again. SQLite may have ended the
/// transaction by itself, because the disk is full; then a rollback fails, sqlx takes the connection
/// for one with a transaction still open, and what is called committed on it afterwards may not be.
struct Writing<DB: Database> {
    connection: PoolConnection<DB>,
    done: bool,
}

impl<DB: Database> Writing<DB> {
    fn new(connection: PoolConnection<DB>) -> Self {
        Self { connection, done: false }
    }
}

impl<DB: Database> Drop for Writing<DB> {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
        }
    }
}

/// Makes the file and its folder, for their owner alone: it tells who has tested what with whom.
fn prepare(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // One that is there is not even opened: closing it would let go of locks that this process has.
    match fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn sqlite(place: &Location, path: &Path) -> Result<Pool, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        // Before the first table, or it has no effect.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // What was acknowledged is there after a loss of power as well.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(options)
        .await
        .map_err(|error| Error::opening(place, &error))?;
    let migrations = sqlx::migrate!("src/history/migrations/sqlite");
    migrations.run(&pool).await.map_err(|error| Error::migrating(place, error))?;
    Ok(Pool::Sqlite(pool))
}

async fn postgres(place: &Location, url: &str) -> Result<Pool, Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| Error::opening(place, &error))?
        .application_name("polyperf");
    // A pool tries again and again, and then says that it took too long, but not why.
    let first = tokio::time::timeout(PATIENCE, options.connect()).await;
    let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    first.map_err(|error| Error::opening(place, &error))?.close().await.ok();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options);
    let migrations = sqlx::migrate!("src/history/migrations/postgres");
    migrations.run(&pool).await.map_err(|error| Error::migrating(place, error))?;
    Ok(Pool::Postgres(pool))
}

/// How long to wait for others who open the same file, each time that they are in the way.
const PAUSES_MS: [u64; 8] = [5, 10, 20, 40, 80, 160, 160, 160];
/// One writes, others read.
const CONNECTIONS: u32 = 4;
/// How long to wait for a connection, or for whoever else writes.
const PATIENCE: Duration = Duration::from_secs(5);
