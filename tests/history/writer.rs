//! From the events of a server and a client into a history.

use std::{sync::Arc, time::Duration};

use polyperf::{
    Client, Server,
    event::{Event, IntervalEvent},
    history::{Counts, Filter, Options, Record, Retention, Store, Writer},
    outcome::Side,
};
use tokio::sync::{broadcast, oneshot};

use crate::{
    places::{Place, on_both},
    tests::{at, finished, outcome, with},
};

on_both! {
    both_ends_of_a_test_are_kept_with_their_intervals,
    a_test_that_came_to_nothing_is_kept_too,
    what_is_too_old_goes_while_tests_are_kept,
}

fn options(place: &Place) -> Options {
    Options::new(place.location.clone(), place.folder.path())
}

async fn kept(place: &Place) -> Vec<Record> {
    let store = Store::open_existing(&place.location).await.unwrap();
    let page = store.list(&Filter::default()).await.unwrap();
    let mut records = Vec::new();
    for test in &page.tests {
        records.push(store.get(test.id).await.unwrap().unwrap().record);
    }
    records
}

async fn both_ends_of_a_test_are_kept_with_their_intervals(place: Place) {
    let server = Server::builder().listen("127.0.0.1:0".parse().unwrap()).bind().await.unwrap();
    let (_, addr) = server.local_addrs()[0];
    let handle = server.handle();
    let serving = Writer::start(options(&place), handle.events()).await.unwrap();
    let (drain, told) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async { drop(told.await) }));
    let client = Client::builder("127.0.0.1").port(addr.port()).time(Duration::from_millis(300));
    let client = client.interval(Some(Duration::from_millis(100))).build().unwrap();
    let asking = Writer::start(options(&place), client.events()).await.unwrap();
    let outcome = client.run().await.unwrap();
    drop(drain);
    task.await.unwrap();
    for writer in [serving, asking] {
        let one = Counts { written: 1, ..Counts::default() };
        assert_eq!(writer.finish().await, one);
    }
    let records = kept(&place).await;
    assert_eq!(records.len(), 2);
    for record in records {
        let Record::Finished(kept) = record else { panic!("{record:?}") };
        assert!(!kept.intervals.is_empty(), "a server keeps none, and its history does");
        assert_eq!(kept.info.session, outcome.info.session);
        if kept.info.side == Side::Client {
            // As JSON: times are whole microseconds there.
            let json = |outcome| serde_json::to_value(outcome).unwrap();
            assert!(json(&kept) == json(&outcome), "{kept:?} is not {outcome:?}");
        }
    }
}

async fn a_test_that_came_to_nothing_is_kept_too(place: Place) {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::builder("127.0.0.1").port(free).build().unwrap();
    let writer = Writer::start(options(&place), client.events()).await.unwrap();
    let failure = client.run().await.unwrap_err();
    assert_eq!(writer.finish().await.written, 1);
    let [Record::Failed(event)] = &kept(&place).await[..] else { panic!("it failed") };
    assert_eq!(event.failure, failure);
}

async fn what_is_too_old_goes_while_tests_are_kept(place: Place) {
    let store = place.open().await;
    store.keep(&finished(outcome(at(0) - Duration::from_secs(1 << 30), 8_000))).await.unwrap();
    let (events, subscription) = broadcast::channel(16);
    let mut options = options(&place);
    options.retention.max_age = Some(Duration::from_secs(1 << 29));
    options.retention = Retention { max_bytes: Some(1 << 20), ..options.retention };
    let writer = Writer::start(options, subscription).await.unwrap();
    let stats = writer.stats();
    let mut number = 0;
    loop {
        number += 1;
        let new = with(outcome(at(1), 8_000), |info| {
            info.started =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
        });
        events.send(Event::Finished(Arc::new(new))).unwrap();
        stats.wait_for(|counts| counts.written == number).await;
        // It prunes in turns with what it writes, so a few tests are enough.
        let page = store.list(&Filter::default()).await.unwrap();
        if page.tests.iter().all(|test| test.started() > at(0) - Duration::from_secs(1 << 29)) {
            break;
        }
        assert!(number < 100, "it is still there");
    }
    writer.finish().await;
}

/// Nobody reads a bus while it is flooded; the writer says how much it has missed, and goes on.
#[tokio::test]
async fn events_that_come_too_fast_are_counted_and_the_next_ones_kept() {
    let place = Place::sqlite().unwrap();
    let (events, subscription) = broadcast::channel(16);
    let writer = Writer::start(options(&place), subscription).await.unwrap();
    let test = outcome(at(0), 8_000);
    let interval = || {
        Event::Interval(IntervalEvent {
            info: Arc::clone(&test.info),
            interval: Arc::clone(&test.intervals[0]),
        })
    };
    for _ in 0..99 {
        events.send(interval()).unwrap();
    }
    events.send(Event::Finished(Arc::new(test.clone()))).unwrap();
    let counts = writer.finish().await;
    assert_eq!((counts.lagged, counts.written, counts.dropped), (100 - 16, 1, 0));
}

/// Whoever emits events is never held up: what does not fit into the queue is dropped, and counted.
#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    let place = Place::sqlite().unwrap();
    let (events, subscription) = broadcast::channel(4096);
    let writer = Writer::start(options(&place), subscription).await.unwrap();
    let test = Arc::new(outcome(at(0), 8_000));
    for _ in 0..3000 {
        events.send(Event::Finished(Arc::clone(&test))).unwrap();
    }
    let counts = writer.finish().await;
    assert_eq!(counts.written + counts.dropped, 3000, "{counts:?}");
    assert!(counts.dropped > 0 && counts.queue == 0, "{counts:?}");
}

#[tokio::test]
async fn a_history_that_can_never_be_opened_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("history.db"), "this is no database at all").unwrap();
    for path in ["history.db", "history.db/below.db", "."] {
        let location = polyperf::history::Location::File(folder.path().join(path));
        let (_events, subscription) = broadcast::channel(16);
        let options = Options::new(location, folder.path());
        let error = Writer::start(options, subscription).await.unwrap_err().to_string();
        assert!(error.contains("cannot open the history at") && error.contains(path), "{error}");
        assert!(error.contains("--history=PATH"), "{error}");
    }
}
