//! Who this end is, and whom it trusts, as TLS has it.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use polyperf_certs::{Fingerprint, Identity, Provider, Trust, Verifier, provider};
use polyperf_transport::Security;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{CipherSuite, NamedGroup, client::ClientSessionStore, crypto::CryptoProvider};

use crate::{Kind, PERF, sessions::Sessions};

/// What all connections of both transports share.
#[derive(Debug)]
pub(crate) struct Tls {
    identity: Mutex<Option<Identity>>,
    trust: Trust,
    provider: Provider,
    pub(crate) sessions: Arc<Sessions>,
    /// One for each server: rustls resumes sessions for the same verifier alone.
    verifiers: Mutex<HashMap<Server, Arc<Verifier>>>,
}

/// A server as a client knows it beforehand.
type Server = (String, u16, Option<Fingerprint>);

impl Tls {
    pub(crate) fn new(identity: Option<Identity>, trust: Trust, provider: Provider) -> Self {
        Self {
            identity: Mutex::new(identity),
            trust,
            provider,
            sessions: Arc::new(Sessions::new()),
            verifiers: Mutex::default(),
        }
    }

    /// Returns who listeners say they are.
    pub(crate) fn identity(&self) -> io::Result<Identity> {
        let mut identity = lock(&self.identity);
        if let Some(identity) = &*identity {
            return Ok(identity.clone());
        }
        let made = Identity::generate(&[]).map_err(io::Error::other)?;
        Ok(identity.insert(made).clone())
    }

    /// Returns what listeners offer.
    pub(crate) fn server(&self, identity: &Identity) -> io::Result<Arc<QuicServerConfig>> {
        let provider = preferring(provider(self.provider).map_err(io::Error::other)?);
        let protocols = [Kind::Streams.protocol(), Kind::Datagrams.protocol(), PERF.as_bytes()];
        let config = identity
            .server_config(Arc::new(provider), &protocols, true)
            .map_err(io::Error::other)?;
        Ok(Arc::new(QuicServerConfig::try_from(config).map_err(io::Error::other)?))
    }

    /// Returns what decides about this server.
    pub(crate) fn verifier(
        &self,
        host: &str,
        port: u16,
        told: Option<Fingerprint>,
    ) -> io::Result<Arc<Verifier>> {
        let server = (host.to_owned(), port, told);
        let mut verifiers = lock(&self.verifiers);
        if let Some(verifier) = verifiers.get(&server) {
            return Ok(Arc::clone(verifier));
        }
        let provider = Arc::new(preferring(provider(self.provider).map_err(io::Error::other)?));
        let verifier = self.trust.verifier(provider, host, port, told).map_err(io::Error::other)?;
        if verifiers.len() >= MOST_SERVERS {
            verifiers.clear();
        }
        verifiers.insert(server, Arc::clone(&verifier));
        Ok(verifier)
    }

    /// Returns what a client offers.
    ///
    /// Whom it knows to be of its own kind it offers one cipher suite and one group, so that what
    /// was negotiated is known, and the same in every test.
    pub(crate) fn client(
        &self,
        verifier: &Arc<Verifier>,
        protocol: &[u8],
        sessions: Option<Arc<dyn ClientSessionStore>>,
        early_data: bool,
    ) -> io::Result<Arc<QuicClientConfig>> {
        let failed = |error: rustls::Error| io::Error::other(error);
        let mut config =
            verifier.client_config(&[protocol], early_data, sessions).map_err(failed)?;
        if protocol != PERF.as_bytes() {
            let mut provider = CryptoProvider::clone(config.crypto_provider());
            provider.cipher_suites.truncate(1);
            provider.kx_groups.truncate(1);
            let mut own = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(failed)?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(verifier) as _)
                .with_no_client_auth();
            own.alpn_protocols = config.alpn_protocols;
            own.enable_early_data = config.enable_early_data;
            own.resumption = config.resumption;
            config = own;
        }
        Ok(Arc::new(QuicClientConfig::try_from(config).map_err(io::Error::other)?))
    }

    /// Returns what is known of how a connection is protected, before it is known by whom.
    pub(crate) fn security(&self, protocol: &[u8]) -> Security {
        let known = protocol != PERF.as_bytes();
        Security {
            protocol: "TLS 1.3".to_owned(),
            provider: self.provider.name().to_owned(),
            cipher: known.then(|| format!("{:?}", FIRST_SUITE)),
            key_exchange: known.then(|| format!("{:?}", FIRST_GROUP)),
            ..Security::default()
        }
    }
}

/// Returns the provider with AES-128 and X25519 first, which cost the least where there are
/// instructions for AES, and are what QUIC's own handshake packets use.
fn preferring(provider: Arc<CryptoProvider>) -> CryptoProvider {
    let mut provider = CryptoProvider::clone(&provider);
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != FIRST_SUITE);
    provider.kx_groups.sort_by_key(|group| group.name() != FIRST_GROUP);
    provider
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FIRST_SUITE: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
const FIRST_GROUP: NamedGroup = NamedGroup::X25519;

/// Servers that a process knows at a time.
const MOST_SERVERS: usize = 64;
