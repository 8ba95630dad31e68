//! Nothing is forgotten, counted twice, or changed by a neighbour's setting.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use polyperf_memory::link::{
    Aqm, BitRate, Blackouts, Cause, CoDel, Link, LinkConfig, Loss, Policer, Probability,
    QueueLimit, Script, Steps, Trace,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{arrivals, ms, packet};

#[test]
fn every_packet_is_accounted_for_on_whatever_link() {
    let mut causes = BTreeMap::new();
    for seed in 0..300 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let config = any_link(&mut dice, seed);
        let mut link = Link::new(config.clone()).keep_lost();
        let mut seen = Seen::default();
        let mut now = Duration::ZERO;
        for _ in 0..500 {
            now += Duration::from_micros(dice.random_range(0..1500));
            link.push(now, packet(0, dice.random_range(0..2500)));
            if dice.random_bool(0.5) {
                seen.take(&mut link, now);
                seen.check(&link, &config);
            }
        }
        if dice.random_bool(0.2) {
            link.clear(now);
            assert_eq!((link.in_flight(), link.bytes_in_flight()), (0, 0), "{config:?}");
        }
        while let Some(at) = link.next_deadline() {
            seen.take(&mut link, at);
        }
        seen.take(&mut link, now);
        seen.check(&link, &config);
        assert_eq!((link.in_flight(), link.bytes_in_flight()), (0, 0), "{config:?}");
        for cause in Cause::ALL {
            *causes.entry(cause.name()).or_insert(0) += link.stats().dropped(cause);
        }
    }
    assert!(causes.len() == Cause::ALL.len() && causes.values().all(|n| *n > 0), "{causes:?}");
}

#[test]
fn equal_seeds_make_equal_links_whatever_they_have() {
    for seed in 0..50 {
        let config = any_link(&mut SmallRng::seed_from_u64(seed), seed);
        let run = || {
            let mut link = Link::new(config.clone()).keep_lost();
            (0..=255).for_each(|id| link.push(ms(u64::from(id)), packet(id, 1500)));
            let arrived = arrivals(&mut link);
            let lost: Vec<_> = std::iter::from_fn(|| link.take_lost()).collect();
            (arrived, lost, link.stats())
        };
        assert_eq!(run(), run(), "{config:?}");
    }
}

#[test]
fn a_caller_who_comes_late_changes_nothing_but_when_it_gets_packets() {
    for seed in 0..100 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let config = any_link(&mut dice, seed);
        let sent: Vec<_> = (0..=255_u8)
            .map(|id| (Duration::from_micros(400) * u32::from(id), packet(id, 1200)))
            .collect();
        let punctual = run(&config, &sent, |_| true);
        let late = run(&config, &sent, |_| dice.random_bool(0.05));
        assert_eq!(punctual, late, "{config:?}");
    }
}

#[test]
fn a_setting_leaves_the_choices_of_the_others() {
    let base = LinkConfig::perfect()
        .loss(Loss::iid(Probability::new(0.2)))
        .duplicate(Probability::new(0.2))
        .reorder(Probability::new(0.2), ms(1000))
        .seed(9);
    let all = base
        .clone()
        .rate(BitRate::mbps(10))
        .aqm(Aqm::CoDel(CoDel::new()))
        .delay(ms(20))
        .jitter(ms(2))
        .steps(Steps { every: ms(10), from: ms(0), to: ms(9) })
        .policer(Policer { rate: BitRate::mbps(1000), burst: 1_000_000 })
        .overhead(38);
    let choices = |config: LinkConfig| {
        let mut link = Link::new(config).keep_lost();
        (0..=255).for_each(|id| link.push(ms(5 * u64::from(id)), packet(id, 100)));
        let mut arrived: Vec<_> = arrivals(&mut link).into_iter().map(|(_, id)| id).collect();
        arrived.sort_unstable();
        let lost: Vec<_> = std::iter::from_fn(|| link.take_lost()).collect();
        (arrived, lost, link.stats().reordered)
    };
    assert_eq!(choices(base), choices(all));
}

#[test]
fn what_is_not_wanted_is_not_kept() {
    let mut link = Link::new(LinkConfig::perfect().loss(Loss::iid(Probability::ONE)));
    link.push(ms(0), packet(0, 100));
    assert_eq!((link.stats().lost, link.take_lost()), (1, None));
}

#[test]
fn an_arrival_knows_when_it_was_due_and_how_long_it_waited() {
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)).delay(ms(7)));
    (0..3).for_each(|id| link.push(ms(2), packet(id, 1250)));
    let arrived: Vec<_> = std::iter::from_fn(|| link.pop(ms(500))).collect();
    let times: Vec<_> = arrived.iter().map(|next| (next.due, next.queued)).collect();
    assert_eq!(times, [(ms(10), ms(0)), (ms(11), ms(1)), (ms(12), ms(2))]);
}

#[test]
fn a_copy_travels_with_what_it_is_a_copy_of_and_is_never_held_back() {
    let script = Script::new().duplicate([0]).delay([0], ms(50));
    let config = LinkConfig::perfect().rate(BitRate::mbps(10)).delay(ms(5)).script(script);
    let mut link = Link::new(config);
    (0..3).for_each(|id| link.push(ms(0), packet(id, 1250)));
    // A copy is made on the wire: it takes nothing of the rate.
    assert_eq!(arrivals(&mut link), [(ms(6), 0), (ms(7), 1), (ms(8), 2), (ms(56), 0)]);
    assert_eq!((link.stats().duplicated, link.stats().delivered), (1, 4));
}

#[test]
fn the_longest_queue_is_remembered() {
    let mut link = Link::new(LinkConfig::perfect().rate(BitRate::mbps(10)).overhead(50));
    (0..5).for_each(|id| link.push(ms(0), packet(id, 1200)));
    while link.pop(ms(100)).is_some() {}
    link.push(ms(100), packet(5, 1200));
    let stats = link.stats();
    // The first does not wait.
    assert_eq!((stats.longest_queue_packets, stats.longest_queue_bytes), (4, 4 * 1250));
}

#[test]
fn what_the_link_adds_takes_time_and_room() {
    let config =
        LinkConfig::perfect().rate(BitRate::mbps(10)).queue(QueueLimit::Bytes(2500)).overhead(50);
    let mut link = Link::new(config);
    (0..4).for_each(|id| link.push(ms(0), packet(id, 1200)));
    assert_eq!(arrivals(&mut link), [(ms(1), 0), (ms(2), 1), (ms(3), 2)]);
}

#[test]
fn a_queue_in_time_holds_the_bytes_of_that_time() {
    // 20 ms at 10 Mbit/s are 25 000 bytes, or twenty packets.
    let config = LinkConfig::perfect().rate(BitRate::mbps(10)).queue(QueueLimit::Time(ms(20)));
    let mut link = Link::new(config);
    (0..100).for_each(|id| link.push(ms(0), packet(id, 1250)));
    assert_eq!(link.stats().dropped_by_queue, 79);
    let last = std::iter::from_fn(|| link.pop(ms(500))).last().expect("some arrive");
    assert_eq!(last.queued, ms(20));
}

#[test]
fn a_link_knows_what_it_is_from_its_settings() {
    let perfect = LinkConfig::perfect();
    let codel = perfect.clone().aqm(Aqm::CoDel(CoDel::new())).queue(QueueLimit::Packets(3));
    assert!(codel.is_perfect() && !codel.is_per_packet());
    assert!(perfect.clone().overhead(14).is_perfect());
    let by_time = perfect
        .clone()
        .delay(ms(5))
        .jitter(ms(1))
        .steps(Steps { every: ms(10), from: ms(0), to: ms(9) })
        .blackouts(Blackouts::new(ms(5), ms(5)));
    assert!(!by_time.is_perfect() && !by_time.is_per_packet());
    assert_eq!(by_time.longest_delay(), ms(14));
    let trace = Trace::parse("1").expect("a trace");
    let policer = Policer { rate: BitRate::mbps(5), burst: 3000 };
    let per_packet = [
        perfect.clone().rate(BitRate::mbps(1)),
        perfect.clone().trace(trace.clone()),
        perfect.clone().policer(policer),
        perfect.clone().loss(Loss::iid(Probability::new(0.1))),
        perfect.clone().duplicate(Probability::new(0.1)),
        perfect.clone().reorder(Probability::new(0.1), ms(1)),
        perfect.clone().script(Script::new().drop([1])),
    ];
    assert!(per_packet.iter().all(LinkConfig::is_per_packet));
    assert_eq!(perfect.mean_rate(), None);
    assert_eq!(perfect.clone().trace(trace.clone()).mean_rate(), Some(BitRate::mbps(12)));
    assert_eq!(perfect.trace(trace).policer(policer).mean_rate(), Some(BitRate::mbps(5)));
}

/// What a user of a link has seen.
#[derive(Debug, Default)]
struct Seen {
    delivered: u64,
    lost: BTreeMap<Cause, u64>,
}

impl Seen {
    fn take(&mut self, link: &mut Link<Vec<u8>>, now: Duration) {
        while let Some(arrival) = link.pop(now) {
            assert!(arrival.due <= now);
            self.delivered += 1;
        }
        while let Some((_, cause)) = link.take_lost() {
            *self.lost.entry(cause).or_default() += 1;
        }
    }

    fn check(&mut self, link: &Link<Vec<u8>>, config: &LinkConfig) {
        let stats = link.stats();
        let there = stats.delivered + stats.gone() + link.in_flight() as u64;
        assert_eq!(stats.pushed + stats.duplicated, there, "{config:?}: {stats:?}");
        assert_eq!(stats.delivered, self.delivered, "{config:?}");
        for cause in Cause::ALL {
            let seen = self.lost.get(&cause).copied().unwrap_or(0);
            assert_eq!(stats.dropped(cause), seen, "{cause}: {config:?}");
        }
    }
}

/// What arrived and when, and what did not and why.
type Fates = (Vec<(Duration, Vec<u8>)>, Vec<(Vec<u8>, Cause)>);

/// Returns when each packet was due and what else became of them, if somebody looks after the link
/// at those deadlines that `looks` chooses.
fn run(
    config: &LinkConfig,
    sent: &[(Duration, Vec<u8>)],
    mut looks: impl FnMut(Duration) -> bool,
) -> Fates {
    let mut link = Link::new(config.clone()).keep_lost();
    let mut arrived = Vec::new();
    let mut take = |link: &mut Link<Vec<u8>>, now| {
        arrived.extend(std::iter::from_fn(|| link.pop(now)).map(|next| (next.due, next.packet)));
    };
    for (at, packet) in sent {
        while let Some(deadline) = link.next_deadline().filter(|next| next < at) {
            if !looks(deadline) {
                break;
            }
            take(&mut link, deadline);
        }
        link.push(*at, packet.clone());
    }
    take(&mut link, Duration::from_secs(3600));
    let lost = std::iter::from_fn(|| link.take_lost()).collect();
    (arrived, lost)
}

fn any_link(dice: &mut SmallRng, seed: u64) -> LinkConfig {
    let mut link = LinkConfig::perfect().seed(seed).overhead(dice.random_range(0..40));
    link = match dice.random_range(0..4) {
        0 => link,
        1 => link.trace(any_trace(dice)),
        _ => link.rate(BitRate::mbps(dice.random_range(1..30))),
    };
    link = link.queue(match dice.random_range(0..4) {
        0 => QueueLimit::Unbounded,
        1 => QueueLimit::Packets(dice.random_range(0..50)),
        2 => QueueLimit::Bytes(dice.random_range(0..100_000)),
        _ => QueueLimit::Time(ms(dice.random_range(0..100))),
    });
    link = link.aqm(match dice.random_range(0..4) {
        0 => Aqm::Off,
        1 => Aqm::MarkAbove(dice.random_range(0..20)),
        ecn => Aqm::CoDel(CoDel { target: ms(2), interval: ms(20), ecn: ecn == 2 }),
    });
    let some = Probability::new(dice.random_range(0.0..0.3));
    link = link.loss(match dice.random_range(0..4) {
        0 => Loss::Never,
        1 => Loss::iid(some),
        2 => Loss::bounded(some, NonZeroU32::new(2).expect("two")),
        _ => Loss::bursts(some, 4.0),
    });
    if dice.random_bool(0.3) {
        let rate = BitRate::mbps(dice.random_range(1..30));
        link = link.policer(Policer { rate, burst: dice.random_range(1000..20_000) });
    }
    if dice.random_bool(0.3) {
        let (on, off) = (dice.random_range(0..50), dice.random_range(0..50));
        link = link.blackouts(Blackouts::new(ms(on), ms(off)));
    }
    if dice.random_bool(0.3) {
        link = link.steps(Steps { every: ms(7), from: ms(1), to: ms(dice.random_range(1..20)) });
    }
    link.delay(ms(dice.random_range(0..40)))
        .jitter(Duration::from_micros(dice.random_range(0..3000)))
        .duplicate(Probability::new(dice.random_range(0.0..0.2)))
        .reorder(Probability::new(dice.random_range(0.0..0.2)), ms(5))
        .script(Script::new().drop([3, 5]).duplicate([7]))
}

fn any_trace(dice: &mut SmallRng) -> Trace {
    let mut moments: Vec<u32> = (0..50).map(|_| dice.random_range(0..100)).collect();
    moments.sort_unstable();
    Trace::new(moments).expect("sorted moments are a trace")
}
