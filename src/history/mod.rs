//! Every test, finished or failed, kept in a database: SQLite's in a file, or PostgreSQL's.
//!
//! A [`Store`] keeps tests, lists them, and tells how a figure went over time. A [`Writer`] takes
//! them from the events of a server or a client, and never holds either up: what the database does
//! not take now waits in a file, or in memory, and is written when it takes it again.

mod collect;
mod document;
mod entry;
mod error;
mod export;
mod filter;
mod location;
mod pool;
mod prune;
mod series;
mod spool;
mod sql;
mod stats;
mod store;
mod summary;
mod writer;

pub use self::{
    entry::{Entry, Record},
    error::Error,
    export::Form,
    filter::{Cursor, CursorError, Filter, How},
    location::{Location, LocationError, PostgresUrl},
    prune::Retention,
    series::{Bucket, Metric, bucket_width},
    stats::{Counts, Stats},
    store::{Kept, Page, Store, Test},
    summary::Summary,
    writer::{Options, Writer},
};

pub(crate) use self::export::{header, row};
