//! Who a client is, by user, password and time under the server's public key, as iperf3 has it.
//!
//! It proves who asks and protects nothing else. The operations of cryptography are the caller's:
//! what is here is what goes in and comes out of them.

mod gate;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

pub use self::gate::{Denied, Digest, Gate, Opened, Users};

/// A token as it travels: encrypted, and in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
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
    pub fn plain(&self) -> Zeroizing<String> {
        let Self { user, password, at } = self;
        Zeroizing::new(format!("user: {user}\npwd:  {password}\nts:   {}", at.as_secs()))
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

impl Drop for Token {
    fn drop(&mut self) {
        self.password.zeroize();
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
