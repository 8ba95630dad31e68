use super::*;
use crate::congestion::simulator::{PACKET, Path, Simulator, torment};

const RTT: Duration = Duration::from_millis(50);

/// Bytes per second of 100 Mbit/s.
const RATE: u64 = 12_500_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns a flow over a path of this rate, whose queue holds a round trip, that has run so long.
fn running(loss: f64, millis: u64) -> (Simulator, usize) {
    let path = Path { rate: Some(RATE), rtt: RTT, queue: RATE / 20, loss };
    let mut simulator = Simulator::new(path, 1);
    let flow = simulator.add(Box::new(Bbr::new(PACKET, 1)), Duration::ZERO, None);
    simulator.run_until(ms(millis));
    (simulator, flow)
}

/// Returns the states that a flow is seen in, each once in a row, and how long it was in each.
fn states(simulator: &mut Simulator, flow: usize, from: u64, to: u64) -> Vec<(&'static str, u64)> {
    let mut states: Vec<(&str, u64)> = Vec::new();
    for millis in from..to {
        simulator.run_until(ms(millis));
        let state = simulator.flow(flow).controller.state();
        match states.last_mut() {
            Some((last, times)) if *last == state => *times += 1,
            _ => states.push((state, 1)),
        }
    }
    states
}

#[test]
fn it_starts_drains_the_queue_that_it_made_and_probes_for_more_in_turns() {
    let (mut simulator, flow) = running(0.0, 0);
    let states = states(&mut simulator, flow, 0, 20_000);
    let names: Vec<_> = states.iter().map(|(state, _)| *state).collect();
    assert_eq!(names[..2], ["Startup", "Drain"], "{states:?}");
    let after = |state: &str| {
        let pairs = names.windows(2).filter(move |pair| pair[0] == state);
        pairs.map(|pair| pair[1]).collect::<Vec<_>>()
    };
    assert!(after("ProbeBW_REFILL").iter().all(|next| *next == "ProbeBW_UP"), "{states:?}");
    let ends = ["ProbeBW_DOWN", "ProbeRTT"];
    assert!(after("ProbeBW_UP").iter().all(|next| ends.contains(next)), "{states:?}");
    assert!(after("ProbeBW_UP").len() >= 4, "{states:?}");
}

#[test]
fn the_path_is_emptied_now_and_then_to_measure_the_round_trip() {
    let (mut simulator, flow) = running(0.0, 0);
    let states = states(&mut simulator, flow, 0, 30_000);
    let probes: Vec<_> = states.iter().filter(|(state, _)| *state == "ProbeRTT").collect();
    // Each 5 seconds, unless the path was empty anyway.
    assert!((1..=6).contains(&probes.len()), "{states:?}");
    assert!(probes.iter().all(|(_, millis)| (200..600).contains(millis)), "{states:?}");
}

#[test]
fn the_rate_of_the_path_is_found() {
    let (simulator, flow) = running(0.0, 3_000);
    let rate = simulator.flow(flow).controller.pacing_rate().unwrap();
    assert!((RATE * 85 / 100..RATE * 130 / 100).contains(&rate), "{rate}");
    let window = simulator.window(flow) * 1448.0;
    assert!(window > 600_000.0, "a product of rate and round trip at least: {window}");
}

#[test]
fn random_loss_below_the_threshold_does_not_take_the_rate() {
    let (simulator, flow) = running(0.01, 10_000);
    let rate = simulator.flow(flow).controller.pacing_rate().unwrap();
    assert!(rate > RATE * 75 / 100, "{rate}");
}

#[test]
fn whatever_happens_something_may_be_sent() {
    for seed in 0..4 {
        let mut bbr = Bbr::new(PACKET, seed);
        torment(&mut bbr, seed, 100_000, |controller, packet| {
            assert!(controller.window() >= 4 * packet.max(1) || packet > u64::MAX / 8);
            assert!(controller.pacing_rate().is_some_and(|rate| rate > 0));
        });
    }
}
