mod host_port;
mod lines;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    vec,
};

pub use self::host_port::{BadHostPort, HostPort};
use self::lines::{BadLine, Lines};
use crate::{Fingerprint, file};

/// The servers that a client has met, each with the fingerprint of its certificate.
///
/// Clones share one. In a file, each is a line `HOST:PORT sha256:…`; lines that are empty or begin
/// with `#` are kept as they are. Every call reads the file anew, which takes less than a
/// millisecond; changes replace it as a whole, one program at a time, so that none loses another's.
#[derive(Debug, Clone)]
pub struct KnownServers(Arc<Place>);

/// Why the known servers cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownServersError {
    /// The host is none.
    #[error(transparent)]
    Host(#[from] BadHostPort),
    /// Their file cannot be read.
    #[error("cannot read the known servers {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of their file is not of its form.
    #[error(
        "line {line} of the known servers {} is wrong: {problem}; each is HOST:PORT and a fingerprint, or begins with #",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// Why.
        problem: String,
    },
    /// Their file cannot be written.
    #[error("cannot write the known servers {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server is known by another fingerprint.
    #[error(
        "{server} is known by the fingerprint {known}{} and cannot be remembered with {shown}; polyperf cert forget {} removes what is known",
        lies_in(path.as_deref()), server.host()
    )]
    Changed {
        /// The server.
        server: HostPort,
        /// What is known.
        known: Fingerprint,
        /// What was to be remembered.
        shown: Fingerprint,
        /// The file; `None` if they are in memory.
        path: Option<PathBuf>,
    },
}

enum Place {
    Memory(Mutex<Lines>),
    File(PathBuf),
}

impl KnownServers {
    /// Returns such as are forgotten with the last clone.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Arc::new(Place::Memory(Mutex::default())))
    }

    /// Returns those in a file; one that does not exist has none, and is made, with the folders it
    /// is in, when one is remembered.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Place::File(path.into())))
    }

    /// Remembers a server by its fingerprint.
    ///
    /// # Errors
    ///
    /// [`KnownServersError::Changed`] if it is known by another; that the file cannot be read or
    /// written.
    pub fn remember(
        &self,
        host: &str,
        port: u16,
        fingerprint: Fingerprint,
    ) -> Result<(), KnownServersError> {
        let server = HostPort::new(host, port)?;
        self.change(|lines| match lines.get(&server) {
            None => {
                lines.add(server, fingerprint);
                Ok(())
            }
            Some(known) if known == fingerprint => Ok(()),
            Some(known) => {
                let path = self.path().map(Path::to_owned);
                Err(KnownServersError::Changed { server, known, shown: fingerprint, path })
            }
        })
    }

    /// Forgets the server at this port of a host, or at all of its ports, and returns how many
    /// those were.
    ///
    /// # Errors
    ///
    /// That the file cannot be read or written.
    pub fn forget(&self, host: &str, port: Option<u16>) -> Result<usize, KnownServersError> {
        let host = host_port::normal(host)?;
        let is_meant = |server: &HostPort| {
            server.host() == host && port.is_none_or(|port| port == server.port())
        };
        // Nothing is written, or locked, where nothing is known.
        if !self.iter()?.any(|(server, _)| is_meant(&server)) {
            return Ok(0);
        }
        self.change(|lines| Ok(lines.remove(is_meant)))
    }

    /// Returns the fingerprint of a server; `None` if it is not known.
    ///
    /// # Errors
    ///
    /// That the file cannot be read, or which line is wrong.
    pub fn get(&self, host: &str, port: u16) -> Result<Option<Fingerprint>, KnownServersError> {
        let server = HostPort::new(host, port)?;
        self.look(|lines| lines.get(&server))
    }

    /// Returns all of them, in the order in which they were remembered.
    ///
    /// # Errors
    ///
    /// That the file cannot be read, or which line is wrong.
    pub fn iter(&self) -> Result<vec::IntoIter<(HostPort, Fingerprint)>, KnownServersError> {
        self.look(|lines| lines.servers().collect::<Vec<_>>().into_iter())
    }

    /// Returns their file; `None` if they are in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Place::Memory(_) => None,
            Place::File(path) => Some(path),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Lines) -> T) -> Result<T, KnownServersError> {
        match &*self.0 {
            Place::Memory(lines) => Ok(look(&locked(lines))),
            Place::File(path) => Ok(look(&read(path)?.lines)),
        }
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Lines) -> Result<T, KnownServersError>,
    ) -> Result<T, KnownServersError> {
        match &*self.0 {
            Place::Memory(lines) => change(&mut locked(lines)),
            Place::File(path) => change_file(path, change),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("in memory"),
            Self::File(path) => path.fmt(f),
        }
    }
}

/// Says where it is written that a server is known, in the middle of a sentence.
pub(crate) fn lies_in(path: Option<&Path>) -> String {
    path.map(|path| format!(" (in {})", path.display())).unwrap_or_default()
}

struct Content {
    lines: Lines,
    /// The file's permissions; `None` if there is none.
    mode: Option<u32>,
}

fn read(path: &Path) -> Result<Content, KnownServersError> {
    use std::os::unix::fs::PermissionsExt as _;

    let failed = |source| KnownServersError::Read { path: path.to_owned(), source };
    let Some(file) = file::open(path).map_err(failed)? else {
        return Ok(Content { lines: Lines::default(), mode: None });
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    let bytes = file::read(&file).map_err(failed)?;
    let lines = Lines::parse(&bytes).map_err(|BadLine { line, problem }| {
        KnownServersError::Line { path: path.to_owned(), line, problem }
    })?;
    Ok(Content { lines, mode: Some(mode) })
}

fn change_file<T>(
    path: &Path,
    change: impl FnOnce(&mut Lines) -> Result<T, KnownServersError>,
) -> Result<T, KnownServersError> {
    let failed = |source| KnownServersError::Write { path: path.to_owned(), source };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        file::make_private_dir(dir).map_err(failed)?;
    }
    // What a link leads to is replaced, not the link.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // A lock on the file itself would be gone with the file that is replaced.
    let mut beside = target.clone().into_os_string();
    beside.push(".lock");
    let _locked = file::lock(Path::new(&beside)).map_err(failed)?;
    let Content { mut lines, mode } = read(&target)?;
    let before = lines.to_string();
    let result = change(&mut lines)?;
    let after = lines.to_string();
    if after != before {
        let mode = mode.unwrap_or(file::PRIVATE);
        let written = file::write_beside(&target, after.as_bytes(), mode);
        written.and_then(|file| Ok(file.persist(&target)?)).map_err(failed)?;
    }
    Ok(result)
}

fn locked(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
