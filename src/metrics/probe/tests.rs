use super::*;
use crate::client::DEFAULT_PORT;

fn wish(query: &str) -> Wish {
    Wish::parse(query).unwrap()
}

fn prober(targets: &[&str]) -> Prober {
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    let tests = runtime::Handle::current();
    Prober::new(Config { targets, keep: Duration::ZERO, transports: Registry::standard(), tests })
}

#[test]
fn a_module_is_a_transport_and_a_direction() {
    let found = wish("target=server.example&module=quic_reverse&time=7&streams=3");
    assert_eq!((found.host.as_str(), found.port), ("server.example", DEFAULT_PORT));
    assert_eq!((found.module.transport.as_str(), found.module.reverse), ("quic", true));
    assert_eq!((found.module.time, found.module.streams), (Duration::from_secs(7), 3));
    assert!(wish("target=a&module=quic-datagram_bidir").module.bidir);
    assert_eq!(wish("target=a&module=tokio-kcp").module.transport, "tokio-kcp");
}

#[test]
fn targets_have_ports_in_every_form_of_address() {
    let at = |target: &str| {
        let found = wish(&format!("target={target}"));
        (found.host, found.port)
    };
    assert_eq!(at("192.0.2.1:6001"), ("192.0.2.1".to_owned(), 6001));
    assert_eq!(at("[2001:db8::1]:6001"), ("2001:db8::1".to_owned(), 6001));
    assert_eq!(at("[2001:db8::1]"), ("2001:db8::1".to_owned(), DEFAULT_PORT));
    assert_eq!(at("2001:db8::1"), ("2001:db8::1".to_owned(), DEFAULT_PORT));
}

#[test]
fn the_parameters_of_the_iperf3_exporter_mean_the_same() {
    let found = wish(
        "target=a&port=5205&reverse_mode=true&bitrate=100M&period=10s&protocol=udp&format=iperf3_exporter",
    );
    assert_eq!(found.names, Names::Iperf3Exporter);
    assert_eq!((found.port, found.module.reverse), (5205, true));
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
        ("target=a:x", "port \"x\""),
        ("target=[::1", "is not closed"),
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
    let refused = prober(&["192.0.2.1"]).answer("target=192.0.2.2", None).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = prober(&["192.0.2.1"]).answer("target=192.0.2.1&module=pigeon", None).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.message.contains("there are tcp"), "{}", refused.message);
}

#[tokio::test]
async fn a_test_that_is_longer_than_prometheus_waits_is_refused_with_the_remedy() {
    let refused = prober(&["192.0.2.1"]).answer("target=192.0.2.1", Some("7.5")).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.message.contains("scrape_timeout of 8 s"), "{}", refused.message);
}

#[test]
fn a_failure_is_no_zero() {
    let now = Instant::now();
    let failure = Failure::new(FailureCode::Connect, "nobody listens");
    let probed = Probed { began: now, ended: now, result: Err(failure) };
    let ours = page::ours(&probed);
    assert!(ours.contains("\nprobe_success 0.0\n"), "{ours}");
    assert!(ours.contains("polyperf_probe_failed{code=\"connect\"} 1.0"), "{ours}");
    assert!(!ours.contains("bytes"), "{ours}");
    let theirs = page::iperf3_exporter(&wish("target=a"), &probed);
    assert!(theirs.contains("iperf3_up{target=\"a\",port=\"5201\"} 0.0"), "{theirs}");
    assert_eq!(theirs.lines().filter(|line| !line.starts_with('#')).count(), 1, "{theirs}");
}

#[test]
fn labels_cannot_break_out_of_their_quotes() {
    let now = Instant::now();
    let failure = Failure::new(FailureCode::Connect, "nobody listens");
    let probed = Probed { began: now, ended: now, result: Err(failure) };
    let page = page::iperf3_exporter(&wish("target=a%22%0Aevil_metric+1%0A%5C"), &probed);
    assert!(!page.lines().any(|line| line.starts_with("evil")), "{page}");
    assert!(page.contains(r#"target="a\"\nevil_metric 1\n\\""#), "{page}");
}
