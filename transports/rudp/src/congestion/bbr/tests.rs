use super::sim::{Path, Sim};
use super::*;

fn run(path: Path, millis: u64) -> Sim {
    let mut sim = Sim::new(path);
    sim.run(millis);
    sim
}

#[test]
fn probe() {
    for seed in 1..=8 {
        for lost_ppm in [0, 10_000, 20_000] {
            let sim = run(Path { seed, lost_ppm, ..Path::new() }, 20_000);
            println!(
                "seed {seed} loss {lost_ppm}: {:.1} {:.1} last5 {:.1} wait {:.2} drops {} events {} lt {} of {}",
                sim.log.goodput(0, 10_000),
                sim.log.goodput(0, 20_000),
                sim.log.goodput(15_000, 20_000),
                sim.log.mean_wait(2_000, 10_000),
                sim.log.drops.len(),
                sim.bbr.events(),
                sim.bbr.inflight_longterm.min(9_999_999),
                sim.bbr.cwnd,
            );
            if seed == 1 {
                println!("{:?}", sim.log.states);
            }
        }
    }
}
