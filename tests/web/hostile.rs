//! What other sites, and whoever else can connect, might try.

use std::time::Duration;

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    http::{Request, get, post, raw},
    support::{PASSWORD, World, admin, soon},
};

#[tokio::test]
async fn a_name_that_is_not_of_this_site_gets_nothing() {
    let world = World::new(|config| config.hosts = vec!["perf.example.net".to_owned()]).await;
    let port = world.site.port();
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5280"] {
        for path in ["/", "/api/v1/sessions", "/assets/style.css", "/nothing"] {
            let answer = get(path).with("Host", host).send(world.site).await;
            assert_eq!(answer.status, 421, "{host} {path}");
            assert!(answer.error().contains("--web-host"));
        }
    }
    for host in ["localhost", &format!("127.0.0.1:{port}"), "[::1]", "perf.example.net:80"] {
        assert_eq!(get("/").with("Host", host).send(world.site).await.status, 200, "{host}");
    }
    let twice = get("/").with("Host", "localhost").with("Host", "evil.example");
    assert_eq!(twice.send(world.site).await.status, 400);
    let none = raw(world.site, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(none.status, 400);
    let two = b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(world.site, two).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_page_of_another_site_has_nothing_done_even_with_the_cookie() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    let cookie = world.log_in().await;
    for path in ["/api/v1/sessions/x/cancel", "/api/v1/runs", "/api/v1/logout", "/api/v1/login"] {
        let order = || post(path, &json!({ "password": PASSWORD })).with("Cookie", &cookie);
        for request in [
            order(),
            order().with("Origin", "http://evil.example"),
            order().with("Origin", "null"),
            order().with("Origin", &format!("http://localhost:{}", world.site.port())),
            order().own(world.site).with("Sec-Fetch-Site", "cross-site"),
            order().own(world.site).with("Sec-Fetch-Site", "same-site"),
        ] {
            assert_eq!(request.send(world.site).await.status, 403, "{request:?}");
        }
    }
    let form = Request::new("POST", "/api/v1/login", "password=x".to_owned()).own(world.site);
    let form = form.with("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(form.send(world.site).await.status, 415);
}

#[tokio::test]
async fn a_page_of_another_site_has_no_test_run() {
    let world = World::new(|_| ()).await;
    for site in ["cross-site", "same-site"] {
        let answer = get("/probe?target=x").with("Sec-Fetch-Site", site).send(world.site).await;
        assert_eq!(answer.status, 403, "{site}");
    }
    // Nobody has added such a route here, and who asks for it by hand or as a program is told that.
    for request in [get("/probe"), get("/probe").with("Sec-Fetch-Site", "none")] {
        assert_eq!(request.send(world.site).await.status, 404, "{request:?}");
    }
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let world = World::new(|_| ()).await;
    for path in ["/", "/login", "/assets/live.js", "/api/v1/server", "/nothing", "/api/v1/runs/x"] {
        let answer = get(path).send(world.site).await;
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("Access-Control-Allow-Origin").is_none(), "{path}");
    }
}

#[tokio::test]
async fn pages_have_neither_scripts_nor_styles_of_their_own_and_ask_nobody_else() {
    let world = World::new(|_| ()).await;
    for path in ["/", "/run", "/server", "/login"] {
        let page = get(path).send(world.site).await.body;
        for forbidden in ["http://", "https://", " style=", "<style", " onclick=", "javascript:"] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
        for tag in page.split("<script").skip(1) {
            assert!(tag.starts_with(" src=\"/assets/"), "{path}: {tag}");
        }
        let assets = page.split(['"']).filter(|word| word.starts_with("/assets/"));
        for asset in assets {
            let answer = get(asset).send(world.site).await;
            assert_eq!(answer.status, 200, "{asset}");
            let etag = answer.header("ETag").unwrap();
            let known = get(asset).with("If-None-Match", etag).send(world.site).await;
            assert_eq!((known.status, known.body.as_str()), (304, ""), "{asset}");
        }
    }
}

#[tokio::test]
async fn no_path_leads_out_of_what_is_in_the_binary() {
    let world = World::new(|_| ()).await;
    for path in [
        "/assets/../../../etc/passwd",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/assets/",
        "/../etc/passwd",
        "//etc/passwd",
        "/assets/style.css%00.js",
        "/assets/style.css/",
        "/%",
        "/.git/config",
    ] {
        let answer = get(path).send(world.site).await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:"));
    }
}

#[tokio::test]
async fn whatever_bytes_come_the_next_one_is_answered() {
    let world = World::new(|config| config.admin = Some(admin())).await;
    let mut random = Pcg64::seed_from_u64(17);
    let seeds = [
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", world.site),
        format!("POST /api/v1/login HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}", world.site),
        "GET /api/v1/sessions/%ff/cancel?a=b#c HTTP/1.1\r\nHost: [::1]:0\r\nCookie: a=b; c\r\nAuthorization: Bearer \u{1}\r\n\r\n".to_owned(),
    ];
    for _ in 0..600 {
        let mut bytes = seeds[random.random_range(0..seeds.len())].clone().into_bytes();
        for _ in 0..random.random_range(1..12) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes.insert(at, b"\r\n:%/\0 "[random.random_range(0..7)]),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let mut further = vec![0; random.random_range(1..64)];
                    random.fill_bytes(&mut further);
                    bytes.splice(at..at, further);
                }
            }
        }
        let mut stream = TcpStream::connect(world.site).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        let status = std::str::from_utf8(answer.get(9..12).unwrap_or(b"400")).unwrap();
        assert!(!status.starts_with('5'), "{status}: {}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(get("/").send(world.site).await.status, 200);
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let world = World::new(|_| ()).await;
    let long = get("/").with("X-Long", &"x".repeat(64 << 10));
    assert_eq!(long.send(world.site).await.status, 431);
    let many = (0..200).fold(get("/"), |request, number| request.with(&format!("X-{number}"), ""));
    assert_eq!(many.send(world.site).await.status, 431);
    let body = json!({ "password": "x".repeat(64 << 10) });
    let large = post("/api/v1/login", &body).own(world.site).send(world.site).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_is_not_waited_for() {
    let brief = Duration::from_millis(50);
    let world = World::new(|config| {
        (config.limits.head_time, config.limits.request_time) = (brief, brief);
        config.admin = Some(admin());
    });
    let world = world.await;
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", world.site);
    let body = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{",
        world.site
    );
    for bytes in ["", "GET / HTTP/1.1\r\nHo", head.as_str(), body.as_str()] {
        let mut stream = TcpStream::connect(world.site).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.starts_with("HTTP/1.1 200"), bytes == head, "{bytes}: {answer}");
    }
}

#[tokio::test]
async fn only_so_many_connections_of_an_address_are_kept() {
    let world = World::new(|config| config.limits.connections_per_address = 3).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(world.site).await.unwrap();
        let head = format!("GET /login HTTP/1.1\r\nHost: {}\r\n\r\n", world.site);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        soon(stream.read_exact(&mut first)).await.unwrap();
        open.push(stream);
    }
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", world.site);
    assert!(raw(world.site, head.as_bytes()).await.is_none());
    drop(open);
    let close = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    soon(async { while raw(world.site, close.as_bytes()).await.is_none() {} }).await;
}
