use std::{fmt, str::FromStr};

use ring::digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SHA-256 of a certificate's DER (X.509), by which people and programs tell servers apart.
///
/// As text it is `sha256:` and 64 lower-case hexadecimal digits. What is read may lack the prefix,
/// be in either case, and have a colon between each two bytes, as openssl prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Fingerprint([u8; LENGTH]);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFingerprint {
    /// It is of another hash.
    #[error("a fingerprint is of sha256, not of {0:?}")]
    Hash(String),
    /// A character is out of place.
    #[error("{0:?} is no hexadecimal digit of a fingerprint")]
    Digit(char),
    /// Colons are not between bytes.
    #[error("the colons of a fingerprint are between every two digits, or nowhere")]
    Colons,
    /// It is too short or too long.
    #[error("a fingerprint has 64 hexadecimal digits, not {0}")]
    Length(usize),
}

impl Fingerprint {
    /// Returns the fingerprint of a certificate, given as its DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; LENGTH];
        for (to, from) in
            bytes.iter_mut().zip(digest::digest(&digest::SHA256, certificate).as_ref())
        {
            *to = *from;
        }
        Self(bytes)
    }

    /// Returns the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl From<[u8; LENGTH]> for Fingerprint {
    fn from(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = BadFingerprint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = digits(without_prefix(text)?)?;
        let mut bytes = [0; LENGTH];
        if digits.len() != 2 * LENGTH {
            return Err(BadFingerprint::Length(digits.len()));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(Self(bytes))
    }
}

/// A prefix is what is before the first colon, unless that can be the first byte.
fn without_prefix(text: &str) -> Result<&str, BadFingerprint> {
    match text.split_once(':') {
        Some((hash, rest)) if hash.eq_ignore_ascii_case("sha256") => Ok(rest),
        Some((hash, _)) if hash.chars().any(|c| !c.is_ascii_hexdigit()) => {
            Err(BadFingerprint::Hash(hash.chars().take(MAX_SHOWN).collect()))
        }
        _ => Ok(text),
    }
}

/// Returns the values of the digits.
fn digits(text: &str) -> Result<Vec<u8>, BadFingerprint> {
    let colons = text.contains(':');
    if colons && text.split(':').any(|byte| byte.len() != 2) {
        return Err(BadFingerprint::Colons);
    }
    let digit = |c: char| {
        let value = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        value.ok_or(BadFingerprint::Digit(c))
    };
    text.chars().filter(|c| *c != ':').map(digit).collect()
}

const PREFIX: &str = "sha256:";
const LENGTH: usize = 32;
/// Characters of a wrong prefix that are shown.
const MAX_SHOWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc", from FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn it_is_shown_with_its_hash_and_in_lower_case() {
        assert_eq!(Fingerprint::of(b"abc").to_string(), format!("sha256:{ABC}"));
    }

    #[test]
    fn it_is_read_with_and_without_prefix_in_either_case() {
        let upper = ABC.to_uppercase();
        for text in [ABC, &upper, &format!("sha256:{ABC}"), &format!("SHA256:{upper}")] {
            assert_eq!(text.parse(), Ok(Fingerprint::of(b"abc")), "{text}");
        }
    }

    #[test]
    fn it_is_read_as_openssl_prints_it() {
        let bytes = Fingerprint::of(b"abc").0.map(|byte| format!("{byte:02X}"));
        assert_eq!(bytes.join(":").parse(), Ok(Fingerprint::of(b"abc")));
        let prefixed = format!("sha256:{}", bytes.join(":"));
        assert_eq!(prefixed.parse(), Ok(Fingerprint::of(b"abc")));
    }

    #[test]
    fn what_is_wrong_with_it_is_told() {
        let parse = |text: &str| text.parse::<Fingerprint>().unwrap_err();
        assert_eq!(parse(""), BadFingerprint::Length(0));
        assert_eq!(parse(&ABC[1..]), BadFingerprint::Length(63));
        assert_eq!(parse(&format!("{ABC}00")), BadFingerprint::Length(66));
        assert_eq!(parse(&ABC.replace('f', "g")), BadFingerprint::Digit('g'));
        assert_eq!(parse(&format!("sha1:{ABC}")), BadFingerprint::Hash("sha1".into()));
        assert_eq!(parse("ba:78:16b"), BadFingerprint::Colons);
        assert_eq!(parse("ba:é"), BadFingerprint::Digit('é'));
    }

    #[test]
    fn json_has_it_as_text() {
        let json = serde_json::to_string(&Fingerprint::of(b"abc")).unwrap();
        assert_eq!(json, format!("\"sha256:{ABC}\""));
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), Fingerprint::of(b"abc"));
        assert!(serde_json::from_str::<Fingerprint>("\"sha256:\"").is_err());
    }
}
