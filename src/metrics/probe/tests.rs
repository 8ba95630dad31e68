use super::*;

fn wish(query: &str) -> Wish {
    Wish::parse(query).unwrap()
}

fn target(host: &str, port: u16) -> Target {
    Target { name: format!("{host}:{port}"), host: host.to_owned(), port }
}

fn prober(targets: &[Target]) -> Prober {
    let (targets, tests) = (targets.to_vec(), runtime::Handle::current());
    Prober::new(Config { targets, keep: Duration::ZERO, transports: Registry::standard(), tests })
}

fn failed() -> Probed {
    let now = Instant::now();
    let failure = Failure::new(FailureCode::Connect, "nobody listens");
    Probed { began: now, ended: now, result: Err(failure) }
}

#[test]
fn a_module_is_a_transport_and_a_direction() {
    let found = wish("target=server.example&module=quic_reverse&time=7&streams=3");
    assert_eq!((found.module.transport.as_str(), found.module.reverse), ("quic", true));
    assert_eq!((found.module.time, found.module.streams), (Duration::from_secs(7), 3));
    assert!(wish("target=a&module=quic-datagram_bidir").module.bidir);
    assert_eq!(wish("target=a&module=tokio-kcp").module.transport, "tokio-kcp");
}

#[test]
fn a_target_is_meant_by_its_name_or_by_its_host_and_its_own_port() {
    let named = target("192.0.2.1", 6001);
    let means = |query: &str| wish(query).means(&named);
    assert!(means("target=192.0.2.1:6001"));
    assert!(means("target=192.0.2.1&port=6001"));
    assert!(!means("target=192.0.2.1:5201"), "another port is another server");
    assert!(!means("target=192.0.2.1&port=22"));
    assert!(!means("target=192.0.2.1:6001&port=22"));
    assert!(!means("target=192.0.2.2&port=6001"));
}

#[test]
fn the_parameters_of_the_iperf3_exporter_mean_the_same() {
    let found = wish(
        "target=a&port=5205&reverse_mode=true&bitrate=100M&period=10s&protocol=udp&format=iperf3_exporter",
    );
    assert_eq!(found.names, Names::Iperf3Exporter);
    assert!(found.means(&target("a", 5205)) && found.module.reverse);
    assert_eq!(found.module.transport, "udp");
    assert_eq!(
        (found.module.time, found.module.rate),
        (Duration::from_secs(10), Some(100_000_000))
    );
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_a_reason() {
    for (query, reason) in [
        ("", "the target is missing"),
        ("target=", "the target is missing"),
        ("target=a&target=b", "is given twice"),
        ("target=a&port=0", "port \"0\" is not from 1 to 65535"),
        ("target=a&time=0", "is not from 1 s to 60 s"),
        ("target=a&time=61", "is not from 1 s to 60 s"),
        ("target=a&streams=129", "streams"),
        ("target=a&bitrate=x", "bitrate"),
        ("target=a&format=html", "format"),
        ("target=a&colour=red", "\"colour\" is no parameter"),
        ("target=a&reverse_mode=maybe", "neither true nor false"),
    ] {
        let refused = Wish::parse(query).unwrap_err();
        assert!(refused.contains(reason), "{query}: {refused}");
    }
}

#[test]
fn no_query_makes_it_panic() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
    let pieces = ["target", "=", "&", "module", "[", "]", ":", "%", "%00", "é", "_", "5201", "udp"];
    for _ in 0..20_000 {
        let length = random.random_range(0..12);
        let query: String =
            (0..length).map(|_| pieces[random.random_range(0..pieces.len())]).collect();
        let _ = Wish::parse(&query);
    }
}

#[tokio::test]
async fn only_targets_that_are_named_are_tested() {
    let refused =
        prober(&[target("192.0.2.1", 5201)]).answer("target=192.0.2.2", None).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = prober(&[target("192.0.2.1", 5201)])
        .answer("target=192.0.2.1:5201&module=pigeon", None)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.message.contains("there are tcp"), "{}", refused.message);
}

#[tokio::test]
async fn a_test_that_is_longer_than_prometheus_waits_is_refused_with_the_remedy() {
    let refused = prober(&[target("192.0.2.1", 5201)])
        .answer("target=192.0.2.1:5201", Some("7.5"))
        .await
        .unwrap_err();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.message.contains("scrape_timeout of 8 s"), "{}", refused.message);
}

#[test]
fn a_failure_is_no_zero() {
    let probed = failed();
    let ours = page::ours(&probed);
    assert!(ours.contains("\nprobe_success 0.0\n"), "{ours}");
    assert!(ours.contains("polyperf_probe_failed{code=\"connect\"} 1.0"), "{ours}");
    assert!(!ours.contains("bytes"), "{ours}");
    let theirs = page::iperf3_exporter(&target("a", 5201), false, &probed);
    assert!(theirs.contains("iperf3_up{target=\"a\",port=\"5201\"} 0.0"), "{theirs}");
    assert_eq!(theirs.lines().filter(|line| !line.starts_with('#')).count(), 1, "{theirs}");
}

#[test]
fn labels_cannot_break_out_of_their_quotes() {
    let probed = failed();
    let page = page::iperf3_exporter(&target("a\"\nevil_metric 1\n\\", 5201), false, &probed);
    assert!(!page.lines().any(|line| line.starts_with("evil")), "{page}");
    assert!(page.contains(r#"target="a\"\nevil_metric 1\n\\""#), "{page}");
}
