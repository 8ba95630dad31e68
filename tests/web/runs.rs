//! Tests that are run from a page.

use polyperf::web::Peer;
use serde_json::{Value, json};

use crate::{
    http::{Events, get, post},
    support::{World, admin, peer},
};

fn towards(peer: &str, time: u32) -> Value {
    json!({ "peer": peer, "transport": "tcp", "direction": "reverse", "time": time, "streams": 2, "rate": "8M" })
}

#[tokio::test]
async fn a_test_towards_a_known_peer_is_run_and_can_be_looked_up() {
    let far = World::new(|_| ()).await;
    let world = World::new(|config| {
        (config.admin, config.peers) = (Some(admin()), vec![peer("lab", &far)]);
    });
    let world = world.await;
    let mut events = Events::open(world.site).await;
    let answer = world.order("/api/v1/runs", &towards("lab", 1)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let over = |changes: &Value| {
        let news = changes["runs"].as_array()?.iter().find(|news| news["state"] == "complete")?;
        Some(news.clone())
    };
    let news = events.until(over).await;
    assert_eq!(news["id"], id);
    let run = get(&format!("/api/v1/runs/{id}")).send(world.site).await.json();
    let command = format!(
        "polyperf client 127.0.0.1 -p {} --transport tcp -R -t 1 -P 2 -b 8000000",
        far.port
    );
    assert_eq!((&run["command"], &run["state"]), (&json!(command), &json!("complete")));
    let down = run["total"]["down"].as_f64().unwrap();
    assert!((1e6..20e6).contains(&down), "{run}");
    assert_eq!(run["total"]["up"], Value::Null, "nobody sent that way");
    assert!(!run["points"].as_array().unwrap().is_empty());
    let listed = get("/api/v1/runs").send(world.site).await.json();
    assert_eq!(listed[0]["id"], id);
}

#[tokio::test]
async fn nobody_is_reached_who_was_not_configured() {
    let known = Peer { name: "lab".to_owned(), host: "127.0.0.1".to_owned(), port: 9 };
    let world = World::new(|config| {
        (config.admin, config.peers) = (Some(admin()), vec![known]);
    });
    let world = world.await;
    for name in ["127.0.0.1", "localhost:22", "lab.example.net", "LAB", "", "169.254.169.254"] {
        let answer = world.order("/api/v1/runs", &towards(name, 1)).await;
        assert_eq!(answer.status, 404, "{name}");
        assert!(answer.error().contains("--web-peer"), "{answer:?}");
    }
    for (field, value) in [("host", json!("192.0.2.1")), ("port", json!(22))] {
        let mut body = towards("lab", 1);
        body[field] = value;
        assert_eq!(world.order("/api/v1/runs", &body).await.status, 422, "{field}");
    }
    assert_eq!(get("/api/v1/runs").send(world.site).await.json(), json!([]));
}

#[tokio::test]
async fn who_has_not_logged_in_runs_nothing() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    let request = post("/api/v1/runs", &towards("lab", 1)).own(world.site);
    assert_eq!(request.send(world.site).await.status, 401);
}

#[tokio::test]
async fn one_test_at_a_time_runs_towards_each_peer_and_so_many_in_all_until_one_is_stopped() {
    let far = World::new(|_| ()).await;
    let world = World::new(|config| {
        config.admin = Some(admin());
        config.peers = ["a", "b", "c"].map(|name| peer(name, &far)).into();
        config.limits.runs = 2;
    });
    let world = world.await;
    let mut events = Events::open(world.site).await;
    let start = async |name| world.order("/api/v1/runs", &towards(name, 600)).await;
    let first = start("a").await;
    assert_eq!(first.status, 201);
    let again = start("a").await;
    assert_eq!(again.status, 409);
    assert!(again.error().contains("against this peer"), "{again:?}");
    assert_eq!(start("b").await.status, 201);
    assert!(start("c").await.error().contains("too many"));
    let cancel = format!("/api/v1/runs/{}/cancel", first.json()["id"].as_str().unwrap());
    assert_eq!(world.order(&cancel, &json!({})).await.status, 204);
    let ended = |changes: &Value| {
        let mut runs = changes["runs"].as_array()?.iter();
        runs.find(|news| news["state"] == "stopped" || news["state"] == "failed").cloned()
    };
    events.until(ended).await;
    assert_eq!(start("c").await.status, 201);
    world.close().await;
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_a_result_with_a_reason() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer { name: "lab".to_owned(), host: "127.0.0.1".to_owned(), port: gone.port() };
    let world = World::new(|config| {
        (config.admin, config.peers) = (Some(admin()), vec![peer]);
    });
    let world = world.await;
    let mut events = Events::open(world.site).await;
    assert_eq!(world.order("/api/v1/runs", &towards("lab", 1)).await.status, 201);
    let failed = |changes: &Value| {
        let mut runs = changes["runs"].as_array()?.iter();
        runs.find(|news| news["state"] == "failed").cloned()
    };
    let news = events.until(failed).await;
    assert!(news["message"].as_str().unwrap().contains("127.0.0.1"), "{news}");
}
