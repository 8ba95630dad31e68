//! What congestion control makes of a link, and of others that share it.

mod lab;

use std::time::Duration;

use lab::{Flow, World, float, link, loss, tcp::Tcp, with};
use polyperf_memory::link::LinkConfig;
use polyperf_rudp::Config;

/// More than can be sent.
const ENDLESS: u64 = 1 << 40;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns the world after one flow has sent for so many seconds.
fn sending(control: &str, link: LinkConfig, seconds: u64) -> World {
    let config = Config { window: 64 << 20, ..with(control) };
    let mut world = World::new(vec![Flow::new(config, ENDLESS)], link);
    world.run(secs(seconds));
    world
}

/// One percent of loss, 100 Mbit/s, 50 ms.
fn lossy(seed: u64) -> LinkConfig {
    link(100, 50).loss(loss(0.01)).seed(seed)
}

#[test]
fn bbr_has_four_fifths_of_a_link_that_loses_one_percent() {
    for seed in 0..3 {
        let world = sending("bbr", lossy(seed), 20);
        let rate = world.rate(0, 2, 20);
        println!("bbr, seed {seed}: {:.1} Mbit/s", rate / 1e6);
        assert!(rate >= 80e6, "seed {seed}: {rate}");
    }
}

#[test]
fn cubic_has_the_analytic_rate_of_a_link_that_loses_one_percent() {
    for seed in 0..3 {
        let world = sending("cubic", lossy(seed), 200);
        let rate = world.rate(0, 10, 200);
        let stats = world.flows[0].stats();
        // RFC 9438, figure 2 and section 5.1: with AIMD(0.53, 0.7), which is the larger one here.
        let lost = float(stats.packets_lost) / float(stats.packets_sent);
        let window = (1.5 / lost).sqrt();
        let rtt = stats.rtt.unwrap().smoothed.as_secs_f64();
        let analytic = window * 1428.0 * 8.0 / rtt;
        let ratio = rate / analytic;
        println!(
            "cubic, seed {seed}: {:.2} Mbit/s, {ratio:.2} of {:.2}",
            rate / 1e6,
            analytic / 1e6
        );
        assert!((0.8..=1.2).contains(&ratio), "seed {seed}: {rate} is {ratio} of {analytic}");
    }
}

#[test]
fn a_fixed_rate_is_that_rate_whatever_is_lost() {
    for seed in 0..3 {
        let world = sending("fixed:50M", lossy(seed), 30);
        let stats = world.flows[0].stats();
        let sent = float(stats.bytes_sent) * 8.0 / 30.0;
        println!("fixed, seed {seed}: {:.3} Mbit/s sent", sent / 1e6);
        assert!((49.5e6..=50.5e6).contains(&sent), "seed {seed}: {sent}");
        // What arrives is that less the headers and what is sent again.
        let expected = 50e6 * 0.99 * 1428.0 / 1452.0;
        let rate = world.rate(0, 2, 30);
        assert!((rate / expected - 1.0).abs() < 0.01, "seed {seed}: {rate}, not {expected}");
    }
}

#[test]
fn two_cubic_flows_share_a_link() {
    for (seed, late) in [(0, 0), (1, 5), (2, 10)] {
        let config = Config { window: 64 << 20, ..with("cubic") };
        let mut second = Flow::new(config, ENDLESS);
        second.start = secs(late);
        let flows = vec![Flow::new(config, ENDLESS), second];
        let mut world = World::new(flows, link(100, 40).seed(seed));
        world.run(secs(late + 60));
        let from = usize::try_from(late).unwrap() + 20;
        let rates = [world.rate(0, from, from + 40), world.rate(1, from, from + 40)];
        println!("two cubic, {late} s apart: {:.1}, {:.1} Mbit/s", rates[0] / 1e6, rates[1] / 1e6);
        assert!(rates[0] < 2.0 * rates[1] && rates[1] < 2.0 * rates[0], "{rates:?}");
        assert!(rates[0] + rates[1] > 85e6, "{rates:?}");
    }
}

#[test]
fn a_cubic_flow_does_not_starve_the_kernels_tcp_nor_is_it_starved() {
    for late in [0, 10] {
        let config = Config { window: 64 << 20, ..with("cubic") };
        let mut world = World::new(vec![Flow::new(config, ENDLESS)], link(100, 40));
        world.tcp.push(Tcp::new(secs(late)));
        world.run(secs(90));
        let (ours, tcp) = (world.rate(0, 30, 90), world.rate(1, 30, 90));
        println!(
            "cubic {:.1}, TCP {:.1} Mbit/s, which began {late} s later",
            ours / 1e6,
            tcp / 1e6
        );
        assert!(tcp > 25e6 && ours > 25e6, "{ours} beside {tcp}");
    }
}

#[test]
fn a_queue_is_not_filled_by_bbr() {
    let world = sending("bbr", link(100, 40), 30);
    let rtt = world.flows[0].stats().rtt.unwrap();
    assert!(world.rate(0, 5, 30) > 90e6);
    assert!(rtt.smoothed < Duration::from_millis(60), "{rtt:?}");
}

#[test]
fn slow_start_ends_before_a_deep_queue_is_full() {
    // HyStart++ (RFC 9406): with a queue of sixteen round trips nothing is dropped.
    let deep = link(100, 40).queue(polyperf_memory::link::QueueLimit::Bytes(8_000_000));
    let world = sending("cubic", deep, 4);
    let stats = world.flows[0].stats();
    assert_eq!(stats.state, "congestion avoidance");
    assert_eq!(world.lost(), 0);
}
