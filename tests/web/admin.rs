//! Who may give orders, and who may look on.

use std::time::Duration;

use polyperf::web::Admin;
use serde_json::json;

use crate::{
    http::{get, post},
    support::{PASSWORD, TOKEN, World, admin},
};

const CANCEL: &str = "/api/v1/sessions/nobody/cancel";

#[tokio::test]
async fn without_a_password_nobody_gives_orders_and_is_told_why() {
    let world = World::new(|_| ()).await;
    for request in [post(CANCEL, &json!({})), post("/api/v1/runs", &json!({}))] {
        let answer = request.own(world.site).send(world.site).await;
        assert_eq!(answer.status, 403);
        assert!(answer.error().contains("--web-password-file"), "{answer:?}");
    }
    assert_eq!(world.try_password(PASSWORD).send(world.site).await.status, 403);
    assert_eq!(get("/api/v1/me").send(world.site).await.json()["ways"], json!([]));
}

#[tokio::test]
async fn who_knows_the_password_has_a_cookie_that_no_script_and_no_other_site_has() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    let answer = world.try_password(PASSWORD).send(world.site).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let cookie = answer.header("Set-Cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = world.log_in().await;
    let order = || post(CANCEL, &json!({})).own(world.site).with("Cookie", &cookie);
    assert_eq!(order().send(world.site).await.status, 404, "nobody is there");
    let me = get("/api/v1/me").with("Cookie", &cookie).send(world.site).await.json();
    assert_eq!(me["admin"], true);
    let out = post("/api/v1/logout", &json!({})).own(world.site).with("Cookie", &cookie);
    assert_eq!(out.send(world.site).await.status, 204);
    assert_eq!(order().send(world.site).await.status, 401);
}

#[tokio::test]
async fn a_wrong_password_lets_nobody_in_and_many_have_to_wait() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    // The wait is a matter of seconds, and to look at a password may take a busy machine as long.
    let mut answer = None;
    for round in 0..10 {
        for password in ["", "correct hors", "correct horse "] {
            let status = world.try_password(password).send(world.site).await.status;
            assert!(status == 401 || (round > 0 && status == 429), "{password:?}: {status}");
        }
        let right = world.try_password(PASSWORD).send(world.site).await;
        if right.status == 429 {
            answer = Some(right);
            break;
        }
    }
    let answer = answer.expect("the right one waits as well");
    assert!(answer.header("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(answer.error().contains("try again in"), "{answer:?}");
}

#[tokio::test]
async fn a_program_shows_its_token_and_needs_no_origin() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    assert_eq!(world.order(CANCEL, &json!({})).await.status, 404);
    for wrong in [&TOKEN[1..], "x"] {
        let request = post(CANCEL, &json!({})).with("Authorization", &format!("Bearer {wrong}"));
        assert_eq!(request.send(world.site).await.status, 401, "{wrong}");
    }
}

#[tokio::test]
async fn a_login_whose_time_is_over_is_none() {
    let hash = polyperf::web::hash_password(PASSWORD).unwrap();
    let mut brief = Admin::new().password(&hash).unwrap();
    brief.lifetime = Duration::ZERO;
    let world = World::new(|config| config.admin = Some(brief));
    let world = world.await;
    let cookie = world.log_in().await;
    let order = post(CANCEL, &json!({})).own(world.site).with("Cookie", &cookie);
    assert_eq!(order.send(world.site).await.status, 401);
}

#[tokio::test]
async fn a_private_site_shows_strangers_a_page_to_log_in_and_nothing_else() {
    let routes = axum::Router::new()
        .route("/healthz", axum::routing::get(|| async { "lives" }))
        .route("/metrics", axum::routing::get(|| async { "figures" }));
    let set = |config: &mut polyperf::web::Config| {
        (config.admin, config.public_read) = (Some(admin()), false);
    };
    let world = World::with(set, |site| site.with_routes(routes)).await;
    for path in ["/api/v1/events", "/api/v1/sessions", "/api/v1/server", "/api/v1/runs", "/metrics"]
    {
        assert_eq!(get(path).send(world.site).await.status, 401, "{path}");
    }
    for path in ["/", "/run", "/run/0123", "/server"] {
        let answer = get(path).send(world.site).await;
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/login")), "{path}");
    }
    for path in ["/login", "/assets/style.css", "/api/v1/me", "/healthz"] {
        assert_eq!(get(path).send(world.site).await.status, 200, "{path}");
    }
    let cookie = world.log_in().await;
    for path in ["/", "/api/v1/sessions", "/api/v1/server", "/metrics"] {
        assert_eq!(get(path).with("Cookie", &cookie).send(world.site).await.status, 200, "{path}");
    }
}
