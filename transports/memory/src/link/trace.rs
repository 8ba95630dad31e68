//! Rates that change, in the format of mahimahi's traces.

use std::{fmt, sync::Arc, time::Duration};

use super::BitRate;

/// When a link can send: moments at each of which 1500 bytes may leave, over and over again.
///
/// The format is mahimahi's: each line is a whole number of milliseconds since the beginning, none
/// smaller than the one before; equal ones are so many opportunities at once. The last is also the
/// period after which the trace begins again.
///
/// ```
/// use polyperf_memory::link::Trace;
///
/// // One packet a millisecond is 12 Mbit/s.
/// let trace = Trace::parse("1\n")?;
/// assert_eq!(trace.mean_rate().bits_per_second(), 12_000_000);
/// # Ok::<(), polyperf_memory::link::TraceError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// In milliseconds; neither empty nor falling, and the last is not zero.
    moments: Arc<[u32]>,
}

impl Trace {
    /// The longest text of a trace, in bytes.
    pub const MAX_LEN: usize = 16 << 20;
    /// The latest moment of a trace, in milliseconds: a day.
    pub const MAX_MOMENT: u32 = 86_400_000;

    /// Reads a trace from its text.
    ///
    /// # Errors
    ///
    /// Says which line is at fault, what it says, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        if text.len() > Self::MAX_LEN {
            return Err(TraceError::TooLong { len: text.len() });
        }
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let mut moments = Vec::new();
        for (line, text) in lines {
            let moment = moment(line, text)?;
            check_order(line, &moments, moment)?;
            moments.push(moment);
        }
        Self::of(moments)
    }

    /// Makes a trace of moments in milliseconds.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); moments count as lines.
    pub fn new(moments: Vec<u32>) -> Result<Self, TraceError> {
        for (index, moment) in moments.iter().enumerate() {
            if *moment > Self::MAX_MOMENT {
                return Err(TraceError::TooLate { line: index + 1, value: moment.to_string() });
            }
            check_order(index + 1, &moments[..index], *moment)?;
        }
        Self::of(moments)
    }

    /// Returns the mean rate over a period.
    #[must_use]
    pub fn mean_rate(&self) -> BitRate {
        let bits = self.count() * OPPORTUNITY as u64 * 8;
        BitRate::new(bits.saturating_mul(1000) / self.period()).unwrap_or(BitRate::SLOWEST)
    }

    /// Returns the moments of a period, in milliseconds.
    #[must_use]
    pub fn moments(&self) -> &[u32] {
        &self.moments
    }

    /// Returns after how long the trace begins again.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.period())
    }

    /// Returns the time of the opportunity with this number since the epoch.
    pub(super) fn time(&self, number: u64) -> Duration {
        let index = usize::try_from(number % self.count()).unwrap_or(0);
        let begin = (number / self.count()).saturating_mul(self.period());
        Duration::from_millis(begin.saturating_add(u64::from(self.moments[index])))
    }

    /// Returns the number of the first opportunity that is not before `since`.
    pub(super) fn first_from(&self, since: Duration) -> u64 {
        let whole = millis(since);
        let last_before = if Duration::from_millis(whole) < since {
            whole
        } else if let Some(before) = whole.checked_sub(1) {
            before
        } else {
            return 0;
        };
        self.count_by(last_before)
    }

    /// Returns how many opportunities there are from the epoch until `until`, itself included.
    pub(super) fn opportunities_by(&self, until: Duration) -> u64 {
        self.count_by(millis(until))
    }

    fn of(moments: Vec<u32>) -> Result<Self, TraceError> {
        match moments.last() {
            None => Err(TraceError::Empty),
            Some(0) => Err(TraceError::NoPeriod { lines: moments.len() }),
            Some(_) => Ok(Self { moments: moments.into() }),
        }
    }

    fn count_by(&self, millis: u64) -> u64 {
        let (periods, rest) = (millis / self.period(), millis % self.period());
        let begun = self.moments.partition_point(|moment| u64::from(*moment) <= rest);
        periods.saturating_mul(self.count()).saturating_add(begun as u64)
    }

    fn count(&self) -> u64 {
        self.moments.len() as u64
    }

    fn period(&self) -> u64 {
        self.moments.last().map_or(1, |last| u64::from(*last))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("opportunities", &self.count())
            .field("length", &self.length())
            .finish()
    }
}

/// Why a text is not a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceError {
    /// It has no line.
    Empty,
    /// It has too many bytes.
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// A line is not a number.
    NotANumber {
        /// Which line, from 1.
        line: usize,
        /// The beginning of what it says.
        value: String,
    },
    /// A moment lies too far from the beginning.
    TooLate {
        /// Which line, from 1.
        line: usize,
        /// The beginning of what it says.
        value: String,
    },
    /// A moment lies before the one above it.
    Falling {
        /// Which line, from 1.
        line: usize,
        /// What it says.
        value: u32,
        /// What the line above says.
        before: u32,
    },
    /// All moments are zero.
    NoPeriod {
        /// How many lines there are.
        lines: usize,
    },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(
                f,
                "the trace is empty; write a line for each 1500 bytes that may leave: its time \
                 in milliseconds"
            ),
            Self::TooLong { len } => write!(
                f,
                "the trace has {len} bytes, and at most {} are allowed; use a part of it, as it \
                 is repeated",
                Trace::MAX_LEN
            ),
            Self::NotANumber { line, value } => write!(
                f,
                "line {line} is {value:?}; allowed is a whole number of milliseconds, from 0 to {}",
                Trace::MAX_MOMENT
            ),
            Self::TooLate { line, value } => write!(
                f,
                "line {line} is {value}; allowed are at most {} milliseconds, which is a day",
                Trace::MAX_MOMENT
            ),
            Self::Falling { line, value, before } => write!(
                f,
                "line {line} is {value}, after {before} in the line above; times must not fall"
            ),
            Self::NoPeriod { lines } => write!(
                f,
                "all {lines} lines are 0; the last line is the period, and must be at least 1 \
                 millisecond"
            ),
        }
    }
}

impl std::error::Error for TraceError {}

fn moment(line: usize, text: &str) -> Result<u32, TraceError> {
    // What a message shows of a line, which may be all of a file.
    let value = || text.chars().take(40).collect();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TraceError::NotANumber { line, value: value() });
    }
    let moment = text.parse().ok().filter(|moment| *moment <= Trace::MAX_MOMENT);
    moment.ok_or_else(|| TraceError::TooLate { line, value: value() })
}

fn check_order(line: usize, moments: &[u32], value: u32) -> Result<(), TraceError> {
    match moments.last() {
        Some(before) if *before > value => {
            Err(TraceError::Falling { line, value, before: *before })
        }
        _ => Ok(()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes that may leave at each moment of a trace.
pub(super) const OPPORTUNITY: usize = 1500;
