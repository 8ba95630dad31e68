use super::*;
use crate::congestion::simulator::{PACKET, Path, Simulator, ack, lost, torment};

const RTT: Duration = Duration::from_millis(50);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A path without a bottleneck.
fn open_path(rtt: Duration, loss: f64) -> Path {
    Path { rate: None, rtt, queue: 0, loss }
}

/// Returns one in congestion avoidance for the first time, with a window of so many packets.
fn steady(packets: f64) -> Cubic {
    let mut cubic = Cubic::new(PACKET);
    cubic.flow.cwnd = packets * float(PACKET);
    cubic.flow.ssthresh = cubic.flow.cwnd;
    cubic.flow.cwnd_prior = cubic.flow.cwnd;
    cubic
}

fn packets(cubic: &Cubic) -> f64 {
    cubic.flow.cwnd / float(PACKET)
}

fn close(value: f64, expected: f64, tolerance: f64) -> bool {
    (value - expected).abs() <= tolerance * expected
}

#[test]
fn growth_after_a_loss_follows_the_cubic_function() {
    for (w_max, rtt) in [(1_000.0, 100), (3_000.0, 100), (500.0, 200)] {
        let mut simulator = Simulator::new(open_path(ms(rtt), 0.0), 1);
        let flow = simulator.add(Box::new(steady(w_max)), Duration::ZERO, None);
        simulator.drop_next(flow);
        let mut start = Duration::ZERO;
        while simulator.flow(flow).controller.state() != "recovery" {
            start += ms(1);
            simulator.run_until(start);
        }
        while simulator.flow(flow).controller.state() == "recovery" {
            start += ms(1);
            simulator.run_until(start);
        }
        let k = (w_max * 0.3 / 0.4_f64).cbrt();
        let mut worst: f64 = 0.0;
        for t in [0.0, 1.0, 2.5, 4.0, 6.0, 8.0, 10.0, 13.0, 16.0] {
            simulator.run_until(start + Duration::from_secs_f64(t));
            let expected = 0.4 * (t - k).powi(3) + w_max;
            let window = simulator.window(flow);
            worst = worst.max((window / expected - 1.0).abs());
            println!("W_max {w_max}, RTT {rtt} ms, t = {t} s: {window:.1}, W_cubic {expected:.1}");
            assert!(close(window, expected, 0.02), "{t} s: {window:.1} is not {expected:.1}");
        }
        println!("  worst difference {:.2} %", worst * 100.0);
    }
}

#[test]
fn the_window_grows_at_most_by_half_in_a_round_trip() {
    let mut cubic = steady(10.0);
    cubic.on_ack(&ack(secs(1), ms(950)));
    let mut now = secs(1);
    for _ in 0..10 {
        now += secs(100);
        let before = cubic.flow.cwnd;
        let event = Ack { acked: cubic.window(), ..ack(now, now.saturating_sub(RTT)) };
        cubic.on_ack(&event);
        assert!(cubic.flow.cwnd <= before * 1.5 + 1.0);
        assert!(cubic.flow.cwnd > before * 1.4);
    }
}

#[test]
fn fast_convergence_lowers_the_plateau_of_a_flow_that_did_not_reach_the_last() {
    let mut cubic = steady(100.0);
    cubic.on_lost(&lost(ms(100), ms(50)));
    assert!(close(cubic.flow.w_max, 100.0 * float(PACKET), 1e-9));
    assert!(close(packets(&cubic), 70.0, 1e-9));
    cubic.on_lost(&lost(ms(200), ms(150)));
    assert!(close(cubic.flow.w_max, 70.0 * 0.85 * float(PACKET), 1e-9));
    assert!(close(packets(&cubic), 49.0, 1e-9));
    cubic.flow.cwnd = 60.0 * float(PACKET);
    cubic.on_lost(&lost(ms(300), ms(250)));
    assert!(close(cubic.flow.w_max, 60.0 * float(PACKET), 1e-9));
}

#[test]
fn at_a_small_product_of_bandwidth_and_delay_it_is_aimd() {
    let mut simulator = Simulator::new(open_path(ms(20), 0.0), 1);
    let flow = simulator.add(Box::new(steady(30.0)), Duration::ZERO, None);
    simulator.run_until(ms(10));
    simulator.drop_next(flow);
    let mut now = ms(10);
    while simulator.flow(flow).controller.state() != "recovery" {
        now += ms(1);
        simulator.run_until(now);
    }
    let prior = simulator.window(flow) / 0.7;
    while simulator.flow(flow).controller.state() == "recovery" {
        now += ms(1);
        simulator.run_until(now);
    }
    let start = simulator.window(flow);
    println!("window {prior:.2} before the loss, {start:.2} after");

    // The square of a window that grows by alpha per round trip grows by 2 alpha per packet.
    let mut alpha = |simulator: &mut Simulator, rounds: u64| {
        let (window, delivered) = (simulator.window(flow), simulator.flow(flow).delivered);
        now += ms(20 * rounds);
        simulator.run_until(now);
        let packets = float(simulator.flow(flow).delivered - delivered) / float(PACKET);
        (simulator.window(flow).powi(2) - window.powi(2)) / (2.0 * packets)
    };
    for _ in 0..3 {
        let alpha = alpha(&mut simulator, 5);
        println!("{alpha:.4} packets per round trip, alpha_cubic is {ALPHA_CUBIC:.4}");
        assert!(close(alpha, ALPHA_CUBIC, 0.01), "{alpha}");
    }
    while simulator.window(flow) < prior + 0.5 {
        alpha(&mut simulator, 1);
    }
    for _ in 0..3 {
        let alpha = alpha(&mut simulator, 5);
        println!("{alpha:.4} packets per round trip above the old window");
        assert!(close(alpha, 1.0, 0.01), "{alpha}");
    }
}

#[test]
fn two_flows_share_a_bottleneck_within_two_to_one() {
    for queue in [250_000, 500_000, 1_000_000] {
        let path = Path { rate: Some(12_500_000), rtt: ms(40), queue, loss: 0.0 };
        let mut simulator = Simulator::new(path, 7);
        let first = simulator.add(Box::new(Cubic::new(PACKET)), Duration::ZERO, None);
        let second = simulator.add(Box::new(Cubic::new(PACKET)), secs(5), None);
        simulator.run_until(secs(5));
        let alone = simulator.flow(first).delivered;
        simulator.run_until(secs(60));
        let shares = [simulator.flow(first).delivered - alone, simulator.flow(second).delivered];
        let [a, b] = shares.map(|bytes| float(bytes) * 8.0 / 55.0 / 1e6);
        println!(
            "queue {queue} B: {a:.1} and {b:.1} Mbit/s, ratio {:.2}, {} overflows, {} and {} events",
            a / b,
            simulator.overflows,
            simulator.flow(first).controller.events(),
            simulator.flow(second).controller.events(),
        );
        assert!(a < 2.0 * b && b < 2.0 * a, "{a:.1} and {b:.1} Mbit/s");
        assert!(a + b > 90.0, "{a:.1} and {b:.1} Mbit/s");
    }
}

/// Runs slow start into a queue of so many times the product of bandwidth and delay; returns the
/// states, each with the window in those terms and the packets that had overflowed.
fn first_states(mut cubic: Cubic, products: u64, hystart: bool) -> Vec<(&'static str, f64, u64)> {
    let rate: u64 = 2_500_000;
    let product = rate / 20;
    let path = Path { rate: Some(rate), rtt: RTT, queue: products * product, loss: 0.0 };
    if !hystart {
        cubic.flow.ssthresh = f64::MAX;
    }
    let mut simulator = Simulator::new(path, 7);
    let flow = simulator.add(Box::new(cubic), Duration::ZERO, None);
    let mut now = Duration::ZERO;
    let mut seen: Vec<(&str, f64, u64)> = Vec::new();
    while seen.last().is_none_or(|(state, ..)| *state != "congestion avoidance") {
        now += ms(1);
        assert!(now < secs(60), "{seen:?}");
        simulator.run_until(now);
        let state = simulator.flow(flow).controller.state();
        if seen.last().is_none_or(|(last, ..)| *last != state) {
            let window = float(simulator.flow(flow).controller.window()) / float(product);
            seen.push((state, window, simulator.overflows));
        }
    }
    println!("queue {products}, HyStart++ {hystart}: {seen:.2?}");
    seen
}

#[test]
fn slow_start_ends_before_a_deep_queue_overflows() {
    let seen = first_states(Cubic::new(PACKET), 16, true);
    let states: Vec<_> = seen.iter().map(|(state, ..)| *state).collect();
    assert_eq!(states, ["slow start", "conservative slow start", "congestion avoidance"]);
    assert!(seen.iter().all(|(_, _, overflows)| *overflows == 0));
    let (_, window, _) = seen[2];
    assert!(window > 1.0 && window < 16.0, "{window}");

    // A queue that the conservative rounds fill overflows, but little.
    let seen = first_states(Cubic::new(PACKET), 4, true);
    assert_eq!((seen[1].0, seen[1].2), ("conservative slow start", 0));
    let plain = first_states(Cubic::new(PACKET), 4, false);
    let (with, without) = (seen[seen.len() - 1].2, plain[plain.len() - 1].2);
    assert!(with * 2 < without, "{with} and {without} packets");
}

#[test]
fn slow_start_goes_on_if_the_round_trip_of_the_path_falls_again() {
    let mut simulator = Simulator::new(open_path(RTT, 0.0), 7);
    let flow = simulator.add(Box::new(Cubic::new(PACKET)), Duration::ZERO, None);
    let mut now = ms(110);
    simulator.run_until(now);
    assert_eq!(simulator.flow(flow).controller.state(), "slow start");
    simulator.path.rtt = ms(70);
    while simulator.flow(flow).controller.state() != "conservative slow start" {
        now += ms(1);
        assert!(now < secs(1));
        simulator.run_until(now);
    }
    println!("conservative slow start at {now:?}");
    while simulator.flow(flow).controller.state() != "slow start" {
        // It falls so slowly that no packet overtakes another.
        simulator.path.rtt = simulator.path.rtt.saturating_sub(Duration::from_micros(50)).max(RTT);
        now += ms(1);
        assert!(now < secs(1));
        simulator.run_until(now);
    }
    println!("slow start again at {now:?}, {:.1} packets", simulator.window(flow));
    assert_eq!(simulator.flow(flow).controller.events(), 0);
}

/// Returns the mean window in packets, and the losses as a fraction of what was sent.
fn mean_window(path: Path, seed: u64, time: u64, period: Option<u64>) -> (f64, f64) {
    let mut simulator = Simulator::new(path, seed);
    let flow = simulator.add(Box::new(steady(20.0)), Duration::ZERO, None);
    let (mut sum, mut samples) = (0.0, 0.0);
    for step in 0..time * 100 {
        if let Some(period) = period {
            simulator.drop_every(flow, period);
        }
        simulator.run_until(ms(step * 10));
        if step >= 2_000 {
            sum += simulator.window(flow);
            samples += 1.0;
        }
    }
    let flow = simulator.flow(flow);
    (sum / samples, float(flow.lost_packets) * float(PACKET) / float(flow.sent_bytes))
}

/// Returns the mean window at loss `p` by RFC 9438: of CUBIC (section 5.1) and of Reno.
fn analytic(p: f64, rtt: f64) -> (f64, f64) {
    let cubic = (C * (3.0 + BETA_CUBIC) / (4.0 * (1.0 - BETA_CUBIC))).powf(0.25);
    (cubic * (rtt / p).powf(0.75), (1.5 / p).sqrt())
}

#[test]
fn the_mean_window_at_random_loss_is_that_of_the_response_function() {
    for (p, rtt, time) in [(0.001, 50, 1_000), (0.01, 50, 500), (0.001, 400, 3_000)] {
        let delay = ms(rtt);
        let (cubic, reno) = analytic(p, delay.as_secs_f64());
        let expected = cubic.max(reno);
        println!("p = {p}, RTT {rtt} ms: CUBIC {cubic:.2}, Reno-friendly {reno:.2} packets");
        let periodic = Some(whole((1.0 / p).round()));
        for (loss, seed, period) in [(p, 1, None), (p, 2, None), (0.0, 1, periodic)] {
            let (window, lost) = mean_window(open_path(delay, loss), seed, time, period);
            let kind = if period.is_some() { "periodic" } else { "independent" };
            println!("  {kind} ({lost:.6}): {window:.2}, ratio {:.3}", window / expected);
            assert!(close(window, expected, 0.2), "{window} is not {expected}");
        }
    }
}

#[test]
fn a_flow_that_is_limited_by_its_application_does_not_grow() {
    let mut simulator = Simulator::new(open_path(RTT, 0.0), 1);
    let flow = simulator.add(Box::new(Cubic::new(PACKET)), Duration::ZERO, Some(100_000));
    simulator.run_until(secs(60));
    println!("window {:.2} packets in slow start", simulator.window(flow));
    assert_eq!(simulator.flow(flow).controller.window(), 10 * PACKET);

    let mut simulator = Simulator::new(open_path(RTT, 0.0), 1);
    let flow = simulator.add(Box::new(steady(100.0)), Duration::ZERO, Some(500_000));
    simulator.run_until(secs(60));
    println!("window {:.2} packets in congestion avoidance", simulator.window(flow));
    assert_eq!(simulator.flow(flow).controller.window(), 100 * PACKET);

    simulator.set_application(flow, None);
    simulator.run_until(secs(61));
    let window = simulator.window(flow);
    println!("window {window:.2} packets a second after it has enough again");
    assert!(window > 100.0 && window < 125.0, "{window}");
}

#[test]
fn an_idle_period_is_no_part_of_the_epoch() {
    let mut cubic = steady(100.0);
    let mut now = secs(1);
    for _ in 0..20 {
        cubic.on_ack(&ack(now, now.saturating_sub(RTT)));
        now += RTT;
    }
    let elapsed = cubic.flow.epoch.as_ref().unwrap().elapsed;
    now += secs(1_000);
    cubic.on_sent(&Sent {
        now,
        packet: 100,
        bytes: PACKET,
        in_flight: 0,
        idle: true,
        app_limited: true,
    });
    now += RTT;
    cubic.on_ack(&ack(now, now.saturating_sub(RTT)));
    assert_eq!(cubic.flow.epoch.as_ref().unwrap().elapsed, elapsed + RTT);
}

#[test]
fn only_packets_sent_after_the_last_answer_are_answered_to() {
    let mut cubic = steady(100.0);
    cubic.on_lost(&lost(ms(100), ms(50)));
    cubic.on_lost(&lost(ms(100), ms(51)));
    cubic.on_lost(&lost(ms(140), ms(100)));
    assert_eq!((cubic.events(), cubic.state()), (1, "recovery"));
    let window = cubic.window();
    cubic.on_ack(&ack(ms(145), ms(100)));
    assert_eq!((cubic.window(), cubic.state()), (window, "recovery"));
    cubic.on_ack(&ack(ms(151), ms(101)));
    assert_eq!(cubic.state(), "congestion avoidance");
    cubic.on_lost(&lost(ms(160), ms(101)));
    assert_eq!(cubic.events(), 2);
}

#[test]
fn marks_are_answered_to_like_losses() {
    let mut cubic = steady(100.0);
    let marked = Marked { now: ms(100), packets: 3, sent: ms(50), in_flight: 0 };
    cubic.on_marked(&marked);
    cubic.on_marked(&Marked { now: ms(110), sent: ms(60), ..marked });
    cubic.on_lost(&lost(ms(120), ms(70)));
    assert_eq!(cubic.events(), 1);
    assert!(close(packets(&cubic), 70.0, 1e-9));
    cubic.on_spurious(&Spurious { now: ms(130), sent: ms(70), given_up: ms(120), bytes: PACKET });
    assert!(close(packets(&cubic), 70.0, 1e-9));
}

#[test]
fn a_spurious_loss_restores_what_was_before() {
    let mut cubic = steady(100.0);
    for i in 0..40 {
        cubic.on_ack(&ack(ms(1_000 + i * 50), ms(950 + i * 50)));
    }
    let before = cubic.clone();
    cubic.on_lost(&lost(ms(3_000), ms(2_950)));
    cubic.on_lost(&lost(ms(3_010), ms(2_960)));
    let spurious = Spurious { now: ms(3_020), sent: ms(2_950), given_up: ms(3_000), bytes: PACKET };
    cubic.on_spurious(&spurious);
    assert_eq!((cubic.state(), cubic.spurious_events()), ("recovery", 0));
    cubic.on_spurious(&Spurious { sent: ms(2_960), given_up: ms(3_010), ..spurious });
    assert_eq!((cubic.state(), cubic.spurious_events()), ("congestion avoidance", 1));
    assert_eq!(cubic.window(), before.window());
    let epoch = |cubic: &Cubic| {
        let epoch = cubic.flow.epoch.clone().unwrap();
        [epoch.cwnd_epoch, epoch.w_max, epoch.w_est, epoch.elapsed.as_secs_f64()].map(f64::to_bits)
    };
    assert_eq!(epoch(&cubic), epoch(&before));

    // The answer to one that is lost indeed is due then.
    cubic.on_lost(&lost(ms(3_030), ms(2_970)));
    assert_eq!(cubic.events(), 2);
}

#[test]
fn a_spurious_loss_in_slow_start_resumes_it() {
    let mut cubic = Cubic::new(PACKET);
    cubic.on_lost(&lost(ms(100), ms(50)));
    assert_eq!(cubic.window(), 7 * PACKET);
    cubic.on_spurious(&Spurious { now: ms(101), sent: ms(50), given_up: ms(100), bytes: PACKET });
    assert_eq!((cubic.window(), cubic.state()), (10 * PACKET, "slow start"));
}

#[test]
fn reordering_on_the_path_is_undone() {
    let mut simulator = Simulator::new(open_path(RTT, 0.0), 1);
    let flow = simulator.add(Box::new(steady(100.0)), Duration::ZERO, None);
    simulator.run_until(secs(1));
    let before = simulator.window(flow);
    simulator.path.rtt = ms(30);
    simulator.run_until(ms(1_300));
    let state = simulator.flow(flow);
    println!(
        "{} losses, {} spurious, {} events; window {before:.1}, then {:.1}",
        state.lost_packets,
        state.spurious,
        state.controller.events(),
        simulator.window(flow)
    );
    assert!(state.lost_packets > 0);
    assert_eq!(state.spurious, state.lost_packets);
    assert!(simulator.window(flow) >= before);
}

#[test]
fn persistent_congestion_leaves_two_packets_and_starts_slowly() {
    let mut simulator = Simulator::new(open_path(RTT, 0.0), 1);
    let flow = simulator.add(Box::new(steady(100.0)), Duration::ZERO, None);
    simulator.run_until(secs(1));
    let before = simulator.window(flow);
    simulator.path.loss = 1.0;
    simulator.run_until(secs(2));
    assert!(simulator.flow(flow).persistent > 0);
    assert_eq!(simulator.flow(flow).controller.window(), 2 * PACKET);
    simulator.path.loss = 0.0;
    simulator.run_until(secs(5));
    let after = simulator.window(flow);
    println!("window {before:.1} before, {after:.1} three seconds after the path came back");
    assert!(after > 0.6 * before);

    let mut cubic = steady(100.0);
    cubic.on_lost(&lost(ms(1_000), ms(950)));
    cubic.on_persistent_congestion(ms(1_000));
    assert_eq!((cubic.window(), cubic.state(), cubic.events()), (2 * PACKET, "slow start", 1));
    cubic.on_lost(&lost(ms(1_020), ms(1_001)));
    cubic.on_persistent_congestion(ms(1_020));
    assert_eq!((cubic.window(), cubic.state(), cubic.events()), (2 * PACKET, "slow start", 2));
    let mut now = ms(1_070);
    while cubic.state() == "slow start" {
        let window = cubic.window();
        cubic.on_ack(&Ack { acked: window, ..ack(now, now.saturating_sub(ms(49))) });
        assert!(cubic.window() == 2 * window || cubic.state() == "congestion avoidance");
        now += RTT;
    }
    assert!(close(packets(&cubic), 70.0, 1e-9));
    cubic.on_ack(&ack(now, now.saturating_sub(ms(49))));
    let epoch = cubic.flow.epoch.as_ref().unwrap();
    assert!(close(epoch.w_max, epoch.cwnd_epoch, 1e-9), "K is 0");
}

#[test]
fn the_pace_is_ahead_of_the_window() {
    let mut cubic = Cubic::new(1_000);
    assert_eq!(cubic.pacing_rate(), None);
    cubic.on_ack(&Ack { limited: false, ..ack(ms(100), ms(50)) });
    assert_eq!(cubic.pacing_rate(), Some(2 * 10_000 * 20));
    cubic.on_lost(&lost(ms(110), ms(60)));
    assert_eq!(cubic.pacing_rate(), Some(7_000 * 20 * 5 / 4));
    cubic.on_ack(&Ack { smoothed_rtt: Duration::ZERO, ..ack(ms(120), ms(60)) });
    assert!(cubic.pacing_rate().is_some());
}

#[test]
fn the_size_of_packets_sets_the_least_and_the_first_window() {
    let mut cubic = Cubic::new(1_200);
    assert_eq!(cubic.window(), 12_000);
    cubic.set_packet(1_472);
    assert_eq!(cubic.window(), 14_720);
    cubic.on_ack(&Ack { limited: false, ..ack(ms(100), ms(50)) });
    cubic.set_packet(1_200);
    assert_eq!(cubic.window(), 14_720);
    cubic.set_packet(9_000);
    assert_eq!(cubic.window(), 18_000);
}

#[test]
fn no_events_make_the_window_less_than_two_packets() {
    for seed in 0..4 {
        let mut cubic = Cubic::new(PACKET);
        let mut states = std::collections::BTreeSet::new();
        torment(&mut cubic, seed, 100_000, |controller, packet| {
            assert!(controller.window() >= 2 * packet.max(1));
            assert!(controller.window() <= MAX_WINDOW);
            assert_ne!(controller.pacing_rate(), Some(0));
            states.insert(controller.state());
        });
        println!("{} events, {} undone, {states:?}", cubic.events(), cubic.spurious_events());
        assert!(cubic.flow.cwnd.is_finite());
    }
}
