//! What was found as a person reads it.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::{Calibration, Diagnosis, Tried};

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text: String = self.tiers.iter().map(Tried::text).collect();
        line(&mut text, "taken", &format!("{}: {}", self.best, self.best.about()));
        if let Some(calibration) = &self.calibration {
            text.push_str(&calibration.text());
        }
        if let Some(problem) = &self.calibration_problem {
            line(&mut text, "not calibrated", problem);
        }
        if let (Some(receive), Some(send)) = (self.most_receive_buffer, self.most_send_buffer) {
            let found = format!(
                "{receive} bytes to receive and {send} to send at most, also in the lab: \
                 net.core.rmem_max and wmem_max are the host's"
            );
            line(&mut text, "udp buffers", &found);
        }
        if !self.congestion_controls.is_empty() {
            line(&mut text, "congestion controls", &self.congestion_controls.join(", "));
        }
        f.write_str(&text)
    }
}

impl Tried {
    fn text(&self) -> String {
        let mut text = String::new();
        match &self.obstacle {
            None => line(&mut text, self.tier.name(), &format!("works: {}", self.tier.about())),
            Some(obstacle) => {
                let found = format!("no: it {} and fails: {}", obstacle.tried, obstacle.problem);
                line(&mut text, self.tier.name(), &found);
                line(&mut text, "", &format!("mend: {}", obstacle.remedy));
            }
        }
        text
    }
}

impl Calibration {
    fn text(&self) -> String {
        let mut text = String::new();
        let spread = |spread: &super::Spread| {
            format!("{} at p50, {} at p99", micros(spread.p50), micros(spread.p99))
        };
        line(
            &mut text,
            "round trip",
            &format!("{} with no delay at all", spread(&self.round_trip)),
        );
        line(&mut text, "lateness", &spread(&self.lateness));
        let trusted = rate(self.exact / 2);
        let exact = format!("{}; links of up to {trusted} can be trusted", rate(self.exact));
        line(&mut text, "packet by packet", &exact);
        let whole = format!("{}, where a link does nothing but delay", rate(self.whole));
        line(&mut text, "packets together", &whole);
        text
    }
}

fn line(text: &mut String, name: &str, found: &str) {
    // Writing to a text never fails.
    let _ = writeln!(text, "{name:<20}  {found}");
}

fn micros(time: Duration) -> String {
    let micros = time.as_nanos() as f64 / 1e3;
    if micros < 1e3 { format!("{micros:.0} µs") } else { format!("{:.2} ms", micros / 1e3) }
}

fn rate(bits_per_second: u64) -> String {
    let bits = bits_per_second as f64;
    if bits < 1e9 {
        format!("{:.0} Mbit/s", bits / 1e6)
    } else {
        format!("{:.1} Gbit/s", bits / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Obstacle, Spread, Tier};

    fn spread(p50: u64, p99: u64) -> Spread {
        let time = Duration::from_micros;
        let (p50, p99) = (time(p50), time(p99));
        Spread { count: 100, mean: p50, p50, p95: p99, p99, max: p99 }
    }

    #[test]
    fn a_diagnosis_says_what_works_what_does_not_and_what_to_do() {
        let obstacle = Obstacle {
            tried: "opens /dev/net/tun".to_owned(),
            problem: "Permission denied (os error 13)".to_owned(),
            remedy: "its mode is 0600: sudo chmod 0666 /dev/net/tun".to_owned(),
        };
        let found = Diagnosis {
            tiers: vec![
                Tried { tier: Tier::TunUser, obstacle: Some(obstacle) },
                Tried { tier: Tier::PacketUser, obstacle: None },
            ],
            best: Tier::PacketUser,
            calibration: Some(Calibration {
                tier: Tier::PacketUser,
                round_trip: spread(51, 1240),
                exact: 7_040_000_000,
                whole: 900_000_000,
                lateness: spread(9, 80),
            }),
            calibration_problem: None,
            most_receive_buffer: Some(212_992),
            most_send_buffer: Some(212_992),
            congestion_controls: vec!["reno".to_owned(), "cubic".to_owned()],
        };
        let expected = "\
tun-user              no: it opens /dev/net/tun and fails: Permission denied (os error 13)
                      mend: its mode is 0600: sudo chmod 0666 /dev/net/tun
packet-user           works: veth and packet sockets in a user namespace
taken                 packet-user: veth and packet sockets in a user namespace
round trip            51 µs at p50, 1.24 ms at p99 with no delay at all
lateness              9 µs at p50, 80 µs at p99
packet by packet      7.0 Gbit/s; links of up to 3.5 Gbit/s can be trusted
packets together      900 Mbit/s, where a link does nothing but delay
udp buffers           212992 bytes to receive and 212992 to send at most, also in the lab: \
net.core.rmem_max and wmem_max are the host's
congestion controls   reno, cubic
";
        assert_eq!(found.to_string(), expected);
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), found, "{json}");
    }
}
