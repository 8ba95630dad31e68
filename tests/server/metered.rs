//! What a server tells Prometheus.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use polyperf::{
    Registry,
    event::Event,
    measure::Role,
    metrics::{
        Metrics, Served,
        probe::{Config, Prober, Target},
        routes,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    Serving, World, bytes, connected, finished, soon, spawn, tcp_client, tcp_server,
};

/// Starts to count what this server does.
fn metered(server: &Serving) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::new(&server.handle));
    tokio::spawn(metrics.follow());
    metrics
}

/// Returns the value of a line; `None` if there is no such line.
fn figure(page: &str, name: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value)
}

/// Waits until this line is there with this value.
async fn becomes(metrics: &Metrics, name: &str, value: f64) {
    soon(async {
        while figure(&metrics.encode(), name) != Some(value) {
            // The events are there already; whoever counts them has its turn.
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn prober(addrs: &[SocketAddr], keep: Duration) -> Prober {
    let target = |addr: &SocketAddr| Target {
        name: addr.to_string(),
        host: addr.ip().to_string(),
        port: addr.port(),
    };
    let targets = addrs.iter().map(target).collect();
    let tests = tokio::runtime::Handle::current();
    Prober::new(Config { targets, keep, transports: Registry::standard(), tests })
}

/// Serves the pages of this server, and returns where.
async fn site(server: &Serving, prober: Prober) -> SocketAddr {
    let (handle, metrics) = (server.handle.clone(), metered(server));
    let pages = routes(Served { handle, metrics, prober: Arc::new(prober) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    addr
}

/// Returns the first line and the rest of what is answered.
async fn get(site: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(site).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {site}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let (status, rest) = answer.split_once("\r\n").unwrap();
    (status.to_owned(), rest.to_owned())
}

#[tokio::test(start_paused = true)]
async fn bytes_are_counted_as_they_move_and_add_up_in_the_end() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let metrics = metered(&server);
    let received = r#"polyperf_transferred_bytes_total{transport="memory",direction="received"}"#;
    let interval = Some(Duration::from_millis(500));
    let client = world.client(&server).time(Duration::from_secs(4)).interval(interval);
    let client = spawn(client);
    server.event(connected).await;
    server
        .event(|event| match event {
            Event::Interval(_) => Some(()),
            _ => None,
        })
        .await;
    soon(async {
        while figure(&metrics.encode(), received).is_none_or(|bytes| bytes == 0.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let running = r#"polyperf_sessions_active{stage="running",transport="memory"}"#;
    assert_eq!(figure(&metrics.encode(), running), Some(1.0));
    assert!(soon(client).await.unwrap().is_ok());
    let outcome = server.event(finished).await;
    let complete =
        r#"polyperf_sessions_total{transport="memory",dialect="native",result="complete"}"#;
    becomes(&metrics, complete, 1.0).await;
    let page = metrics.encode();
    #[allow(clippy::cast_precision_loss, reason = "it is small")]
    let whole = bytes(&outcome.local, Role::Receiver) as f64;
    assert_eq!(figure(&page, received), Some(whole));
    let durations = r#"polyperf_session_duration_seconds_count{transport="memory"}"#;
    assert_eq!(figure(&page, durations), Some(1.0));
    assert!(page.ends_with("# EOF\n"), "it is whole");
}

#[tokio::test(start_paused = true)]
async fn a_page_has_no_label_of_a_single_test() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_duration(Duration::from_secs(2))).await;
    let metrics = metered(&server);
    let secret = "x\"} 1\nevil_metric 1\n{y=\"";
    let named = world.client(&server).time(Duration::from_secs(1)).spec(|spec| {
        spec.title = Some(secret.to_owned());
        spec.extra_data = Some(secret.to_owned());
    });
    assert!(soon(spawn(named)).await.unwrap().is_ok());
    let session = server.event(finished).await.info.session.clone();
    assert!(
        soon(spawn(world.client(&server).time(Duration::from_secs(9)))).await.unwrap().is_err()
    );
    becomes(&metrics, r#"polyperf_rejected_total{reason="denied"}"#, 1.0).await;
    becomes(&metrics, r#"polyperf_sessions_failed_total{code="denied"}"#, 1.0).await;
    let page = metrics.encode();
    assert!(!page.contains("evil") && !page.contains(&session), "{page}");
    assert!(!page.contains("127.0.0.1"), "{page}");
}

#[tokio::test]
async fn the_process_is_told_under_the_usual_names() {
    let server = tcp_server(|s| s).await;
    let page = metered(&server).encode();
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(figure(&page, name).is_some_and(|value| value >= 0.0), "{name}: {page}");
    }
    assert!(page.contains("polyperf_build_info{version=\""), "{page}");
}

#[tokio::test]
async fn a_draining_server_is_alive_and_not_ready() {
    let mut server = tcp_server(|s| s).await;
    let client = spawn(tcp_client(&server).time(Duration::from_secs(60)));
    server.event(connected).await;
    let site = site(&server, prober(&[], Duration::ZERO)).await;
    assert_eq!(get(site, "/readyz").await.0, "HTTP/1.1 200 OK");
    server.drain();
    soon(async { while get(site, "/readyz").await.0 != "HTTP/1.1 503 Service Unavailable" {} })
        .await;
    assert_eq!(get(site, "/healthz").await.0, "HTTP/1.1 200 OK");
    let (_, page) = get(site, "/metrics").await;
    assert_eq!(figure(&page, "polyperf_serving"), Some(0.0));
    server.handle.stop();
    let _ = soon(client).await;
}

#[tokio::test]
async fn a_probe_measures_once_and_shows_that_again() {
    let server = tcp_server(|s| s).await;
    let target = server.addr.to_string();
    let site = site(&server, prober(&[server.addr], Duration::from_secs(3600))).await;
    let path = format!("/probe?target={target}&time=1&bitrate=10M");
    let ((status, first), (_, second)) = tokio::join!(get(site, &path), get(site, &path));
    assert_eq!(status, "HTTP/1.1 200 OK");
    for page in [&first, &second] {
        assert_eq!(figure(page, "probe_success"), Some(1.0), "{page}");
    }
    let goodput = r#"polyperf_probe_goodput_bytes_per_second{direction="up"}"#;
    assert!(figure(&first, goodput).is_some_and(|bytes| bytes > 0.0), "{first}");
    assert_eq!(figure(&first, goodput), figure(&second, goodput));
    assert!(!first.contains(r#"direction="down""#), "what was not measured is not there: {first}");
    assert_eq!(server.handle.served(), 1);
    let theirs = get(site, &format!("{path}&format=iperf3_exporter")).await.1;
    assert!(theirs.contains("iperf3_up{target=\"127.0.0.1\""), "{theirs}");
    assert!(theirs.contains("iperf3_received_bps{"), "{theirs}");
    assert_eq!(server.handle.served(), 1, "the names are no reason to measure anew");
}

#[tokio::test]
async fn two_probes_of_one_target_never_run_at_once() {
    let mut server = tcp_server(|s| s).await;
    let target = server.addr.to_string();
    let site = site(&server, prober(&[server.addr], Duration::ZERO)).await;
    let up = format!("/probe?target={target}&time=1&bitrate=10M");
    let down = format!("/probe?target={target}&module=tcp_reverse&time=1&bitrate=10M");
    let answers = tokio::join!(get(site, &up), get(site, &down));
    for (_, page) in [answers.0, answers.1] {
        assert_eq!(figure(&page, "probe_success"), Some(1.0), "{page}");
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        let began = |event| match event {
            Event::Connected(_) => Some(true),
            Event::Finished(_) => Some(false),
            _ => None,
        };
        order.push(server.event(began).await);
    }
    assert_eq!(order, [true, false, true, false]);
}

#[tokio::test]
async fn who_gives_up_before_its_turn_leaves_no_test_behind() {
    let mut server = tcp_server(|s| s).await;
    let prober = Arc::new(prober(&[server.addr], Duration::ZERO));
    let query = |module: &str| format!("target={}&module={module}&time=1&bitrate=10M", server.addr);
    let (own, first) = (Arc::clone(&prober), query("tcp"));
    let first = tokio::spawn(async move { own.answer(&first, None).await });
    let second = query("tcp_reverse");
    server.event(connected).await;
    let second = tokio::time::timeout(Duration::from_millis(50), prober.answer(&second, None));
    assert!(second.await.is_err(), "it waits for its turn");
    assert!(soon(first).await.unwrap().is_ok());
    let third = format!("target={}&module=tcp_bidir&time=1&bitrate=10M", server.addr);
    assert!(soon(prober.answer(&third, None)).await.is_ok());
    for _ in 0..2 {
        server.event(finished).await;
    }
    assert_eq!(server.handle.served(), 2);
}

#[tokio::test]
async fn a_probe_that_reaches_nobody_says_so_without_any_zero() {
    let server = tcp_server(|s| s).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = site(&server, prober(&[free], Duration::ZERO)).await;
    let (status, page) = get(site, &format!("/probe?target={free}&time=1")).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(figure(&page, "probe_success"), Some(0.0));
    assert_eq!(figure(&page, r#"polyperf_probe_failed{code="connect"}"#), Some(1.0), "{page}");
    assert!(!page.contains("goodput") && !page.contains("bytes"), "{page}");
    for foreign in ["192.0.2.1", "127.0.0.1", "127.0.0.1&port=22", &format!("{free}&port=22")] {
        let (status, text) = get(site, &format!("/probe?target={foreign}")).await;
        assert_eq!(status, "HTTP/1.1 403 Forbidden", "{foreign}");
        assert!(text.contains("--probe-target"), "{text}");
    }
    let (status, _) = get(site, &format!("/probe?target=127.0.0.1&port={}", free.port())).await;
    assert_eq!(status, "HTTP/1.1 200 OK", "a host and its port are as good as its name");
}
