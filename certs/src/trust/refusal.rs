use std::path::PathBuf;

use crate::{Fingerprint, HostPort, known::lies_in};

/// Why a server's certificate is refused, in full: TLS has no more than a word for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server is known by another certificate.
    #[error(
        "{server} shows the certificate {shown}, but is known by {known}{}: it has a new certificate, or somebody poses as it; if the former, polyperf cert forget {} lets the new one in",
        lies_in(file.as_deref()), server.host()
    )]
    Changed {
        /// The server.
        server: HostPort,
        /// By what it is known.
        known: Fingerprint,
        /// What it shows.
        shown: Fingerprint,
        /// Where it is known from; `None` if that is in memory.
        file: Option<PathBuf>,
    },
    /// The server has told another fingerprint.
    #[error(
        "{server} shows the certificate {shown}, but told {told} over its control connection: two servers share the address, or somebody poses as one; if its certificate was replaced just now, restart the server"
    )]
    NotAsTold {
        /// The server.
        server: HostPort,
        /// What it told.
        told: Fingerprint,
        /// What it shows.
        shown: Fingerprint,
    },
    /// It is not the one that the user wants.
    #[error(
        "{server} shows the certificate {shown}, and {pinned} is wanted: if it has a new one, give its fingerprint, which polyperf cert show prints on the server"
    )]
    NotPinned {
        /// The server.
        server: HostPort,
        /// What is wanted.
        pinned: Fingerprint,
        /// What it shows.
        shown: Fingerprint,
    },
    /// It cannot be verified by the authorities.
    #[error("{server} shows the certificate {shown}, which {roots} do not vouch for: {reason}")]
    NotVouched {
        /// The server.
        server: HostPort,
        /// Which authorities.
        roots: String,
        /// Why not, and what to do.
        reason: String,
        /// What it shows.
        shown: Fingerprint,
    },
    /// The server does not prove to hold the key.
    #[error(
        "{server} shows the certificate {shown}, but does not prove that it has the key to it ({reason}): it is broken, or poses as another"
    )]
    NotProved {
        /// The server.
        server: HostPort,
        /// What it shows.
        shown: Fingerprint,
        /// Why not.
        reason: String,
    },
}
