//! A file in which tests wait while the database does not take them: one on each line.
//!
//! Several processes may share one. Who adds to it locks it for that moment; who writes what is in it
//! to the database holds a lock of its own from the first line to the last, so that there is one.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::Entry;

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    path: PathBuf,
    /// The largest that it may become, in bytes.
    most: u64,
}

/// Somebody who writes what is in the file to the database.
#[derive(Debug)]
pub(super) struct Replay {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
    /// Up to here everything is written.
    done: u64,
}

/// Some tests of the file.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) entries: Vec<Entry>,
    /// Lines that are none: of a process that was killed as it wrote, or of another version.
    pub(super) broken: u64,
    end: u64,
}

impl Spool {
    pub(super) fn new(path: PathBuf, most: u64) -> Self {
        Self { path, most }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a test. When this returns without an error, it is there after a loss of power.
    pub(super) fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut file = open(&self.path)?;
        file.lock()?;
        let size = file.metadata()?.len();
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if size.saturating_add(length) > self.most {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("it has {size} bytes, and may have {}", self.most),
            ));
        }
        if size > 0 && !ends_a_line(&file, size)? {
            // Whoever wrote last was killed: what it left is a line of its own.
            line.insert(0, b'\n');
        }
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line is of no use; if that fails as well, the next one copes with it.
            let _ = file.set_len(size);
        }
        written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.path.metadata().map_or(true, |file| file.len() == 0)
    }

    /// Begins to write what is in it to the database; `None` if there is nothing, or if somebody else
    /// does.
    pub(super) fn replay(&self) -> io::Result<Option<Replay>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        let lock = open(Path::new(&name))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Replay { path: self.path.clone(), _lock: lock, done: 0 })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Replay {
    /// Reads the next tests; `None` behind the last one, when the file is empty again.
    pub(super) fn next(&self) -> io::Result<Option<Chunk>> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        file.lock()?;
        let size = file.metadata()?.len();
        if self.done >= size {
            file.set_len(0)?;
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.done))?;
        let mut chunk = Chunk { entries: Vec::new(), broken: 0, end: self.done };
        let mut lines = BufReader::new(file.take(size - self.done));
        let mut line = Vec::new();
        while chunk.entries.len() < ENTRIES && chunk.end - self.done < BYTES {
            line.clear();
            let length = lines.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            chunk.end += u64::try_from(length).unwrap_or(u64::MAX);
            match serde_json::from_slice(&line) {
                Ok(entry) => chunk.entries.push(entry),
                // A line feed alone is where a half line was ended.
                Err(_) if length == 1 => {}
                Err(_) => chunk.broken += 1,
            }
        }
        Ok(Some(chunk))
    }

    /// Takes note that these are in the database.
    pub(super) fn wrote(&mut self, chunk: &Chunk) {
        self.done = chunk.end;
    }
}

/// Opens a file, which is made if need be, in a folder that is made if need be: what is in it tells
/// who has tested what with whom, so it is for its owner alone.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(0o600);
    match (options.open(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            options.open(path)
        }
        (file, _) => file,
    }
}

fn ends_a_line(file: &File, size: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, size - 1)?;
    Ok(last == *b"\n")
}

/// How many tests are in memory at once.
const ENTRIES: usize = 64;
/// How many bytes of them, but for one that has more.
const BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        event::FailedEvent,
        history::Record,
        outcome::{Failure, FailureCode, Side},
    };

    fn entry(message: &str) -> Entry {
        let failure = Failure::new(FailureCode::Busy, message);
        let event = FailedEvent { side: Side::Server, session: None, peer: None, failure };
        Entry::new(Record::Failed(Arc::new(event)), Duration::from_secs(1))
    }

    fn spool(folder: &tempfile::TempDir) -> Spool {
        Spool::new(folder.path().join("spool"), 1 << 20)
    }

    /// Returns all that is in it, and how many lines were none.
    fn drain(spool: &Spool) -> (Vec<Entry>, u64) {
        let (mut entries, mut broken) = (Vec::new(), 0);
        let Some(mut replay) = spool.replay().unwrap() else { return (entries, broken) };
        while let Some(mut chunk) = replay.next().unwrap() {
            replay.wrote(&chunk);
            entries.append(&mut chunk.entries);
            broken += chunk.broken;
        }
        (entries, broken)
    }

    #[test]
    fn what_was_put_in_comes_out_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        assert!(spool.replay().unwrap().is_none());
        let entries: Vec<_> = (0..200).map(|n| entry(&format!("{n}\n\u{1b}"))).collect();
        entries.iter().for_each(|entry| spool.append(entry).unwrap());
        assert_eq!(drain(&spool), (entries, 0));
        assert!(spool.is_empty() && drain(&spool).0.is_empty());
    }

    #[test]
    fn one_at_a_time_takes_out_and_meanwhile_more_may_come() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        spool.append(&entry("a")).unwrap();
        let mut replay = spool.replay().unwrap().unwrap();
        assert!(spool.replay().unwrap().is_none(), "another one is at it");
        let chunk = replay.next().unwrap().unwrap();
        spool.append(&entry("b")).unwrap();
        replay.wrote(&chunk);
        let chunk = replay.next().unwrap().unwrap();
        assert_eq!(chunk.entries.len(), 1);
        replay.wrote(&chunk);
        assert!(replay.next().unwrap().is_none());
        drop(replay);
        spool.append(&entry("c")).unwrap();
        assert_eq!(drain(&spool).0.len(), 1);
    }

    #[test]
    fn what_was_not_written_is_still_there() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        spool.append(&entry("a")).unwrap();
        let replay = spool.replay().unwrap().unwrap();
        assert_eq!(replay.next().unwrap().unwrap().entries.len(), 1);
        drop(replay);
        assert_eq!(drain(&spool).0.len(), 1);
    }

    #[test]
    fn half_a_line_costs_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        spool.append(&entry("a")).unwrap();
        let whole = fs::read(spool.path()).unwrap();
        fs::write(spool.path(), [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        spool.append(&entry("b")).unwrap();
        let (entries, broken) = drain(&spool);
        assert_eq!((entries.len(), broken), (2, 1));
    }

    #[test]
    fn it_never_grows_beyond_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"), 1000);
        let taken = (0..100).take_while(|_| spool.append(&entry("x")).is_ok()).count();
        assert!((1..20).contains(&taken), "{taken}");
        assert!(fs::metadata(spool.path()).unwrap().len() <= 1000);
        assert_eq!(drain(&spool).0.len(), taken);
        assert!(spool.append(&entry("x")).is_ok());
    }
}
