//! What is told as it happens.

use std::time::Duration;

use polyperf::outcome::{Ended, Side};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::{
    http::{Events, get},
    support::{World, admin, soon},
};

/// Returns the name of a session that runs.
fn running(changes: &Value) -> Option<String> {
    let mut changed = changes["changed"].as_array()?.iter();
    let shown = changed.find(|shown| shown["stage"] == "running")?;
    shown["session"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_test_is_seen_from_its_beginning_to_its_end() {
    let world = World::new(|_| ()).await;
    let mut events = Events::open(world.site).await;
    assert!(events.head.to_ascii_lowercase().contains("content-type: text/event-stream"));
    assert_eq!(events.next("snapshot").await.unwrap(), json!({ "sessions": [], "courses": {} }));
    let client = world.client().time(Duration::from_secs(1)).rate(20_000_000);
    let client = client.interval(Some(Duration::from_millis(100))).build().unwrap();
    let test = tokio::spawn(async move { client.run().await });
    let name = events.until(running).await;
    let up = events.until(|changes| changes["points"][&name]["up"].as_f64()).await;
    assert!(up > 1e6, "{up}");
    // Who comes late sees what was before.
    let late = Events::open(world.site).await.next("snapshot").await.unwrap();
    assert_eq!(late["sessions"][0]["session"], name);
    assert!(!late["courses"][&name].as_array().unwrap().is_empty(), "{late}");
    let end = events.until(|changes| changes["ended"].as_array().map(|it| it[0].clone())).await;
    assert_eq!((&end["session"], &end["how"]), (&json!(name), &json!("complete")));
    assert!(soon(test).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_test_that_is_cancelled_from_the_page_ends_and_its_client_is_told_why() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    let mut events = Events::open(world.site).await;
    let client = world.client().time(Duration::from_secs(600)).rate(1_000_000).build().unwrap();
    let test = tokio::spawn(async move { client.run().await });
    let name = events.until(running).await;
    let cancel = format!("/api/v1/sessions/{name}/cancel");
    let answer = world.order(&cancel, &json!({ "reason": "maintenance" })).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let outcome = soon(test).await.unwrap().unwrap();
    let Ended::Stopped { by: Side::Server, reason } = &outcome.ended else { panic!("{outcome:?}") };
    assert_eq!(reason, "the server's operator ended the test: maintenance");
    let end = events.until(|changes| changes["ended"].as_array().map(|it| it[0].clone())).await;
    assert_eq!(end["how"], "stopped");
}

#[tokio::test]
async fn what_a_client_says_of_itself_comes_out_as_text() {
    let world = World::new(|_| ()).await;
    let evil = "</script><img src=x onerror=alert(1)>\u{202e}\n";
    let client = world.client().time(Duration::from_secs(600)).rate(1_000_000);
    let client = client.spec(|spec| {
        spec.title = Some(evil.to_owned());
        spec.extra_data = Some(format!("{{\"a\": \"{evil}\"}}"));
    });
    let mut events = Events::open(world.site).await;
    let client = client.build().unwrap();
    let test = tokio::spawn(async move { client.run().await });
    let name = events.until(running).await;
    let answer = get("/api/v1/sessions").send(world.site).await;
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    let title = answer.json()[0]["test"]["title"].as_str().unwrap().to_owned();
    assert_eq!(title, "</script><img src=x onerror=alert(1)>\\u{202e}\\n", "as text, on one line");
    for path in ["/", "/server", "/run", "/login"] {
        let page = get(path).send(world.site).await;
        assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
        assert!(!page.body.contains("onerror"), "{path} is the same whoever is there");
    }
    assert!(world.handle.cancel(&name, "enough"));
    assert!(soon(test).await.unwrap().is_ok());
}

/// Connects with little room for what is not read.
async fn slow(world: &World) -> Events {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    Events::over(socket.connect(world.site).await.unwrap(), world.site).await
}

#[tokio::test]
async fn who_does_not_read_is_let_go_of_and_nobody_else_notices() {
    let world = World::new(|_| ()).await;
    let mut quick = Events::open(world.site).await;
    let mut stuck = slow(&world).await;
    let watching = async || get("/api/v1/server").send(world.site).await.json()["watching"].clone();
    assert_eq!(watching().await["readers"], 2);
    let long = "x".repeat(120);
    let tests = async {
        // What is told of each is longer than what connections have room for together.
        while watching().await["readers"] == 2 {
            let crowd = (0..32).map(|_| {
                let client = world.client().bytes(1);
                let client = client.spec(|spec| {
                    spec.title = Some(long.clone());
                    spec.extra_data = Some(long.clone());
                });
                let client = client.build().unwrap();
                tokio::spawn(async move { client.run().await })
            });
            for test in crowd.collect::<Vec<_>>() {
                assert!(test.await.unwrap().is_ok());
            }
        }
    };
    let mut ended = 0;
    let reading = async {
        loop {
            ended += quick.until(|it| it["ended"].as_array().map(Vec::len)).await;
        }
    };
    tokio::select! { () = soon(tests) => {} () = reading => {} }
    assert!(ended > 0, "who reads is told all the while");
    assert_eq!(watching().await["readers"], 1);
    // What was kept for the one who is gone is given up with it.
    while stuck.next("changes").await.is_some() {}
}

#[tokio::test]
async fn only_so_many_watch_at_once_and_who_leaves_makes_room() {
    let world = World::new(|config| config.limits.readers = 1).await;
    let first = Events::open(world.site).await;
    let refused = get("/api/v1/events").send(world.site).await;
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("30")));
    drop(first);
    let again = soon(async {
        while get("/api/v1/server").send(world.site).await.json()["watching"]["readers"] != 0 {}
        Events::open(world.site).await
    });
    assert!(again.await.next("snapshot").await.is_some());
}

#[tokio::test]
async fn closing_the_site_ends_what_is_open() {
    let world = World::new(|_| ()).await;
    let mut events = Events::open(world.site).await;
    let site = world.site;
    world.close().await;
    while events.next("changes").await.is_some() {}
    assert!(tokio::net::TcpStream::connect(site).await.is_err());
}
