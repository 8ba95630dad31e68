use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::server::network;

/// Slows down who guesses, each address by itself.
///
/// An attempt counts as failed until it has succeeded, so that many at once gain nothing.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    addresses: HashMap<IpAddr, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    /// When the next attempt may be made.
    next: Instant,
}

impl Throttle {
    /// Takes an attempt; returns how long to wait if it comes too soon.
    pub(super) fn attempt(&mut self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        let ip = network(ip);
        if let Some(failures) = self.addresses.get(&ip).filter(|failures| failures.next > now) {
            return Err(failures.next - now);
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            self.make_room(now);
        }
        let failures = self.addresses.entry(ip).or_insert(Failures { count: 0, next: now });
        if now >= failures.next + MEMORY {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.next = now + delay(failures.count);
        Ok(())
    }

    /// Forgets the failures of an address that knew the password in the end.
    pub(super) fn succeeded(&mut self, ip: IpAddr) {
        self.addresses.remove(&network(ip));
    }

    /// Forgets what is long ago, or else the half that has the least to wait.
    fn make_room(&mut self, now: Instant) {
        self.addresses.retain(|_, failures| now < failures.next + MEMORY);
        if self.addresses.len() >= MAX_ADDRESSES {
            let mut next: Vec<_> = self.addresses.values().map(|failures| failures.next).collect();
            let (_, median, _) = next.select_nth_unstable(MAX_ADDRESSES / 2);
            let (median, mut room) = (*median, MAX_ADDRESSES / 2);
            self.addresses.retain(|_, failures| {
                let goes = failures.next <= median && room > 0;
                room -= usize::from(goes);
                !goes
            });
        }
    }
}

/// Returns how long to wait after so many failures in a row.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(further) => LONGEST.min(Duration::from_secs(1 << further.min(16))),
    }
}

/// A person mistypes.
const FREE: u32 = 3;
const LONGEST: Duration = Duration::from_secs(300);
/// How long failures count once the wait for them is over.
const MEMORY: Duration = Duration::from_secs(900);
const MAX_ADDRESSES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn numbered(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn each_failure_beyond_a_few_doubles_the_wait_of_its_address_alone() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(throttle.attempt(ONE, now), Ok(()));
        }
        for wait in [1, 2, 4, 8].map(Duration::from_secs) {
            assert_eq!(throttle.attempt(ONE, now), Err(wait));
            now += wait;
            assert_eq!(throttle.attempt(ONE, now), Ok(()));
        }
        assert_eq!(throttle.attempt(numbered(7), now), Ok(()));
        throttle.succeeded(ONE);
        assert_eq!(throttle.attempt(ONE, now), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser_and_a_mapped_address_is_that_of_ipv4() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for host in 0..FREE {
            let ip: IpAddr = format!("2001:db8::{host}").parse().unwrap();
            assert_eq!(throttle.attempt(ip, now), Ok(()));
        }
        assert!(throttle.attempt("2001:db8::ffff".parse().unwrap(), now).is_err());
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), ONE);
    }

    #[test]
    fn addresses_by_the_thousand_take_bounded_room() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..2 * u32::try_from(MAX_ADDRESSES).unwrap() {
            assert_eq!(throttle.attempt(numbered(number), now), Ok(()));
        }
        assert!(throttle.addresses.len() <= MAX_ADDRESSES);
        throttle.make_room(now + MEMORY);
        assert_eq!(throttle.addresses.len(), 0);
    }
}
