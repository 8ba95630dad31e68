use std::time::Duration;

/// When each thing of an endless row is due, that are evenly apart: by arithmetic alone, so that what
/// is due and has to wait takes no memory, however much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    begin: Duration,
    /// So many nanoseconds apart are so many of them.
    nanos: u128,
    count: u128,
}

impl Timetable {
    /// Returns one of so many a second, the first of them at `begin`.
    #[must_use]
    pub fn per_second(count: u32, begin: Duration) -> Self {
        Self { begin, nanos: 1_000_000_000, count: u128::from(count.max(1)) }
    }

    /// Returns one of which each is so long after the one before, the first of them at `begin`.
    #[must_use]
    pub fn every(period: Duration, begin: Duration) -> Self {
        Self { begin, nanos: period.as_nanos().max(1), count: 1 }
    }

    /// Returns when the one with this number is due; the first has the number 0.
    #[must_use]
    pub fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * self.nanos / self.count;
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2))
    }

    /// Returns how many are due by `now`.
    #[must_use]
    pub fn due_by(&self, now: Duration) -> u64 {
        match now.checked_sub(self.begin) {
            Some(since) => self.below(since.as_nanos() + 1),
            None => 0,
        }
    }

    /// Returns how many are due before `end`.
    #[must_use]
    pub fn due_before(&self, end: Duration) -> u64 {
        self.below(end.saturating_sub(self.begin).as_nanos())
    }

    /// Returns how many are due in less than so many nanoseconds after the beginning.
    fn below(&self, nanos: u128) -> u64 {
        u64::try_from((nanos * self.count).div_ceil(self.nanos)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_by_then_is_what_says_that_it_is() {
        let begin = Duration::from_millis(7);
        for table in [
            Timetable::per_second(1, begin),
            Timetable::per_second(3, begin),
            Timetable::per_second(999_983, begin),
            Timetable::every(Duration::from_millis(10), begin),
        ] {
            for number in [0, 1, 2, 10, 1_000_003] {
                let due = table.due(number);
                assert_eq!(table.due_by(due), number + 1, "{table:?}");
                assert_eq!(table.due_before(due), number, "{table:?}");
                let before = due - Duration::from_nanos(1);
                assert_eq!(table.due_by(before), number, "{table:?}");
            }
            assert_eq!((table.due_by(Duration::ZERO), table.due_before(begin)), (0, 0));
        }
    }

    #[test]
    fn a_rate_is_met_without_drift() {
        let table = Timetable::per_second(7, Duration::ZERO);
        assert_eq!(table.due(7_000_000), Duration::from_secs(1_000_000));
    }
}
