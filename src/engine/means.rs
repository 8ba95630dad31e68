use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use polyperf_transport::{Processors, Setting};

/// What one end of a test brings of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Means {
    /// The processor that data threads keep to.
    pub(crate) affinity: Option<u16>,
    /// The processors that data threads keep to unless that says otherwise.
    pub(crate) processors: Option<Processors>,
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
    /// Has the calling thread, which is a flow's own, keep to its processors, and says what came of
    /// it.
    pub(super) fn settle(&self) -> Option<Setting> {
        match self.affinity {
            Some(processor) => Some(pin(processor)),
            None => self.processors.as_ref().map(|processors| keep_to(AMONG, processors)),
        }
    }

    /// Does so where the calling thread is also other flows', or says why not. With `home` it is one
    /// that carries connections.
    pub(super) fn settle_among_others(&self, home: bool) -> Option<Setting> {
        match (self.affinity, &self.processors) {
            (Some(processor), _) if home && self.owns_homes => Some(pin(processor)),
            (Some(processor), _) => Some(without_thread(AFFINITY, &processor.into())),
            // Its thread has kept to them since it began, if it could.
            (None, Some(processors)) if home => Some(keep_to(AMONG, processors)),
            (None, Some(processors)) => Some(without_thread(AMONG, processors)),
            (None, None) => None,
        }
    }

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
    keep_to(AFFINITY, &processor.into())
}

fn keep_to(option: &str, processors: &Processors) -> Setting {
    let result = processors.keep();
    Setting {
        option: option.to_owned(),
        asked: processors.to_string(),
        granted: result.is_ok().then(|| processors.to_string()),
        refused: result.err().map(|error| refusal(processors, &error)),
    }
}

fn refusal(processors: &Processors, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::InvalidInput {
        return error.to_string();
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processors} is none of the {count} processors that this process may use (numbers begin at 0)"
    )
}

fn without_thread(option: &str, processors: &Processors) -> Setting {
    Setting {
        option: option.to_owned(),
        asked: processors.to_string(),
        granted: None,
        refused: Some("flows share their threads with those of other tests here".to_owned()),
    }
}

fn explained(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

const AFFINITY: &str = "affinity";
const AMONG: &str = "data_processors";

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
