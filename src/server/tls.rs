use std::{fmt, sync::Arc};

use polyperf_certs::{Identity, IdentityError, Provider, ProviderError, provider};
use rustls::ServerConfig;

/// How a server takes control connections inside TLS, on the port on which it takes the others.
#[derive(Clone)]
pub struct ControlTls(Arc<ServerConfig>);

/// Why a server cannot take control connections inside TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlTlsError {
    /// The cryptography is not there.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl ControlTls {
    /// Shows this identity to clients, with this provider's cryptography.
    ///
    /// # Errors
    ///
    /// That there is no such provider, or that it cannot use the key.
    pub fn new(identity: &Identity, cryptography: Provider) -> Result<Self, ControlTlsError> {
        let config = identity.server_config(provider(cryptography)?, &[ALPN], false)?;
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for ControlTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlTls")
    }
}

/// What is spoken inside (ALPN, RFC 7301).
pub(crate) const ALPN: &[u8] = b"polyperf-a";
