use std::{collections::BTreeMap, fmt, time::Duration};

use zeroize::Zeroizing;

use super::{SealedToken, Token};

/// The users that a server knows, from lines of `user,sha256("{user}password")`.
#[derive(Debug, Clone, Default)]
pub struct Users(BTreeMap<String, Digest>);

/// Decides whom a server lets in, and lets no token in twice.
#[derive(Debug)]
pub struct Gate {
    users: Users,
    skew: Duration,
    /// Tokens that were let in, and until when they could be shown again.
    seen: BTreeMap<Digest, Duration>,
}

/// A token as the server's private key has it, or what stands in the place of one that is missing
/// or cannot be decrypted: everything is done with that as well, to the end.
pub struct Opened {
    encrypted: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
}

/// A client that is not let in. Nothing tells why: each reason would help who guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user, password or time are not accepted")]
pub struct Denied;

/// What SHA-256 returns.
pub type Digest = [u8; 32];

impl Opened {
    /// Decrypts a token. `decrypt` returns `None` if it cannot, and must take as long either way.
    #[must_use]
    pub fn new(
        token: Option<&SealedToken>,
        decrypt: impl FnOnce(&[u8]) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Self {
        let encrypted = token.and_then(SealedToken::bytes).unwrap_or_default();
        let plain = decrypt(&encrypted).unwrap_or_default();
        Self { encrypted, plain }
    }
}

impl Users {
    /// Reads a file of users. A line that begins with `#` is a comment; the first line of a user
    /// counts.
    ///
    /// # Errors
    ///
    /// Returns the numbers of all lines that are neither.
    pub fn parse(file: &str) -> Result<Self, Vec<usize>> {
        let (mut users, mut wrong) = (BTreeMap::new(), Vec::new());
        for (number, line) in (1..).zip(file.lines()).filter(|(_, line)| is_entry(line)) {
            match entry(line) {
                Some((user, digest)) => drop(users.entry(user).or_insert(digest)),
                None => wrong.push(number),
            }
        }
        if wrong.is_empty() { Ok(Self(users)) } else { Err(wrong) }
    }

    /// Checks a password, in the same time whether or not there is such a user.
    fn knows(&self, user: &str, password: &str, sha256: &dyn Fn(&[u8]) -> Digest) -> bool {
        let offered = sha256(Zeroizing::new(format!("{{{user}}}{password}")).as_bytes());
        let known = self.0.get(user);
        same(&offered, known.unwrap_or(&[0; 32])) & known.is_some()
    }
}

impl Gate {
    /// Returns a gate for these users, whose clocks may be off by `skew`.
    #[must_use]
    pub fn new(users: Users, skew: Duration) -> Self {
        Self { users, skew, seen: BTreeMap::new() }
    }

    /// Takes other users from now on. Tokens that were let in stay known.
    pub fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// Lets the client of this token in, and returns who it is. `now` is since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`Denied`] for a token that is none, or wrong, or too old, or was shown before.
    pub fn admit(
        &mut self,
        opened: &Opened,
        now: Duration,
        sha256: &dyn Fn(&[u8]) -> Digest,
    ) -> Result<String, Denied> {
        // Tokens know whole seconds, and iperf3 compares these.
        let now = Duration::from_secs(now.as_secs());
        self.seen.retain(|_, until| now <= *until);
        let token = Token::parse(&opened.plain);
        let (user, password, at) = token
            .as_ref()
            .map_or(("", "", Duration::ZERO), |token| (&token.user, &token.password, token.at));
        let known = self.users.knows(user, password, sha256);
        let fresh = now.abs_diff(at) <= self.skew;
        let mark = sha256(&opened.encrypted);
        let first = !self.seen.contains_key(&mark) && self.seen.len() < MAX_SEEN;
        if !(known & fresh & first) {
            return Err(Denied);
        }
        self.seen.insert(mark, at.saturating_add(self.skew));
        Ok(user.to_owned())
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.seen.len()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} bytes)", self.encrypted.len())
    }
}

fn is_entry(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn entry(line: &str) -> Option<(String, Digest)> {
    let (user, hex) = line.trim_end().split_once(',')?;
    let hex = hex.trim().as_bytes();
    if user.is_empty() || hex.len() != 64 || !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some((user.to_owned(), digest))
}

/// Compares in a time that does not depend on where the first difference is.
fn same(one: &Digest, other: &Digest) -> bool {
    one.iter().zip(other).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// The most tokens within one skew. Only those of known users are remembered.
const MAX_SEEN: usize = 1 << 16;
