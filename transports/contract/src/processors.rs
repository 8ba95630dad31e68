use std::{fmt, io, num::NonZeroUsize, str::FromStr, sync::Arc};

/// Processors that threads keep to, numbered from 0 as the system does. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processors(Arc<[u16]>);

impl Processors {
    /// Returns these processors, in order and each once; `None` if there are none.
    #[must_use]
    pub fn new(numbers: impl IntoIterator<Item = u16>) -> Option<Self> {
        let mut numbers: Vec<u16> = numbers.into_iter().collect();
        numbers.sort_unstable();
        numbers.dedup();
        (!numbers.is_empty()).then(|| Self(numbers.into()))
    }

    /// Returns those that the calling thread may run on.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::Unsupported`] where it does not tell.
    pub fn of_thread() -> io::Result<Self> {
        Self::new(sys::get()?).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Has the calling thread run on these alone, and those that it starts from now on.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::InvalidInput`] if it has none of them,
    /// [`io::ErrorKind::Unsupported`] where it takes no such wish.
    pub fn keep(&self) -> io::Result<()> {
        sys::set(&self.0)
    }

    /// Returns these without `others`; `None` if nothing is left.
    #[must_use]
    pub fn without(&self, others: &Self) -> Option<Self> {
        Self::new(self.0.iter().copied().filter(|number| !others.0.contains(number)))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.len()).unwrap_or(NonZeroUsize::MIN)
    }
}

impl From<u16> for Processors {
    fn from(number: u16) -> Self {
        Self([number].into())
    }
}

/// Parses numbers and ranges between commas: `2-7,9`.
impl FromStr for Processors {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| match text.parse::<u16>() {
            Ok(number) if number <= MAX_NUMBER && text.bytes().all(|c| c.is_ascii_digit()) => {
                Ok(number)
            }
            _ => Err("has numbers of processors, from 0 to 1023"),
        };
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err("has the ends of a range the wrong way round");
            }
            numbers.extend(first..=last);
        }
        Self::new(numbers).ok_or("is empty")
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|before, after| before + 1 == *after);
        for (nth, run) in runs.enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                run => run.iter().try_for_each(|number| write!(f, "{comma}{number}"))?,
            }
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn get() -> io::Result<Vec<u16>> {
        let set = sched_getaffinity(None)?;
        let known = (0..=super::MAX_NUMBER).filter(|number| set.is_set(usize::from(*number)));
        Ok(known.collect())
    }

    pub(super) fn set(numbers: &[u16]) -> io::Result<()> {
        let mut set = CpuSet::new();
        for number in numbers {
            if usize::from(*number) >= CpuSet::MAX_CPU {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            set.set(usize::from(*number));
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::io;

    pub(super) fn get() -> io::Result<Vec<u16>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "knowing one's processors needs Linux"))
    }

    pub(super) fn set(_: &[u16]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "choosing a processor needs Linux"))
    }
}

/// The highest number that a set of Linux has room for.
const MAX_NUMBER: u16 = 1023;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, &'static str> {
        text.parse::<Processors>().map(|processors| processors.to_string())
    }

    #[test]
    fn numbers_and_ranges_are_put_in_order_and_each_is_there_once() {
        for (text, shown) in
            [("0", "0"), ("3,1", "1,3"), ("2-4,9,3", "2-4,9"), ("0,1", "0-1"), ("7-7", "7")]
        {
            assert_eq!(parsed(text).as_deref(), Ok(shown), "{text}");
        }
        for text in ["", "a", "1,", "-", "1-", "4-2", "+1", "1024", "70000", "0-99999", "1 "] {
            assert!(parsed(text).is_err(), "{text}");
        }
        assert_eq!("1-3".parse::<Processors>().unwrap().count().get(), 3);
    }

    #[test]
    fn what_is_left_of_some_is_none_if_all_are_taken() {
        let some = |text: &str| text.parse::<Processors>().unwrap();
        assert_eq!(some("0-3").without(&some("1,3")), Some(some("0,2")));
        assert_eq!(some("1").without(&some("0-3")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_keeps_to_its_processors_and_so_do_those_it_starts() {
        let work = || {
            let all = Processors::of_thread().unwrap();
            let one = Processors::from(all.0[0]);
            one.keep().unwrap();
            assert_eq!(Processors::of_thread().unwrap(), one);
            let child = std::thread::spawn(|| Processors::of_thread().unwrap());
            assert_eq!(child.join().unwrap(), one);
            let error = Processors::from(1023).keep().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let error = Processors::from(u16::MAX).keep().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        };
        std::thread::spawn(work).join().unwrap();
    }
}
