//! Everything arrives, whatever the link does; and what is counted is what happened.

mod lab;

use std::time::Duration;

use lab::{Flow, World, float, link, loss, with};
use polyperf_memory::link::{LinkConfig, Loss, Probability, QueueLimit};
use polyperf_rudp::{Config, FecConfig};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

const MB: u64 = 1_000_000;

/// Returns the world after one flow has brought everything over.
fn transfer(config: Config, amount: u64, link: LinkConfig) -> World {
    let mut world = World::new(vec![Flow::new(config, amount)], link);
    world.finish();
    world
}

fn goodput(world: &World) -> f64 {
    float(world.flows[0].read) * 8.0 / world.at.as_secs_f64()
}

#[test]
fn a_clean_link_is_filled_to_nine_tenths_by_every_control() {
    for control in ["cubic", "bbr", "fixed:96M"] {
        let world = transfer(with(control), 60 * MB, link(100, 20));
        let goodput = goodput(&world);
        assert!(goodput >= 90e6, "{control}: {goodput}");
        assert_eq!(world.flows[0].stats().spurious_losses, 0, "{control}");
    }
}

#[test]
fn as_much_is_sent_again_as_was_lost_if_nothing_is_reordered() {
    for (control, probability) in
        [("none", 0.01), ("cubic", 0.01), ("bbr", 0.02), ("fixed:80M", 0.1)]
    {
        for seed in 0..5 {
            let link = link(100, 30).loss(loss(probability)).seed(seed);
            let config = Config { window: 256 << 10, ..with(control) };
            let world = transfer(config, 20 * MB, link);
            let stats = world.flows[0].stats();
            let again = stats.retransmits.total();
            assert_eq!(again, world.lost(), "{control}, {probability}, seed {seed}: {stats:?}");
            assert_eq!(stats.spurious_losses, 0);
        }
    }
}

#[test]
fn everything_arrives_whatever_the_link_does() {
    let some = Probability::new(0.03);
    let ms = Duration::from_millis;
    let links = [
        ("loss", link(50, 20).loss(loss(0.2))),
        ("bursts", link(50, 20).loss(Loss::bursts(Probability::new(0.05), 5.0))),
        ("reordering", link(50, 20).reorder(some, ms(7))),
        ("copies", link(50, 20).duplicate(Probability::new(0.2))),
        ("jitter", link(50, 40).jitter(ms(10))),
        ("all", link(20, 60).loss(loss(0.05)).reorder(some, ms(15)).duplicate(some).jitter(ms(5))),
    ];
    for (what, link) in links {
        for control in ["cubic", "bbr", "none", "fixed:30M"] {
            for seed in 0..2 {
                let link = link.clone().seed(seed);
                let back = link.clone().seed(seed + 100);
                let config = Config { window: 128 << 10, ..with(control) };
                let mut world = World::between(vec![Flow::new(config, MB)], link, back);
                world.finish();
                assert_eq!(world.flows[0].read, MB, "{what}, {control}");
            }
        }
    }
}

#[test]
fn a_link_of_any_kind_that_is_not_dead_brings_every_byte() {
    for seed in 0..150 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let (forward, back) = (any_link(&mut dice, seed), any_link(&mut dice, seed + 1000));
        let controls = ["cubic", "bbr", "none", "fixed:20M", "fixed:300K"];
        let config = Config {
            window: 1 << dice.random_range(12..20),
            mtu: dice.random_range(100..1453),
            no_delay: dice.random(),
            fec: dice.random_bool(0.3).then(|| "5:2".parse().unwrap()),
            // Long enough that a link which loses almost everything is not taken for dead.
            idle_timeout: Duration::from_secs(1000),
            ..with(controls[dice.random_range(0..controls.len())])
        };
        let mut flow = Flow::new(config, dice.random_range(0..300_000));
        flow.piece = dice.random_range(1..1 << 14);
        if flow.piece > 4000 && dice.random_bool(0.3) {
            flow.pause = Duration::from_millis(dice.random_range(0..50));
        }
        let mut world = World::between(vec![flow], forward, back);
        world.finish();
    }
}

/// Returns a link that is slow or fast, near or far, and loses, copies, delays and reorders.
fn any_link(dice: &mut SmallRng, seed: u64) -> LinkConfig {
    let ms = Duration::from_millis;
    let often = [0.0, 0.01, 0.1, 0.3, 0.5];
    let mut chance = || often[dice.random_range(0..often.len())];
    let (lost, reordered, copied, bursts) = (chance(), chance(), chance(), chance());
    let mut link = link(dice.random_range(1..200), dice.random_range(0..200))
        .queue(QueueLimit::Bytes(dice.random_range(3000..300_000)))
        .reorder(Probability::new(reordered), ms(dice.random_range(1..60)))
        .duplicate(Probability::new(copied))
        .jitter(ms(dice.random_range(0..20)))
        .seed(seed);
    link = link.loss(if bursts > 0.2 {
        Loss::bursts(Probability::new(lost.max(0.01)), dice.random_range(2.0..20.0))
    } else {
        loss(lost)
    });
    link
}

#[test]
fn packets_that_were_only_late_are_counted_as_such() {
    let link = link(50, 40).reorder(Probability::new(0.01), Duration::from_millis(25)).seed(3);
    let world = transfer(with("none"), 10 * MB, link);
    let (stats, reordered) = (world.flows[0].stats(), world.forward.stats().reordered);
    assert!(reordered > 50);
    assert!(stats.spurious_losses > 0, "{stats:?}");
    assert_eq!(stats.packets_lost, stats.spurious_losses + world.lost(), "{stats:?}");
    assert!(stats.spurious_losses <= reordered, "{stats:?}");
    assert!(stats.reordering > 3, "what came late is waited for longer: {stats:?}");
}

#[test]
fn a_window_that_closes_opens_again() {
    for seed in 0..4 {
        let config = Config { window: 16 << 10, ..with("cubic") };
        let link = link(100, 10).loss(loss(0.1)).seed(seed);
        let back = link.clone().seed(seed + 50);
        let mut flow = Flow::new(config, 300_000);
        flow.pause = Duration::from_millis(300);
        flow.piece = 16 << 10;
        let mut world = World::between(vec![flow], link, back);
        world.finish();
        let stats = world.flows[0].stats();
        assert!(stats.pings > 0, "the closed window was asked for: {stats:?}");
        assert!(stats.peer_limited > Duration::from_secs(1), "{stats:?}");
    }
}

#[test]
fn an_end_that_is_lost_again_and_again_arrives() {
    for seed in 0..20 {
        let link = link(10, 20).loss(loss(0.7)).seed(seed);
        let back = link.clone().seed(seed + 50);
        let config = Config { idle_timeout: Duration::from_secs(1000), ..Config::default() };
        let mut world = World::between(vec![Flow::new(config, 10)], link, back);
        world.finish();
        assert!(world.flows[0].there.is_ended());
    }
}

#[test]
fn a_path_that_takes_only_short_datagrams_gets_short_ones() {
    let config = Config { mtu: 4000, ..with("cubic") };
    let mut world = World::new(vec![Flow::new(config, MB)], link(50, 20));
    world.longest = 1472;
    world.finish();
    assert_eq!(world.flows[0].stats().mtu, 1200);
}

#[test]
fn error_correction_rebuilds_what_is_lost_before_it_is_asked_for() {
    let ten = |text: &str| Some(text.parse::<FecConfig>().unwrap());
    let link = link(100, 40).loss(loss(0.02)).seed(9);
    let without = transfer(with("fixed:50M"), 10 * MB, link.clone());
    let config = Config { fec: ten("10:3"), ..with("fixed:50M") };
    let world = transfer(config, 10 * MB, link);
    let (stats, there) = (world.flows[0].stats(), world.flows[0].there.stats());
    let fec = there.fec.unwrap();
    assert!(fec.recovered > 100, "{fec:?}");
    let again = (without.flows[0].stats().retransmits.total(), stats.retransmits.total());
    assert!(again.1 * 5 < again.0, "{again:?}");
    let sent = stats.fec.unwrap();
    assert!(sent.parity_sent * 10 / 3 <= stats.packets_sent + 10, "{sent:?}");
}

#[test]
fn a_peer_that_vanishes_is_noticed_by_both_who_send_and_who_wait() {
    let config = Config::default();
    let mut world = World::new(vec![Flow::new(config, 100 * MB)], link(10, 20));
    world.run(Duration::from_secs(3));
    world.forward.clear(world.now);
    world.longest = 0;
    world.back = polyperf_memory::link::Link::new(LinkConfig::perfect().loss(loss(1.0)));
    let end = world.now + Duration::from_secs(11);
    world.run(end);
    let flow = &world.flows[0];
    for over in [flow.here.over(), flow.there.over()] {
        let text = over.expect("it is over").to_string();
        assert!(text.starts_with("is gone: it did not answer for 10"), "{text}");
    }
}

#[test]
fn a_flow_with_nothing_to_say_stays() {
    let mut flow = Flow::new(Config::default(), 10);
    flow.start = Duration::from_secs(100);
    let mut world = World::new(vec![flow], link(10, 20));
    world.finish();
    let stats = world.flows[0].stats();
    assert!((25..45).contains(&stats.pings), "{stats:?}");
}
