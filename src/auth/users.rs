use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{file, sha256};
use crate::protocol::auth::Users;

/// The file of a server's users, which may change while the server runs.
#[derive(Debug, Clone)]
pub struct UsersFile {
    path: PathBuf,
    users: Users,
    /// What the file was like when it was looked at last; `None` if there was none.
    stamp: Option<Stamp>,
}

/// Why a file of users cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("cannot read the users {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Some lines are not of its form.
    #[error(
        "the users {} have wrong lines: {lines:?}; each is USER,HEX with the SHA-256 of {{USER}}PASSWORD in 64 digits, or begins with #",
        path.display()
    )]
    Lines {
        /// The file.
        path: PathBuf,
        /// Their numbers, from 1; no more than a few of them.
        lines: Vec<usize>,
    },
}

/// What changes with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl UsersFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or which lines are wrong.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let path = path.into();
        let stamp = stamp(&path);
        let users = read(&path)?;
        Ok(Self { path, users, stamp })
    }

    /// Looks whether the file has changed, and returns its users if so.
    ///
    /// A file that cannot be read any more has no users. One with a wrong line may be half written,
    /// and is as if it had not changed.
    pub(crate) fn refresh(&mut self) -> Option<(Users, Option<UsersError>)> {
        let now = stamp(&self.path);
        if now == self.stamp {
            return None;
        }
        self.stamp = now;
        let error = match read(&self.path) {
            Ok(users) => {
                self.users = users;
                None
            }
            Err(error) => {
                if matches!(error, UsersError::Read { .. }) {
                    self.users = Users::default();
                }
                Some(error)
            }
        };
        Some((self.users.clone(), error))
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }
}

/// Returns the line of a user in such a file.
#[must_use]
pub fn line(user: &str, password: &str) -> String {
    let text = zeroize::Zeroizing::new(format!("{{{user}}}{password}"));
    let hex = sha256(text.as_bytes()).map(|byte| format!("{byte:02x}")).concat();
    format!("{user},{hex}")
}

fn read(path: &Path) -> Result<Users, UsersError> {
    let failed = |source| UsersError::Read { path: path.to_owned(), source };
    let bytes = file::read(path, MAX_FILE).map_err(failed)?;
    let text = str::from_utf8(&bytes);
    let text = text.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Users::parse(text).map_err(|mut lines| {
        lines.truncate(MAX_LINES_SHOWN);
        UsersError::Lines { path: path.to_owned(), lines }
    })
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp {
        device: file.dev(),
        inode: file.ino(),
        length: file.len(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

/// Room for some ten thousand users; each attempt may read it anew.
const MAX_FILE: usize = 1 << 20;
const MAX_LINES_SHOWN: usize = 8;
