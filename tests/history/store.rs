//! What was kept is found again: the same with SQLite and with PostgreSQL.

use std::{fs, time::Duration};

use polyperf::{
    history::{Entry, Error, Filter, Form, How, Kept, Metric, Page, Record, Retention, Store},
    outcome::{Ended, FailureCode, Side},
    spec::Direction,
};

use crate::{
    places::{Place, on_both},
    tests::{HOSTILE, asking, at, failed, finished, hostile, of_client, outcome, spec, with},
};

on_both! {
    what_was_kept_is_read_back_the_same,
    who_is_kept_twice_is_there_once,
    a_list_is_newest_first_and_its_pages_have_each_test_once,
    each_part_of_a_filter_finds_its_own,
    a_text_is_found_in_either_case_and_no_sign_of_it_means_anything,
    a_series_has_the_median_of_each_time_and_leaves_out_gaps,
    distributions_of_several_tests_are_merged,
    what_is_too_old_goes,
    what_is_too_much_goes_and_the_oldest_first,
    an_export_has_everything_and_no_formula,
    a_list_goes_by_an_index,
    a_history_of_a_newer_program_is_left_alone,
    those_who_make_it_at_once_all_have_it,
}

async fn keep(store: &Store, entry: &Entry) -> i64 {
    match store.keep(entry).await.unwrap() {
        Kept::New(id) => id,
        Kept::Known => panic!("it was there already"),
    }
}

fn ids(page: &Page) -> Vec<i64> {
    page.tests.iter().map(|test| test.id).collect()
}

async fn what_was_kept_is_read_back_the_same(place: Place) {
    let store = place.open().await;
    let entries = [
        finished(outcome(at(0), 1_000_000_000)),
        finished(asking(at(1), 1..1000)),
        finished(hostile(at(2))),
        failed(at(3), FailureCode::Busy),
    ];
    for entry in &entries {
        let id = keep(&store, entry).await;
        let test = store.get(id).await.unwrap().unwrap();
        assert_eq!((test.summary.id, &test.record), (id, &entry.record));
        assert_eq!(store.list(&Filter::default()).await.unwrap().tests[0], test.summary);
    }
    assert_eq!(store.get(12_345).await.unwrap(), None);
    store.close().await;
    // It is there when it is opened again.
    let page = place.open().await.list(&Filter::default()).await.unwrap();
    let [busy, evil, asked, plain] = &page.tests[..] else { panic!("{page:?}") };
    assert_eq!((plain.goodput_up, plain.goodput_down), (Some(1e9), None));
    assert_eq!((plain.duration_us, plain.retransmits), (Some(10_000_000), Some(3)));
    assert_eq!((plain.intervals, plain.peer.as_deref()), (10, Some("192.0.2.7")));
    assert_eq!((asked.loss, asked.jitter_us), (Some(0.25), Some(14)));
    let p99 = asked.latency_p99_ns.unwrap();
    assert!((989_000..992_000).contains(&p99), "{p99}");
    assert_eq!((evil.ended.as_str(), evil.failure.as_deref()), ("failed", Some("peer_lost")));
    assert_eq!((busy.ended.as_str(), busy.started_us), ("nothing", 1_795_392_003_000_000));
    assert_eq!((busy.transport.as_ref(), busy.peer.as_deref()), (None, Some("2001:db8::7")));
}

async fn who_is_kept_twice_is_there_once(place: Place) {
    let store = place.open().await;
    let entry = finished(asking(at(0), 1..10));
    keep(&store, &entry).await;
    assert_eq!(store.keep(&entry).await.unwrap(), Kept::Known);
    assert_eq!(store.size().await.unwrap().0, 1);
}

async fn a_list_is_newest_first_and_its_pages_have_each_test_once(place: Place) {
    let store = place.open().await;
    let mut kept = Vec::new();
    for number in 0..25 {
        // Five of each started at the same time.
        kept.push(keep(&store, &finished(outcome(at(number / 5), 8_000))).await);
    }
    kept.reverse();
    let mut filter = Filter { limit: 7, ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let page = store.list(&filter).await.unwrap();
        assert!(page.tests.len() <= 7);
        seen.extend(ids(&page));
        let Some(next) = page.next else { break };
        // As it travels in a URL.
        filter.after = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(seen, kept);
    let exact = store.list(&Filter { limit: 25, ..Filter::default() }).await.unwrap();
    assert_eq!((exact.tests.len(), exact.next), (25, None));
}

async fn each_part_of_a_filter_finds_its_own(place: Place) {
    let store = place.open().await;
    let tcp = keep(&store, &finished(outcome(at(0), 8_000))).await;
    let quic = keep(&store, &finished(of_client(at(10), Direction::Reverse))).await;
    let mut stopped = with(outcome(at(20), 8_000), |info| info.user = Some("alice".to_owned()));
    stopped.ended = Ended::Stopped { by: Side::Client, reason: "enough".to_owned() };
    let stopped = keep(&store, &finished(stopped)).await;
    let evil = keep(&store, &finished(hostile(at(30)))).await;
    let busy = keep(&store, &failed(at(40), FailureCode::Busy)).await;
    let text = |text: &str| Some(text.to_owned());
    let all = Filter::default;
    let cases = [
        (all(), vec![busy, evil, stopped, quic, tcp]),
        (Filter { since: Some(at(20)), until: Some(at(40)), ..all() }, vec![evil, stopped]),
        (Filter { transport: text("quic"), ..all() }, vec![quic]),
        (Filter { direction: Some(Direction::Forward), ..all() }, vec![evil, stopped, tcp]),
        (Filter { host: text("perf.EXAMPLE.net"), ..all() }, vec![quic]),
        (Filter { host: text("192.0.2.7"), ..all() }, vec![evil, stopped, quic, tcp]),
        (Filter { host: text("2001:DB8::7"), ..all() }, vec![busy]),
        (Filter { side: Some(Side::Client), ..all() }, vec![quic]),
        (Filter { ended: vec![How::Failed, How::Nothing], ..all() }, vec![busy, evil]),
        (Filter { ended: vec![How::Stopped], ..all() }, vec![stopped]),
        (Filter { user: text("alice"), ..all() }, vec![stopped]),
        (Filter { user: text("' OR 1 = 1 --"), ..all() }, vec![]),
        (Filter { user: text("alice"), transport: text("quic"), ..all() }, vec![]),
        (Filter { limit: 2, ..all() }, vec![busy, evil]),
    ];
    for (filter, wanted) in cases {
        assert_eq!(ids(&store.list(&filter).await.unwrap()), wanted, "{filter:?}");
    }
}

async fn a_text_is_found_in_either_case_and_no_sign_of_it_means_anything(place: Place) {
    let store = place.open().await;
    let titled = |title: &str| {
        finished(with(outcome(at(0), 8_000), |info| {
            info.spec = spec(|fields| fields.title = Some(title.to_owned()));
        }))
    };
    let percent = keep(&store, &titled("Monday 100%")).await;
    let plain = keep(&store, &titled("monday 1000")).await;
    let umlaut = keep(&store, &titled("GRÖSSER a_b\\c")).await;
    let evil = keep(&store, &finished(hostile(at(1)))).await;
    for (text, wanted) in [
        ("MONDAY", vec![plain, percent]),
        ("100%", vec![percent]),
        ("größer", vec![]),
        ("grösser", vec![umlaut]),
        ("a_b", vec![umlaut]),
        ("axb", vec![]),
        ("b\\c", vec![umlaut]),
        ("drop table", vec![evil]),
    ] {
        let filter = Filter { text: Some(text.to_owned()), ..Filter::default() };
        assert_eq!(ids(&store.list(&filter).await.unwrap()), wanted, "{text}");
    }
}

async fn a_series_has_the_median_of_each_time_and_leaves_out_gaps(place: Place) {
    let store = place.open().await;
    // In the first ten seconds three, in the next none, in the third two, and one that is no part.
    for (second, rate) in [(0, 80), (1, 800), (9, 160), (20, 80), (29, 240), (30, 8_000)] {
        keep(&store, &finished(outcome(at(second), rate))).await;
    }
    keep(&store, &failed(at(5), FailureCode::Busy)).await;
    let all = Filter::default();
    let series = store.series(&all, Metric::GoodputUp, at(0), at(30), 3).await.unwrap();
    let seen: Vec<_> =
        series.iter().map(|of| (of.start_us, of.min, of.median, of.max, of.count)).collect();
    let start = |second| i64::try_from(at(second).as_micros()).unwrap();
    assert_eq!(seen, [(start(0), 80., 160., 800., 3), (start(20), 80., 160., 240., 2)]);
    for metric in Metric::ALL {
        let counts = store.series(&all, metric, at(0), at(31), 1).await.unwrap();
        let wanted = match metric {
            Metric::GoodputUp | Metric::Duration | Metric::Retransmits => vec![6],
            _ => vec![],
        };
        assert_eq!(counts.iter().map(|of| of.count).collect::<Vec<_>>(), wanted, "{metric:?}");
    }
    let quic = Filter { transport: Some("quic".to_owned()), ..all.clone() };
    assert_eq!(store.series(&quic, Metric::Duration, at(0), at(30), 3).await.unwrap(), []);
    assert_eq!(store.series(&all, Metric::Duration, at(30), at(0), 3).await.unwrap(), []);
    let far = Duration::from_micros(u64::MAX);
    let one = store.series(&all, Metric::Duration, Duration::ZERO, far, u32::MAX).await.unwrap();
    assert_eq!(one.iter().map(|of| of.count).sum::<i64>(), 6);
}

async fn distributions_of_several_tests_are_merged(place: Place) {
    let store = place.open().await;
    keep(&store, &finished(asking(at(0), 1..101))).await;
    keep(&store, &finished(asking(at(1), 901..1001))).await;
    keep(&store, &finished(outcome(at(2), 8_000))).await;
    let all = store.latencies(&Filter::default(), "latency").await.unwrap().unwrap();
    assert_eq!(all.count, 200);
    assert!((100_000..101_000).contains(&all.p50_ns), "{}", all.p50_ns);
    let late = Filter { since: Some(at(1)), ..Filter::default() };
    assert_eq!(store.latencies(&late, "latency").await.unwrap().unwrap().count, 100);
    assert_eq!(store.latencies(&Filter::default(), "idle").await.unwrap(), None);
}

async fn what_is_too_old_goes(place: Place) {
    let store = place.open().await;
    for second in 0..10 {
        keep(&store, &finished(asking(at(second), 1..10))).await;
    }
    let retention = Retention { max_age: Some(Duration::from_secs(3)), ..Retention::default() };
    assert_eq!(store.prune(Retention::default(), at(10)).await.unwrap(), 0);
    assert_eq!(store.prune(retention, at(10)).await.unwrap(), 7);
    assert_eq!(store.prune(retention, at(10)).await.unwrap(), 0);
    let left = store.list(&Filter::default()).await.unwrap();
    assert_eq!(left.tests.len(), 3);
    assert!(left.tests.iter().all(|test| test.started() >= at(7)));
    // Nothing of the others is left either.
    let merged = store.latencies(&Filter::default(), "latency").await.unwrap().unwrap();
    assert_eq!(merged.count, 3 * 9);
}

async fn what_is_too_much_goes_and_the_oldest_first(place: Place) {
    let store = place.open().await;
    for second in 0..200 {
        keep(&store, &finished(outcome(at(second), 8_000))).await;
    }
    let (_, size) = store.size().await.unwrap();
    let file = || fs::metadata(place.folder.path().join("history.db")).map_or(0, |file| file.len());
    let before = file();
    let retention = Retention { max_bytes: Some(size / 4), ..Retention::default() };
    assert_eq!(store.prune(retention, at(0)).await.unwrap(), 150);
    let left = store.list(&Filter::default()).await.unwrap();
    assert!(left.tests.iter().all(|test| test.started() >= at(150)), "the newest stay");
    assert!(store.size().await.unwrap().1 <= size / 4);
    if place.server.is_none() {
        assert!(file() < before / 2, "{} of {before} are left", file());
    }
}

async fn an_export_has_everything_and_no_formula(place: Place) {
    let store = place.open().await;
    let entries = [
        finished(hostile(at(2))),
        finished(outcome(at(1), 8_000)),
        failed(at(0), FailureCode::Busy),
    ];
    for entry in &entries {
        keep(&store, entry).await;
    }
    let mut lines = Vec::new();
    let write = |line: &str| {
        lines.push(line.to_owned());
        Ok(())
    };
    assert_eq!(store.export(&Filter::default(), Form::JsonLines, write).await.unwrap(), (3, 0));
    for (line, entry) in lines.iter().zip(&entries) {
        assert!(!line.contains(['\u{1b}', '\u{202e}', '\0']) && line.ends_with('\n'));
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let back = match &entry.record {
            Record::Finished(_) => serde_json::json!({ "finished": value["outcome"] }),
            Record::Failed(_) => serde_json::json!({ "failed": value["failed"] }),
        };
        assert_eq!(serde_json::from_value::<Record>(back).unwrap(), entry.record);
        assert_eq!(value["key"], entry.key);
    }
    let mut table = String::new();
    let write = |line: &str| {
        table.push_str(line);
        Ok(())
    };
    assert_eq!(store.export(&Filter::default(), Form::Csv, write).await.unwrap(), (3, 0));
    assert!(!table.contains(['\u{1b}', '\u{202e}', '\0', '\r']), "{table}");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows[0].iter().any(|cell| cell.starts_with("'=cmd()")), "{HOSTILE:?}: {:?}", rows[0]);
    let harmless = |cell: &str| !cell.starts_with(['=', '+', '-', '@']);
    assert!(rows.iter().flatten().all(harmless), "{table}");
}

async fn a_list_goes_by_an_index(place: Place) {
    let store = place.open().await;
    keep(&store, &finished(outcome(at(0), 8_000))).await;
    let text = |text: &str| Some(text.to_owned());
    let after = {
        keep(&store, &finished(outcome(at(1), 8_000))).await;
        let page = store.list(&Filter { limit: 1, ..Filter::default() }).await.unwrap();
        page.next
    };
    let all = Filter::default;
    for (filter, index) in [
        (all(), "tests_by_start"),
        (Filter { after, ..all() }, "tests_by_start"),
        (Filter { since: Some(at(0)), ..all() }, "tests_by_start"),
        (Filter { transport: text("tcp"), ..all() }, "tests_by_transport"),
        (Filter { transport: text("tcp"), after, ..all() }, "tests_by_transport"),
        (Filter { side: Some(Side::Client), ..all() }, "tests_by_side"),
        (Filter { direction: Some(Direction::Forward), ..all() }, "tests_by_direction"),
        (Filter { user: text("alice"), ..all() }, "tests_by_user"),
        (Filter { ended: vec![How::Failed], ..all() }, "tests_by_end"),
    ] {
        let plan = store.plan(&filter).await.unwrap();
        if place.server.is_none() {
            assert!(plan.contains(index), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "nothing is sorted: {plan}");
        } else {
            // So small a table it may well read as a whole; that it can be asked is what counts.
            assert!(plan.contains("Limit"), "{filter:?}: {plan}");
        }
    }
    let host = store.plan(&Filter { host: text("192.0.2.7"), ..all() }).await.unwrap();
    if place.server.is_none() {
        assert!(host.contains("INDEX"), "{host}");
    }
}

async fn those_who_make_it_at_once_all_have_it(place: Place) {
    let openers: Vec<_> = (0..8)
        .map(|second| {
            let location = place.location.clone();
            // Threads of their own, as processes would be.
            std::thread::spawn(move || {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                let runtime = builder.enable_all().build().unwrap();
                runtime.block_on(async {
                    let store = Store::open(&location).await.unwrap();
                    keep(&store, &finished(outcome(at(second), 8_000))).await;
                });
            })
        })
        .collect();
    openers.into_iter().for_each(|opener| opener.join().unwrap());
    assert_eq!(place.open().await.size().await.unwrap().0, 8);
}

async fn a_history_of_a_newer_program_is_left_alone(place: Place) {
    let store = place.open().await;
    keep(&store, &finished(outcome(at(0), 8_000))).await;
    store.close().await;
    let insert = "INSERT INTO _sqlx_migrations VALUES (9999, 'of the future', \
                  CURRENT_TIMESTAMP, TRUE, 'x', 1)";
    if place.server.is_none() {
        let path = place.folder.path().join("history.db");
        let url = format!("sqlite://{}", path.display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query(insert).execute(&pool).await.unwrap();
        pool.close().await;
    } else {
        let pool = sqlx::PgPool::connect(&place.url()).await.unwrap();
        sqlx::query(insert).execute(&pool).await.unwrap();
        pool.close().await;
    }
    let error = Store::open(&place.location).await.unwrap_err();
    assert!(matches!(&error, Error::Form { .. }), "{error}");
    assert!(error.to_string().contains("9999") && !error.is_passing(), "{error}");
}
