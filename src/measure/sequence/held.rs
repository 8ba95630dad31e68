use super::Window;

/// Numbers too far ahead to be believed before others confirm them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    numbers: [u64; ROOM],
    len: usize,
    /// How many datagrams had been received when the first of them came.
    since: u64,
}

impl Held {
    /// Returns whether `number` is near enough to those held, in numbers and in time.
    pub(super) fn accepts(&self, number: u64, received: u64) -> bool {
        self.len == 0
            || (number.abs_diff(self.numbers[0]) <= Window::LEAP
                && received.saturating_sub(self.since) <= Window::PATIENCE)
    }

    /// Holds one more, and returns whether there are enough. Copies are held, but confirm nothing.
    pub(super) fn add(&mut self, number: u64, received: u64) -> bool {
        if self.len == 0 {
            self.since = received;
        }
        if self.len < ROOM {
            self.numbers[self.len] = number;
            self.len += 1;
        }
        self.different() == ENOUGH
    }

    /// Returns those held, in the order of arrival, and holds none any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        let Self { numbers, len, .. } = std::mem::take(self);
        numbers.into_iter().take(len)
    }

    fn different(&self) -> usize {
        let held = &self.numbers[..self.len];
        held.iter().enumerate().filter(|(at, number)| !held[..*at].contains(number)).count()
    }
}

/// How many numbers from one neighbourhood make a flow of them.
const ENOUGH: usize = 4;
/// Leaves room for one copy of each. More copies than that count as nothing.
const ROOM: usize = 2 * ENOUGH;
