//! A database that goes away, and comes back.

use std::sync::Arc;

use polyperf::{
    event::Event,
    history::{Counts, Error, Filter, Location, Options, Store, Writer},
};
use tokio::sync::broadcast;

use crate::{
    postgres::Postgres,
    tests::{at, finished, outcome},
};

fn event(second: u64) -> Event {
    Event::Finished(Arc::new(outcome(at(second), 8_000)))
}

async fn count(location: &Location) -> usize {
    let store = Store::open_existing(location).await.unwrap();
    let page = store.list(&Filter::default()).await.unwrap();
    assert!(page.tests.iter().all(|test| test.intervals == 10), "each with its intervals");
    page.tests.len()
}

#[tokio::test]
async fn tests_wait_while_the_server_of_the_database_is_away() {
    let Some(server) = Postgres::start() else { return };
    let location: Location = server.database().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (events, subscription) = broadcast::channel(64);
    let options = Options::new(location.clone(), folder.path());
    let spool = options.spool.clone();
    let writer = Writer::start(options, subscription).await.unwrap();
    let stats = writer.stats();
    events.send(event(0)).unwrap();
    stats.wait_for(|counts| counts.written == 1).await;
    server.stop();
    for second in 1..=5 {
        events.send(event(second)).unwrap();
    }
    let counts = stats.wait_for(|counts| counts.spooled == 5).await;
    assert!(counts.errors > 0 && counts.written == 1 && counts.dropped == 0, "{counts:?}");
    assert!(spool.metadata().unwrap().len() > 0);
    server.start_again();
    writer.retry();
    stats.wait_for(|counts| counts.written == 6).await;
    events.send(event(6)).unwrap();
    let counts = writer.finish().await;
    assert_eq!((counts.written, counts.dropped, counts.in_memory), (7, 0, 0), "{counts:?}");
    assert_eq!(spool.metadata().unwrap().len(), 0);
    assert_eq!(count(&location).await, 7);
}

#[tokio::test]
async fn a_writer_starts_without_its_database_and_another_one_writes_what_waits() {
    let Some(server) = Postgres::start() else { return };
    let location: Location = server.database().parse().unwrap();
    server.stop();
    let folder = tempfile::tempdir().unwrap();
    let (events, subscription) = broadcast::channel(64);
    let options = Options::new(location.clone(), folder.path());
    let writer = Writer::start(options.clone(), subscription).await.unwrap();
    events.send(event(0)).unwrap();
    let counts = writer.finish().await;
    assert_eq!((counts.written, counts.spooled, counts.dropped), (0, 1, 0), "{counts:?}");
    server.start_again();
    let writer = Writer::start(options, events.subscribe()).await.unwrap();
    assert_eq!(writer.finish().await, Counts { written: 1, ..Counts::default() });
    assert_eq!(count(&location).await, 1);
}

/// A commit whose acknowledgement was lost is tried again, and is there once.
#[tokio::test]
async fn what_waits_although_it_was_written_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::in_folder(folder.path());
    let entry = finished(outcome(at(0), 8_000));
    Store::open(&location).await.unwrap().keep(&entry).await.unwrap();
    let options = Options::new(location.clone(), folder.path());
    let line = serde_json::to_string(&entry).unwrap();
    std::fs::write(&options.spool, format!("{line}\n{}", &line[..line.len() / 2])).unwrap();
    let (_events, subscription) = broadcast::channel(16);
    let counts = Writer::start(options.clone(), subscription).await.unwrap().finish().await;
    assert_eq!((counts.written, counts.dropped), (0, 1), "half a line is lost: {counts:?}");
    assert_eq!(options.spool.metadata().unwrap().len(), 0);
    assert_eq!(count(&location).await, 1);
}

#[tokio::test]
async fn no_error_tells_the_password() {
    for url in [
        "postgres://me:s3cret@127.0.0.1:1/db",
        "postgres://127.0.0.1:1/db?user=me&password=s3cret",
        "postgres://me:s3cret@[/db",
        "postgres://me:s3cret@127.0.0.1:99999/db",
    ] {
        let location: Location = url.parse().unwrap();
        let error = Store::open(&location).await.unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error:?}");
        for text in [error.to_string(), format!("{error:?}"), format!("{location:?}")] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
