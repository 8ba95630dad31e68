//! Who a client is, by user, password and time under the server's public key.
//!
//! It proves who asks and protects nothing else. The operations of cryptography are the caller's:
//! what is here is what goes in and comes out of them.

use std::{collections::BTreeMap, fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

/// A token as it is in the parameters: encrypted, and in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken(String);

/// What a token says.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Who asks.
    pub user: String,
    /// What proves it.
    pub password: String,
    /// When the client made the token, since the Unix epoch, in whole seconds.
    pub at: Duration,
}

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

/// The operations that a [`Gate`] needs.
#[derive(Clone, Copy)]
pub struct Crypto<'a> {
    /// Decrypts with the server's private key; `None` if that fails. It must take as long either
    /// way.
    pub decrypt: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
    /// SHA-256.
    pub sha256: &'a dyn Fn(&[u8]) -> Digest,
}

/// A client that is not let in. Nothing tells why: each reason would help who guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user, password or time are not accepted")]
pub struct Denied;

/// What SHA-256 returns.
pub type Digest = [u8; 32];

impl SealedToken {
    /// Returns the token that arrived as this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the token of these encrypted bytes.
    #[must_use]
    pub fn of(encrypted: &[u8]) -> Self {
        Self(BASE64.encode(encrypted))
    }

    /// Returns the text to send.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the encrypted bytes; `None` if the text is not base64. Line breaks do no harm.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let text: Vec<u8> = self.0.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64.decode(text).ok().filter(|bytes| !bytes.is_empty())
    }
}

impl Token {
    /// Returns the text to encrypt.
    #[must_use]
    pub fn plain(&self) -> String {
        format!("user: {}\npwd:  {}\nts:   {}", self.user, self.password, self.at.as_secs())
    }

    /// Reads a text that was decrypted: three words, each behind its label.
    #[must_use]
    pub fn parse(plain: &[u8]) -> Option<Self> {
        let text = str::from_utf8(plain).ok()?;
        let mut words = text.split_ascii_whitespace();
        let mut labelled = |label: &str| {
            let word = words.next()?.strip_prefix(label)?;
            // Scanning takes white space for optional, and so the word may follow its label.
            if word.is_empty() { words.next() } else { Some(word) }
        };
        let (user, password) = (labelled("user:")?, labelled("pwd:")?);
        let at = Duration::from_secs(labelled("ts:")?.parse().ok()?);
        Some(Self { user: user.to_owned(), password: password.to_owned(), at })
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
        let offered = sha256(format!("{{{user}}}{password}").as_bytes());
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

    /// Lets the client of this token in, and returns who it is. `now` is since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`Denied`] for a token that is none, or wrong, or too old, or was shown before.
    pub fn admit(
        &mut self,
        token: Option<&SealedToken>,
        now: Duration,
        crypto: Crypto<'_>,
    ) -> Result<String, Denied> {
        // Tokens know whole seconds, and iperf3 compares these.
        let now = Duration::from_secs(now.as_secs());
        self.seen.retain(|_, until| now <= *until);
        let encrypted = token.and_then(SealedToken::bytes).unwrap_or_default();
        let plain = (crypto.decrypt)(&encrypted).unwrap_or_default();
        let token = Token::parse(&plain);
        let (user, password, at) = token
            .as_ref()
            .map_or(("", "", Duration::ZERO), |token| (&token.user, &token.password, token.at));
        let known = self.users.knows(user, password, crypto.sha256);
        let fresh = now.abs_diff(at) <= self.skew;
        let mark = (crypto.sha256)(&encrypted);
        let first = !self.seen.contains_key(&mark) && self.seen.len() < MAX_SEEN;
        if !(known & fresh & first) {
            return Err(Denied);
        }
        self.seen.insert(mark, at.saturating_add(self.skew));
        Ok(user.to_owned())
    }
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedToken({} characters)", self.0.len())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {:?})", self.user, self.at)
    }
}

impl fmt::Debug for Crypto<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crypto")
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);
    const SKEW: Duration = Duration::from_secs(10);

    /// No hash to rely on, but one that differs where its input does.
    fn digest(bytes: &[u8]) -> Digest {
        let mut digest = [0_u8; 32];
        for (at, byte) in bytes.iter().enumerate() {
            digest[at % 32] = digest[at % 32].wrapping_mul(31).wrapping_add(*byte).wrapping_add(1);
        }
        digest
    }

    fn gate() -> Gate {
        let hex: String = digest(b"{mario}rossi").iter().map(|b| format!("{b:02x}")).collect();
        Gate::new(Users::parse(&format!("# users\n\nmario,{hex}\n")).unwrap(), SKEW)
    }

    fn sealed(user: &str, password: &str, at: Duration) -> SealedToken {
        let token = Token { user: user.to_owned(), password: password.to_owned(), at };
        SealedToken::of(token.plain().as_bytes())
    }

    fn admit(
        gate: &mut Gate,
        token: Option<&SealedToken>,
        now: Duration,
    ) -> Result<String, Denied> {
        let decrypt = |bytes: &[u8]| Some(bytes.to_vec());
        gate.admit(token, now, Crypto { decrypt: &decrypt, sha256: &digest })
    }

    #[test]
    fn the_plain_text_is_three_lines() {
        let token = Token { user: "mario".to_owned(), password: "rossi".to_owned(), at: NOW };
        assert_eq!(token.plain(), "user: mario\npwd:  rossi\nts:   1700000000");
        assert_eq!(Token::parse(token.plain().as_bytes()), Some(token.clone()));
        assert_eq!(Token::parse(b"user:mario pwd:rossi ts:1700000000\0").map(|t| t.user), None);
        assert_eq!(Token::parse(b"user:mario pwd:rossi ts:1700000000\n"), Some(token));
    }

    #[test]
    fn what_is_no_plain_text_is_no_token() {
        let long = [b'x'; 256];
        let texts: [&[u8]; 9] = [
            b"",
            b"user:",
            b"user: a\npwd: b",
            b"user: a\npwd: b\nts: c",
            b"user: a\npwd: b\nts: -1",
            b"user: a\npwd: b\nts: 99999999999999999999",
            b"pwd: b\nuser: a\nts: 1",
            b"\xff\xfe",
            &long,
        ];
        for text in texts {
            assert_eq!(Token::parse(text), None, "{text:.20?}");
        }
    }

    #[test]
    fn base64_of_any_kind_is_read_or_refused() {
        let million = "A".repeat(1 << 20) + "\n";
        for (text, bytes) in [
            ("", None),
            ("=", None),
            ("==", None),
            ("A", None),
            ("AA==", Some(1)),
            (" \n", None),
            ("AAAA\nAAAA", Some(6)),
            ("****", None),
            (&*million, Some(786_432)),
        ] {
            let token = SealedToken::new(text.to_owned());
            assert_eq!(token.bytes().map(|bytes| bytes.len()), bytes, "{text:.20}");
        }
    }

    #[test]
    fn a_known_user_is_let_in_once_for_each_token() {
        let (mut gate, token) = (gate(), sealed("mario", "rossi", NOW));
        assert_eq!(admit(&mut gate, Some(&token), NOW), Ok("mario".to_owned()));
        let latest = NOW + SKEW + Duration::from_millis(999);
        assert_eq!(admit(&mut gate, Some(&token), latest), Err(Denied));
        let broken = SealedToken::new(format!(" {}", token.as_str()));
        assert_eq!(admit(&mut gate, Some(&broken), NOW), Err(Denied));
        let next = sealed("mario", "rossi", NOW + SKEW * 3);
        assert!(admit(&mut gate, Some(&next), NOW + SKEW * 3).is_ok());
        assert_eq!(gate.seen.len(), 1);
    }

    #[test]
    fn a_token_is_fresh_to_the_last_of_its_seconds() {
        let latest = NOW + SKEW + Duration::from_millis(999);
        assert!(admit(&mut gate(), Some(&sealed("mario", "rossi", NOW)), latest).is_ok());
    }

    #[test]
    fn all_others_are_denied_alike() {
        let second = Duration::from_secs(1);
        for token in [
            sealed("mario", "verdi", NOW),
            sealed("luigi", "rossi", NOW),
            sealed("mario", "rossi", NOW - SKEW - second),
            sealed("mario", "rossi", NOW + SKEW + second),
            SealedToken::new("=".to_owned()),
        ] {
            assert_eq!(admit(&mut gate(), Some(&token), NOW), Err(Denied), "{token:?}");
        }
        assert_eq!(admit(&mut gate(), None, NOW), Err(Denied));
        let (mut gate, token) = (gate(), sealed("mario", "rossi", NOW));
        let crypto = Crypto { decrypt: &|_| None, sha256: &digest };
        assert_eq!(gate.admit(Some(&token), NOW, crypto), Err(Denied));
    }

    #[test]
    fn every_wrong_line_of_a_users_file_is_named() {
        let hex = "0f".repeat(32);
        let plus = "+f".repeat(32);
        let file = format!("#c\na,{hex}\nb\n,{hex}\nc,{hex}0\nd,{hex} \ne,{plus}\n");
        assert_eq!(Users::parse(&file).unwrap_err(), [3, 4, 5, 7]);
    }

    #[test]
    fn neither_password_nor_token_is_shown() {
        let token = Token { user: "u".to_owned(), password: "secret".to_owned(), at: NOW };
        assert!(!format!("{token:?}").contains("secret"));
        assert!(!format!("{:?}", SealedToken::of(b"secret")).contains("c2Vj"));
    }
}
