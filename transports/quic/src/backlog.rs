//! How much a sender holds.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use quinn::Connection;

use crate::tls::lock;

/// Keeps what a connection holds near what is under way, and a little that waits for it.
///
/// What a sender has handed over and is not sent yet counts as sent and never arrives if time ends
/// the test; it is memory that falls out of the caches before it is read again; and it is no
/// measure of anything. quinn has a limit on all that it holds, which has to be large enough for the
/// longest path; so it is moved with the congestion window, and where that says nothing, because
/// processors are what limits, with what has been sent lately.
#[derive(Debug)]
pub(crate) struct Backlog {
    most: u64,
    since: Instant,
    /// When to look next, in microseconds since then.
    due: AtomicU64,
    pace: Mutex<Pace>,
}

impl Backlog {
    /// Returns one that grows to `most` bytes.
    pub(crate) fn new(most: u64, now: Instant) -> Self {
        Self { most, since: now, due: AtomicU64::new(0), pace: Mutex::new(Pace::default()) }
    }

    /// Adjusts the limit of `connection`, if it is time to.
    pub(crate) fn adjust(&self, connection: &Connection) {
        let now = self.since.elapsed();
        if micros(now) < self.due.load(Relaxed) {
            return;
        }
        self.due.store(micros(now + GLANCE), Relaxed);
        let stats = connection.stats();
        let lately = lock(&self.pace).sent(now, stats.udp_tx.bytes, stats.path.rtt);
        connection.set_send_window(limit(stats.path.cwnd, lately, self.most));
    }
}

/// Returns the limit for this congestion window, with so many bytes sent in the latest round trip.
fn limit(cwnd: u64, lately: Option<u64>, most: u64) -> u64 {
    let by_window = (cwnd.saturating_mul(5) / 4).saturating_add(SPARE);
    // A window that opens doubles in each round trip.
    let by_pace = lately.map_or(most, |sent| sent.saturating_mul(4).max(LEAST));
    by_window.min(by_pace).clamp(LEAST, most.max(LEAST))
}

/// What has been sent in each of the latest spans of time, which are a round trip or a little more.
#[derive(Debug, Default)]
struct Pace {
    began: Duration,
    sent_before: u64,
    last: Option<u64>,
    before_last: Option<u64>,
}

impl Pace {
    /// Takes note of what has been sent in all, and returns what was sent in the busier of the
    /// latest two spans, once there are any.
    fn sent(&mut self, now: Duration, sent: u64, rtt: Duration) -> Option<u64> {
        if now.saturating_sub(self.began) >= rtt.max(SHORTEST_SPAN) {
            let span = sent.saturating_sub(self.sent_before);
            (self.before_last, self.last) = (self.last, Some(span));
            (self.began, self.sent_before) = (now, sent);
        }
        // Until there are two, a pause at the start would count as the pace.
        self.last.max(self.before_last).filter(|_| self.before_last.is_some())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(2);
/// On paths with next to no delay, what counts is how late a thread may be.
const SHORTEST_SPAN: Duration = Duration::from_millis(4);
/// What may wait to be sent, beyond a quarter of the window.
const SPARE: u64 = 128 << 10;
/// Less than this nobody needs to save.
const LEAST: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const MOST: u64 = 64 << 20;

    #[test]
    fn a_path_that_is_full_is_held_to_its_window() {
        let cwnd = 5 << 20;
        assert_eq!(limit(cwnd, Some(4 << 20), MOST), cwnd * 5 / 4 + SPARE);
        assert_eq!(limit(u64::MAX, Some(u64::MAX), MOST), MOST);
    }

    #[test]
    fn a_window_that_means_nothing_is_held_to_the_pace() {
        assert_eq!(limit(1 << 40, Some(1 << 20), MOST), 4 << 20);
        assert_eq!(limit(1 << 40, Some(0), MOST), LEAST);
        assert_eq!(limit(14_720, None, MOST), 14_720 * 5 / 4 + SPARE, "at the start");
    }

    #[test]
    fn the_busier_of_two_round_trips_is_the_pace() {
        let mut pace = Pace::default();
        assert_eq!(pace.sent(50 * MS, 10, 100 * MS), None);
        assert_eq!(pace.sent(100 * MS, 1000, 100 * MS), None, "there may have been a pause");
        assert_eq!(pace.sent(200 * MS, 3000, 100 * MS), Some(2000));
        assert_eq!(pace.sent(300 * MS, 3000, 100 * MS), Some(2000), "a pause is not the pace");
        assert_eq!(pace.sent(350 * MS, 9000, 100 * MS), Some(2000));
        assert_eq!(pace.sent(400 * MS, 9000, 100 * MS), Some(6000));
    }
}
