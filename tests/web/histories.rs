//! What is told of tests that were kept.

use std::{sync::Arc, time::Duration};

use polyperf::{
    event::FailedEvent,
    history::{Entry, Location, Record, Store},
    outcome::{Failure, FailureCode, Outcome, Side},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    http::{Answer, get},
    support::World,
};

const EVIL: &str = "<img src=x onerror=alert(1)></script>\u{202e}";

/// A site with a history in a folder of its own.
struct Kept {
    world: World,
    store: Store,
    _folder: TempDir,
}

impl Kept {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place: Location =
            folder.path().join("history.db").display().to_string().parse().unwrap();
        let store = Store::open(&place).await.unwrap();
        let world = World::with(|_| (), |site| site.with_history(place)).await;
        Self { world, store, _folder: folder }
    }

    /// Keeps tests that failed, one a second.
    async fn fail(&self, count: u64) {
        for second in 0..count {
            self.store.keep(&failed(Duration::from_secs(BEGIN + second))).await.unwrap();
        }
    }

    /// Runs a test against the server, and returns what it came to.
    async fn outcome(&self) -> Outcome {
        let client = self.world.client().bytes(4 << 20);
        let client = client.spec(|spec| spec.title = Some(EVIL.to_owned())).build().unwrap();
        (*client.run().await.unwrap()).clone()
    }

    /// Keeps an outcome as if it had started then, over this transport.
    async fn keep(&self, outcome: &Outcome, second: u64, transport: &str) {
        let mut info = (*outcome.info).clone();
        info.started = Duration::from_secs(BEGIN + second);
        let mut document = serde_json::to_value(&info.spec).unwrap();
        document["transport"] = transport.into();
        info.spec = serde_json::from_value(document).unwrap();
        let outcome = Outcome { info: Arc::new(info), ..outcome.clone() };
        let entry = Entry::new(Record::Finished(Arc::new(outcome)), Duration::from_secs(BEGIN));
        self.store.keep(&entry).await.unwrap();
    }

    async fn ask(&self, path: &str) -> Answer {
        get(path).send(self.world.site).await
    }

    async fn told(&self, path: &str) -> Value {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }
}

fn failed(noticed: Duration) -> Entry {
    let event = FailedEvent {
        side: Side::Server,
        session: None,
        peer: Some("192.0.2.7:50000".parse().unwrap()),
        failure: Failure::new(FailureCode::Busy, EVIL),
    };
    Entry::new(Record::Failed(Arc::new(event)), noticed)
}

fn ids(page: &Value) -> Vec<i64> {
    page["tests"].as_array().unwrap().iter().map(|test| test["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_read_page_by_page_newest_first() {
    let kept = Kept::new().await;
    kept.fail(7).await;
    let (mut seen, mut before) = (Vec::new(), String::new());
    for expected in [3, 3, 1] {
        let page = kept.told(&format!("/api/v1/history?limit=3&before={before}")).await;
        assert_eq!(ids(&page).len(), expected);
        seen.extend(ids(&page));
        page["next"].as_str().unwrap_or_default().clone_into(&mut before);
        // What is new meanwhile does not shift what follows.
        kept.store.keep(&failed(Duration::from_secs(BEGIN + 100))).await.unwrap();
    }
    assert_eq!((seen, before.as_str()), ((1..=7).rev().collect(), ""));
}

#[tokio::test]
async fn a_list_has_what_its_filter_lets_through() {
    let kept = Kept::new().await;
    kept.fail(3).await;
    kept.keep(&kept.outcome().await, 10, "tcp").await;
    for (filter, expected) in [
        ("failed=true", vec![3, 2, 1]),
        ("failed=false", vec![4]),
        ("transport=tcp", vec![4]),
        ("host=192.0.2.7", vec![3, 2, 1]),
        ("since=1795392001&until=1795392002", vec![2]),
        ("since=2026-11-23T00:00:02Z&until=2026-11-24", vec![4, 3]),
        ("text=onerror&failed=false", vec![4]),
    ] {
        assert_eq!(
            ids(&kept.told(&format!("/api/v1/history?{filter}")).await),
            expected,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_name() {
    let kept = Kept::new().await;
    for (query, word) in [
        ("?limit=0", "limit"),
        ("?limit=501", "500"),
        ("?limit=many", "limit"),
        ("?before=yesterday", "before"),
        ("?since=soon", "since"),
        ("?until=99999999999999999999", "until"),
        ("?since=1960-01-01", "since"),
        ("?failed=perhaps", "failed"),
        ("?direction=up", "direction"),
        ("?colour=red", "colour"),
        ("?limit=1&limit=2", "more than once"),
        ("?limit=%ff%00", "limit"),
        ("/series?metric=beauty", "goodput_up"),
        ("/series?buckets=2001", "2000"),
        ("/series?since=2026-11-30&until=2026-11-30", "before"),
        ("/compare", "ids"),
        ("/compare?ids=1,two", "ids"),
        ("/compare?ids=1,2,3,4,5,6,7,8,9,10,11,12,13", "12"),
        ("/compare?transports=tcp", "transports"),
        ("/compare?ids=1&transports=tcp,quic", "either"),
    ] {
        let answer = kept.ask(&format!("/api/v1/history{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.error().contains(word), "{query}: {answer:?}");
    }
    let long = format!("/api/v1/history?host={}", "x".repeat(300));
    assert_eq!(kept.ask(&long).await.status, 400);
}

#[tokio::test]
async fn a_test_is_told_whole_and_what_others_wrote_is_text() {
    let kept = Kept::new().await;
    kept.fail(1).await;
    let outcome = kept.outcome().await;
    kept.keep(&outcome, 10, "tcp").await;
    let failed = kept.ask("/api/v1/history/1").await;
    assert_eq!(failed.header("Content-Type"), Some("application/json"));
    assert_eq!(failed.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(failed.json()["message"], EVIL);
    assert_eq!(failed.json()["failure_event"]["failure"]["code"], "busy");
    let finished = kept.told("/api/v1/history/2").await;
    assert_eq!(finished["title"], EVIL);
    assert_eq!(finished["outcome"]["local"], serde_json::to_value(&outcome.local).unwrap());
    let points = kept.told("/api/v1/history/2/points").await;
    assert_eq!(points["points"].as_array().unwrap().len(), outcome.intervals.len());
    for gone in ["3", "0", "-1", "99999999999999999999", "x", "3/points"] {
        assert_eq!(kept.ask(&format!("/api/v1/history/{gone}")).await.status, 404, "{gone}");
    }
}

#[tokio::test]
async fn a_course_leaves_out_times_without_tests() {
    let kept = Kept::new().await;
    let outcome = kept.outcome().await;
    for second in [0, 1, 90] {
        kept.keep(&outcome, second, "tcp").await;
    }
    let range = format!("since={BEGIN}&until={}&buckets=10", BEGIN + 100);
    let course = kept.told(&format!("/api/v1/history/series?metric=goodput_up&{range}")).await;
    assert_eq!(course["width_us"], 10_000_000);
    let buckets = course["buckets"].as_array().unwrap();
    let places: Vec<_> = buckets
        .iter()
        .map(|bucket| {
            (
                bucket["start_us"].as_u64().unwrap() / 1_000_000 - BEGIN,
                bucket["count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(places, [(0, 2), (90, 1)]);
    assert_eq!(buckets[0]["median"].as_f64(), outcome.goodput(Side::Server));
    let short = kept.told(&format!("/api/v1/history/series?metric=rtt&{range}")).await;
    assert_eq!(short["metric"], "rtt_us");
}

#[tokio::test]
async fn groups_have_medians_and_a_single_test_no_interval() {
    let kept = Kept::new().await;
    let outcome = kept.outcome().await;
    for (second, transport) in [(0, "tcp"), (1, "tcp"), (2, "tcp"), (3, "quic")] {
        kept.keep(&outcome, second, transport).await;
    }
    for query in ["ids=1,2,3,4,77", "transports=tcp,quic"] {
        let compared = kept.told(&format!("/api/v1/history/compare?{query}")).await;
        let groups = compared["groups"].as_array().unwrap();
        let names: Vec<_> = groups.iter().map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["tcp", "quic"], "{query}");
        let figure = |group: usize| {
            let mut figures = groups[group]["figures"].as_array().unwrap().iter();
            figures.find(|figure| figure["metric"] == "goodput_up").unwrap()
        };
        let goodput = outcome.goodput(Side::Server);
        assert_eq!((&figure(0)["count"], figure(0)["median"].as_f64()), (&3.into(), goodput));
        assert_eq!((figure(0)["low"].as_f64(), figure(0)["high"].as_f64()), (goodput, goodput));
        assert_eq!((figure(1)["median"].as_f64(), &figure(1)["low"]), (goodput, &Value::Null));
        let missing = if query.starts_with("ids") { vec![77] } else { vec![] };
        assert_eq!(compared["missing"], serde_json::json!(missing));
    }
}

#[tokio::test]
async fn a_server_without_a_history_says_how_to_keep_one() {
    let world = World::new(|_| ()).await;
    for path in ["", "/series", "/compare?ids=1", "/1", "/1/points"] {
        let answer = get(&format!("/api/v1/history{path}")).send(world.site).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().contains("--history"), "{answer:?}");
    }
}

#[tokio::test]
async fn where_a_history_is_that_cannot_be_read_is_told_to_nobody() {
    let place: Location = "/nowhere/secret.db".parse().unwrap();
    let world = World::with(|_| (), |site| site.with_history(place)).await;
    let answer = get("/api/v1/history").send(world.site).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.body.contains("secret"), "{answer:?}");
}

#[tokio::test]
async fn who_may_not_look_on_sees_no_history() {
    let world = World::new(|config| config.public_read = false).await;
    for path in ["/api/v1/history", "/api/v1/history/1", "/api/v1/history/series"] {
        assert_eq!(get(path).send(world.site).await.status, 401, "{path}");
    }
}

/// 2026-11-23, 00:00 UTC, in seconds since the Unix epoch.
const BEGIN: u64 = 1_795_392_000;
