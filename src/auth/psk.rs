use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use zeroize::Zeroizing;

use crate::protocol::native::PskKey;

/// An identity, and the key that proves it to whoever has the same.
#[derive(Debug, Clone)]
pub struct Psk {
    identity: String,
    key: PskKey,
}

/// Pre-shared keys by their identities.
#[derive(Debug, Clone, Default)]
pub struct Psks(BTreeMap<String, Psk>);

/// Why pre-shared keys cannot be used. Nothing of a key is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PskError {
    /// The file cannot be read.
    #[error("cannot read the keys {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "the keys {} may be read or written by others (mode {mode:03o}): chmod 600 it, and make new keys if somebody may have seen them",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Some lines are wrong.
    #[error(
        "the keys {} have wrong lines: {lines:?}; each is IDENTITY:KEY with a key of at least 16 bytes in base64 as polyperf psk make prints it, each identity once, or begins with #",
        path.display()
    )]
    Lines {
        /// The file.
        path: PathBuf,
        /// Their numbers, from 1; no more than a few of them.
        lines: Vec<usize>,
    },
    /// No key is of this identity.
    #[error(
        "the keys {} have none of {identity:?}; there are {}",
        path.display(), known.join(", ")
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The identity.
        identity: String,
        /// Those that have keys.
        known: Vec<String>,
    },
    /// There is more than one key, or none.
    #[error(
        "the keys {} are those of {}: name one identity with --psk-identity",
        path.display(), if known.is_empty() { "nobody".to_owned() } else { known.join(", ") }
    )]
    Which {
        /// The file.
        path: PathBuf,
        /// Those that have keys.
        known: Vec<String>,
    },
}

impl Psk {
    /// Returns the key of this identity; `None` if either is none: an identity has no blanks and no
    /// colon, a key at least 16 bytes.
    #[must_use]
    pub fn new(identity: &str, key: &[u8]) -> Option<Self> {
        let good = is_identity(identity) && key.len() >= MIN_KEY;
        good.then(|| Self { identity: identity.to_owned(), key: PskKey::new(key) })
    }

    /// Returns who it proves.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub(crate) fn key(&self) -> &PskKey {
        &self.key
    }
}

impl Psks {
    /// Reads a file of lines `IDENTITY:KEY`, which nobody else may read. A credential of the
    /// service's manager may be one of its group.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or others may, or which lines are wrong.
    pub fn open(path: &Path, is_credential: bool) -> Result<Self, PskError> {
        let failed = |source| PskError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let forbidden = if is_credential { 0o037 } else { 0o077 };
        if about.is_file() && about.mode() & forbidden != 0 {
            return Err(PskError::Open { path: path.to_owned(), mode: about.mode() & 0o777 });
        }
        // Of the full size from the start: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE));
        let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
        file.take(limit).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text).map_err(|mut lines| {
            lines.truncate(MAX_LINES_SHOWN);
            PskError::Lines { path: path.to_owned(), lines }
        })
    }

    /// Returns the key of this identity, or the only one that there is, of those in `path`.
    ///
    /// # Errors
    ///
    /// [`PskError::Unknown`] and [`PskError::Which`].
    pub fn only(&self, identity: Option<&str>, path: &Path) -> Result<Psk, PskError> {
        let path = path.to_owned();
        let known = || self.0.keys().cloned().collect();
        match (identity, self.0.len()) {
            (Some(identity), _) => self.0.get(identity).cloned().ok_or_else(|| PskError::Unknown {
                path,
                identity: identity.to_owned(),
                known: known(),
            }),
            (None, 1) => {
                self.0.values().next().cloned().ok_or(PskError::Which { path, known: known() })
            }
            (None, _) => Err(PskError::Which { path, known: known() }),
        }
    }

    pub(crate) fn of(&self, identity: &str) -> Option<&Psk> {
        self.0.get(identity)
    }

    /// Returns the numbers of all lines that are wrong, if any is.
    fn parse(text: &str) -> Result<Self, Vec<usize>> {
        let (mut psks, mut wrong) = (BTreeMap::new(), Vec::new());
        let is_entry = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| is_entry(line)) {
            match entry(line) {
                Some(psk) if !psks.contains_key(&psk.identity) => {
                    psks.insert(psk.identity.clone(), psk);
                }
                _ => wrong.push(number),
            }
        }
        if wrong.is_empty() { Ok(Self(psks)) } else { Err(wrong) }
    }
}

impl FromIterator<Psk> for Psks {
    fn from_iter<T: IntoIterator<Item = Psk>>(psks: T) -> Self {
        Self(psks.into_iter().map(|psk| (psk.identity.clone(), psk)).collect())
    }
}

/// Returns a line with a new key of this identity, made of these random bits; `None` if it is no
/// identity.
#[must_use]
pub fn psk_line(identity: &str, bits: &Zeroizing<[u8; 32]>) -> Option<Zeroizing<String>> {
    is_identity(identity).then(|| {
        let key = Zeroizing::new(BASE64.encode(bits.as_slice()));
        Zeroizing::new(format!("{identity}:{}", key.as_str()))
    })
}

fn entry(line: &str) -> Option<Psk> {
    let (identity, key) = line.trim_end().split_once(':')?;
    let key = Zeroizing::new(BASE64.decode(key.trim()).ok()?);
    Psk::new(identity, &key)
}

pub(super) fn is_identity(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    !text.is_empty()
        && text != "*"
        && !text.starts_with('#')
        && text.len() <= 255
        && !text.chars().any(bad)
}

/// 128 bits, which nobody guesses.
const MIN_KEY: usize = 16;
const MAX_FILE: usize = 1 << 20;
const MAX_LINES_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_line_that_is_made_is_read_again() {
        let line = psk_line("mario", &Zeroizing::new([7; 32])).unwrap();
        let file = file(&format!("# keys\n\n{}\n", *line), 0o600);
        let psks = Psks::open(file.path(), false).unwrap();
        assert_eq!(psks.only(None, file.path()).unwrap().identity(), "mario");
        for name in ["", "a b", "a:b", "*", "#a", "a\n"] {
            assert!(psk_line(name, &Zeroizing::new([7; 32])).is_none(), "{name:?}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let line = psk_line("mario", &Zeroizing::new([7; 32])).unwrap();
        for (mode, credential, taken) in [
            (0o600, false, true),
            (0o400, false, true),
            (0o640, false, false),
            (0o604, false, false),
            (0o440, true, true),
            (0o444, true, false),
        ] {
            let opened = Psks::open(file(&line, mode).path(), credential);
            assert_eq!(opened.is_ok(), taken, "{mode:o}: {opened:?}");
        }
    }

    #[test]
    fn every_wrong_line_is_named_and_no_key_is_shown() {
        let key = BASE64.encode([1; 16]);
        let short = BASE64.encode([1; 15]);
        let text = format!("a:{key}\nb:{short}\nc\na:{key}\n:{key}\n#x\nd:!!\n");
        let file = file(&text, 0o600);
        let error = Psks::open(file.path(), false).unwrap_err();
        let told = error.to_string();
        assert!(
            matches!(&error, PskError::Lines { lines, .. } if *lines == [2, 3, 4, 5, 7]),
            "{told}"
        );
        assert!(!told.contains(&short));
    }

    #[test]
    fn an_identity_is_named_where_there_is_more_than_one() {
        let psks: Psks =
            ["a", "b"].into_iter().filter_map(|name| Psk::new(name, &[1; 16])).collect();
        let path = Path::new("keys");
        assert!(matches!(psks.only(None, path), Err(PskError::Which { .. })));
        assert!(matches!(psks.only(Some("c"), path), Err(PskError::Unknown { .. })));
        assert_eq!(psks.only(Some("b"), path).unwrap().identity(), "b");
    }
}
