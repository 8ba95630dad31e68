use std::{fmt, time::Duration};

use argon2::{
    Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _, password_hash::SaltString,
};
use subtle::ConstantTimeEq as _;

use super::logins::{Digest, digest_of};

/// What who gives orders proves that by: a password, a token, or either.
#[derive(Clone)]
pub struct Admin {
    pub(super) password: Option<String>,
    pub(super) token: Option<Digest>,
    /// How long a login lasts.
    pub lifetime: Duration,
}

/// Why a password or a token cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// It is no hash of a password, or one of another kind.
    #[error(
        "is no hash of a password by Argon2: polyperf web-password makes one, which begins with $argon2id$"
    )]
    Hash,
    /// It could be guessed.
    #[error(
        "has {0} characters: a token that nobody guesses has {MIN_TOKEN} or more, without blanks"
    )]
    Token(usize),
    /// It could be guessed.
    #[error("has {0} characters: a password has {MIN_PASSWORD} to {MAX_PASSWORD}")]
    Password(usize),
}

impl Admin {
    /// Returns one whom neither a password nor a token lets in yet.
    #[must_use]
    pub fn new() -> Self {
        Self { password: None, token: None, lifetime: LIFETIME }
    }

    /// Lets in who knows the password of this hash, as [`hash_password`] makes them.
    ///
    /// # Errors
    ///
    /// Refuses what is no such hash.
    pub fn password(mut self, hash: &str) -> Result<Self, AdminError> {
        let parsed = PasswordHash::new(hash).map_err(|_| AdminError::Hash)?;
        if !parsed.algorithm.as_str().starts_with("argon2") || parsed.hash.is_none() {
            return Err(AdminError::Hash);
        }
        self.password = Some(hash.to_owned());
        Ok(self)
    }

    /// Lets in who shows this token (`Authorization: Bearer`).
    ///
    /// # Errors
    ///
    /// Refuses one that could be guessed.
    pub fn token(mut self, token: &str) -> Result<Self, AdminError> {
        let length = token.chars().count();
        if length < MIN_TOKEN || token.chars().any(char::is_whitespace) {
            return Err(AdminError::Token(length));
        }
        self.token = Some(digest_of(token));
        Ok(self)
    }

    pub(super) fn shows(&self, token: &str) -> bool {
        // Digests are of one length, and tell nothing of what they are of.
        self.token.is_some_and(|known| known.ct_eq(&digest_of(token)).into())
    }
}

/// Returns whether the hash is of this password. It takes some 20 MB and a good part of a second.
pub(super) fn verify(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Returns what a server keeps of a password, in PHC's form: by Argon2id, and with a salt of its own.
///
/// # Errors
///
/// Refuses a password that is too short to be one, or absurdly long.
pub fn hash_password(password: &str) -> Result<String, AdminError> {
    let length = password.chars().count();
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&length) {
        return Err(AdminError::Password(length));
    }
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>());
    let hash = salt.and_then(|salt| {
        Argon2::default().hash_password(password.as_bytes(), &salt).map(|hash| hash.to_string())
    });
    hash.map_err(|_| AdminError::Password(length))
}

impl Default for Admin {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("password", &self.password.is_some())
            .field("token", &self.token.is_some())
            .field("lifetime", &self.lifetime)
            .finish()
    }
}

/// A working day, and somewhat more.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
const MIN_TOKEN: usize = 32;
const MIN_PASSWORD: usize = 8;
pub(super) const MAX_PASSWORD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone_and_no_two_are_the_same() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert_ne!(hash_password("correct horse").unwrap(), hash);
        assert!(verify(&hash, "correct horse") && !verify(&hash, "correct hors"));
        assert!(Admin::new().password(&hash).is_ok());
        assert_eq!(hash_password("short").unwrap_err(), AdminError::Password(5));
    }

    #[test]
    fn what_is_no_hash_and_what_is_no_token_is_refused() {
        for text in ["", "secret", "$1$abc$def", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            assert_eq!(Admin::new().password(text).unwrap_err(), AdminError::Hash, "{text}");
        }
        assert!(Admin::new().token("0123456789abcdef").is_err());
        assert!(Admin::new().token(&"a b".repeat(20)).is_err());
        let admin = Admin::new().token(&"x".repeat(32)).unwrap();
        assert!(admin.shows(&"x".repeat(32)) && !admin.shows(&"x".repeat(33)) && !admin.shows(""));
        assert!(!Admin::new().shows(""));
    }

    #[test]
    fn neither_a_password_nor_a_token_gets_into_the_log() {
        let admin = Admin::new().token(&"secret".repeat(8)).unwrap();
        assert_eq!(
            format!("{admin:?}"),
            "Admin { password: false, token: true, lifetime: 43200s }"
        );
    }
}
