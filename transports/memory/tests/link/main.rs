//! The link in virtual time: each test knows the truth packet for packet.

mod account;
mod codel;
mod loss;
mod policer;
mod schedule;
mod trace;

use std::time::Duration;

use polyperf_memory::link::{
    BitRate, Link, LinkConfig, LinkStats, Loss, Probability, QueueLimit, Script,
};

#[test]
fn a_perfect_link_hands_on_at_once_and_in_order() {
    let mut link = Link::new(LinkConfig::perfect());
    for id in 0..100 {
        link.push(ms(5), packet(id, 1500));
    }
    assert_eq!(arrivals(&mut link), (0..100).map(|id| (ms(5), id)).collect::<Vec<_>>());
    assert_eq!(link.stats(), LinkStats { pushed: 100, delivered: 100, ..LinkStats::default() });
    assert_eq!(link.next_deadline(), None);
}

#[test]
fn each_packet_arrives_after_its_delay() {
    let mut link = Link::new(LinkConfig::perfect().delay(ms(20)));
    link.push(ms(1), packet(0, 100));
    link.push(ms(3), packet(1, 100));
    assert_eq!(link.next_deadline(), Some(ms(21)));
    assert_eq!(link.pop_due(ms(20)), None);
    assert_eq!(arrivals(&mut link), [(ms(21), 0), (ms(23), 1)]);
}

#[test]
fn a_rate_gives_exact_serialization_times() {
    // 1250 bytes at 10 Mbit/s take a millisecond.
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)).delay(ms(7)));
    for id in 0..100 {
        link.push(ms(0), packet(id, 1250));
    }
    let expected: Vec<_> = (0..100).map(|id| (ms(u64::from(id) + 1 + 7), id)).collect();
    assert_eq!(arrivals(&mut link), expected);
}

#[test]
fn rounding_to_nanoseconds_never_adds_up() {
    // One byte at 7 bit/s takes 8/7 of a second; seven bytes take eight seconds to the nanosecond.
    let rate = BitRate::new(7).expect("more than none");
    let mut link = Link::new(LinkConfig::perfect().rate(rate));
    for id in 0..70 {
        link.push(ms(0), packet(id, 1));
    }
    assert_eq!(arrivals(&mut link).last(), Some(&(Duration::from_secs(80), 69)));
}

#[test]
fn a_late_caller_does_not_lower_the_rate() {
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)));
    for id in 0..100 {
        link.push(ms(0), packet(id, 1250));
    }
    assert_eq!(link.pop_due(ms(99)).map(|packet| packet[0]), Some(0));
    let by_then = std::iter::from_fn(|| link.pop_due(ms(99))).count();
    assert_eq!(1 + by_then, 99);
}

#[test]
fn an_idle_link_saves_up_nothing() {
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)));
    link.push(ms(0), packet(0, 1250));
    link.push(ms(50), packet(1, 1250));
    link.push(ms(50), packet(2, 1250));
    assert_eq!(arrivals(&mut link), [(ms(1), 0), (ms(51), 1), (ms(52), 2)]);
}

#[test]
fn a_full_queue_of_packets_drops_the_newest() {
    let config = LinkConfig::perfect().rate(BitRate::mbps(10)).queue(QueueLimit::Packets(10));
    let mut link = Link::new(config);
    for id in 0..100 {
        link.push(ms(0), packet(id, 1250));
    }
    // One is being serialized, ten wait.
    assert_eq!(link.stats().dropped_by_queue, 89);
    assert_eq!(ids(&mut link), (0..11).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_of_bytes_drops_what_does_not_fit() {
    let config = LinkConfig::perfect().rate(BitRate::mbps(10)).queue(QueueLimit::Bytes(3000));
    let mut link = Link::new(config);
    for id in 0..5 {
        link.push(ms(0), packet(id, 1250));
    }
    link.push(ms(0), packet(5, 500));
    assert_eq!(link.stats().dropped_by_queue, 2);
    assert_eq!(ids(&mut link), [0, 1, 2, 5]);
}

#[test]
fn loss_sits_behind_the_bottleneck() {
    let script = Script::new().drop([0, 1, 2]);
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)).script(script));
    for id in 0..4 {
        link.push(ms(0), packet(id, 1250));
    }
    assert_eq!(arrivals(&mut link), [(ms(4), 3)]);
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| {
        let config = LinkConfig::perfect()
            .rate(BitRate::mbps(50))
            .delay(ms(10))
            .jitter(ms(2))
            .loss(Loss::bursts(Probability::new(0.05), 2.0))
            .duplicate(Probability::new(0.02))
            .reorder(Probability::new(0.02), ms(3))
            .seed(seed);
        let mut link = Link::new(config);
        (0..=255).for_each(|id| link.push(ms(u64::from(id)), packet(id, 1000)));
        arrivals(&mut link)
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_seed_means_the_same_for_ever() {
    let lost = losses(Loss::iid(Probability::new(0.1)), 42, 50);
    let numbers: Vec<_> = (0..50).filter(|number| lost[*number]).collect();
    assert_eq!(numbers, SEED_42);
}

#[test]
fn changing_one_setting_leaves_the_dice_of_others() {
    let base = LinkConfig::perfect().loss(Loss::iid(Probability::new(0.2))).seed(9);
    let run = |config: LinkConfig| {
        let mut link = Link::new(config);
        (0..=255).for_each(|id| link.push(ms(0), packet(id, 100)));
        let mut ids = ids(&mut link);
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let others = base
        .clone()
        .jitter(ms(2))
        .duplicate(Probability::new(0.3))
        .reorder(Probability::new(0.3), ms(1));
    assert_eq!(run(base), run(others));
}

#[test]
fn a_script_drops_exactly_what_it_says() {
    let script = Script::new().drop([1, 4, 5]);
    let mut link = Link::new(LinkConfig::perfect().script(script));
    (0..8).for_each(|id| link.push(ms(0), packet(id, 100)));
    assert_eq!(ids(&mut link), [0, 2, 3, 6, 7]);
    let expected = LinkStats { pushed: 8, delivered: 5, lost_by_script: 3, ..LinkStats::default() };
    assert_eq!(link.stats(), expected);
}

#[test]
fn a_script_duplicates_and_delays_exactly_what_it_says() {
    let script = Script::new().duplicate([1]).delay([0], ms(2)).delay([3], ms(100));
    let mut link = Link::new(LinkConfig::perfect().script(script));
    (0..6).for_each(|id| link.push(ms(u64::from(id)), packet(id, 100)));
    let arrivals = arrivals(&mut link);
    let ids: Vec<_> = arrivals.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, [1, 1, 0, 2, 4, 5, 3]);
    assert_eq!(arrivals.last(), Some(&(ms(103), 3)));
    assert_eq!((link.stats().duplicated, link.stats().reordered), (1, 2));
}

#[test]
fn only_packets_held_back_are_late() {
    let config = LinkConfig::perfect().reorder(Probability::new(0.05), ms(4)).seed(5);
    let mut link = Link::new(config.delay(ms(10)));
    let mut order = Vec::new();
    for number in 0..10_000_u32 {
        let now = Duration::from_micros(500) * number;
        link.push(now, number.to_be_bytes().to_vec());
        order.extend(std::iter::from_fn(|| link.pop_due(now)));
    }
    let mut newest = Vec::new();
    let mut late = 0;
    for packet in order {
        late += u64::from(packet < newest);
        newest = newest.max(packet);
    }
    let held = link.stats().reordered;
    assert!((400..600).contains(&held), "{held} held back");
    // All that were held back and have arrived are late, and none else is.
    assert!(held - late < 5, "{late} late of {held} held back");
}

#[test]
fn duplicates_arrive_as_often_as_asked() {
    let mut link = Link::new(LinkConfig::perfect().duplicate(Probability::new(0.1)).seed(2));
    (0..10_000).for_each(|_| link.push(ms(0), packet(0, 10)));
    let arrived = ids(&mut link).len() as u64;
    assert_eq!(arrived, 10_000 + link.stats().duplicated);
    assert!((880..1120).contains(&link.stats().duplicated), "{:?}", link.stats());
}

#[test]
fn jitter_keeps_the_order_the_mean_and_its_own_size() {
    let mut link = Link::new(LinkConfig::perfect().delay(ms(50)).jitter(ms(2)).seed(11));
    let mut delays = Vec::new();
    let mut sent = std::collections::VecDeque::new();
    for number in 0..200_000_u32 {
        let now = Duration::from_micros(200) * number;
        while let Some(at) = link.next_deadline().filter(|at| *at <= now) {
            let packet: Vec<u8> = link.pop_due(at).expect("due");
            let (expected, since): (u32, Duration) = sent.pop_front().expect("sent");
            assert_eq!(packet, expected.to_be_bytes(), "in order");
            delays.push((at - since).as_secs_f64() * 1e3);
        }
        link.push(now, number.to_be_bytes().to_vec());
        sent.push_back((number, now));
    }
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    let square = delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>();
    let deviation = (square / delays.len() as f64).sqrt();
    assert!((mean - 50.0).abs() < 0.15, "mean {mean}");
    assert!((deviation - 2.0).abs() < 0.15, "deviation {deviation}");
}

#[test]
fn clearing_loses_what_is_under_way() {
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)).delay(ms(2)));
    (0..10).for_each(|id| link.push(ms(0), packet(id, 1250)));
    assert_eq!(std::iter::from_fn(|| link.pop_due(ms(5))).count(), 3);
    assert_eq!((link.in_flight(), link.bytes_in_flight()), (7, 8750));
    link.clear(ms(5));
    assert_eq!((link.in_flight(), link.bytes_in_flight()), (0, 0));
    assert_eq!(link.stats().cut, 7);
    assert_eq!(link.next_deadline(), None);
}

/// Returns, packet for packet, whether it was lost.
fn losses(loss: Loss, seed: u64, packets: u64) -> Vec<bool> {
    let mut link = Link::new(LinkConfig::perfect().loss(loss).seed(seed));
    (0..packets)
        .map(|_| {
            link.push(ms(0), packet(0, 1));
            link.pop_due(ms(0)).is_none()
        })
        .collect()
}

/// Returns which of 255 packets are lost, sent a millisecond apart.
fn lost_of(config: LinkConfig) -> Vec<u8> {
    let mut link = Link::new(config).keep_lost();
    (0..255).for_each(|id| link.push(ms(u64::from(id)), packet(id, 100)));
    while link.pop(Duration::from_secs(3600)).is_some() {}
    std::iter::from_fn(|| link.take_lost()).map(|(packet, _)| packet[0]).collect()
}

/// Returns when each packet arrives, going from deadline to deadline.
fn arrivals(link: &mut Link<Vec<u8>>) -> Vec<(Duration, u8)> {
    let mut arrivals = Vec::new();
    while let Some(at) = link.next_deadline() {
        arrivals.extend(link.pop_due(at).map(|packet| (at, packet[0])));
    }
    arrivals
}

fn ids(link: &mut Link<Vec<u8>>) -> Vec<u8> {
    arrivals(link).into_iter().map(|(_, id)| id).collect()
}

fn packet(id: u8, len: usize) -> Vec<u8> {
    vec![id; len]
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Which of the first fifty packets seed 42 loses at one in ten.
const SEED_42: [usize; 5] = [1, 5, 8, 18, 20];
