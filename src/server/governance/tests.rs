use std::num::NonZeroU32;

use super::*;
use crate::spec::{Direction, Limit, Rate, SpecFields};

const FILE: &str = r#"
public = true
new_sessions_per_second = 4

[[policy]]
name = "blocked"
prefixes = ["198.51.100.0/24", "2001:db8:bad::/48"]
deny = true

[[policy]]
name = "lab"
identities = ["mario", "luigi"]
prefixes = ["192.0.2.0/24"]

[[policy]]
name = "known"
identities = ["*"]
transports = ["tcp"]
directions = ["forward", "bidirectional"]
max_streams = 4
max_rate = "100M"
max_duration = "1m"
max_sessions = 2
bytes_per_day = "1G"
"#;

const TRANSPORTS: [&str; 3] = ["tcp", "udp", "quic"];

fn spec(set: impl FnOnce(&mut SpecFields)) -> TestSpec {
    let mut fields = SpecFields::default();
    set(&mut fields);
    TestSpec::try_from(fields).unwrap()
}

fn parse(text: &str) -> Policies {
    Policies::parse(text, &TRANSPORTS).unwrap()
}

fn mistakes(text: &str) -> Vec<(usize, String)> {
    let mistakes = Policies::parse(text, &TRANSPORTS).unwrap_err();
    mistakes.iter().map(|mistake| (mistake.line, mistake.problem.clone())).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(policies: &Policies, address: &str, identity: Option<&str>) -> String {
    policies.of(ip(address), identity).name.clone()
}

#[test]
fn the_first_policy_that_a_client_matches_holds() {
    let policies = parse(FILE);
    assert_eq!(name(&policies, "198.51.100.7", Some("mario")), "blocked");
    assert_eq!(name(&policies, "::ffff:198.51.100.7", None), "blocked");
    assert_eq!(name(&policies, "2001:db8:bad:1::1", None), "blocked");
    assert_eq!(name(&policies, "192.0.2.9", Some("mario")), "lab");
    assert_eq!(name(&policies, "192.0.3.9", Some("mario")), "known");
    assert_eq!(name(&policies, "192.0.2.9", Some("peach")), "known");
    assert_eq!(name(&policies, "192.0.2.9", None), "public");
    assert_eq!(policies.arrivals().per_second.get(), 4);
}

#[test]
fn only_a_server_that_is_public_holds_strangers_to_defaults() {
    let everything = Policies::default();
    assert_eq!(**everything.of(ip("192.0.2.1"), None), Policy::default());
    let public = Policies::default().public();
    assert_eq!(**public.of(ip("192.0.2.1"), None), Policy::for_strangers());
    assert_eq!(**public.of(ip("192.0.2.1"), Some("mario")), Policy::default());
    assert!(public.arrivals().burst < everything.arrivals().burst);
}

#[test]
fn an_address_is_turned_away_at_the_door_unless_an_identity_may_open_it() {
    let policies = parse(FILE);
    assert!(policies.closed_to(ip("198.51.100.7")).is_some());
    assert!(policies.closed_to(ip("192.0.2.9")).is_none());
    let first = "[[policy]]\nname = \"a\"\nidentities = [\"mario\"]\n";
    let policies = parse(&format!("{first}[[policy]]\nname = \"b\"\ndeny = true\n"));
    assert!(policies.closed_to(ip("192.0.2.9")).is_none());
    assert!(policies.of(ip("192.0.2.9"), None).deny);
    assert!(!policies.of(ip("192.0.2.9"), Some("mario")).deny);
}

#[test]
fn a_test_is_held_to_each_limit_and_told_which() {
    let policies = parse(FILE);
    let policy = policies.of(ip("192.0.3.9"), Some("peach"));
    let rate = Some(Rate { bits_per_second: 60_000_000, burst: None });
    for (test, what, word) in [
        (spec(|s| s.transport = "udp".to_owned()), Forbidden::Kind, "tcp, not udp"),
        (spec(|s| s.direction = Direction::Reverse), Forbidden::Kind, "not reverse"),
        (spec(|s| s.streams = 5), Forbidden::Streams, "4 streams, not 5"),
        (spec(|s| (s.streams, s.rate) = (2, rate)), Forbidden::Rate, "120000000"),
        (spec(|s| s.limit = Limit::Time(Duration::from_secs(61))), Forbidden::Duration, "60 s"),
    ] {
        let breach = policy.check(&test).unwrap_err();
        assert_eq!((breach.what, breach.failure.code), (what, FailureCode::Denied));
        assert!(breach.failure.message.contains(word), "{}", breach.failure);
        assert!(breach.failure.message.contains("\"known\""), "{}", breach.failure);
    }
    assert_eq!(policy.check(&spec(|_| ())), Ok(()));
    assert_eq!(
        policies.of(ip("192.0.2.9"), Some("mario")).check(&spec(|s| s.streams = 99)),
        Ok(())
    );
}

#[test]
fn every_mistake_in_a_file_is_told_at_once_with_its_line() {
    let text = r#"public = 1
colour = "red"
[[policy]]
prefixes = ["192.0.2.0/33", "10.0.0.0/8"]
transports = ["tcp", "pigeon"]
[[policy]]
name = "a"
max_streams = 0
max_rate = "fast"
limit = 3
[[policy]]
name = "a"
deny = true
max_sessions = 1
directions = []
"#;
    let found = mistakes(text);
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 8, 9, 10, 11, 11, 15], "{found:?}");
    let words = ["true or false", "\"colour\"", "no name", "/33", "pigeon", "from 1", "fast"];
    for (word, (_, problem)) in words.iter().zip(&found) {
        assert!(problem.contains(word), "{problem}: {word}");
    }
    assert!(!mistakes("[[policy]\nname = ").is_empty());
    assert!(!mistakes("policy = 1").is_empty());
}

#[test]
fn the_example_in_the_documentation_is_read() {
    let page = include_str!("../../../docs/governance.md");
    let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let transports = crate::registry::Registry::standard().names();
    let policies = Policies::parse(example, &transports).unwrap();
    assert_eq!(name(&policies, "192.0.2.1", None), "lab");
    assert_eq!(name(&policies, "192.0.2.1", Some("bob")), "operators");
}

#[test]
fn garbage_of_any_kind_is_read_or_refused() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
    for _ in 0..2000 {
        let mut bytes = FILE.as_bytes().to_vec();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        if let Err(mistakes) = Policies::parse(&String::from_utf8_lossy(&bytes), &TRANSPORTS) {
            assert!(mistakes.iter().count() > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_one_address_is_told_when_to_come_again() {
    let governor = Governor::new(parse(FILE));
    let flood = ip("192.0.2.1");
    while governor.knock(flood).is_ok() {}
    let busy = governor.knock(flood).unwrap_err();
    assert_eq!(busy.code, FailureCode::Busy);
    assert!(governor.knock(ip("192.0.2.2")).is_ok());
    tokio::time::advance(busy.retry_after.unwrap()).await;
    assert!(governor.knock(flood).is_ok());
    assert_eq!(governor.knock(ip("198.51.100.7")).unwrap_err().code, FailureCode::Denied);
}

#[tokio::test(start_paused = true)]
async fn an_identity_is_one_client_at_every_address_and_an_ipv6_network_is_one_as_well() {
    let two = Policy { max_sessions: NonZeroU32::new(2), ..Policy::default() };
    let governor = Governor::new(Policies::new([two]));
    let test = spec(|_| ());
    let permit = |address: &str, identity| governor.permit(ip(address), identity, &test);
    let first = permit("192.0.2.1", Some("mario")).unwrap();
    let _second = permit("192.0.2.2", Some("mario")).unwrap();
    let breach = permit("192.0.2.3", Some("mario")).unwrap_err();
    assert_eq!((breach.what, breach.failure.code), (Forbidden::Crowd, FailureCode::Busy));
    assert_eq!(breach.failure.retry_after, Some(Duration::from_secs(10)));
    drop(first);
    assert!(permit("192.0.2.3", Some("mario")).is_ok());
    let _net = [permit("2001:db8::1", None).unwrap(), permit("2001:db8::2:1", None).unwrap()];
    assert!(permit("2001:db8::3", None).is_err());
    assert!(permit("2001:db8:0:1::3", None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_a_test_moves_counts_as_it_goes_and_for_all_tests_of_the_client() {
    let policy = Policy { bytes_per_day: Some(1000), ..Policy::default() };
    let governor = Governor::new(Policies::new([policy]));
    let permit = |test: &TestSpec| governor.permit(ip("192.0.2.1"), None, test);
    let endless = spec(|s| s.limit = Limit::Endless);
    let (mut one, mut other) = (permit(&endless).unwrap(), permit(&endless).unwrap());
    assert_eq!(one.charge(300), Ok(()));
    assert_eq!(one.charge(400), Ok(()), "what was charged is not charged again");
    assert_eq!(other.charge(500), Ok(()));
    let long = spec(|s| s.limit = Limit::Bytes(101));
    let breach = permit(&long).unwrap_err();
    assert_eq!(breach.what, Forbidden::Bytes);
    assert!(breach.failure.message.contains("100 bytes are left"), "{}", breach.failure);
    let both = spec(|s| (s.limit, s.direction) = (Limit::Bytes(51), Direction::Bidirectional));
    assert!(permit(&both).is_err());
    assert!(permit(&spec(|s| s.limit = Limit::Bytes(100))).is_ok());
    let ended = one.charge(500).unwrap_err();
    assert_eq!(ended.code, FailureCode::Denied);
    assert!(ended.retry_after.is_some_and(|until| until <= Duration::from_secs(86_400)));
    assert!(permit(&endless).is_err());
}

#[tokio::test(start_paused = true)]
async fn policies_that_are_changed_hold_for_the_next_test() {
    let governor = Governor::new(Policies::default());
    let test = spec(|s| s.streams = 9);
    let running = governor.permit(ip("192.0.2.1"), None, &test).unwrap();
    governor.set_policies(Policies::default().public());
    assert_eq!(running.longest(Duration::from_secs(99)), Duration::from_secs(99));
    assert!(governor.permit(ip("192.0.2.1"), None, &test).is_err());
    let guest = governor.permit_guest(ip("192.0.2.2"), "quic", &test);
    assert!(guest.unwrap_err().message.contains("streams"));
}
