use std::time::{Duration, Instant};

/// Notices when datagrams come so fast, one by one, that a receiver which waits for each would have
/// the sender spend much of its time on waking it up.
///
/// As network cards do with interrupts, whoever has emptied its socket then rests for a moment.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// When the current count began, and how many were read since.
    began: Option<Instant>,
    count: u32,
    lasts: bool,
}

impl Flood {
    /// Takes note that something was read at `now`, and returns whether this is a flood.
    pub(crate) fn read(&mut self, now: Instant) -> bool {
        let began = *self.began.get_or_insert(now);
        self.count += 1;
        if self.count == SAMPLE {
            self.lasts = now.duration_since(began) < QUICK;
            (self.began, self.count) = (Some(now), 0);
        }
        self.lasts
    }

    /// Begins anew, when nothing came during a rest, or nobody may rest.
    pub(crate) fn is_over(&mut self) {
        *self = Self::default();
    }
}

/// How long a receiver rests: far less than its socket's buffer holds of any flood.
pub(crate) const REST: Duration = Duration::from_micros(50);
/// So many reads, more than any burst of a paced sender takes, ...
const SAMPLE: u32 = 2000;
/// ... in this time are a flood: a hundred thousand a second.
const QUICK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads so many times, so many microseconds apart.
    fn reads(flood: &mut Flood, from: Instant, apart: u64, count: u32) -> bool {
        let apart = Duration::from_micros(apart);
        (0..count).fold(false, |_, nth| flood.read(from + nth * apart))
    }

    #[test]
    fn only_what_lasts_is_a_flood() {
        let start = Instant::now();
        assert!(!reads(&mut Flood::default(), start, 5, SAMPLE - 1));
        assert!(reads(&mut Flood::default(), start, 5, SAMPLE));
        assert!(!reads(&mut Flood::default(), start, 11, 10 * SAMPLE), "a gigabit is none");
    }

    #[test]
    fn a_rest_in_which_nothing_comes_ends_it() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        assert!(reads(&mut flood, start, 1, SAMPLE));
        flood.is_over();
        assert!(!flood.read(start));
    }

    #[test]
    fn what_slows_down_is_none_any_more() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        assert!(reads(&mut flood, start, 1, SAMPLE));
        assert!(!reads(&mut flood, start + Duration::from_secs(1), 20, 2 * SAMPLE));
    }
}
