mod refusal;
mod roots;
mod shown;
mod verdict;
mod verifier;

use std::{fmt, sync::Arc};

use rustls::{client::WebPkiServerVerifier, crypto::CryptoProvider, pki_types::ServerName};

pub(crate) use self::shown::UNREADABLE;
use self::verifier::Rule;
pub use self::{
    refusal::Refusal,
    roots::{Roots, RootsError},
    verdict::{Verdict, Verified},
    verifier::Verifier,
};
use crate::{BadHostPort, Fingerprint, HostPort, KnownServers, KnownServersError};

/// How a client decides whether it speaks to the right server.
///
/// Whatever it is, the server has to prove that it holds the key to the certificate that it shows;
/// a wrong proof is refused even if nothing else is looked at, because it only means that the
/// server is broken. [`Trust::Insecure`] alone goes without the proof, and that only for a
/// certificate that cannot be parsed as one of X.509 version 3: some test tools make those.
#[derive(Debug, Clone)]
pub enum Trust {
    /// On first use, as ssh does: a server that is known must show the certificate by which it is
    /// known, and any other is remembered by that which it shows.
    Known(KnownServers),
    /// The certificate with this fingerprint alone.
    Pinned(Fingerprint),
    /// Certificates that lead to one of these authorities, are valid now, and are made out to the
    /// host. A server's own certificate counts as its authority.
    Roots(Roots),
    /// Any certificate: whoever is on the way may pose as the server.
    Insecure,
}

/// Why a client cannot begin to decide.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The host is none.
    #[error(transparent)]
    Host(#[from] BadHostPort),
    /// No certificate can be made out to the host.
    #[error(
        "{host:?} is no name that a certificate could be made out to; use a host name or an address"
    )]
    Name {
        /// What was asked for.
        host: String,
    },
    /// The known servers cannot be read.
    #[error(transparent)]
    Known(#[from] KnownServersError),
    /// The authorities are of no use.
    #[error("cannot verify certificates by {roots}: {reason}")]
    Roots {
        /// Where the authorities are from.
        roots: String,
        /// Why.
        reason: String,
    },
}

impl Trust {
    /// Returns what decides about the server at this host, as the user named it, and port.
    ///
    /// `told` is the fingerprint that the server told over a control connection by other means,
    /// such as TCP, which counts where nothing better does: for a server not known so far. What is
    /// known is read here and now, which touches the disk.
    ///
    /// A verifier is for connections to that server alone, one or many.
    ///
    /// # Errors
    ///
    /// That it is no host; that the known servers cannot be read.
    pub fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
        host: &str,
        port: u16,
        told: Option<Fingerprint>,
    ) -> Result<Arc<Verifier>, TrustError> {
        let server = HostPort::new(host, port)?;
        let name = server_name(server.host())?;
        let rule = match self {
            Self::Known(servers) => {
                let known = servers.get(server.host(), port)?;
                Rule::Known { servers: servers.clone(), known, told }
            }
            Self::Pinned(fingerprint) => Rule::Pinned(*fingerprint),
            Self::Roots(roots) => {
                Rule::Roots { roots: roots.clone(), inner: chains(roots, &provider)? }
            }
            Self::Insecure => Rule::Insecure,
        };
        Ok(Arc::new(Verifier::new(server, name, rule, provider)))
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(_) => f.write_str("known servers"),
            Self::Pinned(fingerprint) => fingerprint.fmt(f),
            Self::Roots(roots) => roots.fmt(f),
            Self::Insecure => f.write_str("insecure"),
        }
    }
}

/// The zone of an address is of no meaning to others.
fn server_name(host: &str) -> Result<ServerName<'static>, TrustError> {
    let name = host.split_once('%').map_or(host, |(address, _)| address);
    let name = ServerName::try_from(name).map(|name| name.to_owned());
    name.map_err(|_| TrustError::Name { host: host.to_owned() })
}

fn chains(
    roots: &Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    let builder = WebPkiServerVerifier::builder_with_provider(roots.store(), provider.clone());
    builder
        .build()
        .map_err(|error| TrustError::Roots { roots: roots.to_string(), reason: error.to_string() })
}
