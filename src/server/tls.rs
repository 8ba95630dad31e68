use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use polyperf_certs::{CurrentIdentity, Identity, IdentityError, Provider, ProviderError, provider};
use rustls::ServerConfig;
use tracing::warn;

/// How a server takes control connections inside TLS, on the port on which it takes the others.
#[derive(Clone)]
pub struct ControlTls(Arc<Inner>);

struct Inner {
    identity: CurrentIdentity,
    cryptography: Provider,
    shown: Mutex<Shown>,
}

/// What clients are shown.
struct Shown {
    /// The latest that was to be shown.
    identity: Identity,
    config: Arc<ServerConfig>,
}

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
    /// Shows this identity to clients, with this provider's cryptography. Where it is replaced, those
    /// are shown the new one that connect from then on.
    ///
    /// # Errors
    ///
    /// That there is no such provider, or that it cannot use the key.
    pub fn new(
        identity: impl Into<CurrentIdentity>,
        cryptography: Provider,
    ) -> Result<Self, ControlTlsError> {
        let identity = identity.into();
        let now = identity.now();
        let shown = Mutex::new(Shown { config: tls(&now, cryptography)?, identity: now });
        Ok(Self(Arc::new(Inner { identity, cryptography, shown })))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let Inner { identity, cryptography, shown } = &*self.0;
        let (identity, mut shown) =
            (identity.now(), shown.lock().unwrap_or_else(PoisonError::into_inner));
        if shown.identity != identity {
            match tls(&identity, *cryptography) {
                Ok(config) => shown.config = config,
                Err(error) => warn!(%error, "clients are shown the identity from before"),
            }
            // Said once, and not for each client.
            shown.identity = identity;
        }
        Arc::clone(&shown.config)
    }
}

impl fmt::Debug for ControlTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlTls")
    }
}

fn tls(identity: &Identity, cryptography: Provider) -> Result<Arc<ServerConfig>, ControlTlsError> {
    Ok(Arc::new(identity.server_config(provider(cryptography)?, &[ALPN], false)?))
}

/// What is spoken inside (ALPN, RFC 7301).
pub(crate) const ALPN: &[u8] = b"polyperf-a";
