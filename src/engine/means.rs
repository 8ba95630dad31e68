use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use polyperf_transport::Setting;

/// What one end of a test brings of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Means {
    /// The processor that data threads keep to.
    pub(crate) affinity: Option<u16>,
    /// Whether threads that carry connections are this test's alone, so that they may keep to it, too.
    pub(crate) owns_homes: bool,
    /// Where bytes come from, or go to.
    pub(crate) file: Option<Arc<File>>,
}

/// A file that one flow reads from its start, or writes.
#[derive(Debug)]
pub(super) struct Tape {
    file: Arc<File>,
    at: u64,
}

impl Means {
    /// Returns the file for one flow, at its start.
    pub(super) fn tape(&self) -> Option<Tape> {
        self.file.as_ref().map(|file| Tape { file: Arc::clone(file), at: 0 })
    }
}

impl Tape {
    /// Fills `buffer` as far as the file goes, and returns how far that is.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], self.at) {
                Ok(0) => break,
                Ok(read) => {
                    filled += read;
                    self.at += u64::try_from(read).unwrap_or(u64::MAX);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(explained("cannot read the file", &error)),
            }
        }
        Ok(filled)
    }

    /// Takes out of the file what was in it.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self.file.set_len(0) {
            // A pipe or a device keeps nothing that could be taken out.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result.map_err(|error| explained("cannot empty the file", &error)),
        }
    }

    /// Writes all `bytes` behind what was written before.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(bytes, self.at);
        written.map_err(|error| explained("cannot write the file", &error))?;
        self.at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// Has the calling thread keep to a processor, and says what came of it.
pub(super) fn pin(processor: u16) -> Setting {
    let result = keep_to(processor);
    Setting {
        option: "affinity".to_owned(),
        asked: processor.to_string(),
        granted: result.is_ok().then(|| processor.to_string()),
        refused: result.err().map(|error| refusal(processor, &error)),
    }
}

fn refusal(processor: u16, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::InvalidInput {
        return error.to_string();
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processor} is none of the {count} processors that this process may use (numbers begin at 0)"
    )
}

#[cfg(target_os = "linux")]
fn keep_to(processor: u16) -> io::Result<()> {
    // SAFETY: a set of processors is a bit field, for which zeros are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let known = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    if usize::from(processor) >= known {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the processor is within the set, as was just checked, and the set outlives the call,
    // which concerns the calling thread alone.
    let result = unsafe {
        libc::CPU_SET(usize::from(processor), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn keep_to(_: u16) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "choosing a processor needs Linux"))
}

fn explained(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_there_is_not_is_said_so() {
        let refused = |processor| pin(processor).refused;
        for processor in [u16::MAX, 1023] {
            let why = refused(processor).unwrap();
            assert!(why.starts_with(&format!("{processor} is none of the ")), "{why}");
        }
        std::thread::spawn(move || assert_eq!(pin(0).granted.as_deref(), Some("0")))
            .join()
            .unwrap();
    }
}
