use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use polyperf_certs::Fingerprint;

use super::{file, psk::is_identity};

/// The clients that a server knows by the certificates of their keys, and what each is called.
///
/// In a file each is a line `FINGERPRINT NAME`; lines that are empty or begin with `#` mean nothing. A
/// name may have several keys, a key has one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizedKeys(BTreeMap<Fingerprint, String>);

/// Why there are no authorized keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizedKeysError {
    /// The file cannot be read.
    #[error("cannot read the authorized keys {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may write to the file.
    #[error(
        "the authorized keys {} may be written by others (mode {mode:03o}), who could let anybody in: see what is in it, then chmod 644 it",
        path.display()
    )]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is somebody else's.
    #[error(
        "the authorized keys {} belong to the user {owner}, who could let anybody in: see what is in it, then chown it to root or to the user of the server",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// Some lines are wrong.
    #[error(
        "the authorized keys {} have wrong lines: {mistakes}; each is a fingerprint, as polyperf cert show prints it, and a name without blanks and colons, or begins with #",
        path.display()
    )]
    Lines {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        mistakes: KeyMistakes,
    },
}

/// A line of authorized keys that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMistake {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// All such lines of a file, of which there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMistakes(Vec<KeyMistake>);

impl AuthorizedKeys {
    /// Reads a file, which nobody but its owner may write to, who is root or the user of this process.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or others may write to it, or which lines are wrong.
    pub fn open(path: &Path) -> Result<Self, AuthorizedKeysError> {
        let failed = |source| AuthorizedKeysError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        unwritable(path, &file.metadata().map_err(failed)?)?;
        let text = file::read_open(&file, MAX_FILE).map_err(failed)?;
        Self::parse(&text)
            .map_err(|mistakes| AuthorizedKeysError::Lines { path: path.to_owned(), mistakes })
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// Every line that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, KeyMistakes> {
        let (mut keys, mut mistakes) = (BTreeMap::new(), Vec::new());
        for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let added = entry(text).and_then(|entry| match entry {
                Some((fingerprint, _)) if keys.contains_key(&fingerprint) => {
                    Err("its key is on a line before".to_owned())
                }
                entry => {
                    keys.extend(entry);
                    Ok(())
                }
            });
            mistakes.extend(added.err().map(|problem| KeyMistake { line, problem }));
        }
        if mistakes.is_empty() { Ok(Self(keys)) } else { Err(KeyMistakes(mistakes)) }
    }

    /// Returns how many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what the client is called that holds the key of this certificate; `None` if it is not
    /// known.
    #[must_use]
    pub fn name(&self, certificate: Fingerprint) -> Option<&str> {
        self.0.get(&certificate).map(String::as_str)
    }
}

impl KeyMistakes {
    /// Returns each of them, in the order of the lines.
    pub fn iter(&self) -> impl Iterator<Item = &KeyMistake> {
        self.0.iter()
    }
}

impl fmt::Display for KeyMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, KeyMistake { line, problem }) in self.0.iter().take(MAX_SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{line} ({problem})")?;
        }
        match self.0.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// As sshd has it: whoever can write to the file, or give himself the right to, lets in whom he likes.
fn unwritable(path: &Path, about: &Metadata) -> Result<(), AuthorizedKeysError> {
    let (path, mode) = (path.to_owned(), about.mode() & 0o7777);
    if about.is_file() && mode & OTHERS_WRITE != 0 {
        return Err(AuthorizedKeysError::Writable { path, mode });
    }
    // SAFETY: it takes nothing, and always succeeds.
    let user = unsafe { libc::geteuid() };
    if about.is_file() && ![0, user].contains(&about.uid()) {
        return Err(AuthorizedKeysError::Foreign { path, owner: about.uid() });
    }
    Ok(())
}

/// Returns what a line says; `None` for a comment.
fn entry(line: &[u8]) -> Result<Option<(Fingerprint, String)>, String> {
    let text = str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(None),
        (Some(first), ..) if first.starts_with('#') => Ok(None),
        (Some(fingerprint), Some(name), None) => {
            let fingerprint = fingerprint.parse().map_err(problem)?;
            if !is_identity(name) {
                return Err("its name is none".to_owned());
            }
            Ok(Some((fingerprint, name.to_owned())))
        }
        (Some(_), None, _) => Err("it has one word".to_owned()),
        (Some(_), Some(_), Some(_)) => Err("it has more than two words".to_owned()),
    }
}

fn problem(error: polyperf_certs::BadFingerprint) -> String {
    error.to_string()
}

/// What a mode lets the group and others do.
const OTHERS_WRITE: u32 = 0o022;
/// Some ten thousand keys.
const MAX_FILE: usize = 1 << 20;
/// Lines that are told.
const MAX_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn fingerprint(of: &str) -> Fingerprint {
        Fingerprint::of(of.as_bytes())
    }

    fn parse(text: &str) -> AuthorizedKeys {
        AuthorizedKeys::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn each_line_is_a_key_and_whose_it_is() {
        let (a, b, c) = (fingerprint("a"), fingerprint("b"), fingerprint("c"));
        let keys = parse(&format!("# mine\n\n{a} alice\r\n  {b}\talice  \n{c} bob"));
        assert_eq!(keys.len(), 3);
        assert_eq!(keys.name(a), Some("alice"));
        assert_eq!(keys.name(b), Some("alice"), "a name may have several keys");
        assert_eq!(keys.name(c), Some("bob"));
        assert_eq!(keys.name(fingerprint("d")), None);
        assert!(parse("").is_empty());
    }

    #[test]
    fn every_wrong_line_is_named_with_what_is_wrong() {
        let (a, b) = (fingerprint("a"), fingerprint("b"));
        let cases = [
            (format!("{a} alice"), None),
            (format!("{a} bob"), Some("on a line before")),
            (format!("{a} alice"), Some("on a line before")),
            (a.to_string(), Some("one word")),
            (format!("{b} bob and alice"), Some("more than two words")),
            ("sha256:00 bob".to_owned(), Some("64 hexadecimal digits")),
            ("bob".to_owned(), Some("one word")),
            (format!("{b} *"), Some("name is none")),
            (format!("{b} #bob"), Some("name is none")),
            (format!("{b} bob:1"), Some("name is none")),
            (format!("{b} {}", "x".repeat(256)), Some("name is none")),
            ("# all well".to_owned(), None),
        ];
        let lines: Vec<_> = cases.iter().map(|(line, _)| line.clone()).collect();
        let wrong = [lines.join("\n").as_bytes(), b"\n\xff"].concat();
        let mistakes = AuthorizedKeys::parse(&wrong).unwrap_err();
        let told: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(told, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
        for KeyMistake { line, problem } in mistakes.iter() {
            let part = cases.get(line - 1).map_or(Some("UTF-8"), |(_, part)| *part);
            assert!(problem.contains(part.unwrap()), "{line}: {problem}");
        }
        let shown = mistakes.to_string();
        assert!(shown.contains("3 (its key") && shown.ends_with("and 3 more"), "{shown}");
    }

    #[test]
    fn a_file_that_others_can_write_to_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{} alice\n", fingerprint("a"))).unwrap();
        for (mode, taken) in [
            (0o600, true),
            (0o644, true),
            (0o444, true),
            (0o664, false),
            (0o646, false),
            (0o602, false),
        ] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            match AuthorizedKeys::open(file.path()) {
                Ok(keys) => assert!(taken && keys.len() == 1, "{mode:o}"),
                Err(error) => {
                    assert!(!taken, "{mode:o}: {error}");
                    assert!(error.to_string().contains("chmod 644"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let about = file.as_file().metadata().unwrap();
        assert!(unwritable(file.path(), &about).is_ok());
        // Only root can give a file away.
        if std::os::unix::fs::chown(file.path(), Some(12345), None).is_ok() {
            let error = AuthorizedKeys::open(file.path()).unwrap_err().to_string();
            assert!(error.contains("12345") && error.contains("chown"), "{error}");
        }
    }

    #[test]
    fn no_more_than_a_mebibyte_is_read() {
        let error = AuthorizedKeys::open(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("longer than 1048576 bytes"), "{error}");
        assert!(AuthorizedKeys::open(Path::new("/nowhere")).is_err());
    }
}
