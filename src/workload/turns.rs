use std::time::Duration;

/// When the exchanges of one lane begin, one at a time.
///
/// With a rate of its own a lane has a schedule that does not wait for it: one that takes long makes
/// the next late, and nobody forgets that it was due. Without, the next one is due when the last is
/// over.
#[derive(Debug)]
pub struct Turns {
    per_second: Option<u32>,
    /// From the start of one to the start of the next, at least.
    gap: Duration,
    number: u64,
    begun: Option<Duration>,
}

/// One exchange's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appointment {
    /// Since when it is waited for.
    pub due: Duration,
    /// When it may begin.
    pub at: Duration,
}

impl Turns {
    /// Returns the turns of a lane with a schedule of so many a second, or with none; two are never
    /// closer than `gap`.
    #[must_use]
    pub fn new(per_second: Option<u32>, gap: Duration) -> Self {
        Self { per_second, gap, number: 0, begun: None }
    }

    /// Returns whether there is a time to wait for between one turn and the next.
    #[must_use]
    pub fn has_schedule(&self) -> bool {
        self.per_second.is_some_and(|rate| rate > 0) || !self.gap.is_zero()
    }

    /// Returns the next turn of a lane that has nothing to do since `now`.
    pub fn next(&mut self, now: Duration) -> Appointment {
        let free = self.begun.map_or(Duration::ZERO, |begun| begun + self.gap).max(now);
        let turn = match self.per_second.filter(|&rate| rate > 0) {
            Some(rate) => {
                let due = multiple(self.number, rate);
                Appointment { due, at: due.max(free) }
            }
            None => Appointment { due: free, at: free },
        };
        self.number = self.number.saturating_add(1);
        self.begun = Some(turn.at);
        turn
    }
}

/// Returns when the turn of this number is due, without a rounding error that adds up.
fn multiple(number: u64, rate: u32) -> Duration {
    let (seconds, rest) = (number / u64::from(rate), number % u64::from(rate));
    Duration::from_secs(seconds) + Duration::from_nanos(rest * NANOS / u64::from(rate))
}

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn without_a_schedule_the_next_is_due_when_the_last_is_over() {
        let mut turns = Turns::new(None, Duration::ZERO);
        for now in [0, 3, 4] {
            let now = now * MS;
            assert_eq!(turns.next(now), Appointment { due: now, at: now });
        }
    }

    #[test]
    fn a_schedule_does_not_wait_for_what_takes_long() {
        let mut turns = Turns::new(Some(100), Duration::ZERO);
        assert_eq!(
            turns.next(Duration::ZERO),
            Appointment { due: Duration::ZERO, at: Duration::ZERO }
        );
        let late = turns.next(35 * MS);
        assert_eq!(late, Appointment { due: 10 * MS, at: 35 * MS });
        assert_eq!(turns.next(36 * MS), Appointment { due: 20 * MS, at: 36 * MS });
        assert_eq!(turns.next(37 * MS), Appointment { due: 30 * MS, at: 37 * MS });
        assert_eq!(
            turns.next(38 * MS),
            Appointment { due: 40 * MS, at: 40 * MS },
            "it has caught up"
        );
    }

    #[test]
    fn a_schedule_of_any_rate_does_not_drift() {
        let mut turns = Turns::new(Some(3), Duration::ZERO);
        let last = (0..=3_000_000).map(|_| turns.next(Duration::ZERO)).last().unwrap();
        assert_eq!(last.due, Duration::from_secs(1_000_000));
    }

    #[test]
    fn two_are_never_closer_than_the_gap() {
        let mut turns = Turns::new(None, 5 * MS);
        let begun: Vec<_> = [0, 1, 20].map(|now| turns.next(now * MS).at).into();
        assert_eq!(begun, [Duration::ZERO, 5 * MS, 20 * MS]);
        let mut turns = Turns::new(Some(1000), 5 * MS);
        let turns: Vec<_> = [0, 1].map(|now| turns.next(now * MS)).into();
        assert_eq!(turns[1], Appointment { due: MS, at: 5 * MS }, "it is late, and says so");
    }
}
