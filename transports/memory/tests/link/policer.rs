//! A policer drops what does not conform, and delays nothing.

use std::time::Duration;

use polyperf_memory::link::{BitRate, Cause, Link, LinkConfig, Policer};

use super::{ids, ms, packet};

#[test]
fn a_burst_passes_at_once_and_no_more_than_it() {
    let mut link = policed(8, 8000);
    (0..10).for_each(|id| link.push(ms(0), packet(id, 1000)));
    assert_eq!(link.stats().dropped_by_policer, 2);
    assert_eq!(ids(&mut link), (0..8).collect::<Vec<_>>());
}

#[test]
fn tokens_come_to_the_nanosecond_and_not_beyond_the_burst() {
    // 1000 bytes at 8 Mbit/s come in a millisecond.
    let mut link = policed(8, 2000);
    (0..3).for_each(|id| link.push(ms(0), packet(id, 1000)));
    link.push(ms(1) - Duration::from_nanos(1), packet(3, 1000));
    link.push(ms(1), packet(4, 1000));
    // A pause of a second saves up no more than the burst.
    (5..10).for_each(|id| link.push(ms(1000), packet(id, 1000)));
    assert_eq!(ids(&mut link), [0, 1, 4, 5, 6]);
}

#[test]
fn in_the_long_run_it_passes_its_rate_and_one_burst() {
    for (rate, burst, len) in [(50, 8192, 1400), (7, 3000, 999), (900, 64_000, 1500)] {
        let mut link = policed(rate, burst);
        let mut passed = 0_u64;
        // Offered is a packet each 10 µs, for a second: more than any of the rates.
        for tick in 0..100_000_u32 {
            let now = Duration::from_micros(10) * tick;
            link.push(now, packet(0, len));
            passed += link.pop(now).map_or(0, |arrival| arrival.packet.len() as u64);
        }
        let offered = len as u64 * 100_000;
        let allowed = (rate * 125_000 + burst as u64).min(offered);
        let missing = allowed.saturating_sub(passed);
        assert!(passed <= allowed && missing < 2 * len as u64, "{rate}: {passed} of {allowed}");
    }
}

#[test]
fn what_is_larger_than_the_burst_never_passes() {
    let mut link = policed(1000, 1000).keep_lost();
    link.push(Duration::from_secs(5), packet(7, 1001));
    assert_eq!(link.take_lost(), Some((packet(7, 1001), Cause::Policer)));
    assert_eq!(link.take_lost(), None);
}

fn policed(mbps: u64, burst: usize) -> Link<Vec<u8>> {
    let policer = Policer { rate: BitRate::mbps(mbps), burst };
    Link::new(LinkConfig::perfect().policer(policer))
}
