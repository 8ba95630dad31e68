use std::time::{Duration, Instant};

/// Tells a peer that is gone from one that was refused by the way.
///
/// A single ICMP error may be stale, forged, or about one datagram alone, so it is a hint. A row of
/// them, with nothing received between, says that nobody is there.
#[derive(Debug)]
pub(crate) struct Refusals {
    patience: Duration,
    row: Option<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    first: Instant,
    last: Instant,
    received: u64,
}

impl Refusals {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, row: None }
    }

    pub(crate) fn set_patience(&mut self, patience: Duration) {
        *self = Self::new(patience);
    }

    /// Notes a refusal at `now`, when `received` packets had come in so far; returns whether the
    /// peer is to be given up.
    pub(crate) fn note(&mut self, now: Instant, received: u64) -> bool {
        let goes_on = |row: &Row| {
            row.received == received && now.saturating_duration_since(row.last) <= LONGEST_GAP
        };
        let first = self.row.filter(goes_on).map_or(now, |row| row.first);
        self.row = Some(Row { first, last: now, received });
        now.saturating_duration_since(first) >= self.patience
    }
}

/// Hosts limit how many ICMP errors they send, so a row has gaps.
const LONGEST_GAP: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn a_row_of_refusals_ends_the_flow() {
        let start = Instant::now();
        let mut refusals = Refusals::new(PATIENCE);
        let at = |secs| start + Duration::from_secs(secs);
        assert!(!refusals.note(at(0), 7));
        assert!(!refusals.note(at(1), 7));
        assert!(refusals.note(at(2), 7));
    }

    #[test]
    fn whatever_is_received_breaks_the_row() {
        let start = Instant::now();
        let mut refusals = Refusals::new(PATIENCE);
        for second in 0..10 {
            assert!(!refusals.note(start + Duration::from_secs(second), second));
        }
    }

    #[test]
    fn rare_refusals_are_no_row() {
        let start = Instant::now();
        let mut refusals = Refusals::new(PATIENCE);
        for second in (0..30).step_by(3) {
            assert!(!refusals.note(start + Duration::from_secs(second), 0));
        }
    }
}
