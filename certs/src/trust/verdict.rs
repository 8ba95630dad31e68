use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// Who a server is, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The certificate to which it has proved to hold the key.
    pub fingerprint: Fingerprint,
    /// Who vouches for that certificate.
    pub how: Verified,
}

/// Who vouches for a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verified {
    /// The server was known by it before.
    KnownServer,
    /// Nobody: the server was not known.
    FirstUse,
    /// The server was not known, and has told its fingerprint over a control connection that
    /// nothing vouches for either.
    FirstUseAsTold,
    /// The user, who gave its fingerprint.
    Fingerprint,
    /// An authority in a file that the user named.
    Authority,
    /// An authority that the system trusts.
    SystemRoots,
    /// Nobody, at the user's wish.
    Nothing,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KnownServer => "known server",
            Self::FirstUse => "trust on first use",
            Self::FirstUseAsTold => "trust on first use, as the TCP control channel told",
            Self::Fingerprint => "fingerprint",
            Self::Authority => "certificate authority",
            Self::SystemRoots => "system roots",
            Self::Nothing => "not verified",
        })
    }
}
