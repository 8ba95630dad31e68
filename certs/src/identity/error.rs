use std::{io, path::PathBuf};

use crate::pem::Problem;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A certificate cannot be made out to this.
    #[error("no certificate can be made out to {name:?}: it is neither a host name nor an address")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// Making a certificate failed.
    #[error("cannot make a certificate: {reason}")]
    Make {
        /// Why.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or a folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a file holds is of no use.
    #[error("{} {problem}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: Problem,
    },
    /// Others than its owner may use the key.
    #[error(
        "others than its owner may open the key {} (its mode is {mode:o}), so it may not be secret any more; chmod 600 it if it still is, or remove it and its certificate to have new ones made",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// One half of an identity is there, the other is not.
    #[error(
        "there is {} but not {}; restore the latter, or remove the former as well to have a new identity made, which clients will not know",
        present.display(),
        missing.display()
    )]
    Half {
        /// The file there is.
        present: PathBuf,
        /// The file there is not.
        missing: PathBuf,
    },
    /// Nothing can be signed with it.
    #[error("cannot sign as {fingerprint}: {reason}")]
    Sign {
        /// The certificate.
        fingerprint: crate::Fingerprint,
        /// Why.
        reason: String,
    },
    /// TLS cannot be done with it.
    #[error("cannot serve as {fingerprint} with this provider of cryptography: {reason}")]
    Serve {
        /// The certificate.
        fingerprint: crate::Fingerprint,
        /// Why.
        reason: String,
    },
}
