use std::{fmt, time::Duration};

use zeroize::Zeroizing;

use super::{Padding, PublicKey};
use crate::{
    outcome::{Failure, FailureCode},
    protocol::auth::{SealedToken, Token},
};

/// What a client proves itself with.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
    key: PublicKey,
    padding: Padding,
}

/// Why user and password cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCredentials {
    /// The user has no name.
    #[error("the user's name is empty")]
    NoUser,
    /// There is no password.
    #[error("the password is empty")]
    NoPassword,
    /// A token is split at white space.
    #[error("neither user nor password can hold white space")]
    Blank,
    /// There is more than the key can encrypt.
    #[error("user and password are {0} bytes too long for this key")]
    Long(usize),
}

impl Credentials {
    /// Returns the credentials of this user for the server whose public key it is.
    ///
    /// # Errors
    ///
    /// Refuses what cannot be sent.
    pub fn new(
        user: impl Into<String>,
        password: impl Into<String>,
        key: PublicKey,
    ) -> Result<Self, BadCredentials> {
        let (user, password) = (user.into(), Zeroizing::new(password.into()));
        let blank = |text: &str| text.chars().any(|c| c.is_whitespace() || c.is_control());
        match (&*user, &**password) {
            ("", _) => Err(BadCredentials::NoUser),
            (_, "") => Err(BadCredentials::NoPassword),
            (user, password) if blank(user) || blank(password) => Err(BadCredentials::Blank),
            _ => Self { user, password, key, padding: Padding::Oaep }.that_fit(),
        }
    }

    /// Pads tokens like this; servers of iperf3 up to 3.16 know PKCS#1 v1.5 alone.
    ///
    /// # Errors
    ///
    /// [`BadCredentials::Long`].
    pub fn padding(mut self, padding: Padding) -> Result<Self, BadCredentials> {
        self.padding = padding;
        self.that_fit()
    }

    /// Returns a token for a test that is about to begin. Servers take it for a few seconds around
    /// `now`, which is since the Unix epoch, and take none twice.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if the key refuses.
    pub fn token(&self, now: Duration) -> Result<SealedToken, Failure> {
        let sealed = self.key.seal(self.plain(now).as_bytes(), self.padding);
        sealed.map(|sealed| SealedToken::of(&sealed)).ok_or_else(|| {
            Failure::new(FailureCode::Internal, "the server's public key cannot seal a token")
        })
    }

    fn plain(&self, at: Duration) -> Zeroizing<String> {
        let password = String::clone(&self.password);
        Token { user: self.user.clone(), password, at }.plain()
    }

    fn that_fit(self) -> Result<Self, BadCredentials> {
        let longest = self.plain(Duration::from_secs(MAX_SECONDS)).len();
        match longest.saturating_sub(self.key.capacity(self.padding)) {
            0 => Ok(self),
            excess => Err(BadCredentials::Long(excess)),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, {:?}, {:?})", self.user, self.key, self.padding)
    }
}

/// As many digits as seconds will have for the next quarter of a millennium.
const MAX_SECONDS: u64 = 9_999_999_999;
