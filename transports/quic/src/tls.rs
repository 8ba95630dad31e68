//! Who this end is, and whom it trusts, as TLS has it.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use polyperf_certs::{CurrentIdentity, Fingerprint, Identity, Provider, Trust, Verifier, provider};
use polyperf_transport::Security;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CipherSuite, ClientConfig, NamedGroup,
    client::{ClientSessionStore, Resumption},
    crypto::CryptoProvider,
};

use crate::{Kind, PERF, sessions::Sessions};

/// What all connections of both transports share.
#[derive(Debug)]
pub(crate) struct Tls {
    identity: Mutex<Option<CurrentIdentity>>,
    trust: Trust,
    provider: Provider,
    peers: Mutex<HashMap<Server, Arc<Peer>>>,
}

/// How a client deals with one server. rustls resumes sessions with what has been made from the same
/// configuration alone.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) verifier: Arc<Verifier>,
    /// With whom it knows to be of its own kind, it offers one cipher suite and one group, so that
    /// what was negotiated is known, and the same in every test.
    own: ClientConfig,
    foreign: ClientConfig,
    /// By protocol: early data of one is refused where another is spoken.
    sessions: Mutex<HashMap<Vec<u8>, Arc<Sessions>>>,
}

/// A server as a client knows it beforehand.
type Server = (String, u16, Option<Fingerprint>);

impl Tls {
    pub(crate) fn new(identity: Option<CurrentIdentity>, trust: Trust, provider: Provider) -> Self {
        Self { identity: Mutex::new(identity), trust, provider, peers: Mutex::default() }
    }

    /// Returns who listeners say they are.
    pub(crate) fn identity(&self) -> io::Result<CurrentIdentity> {
        let mut identity = lock(&self.identity);
        if let Some(identity) = &*identity {
            return Ok(identity.clone());
        }
        let made = Identity::generate(&[]).map_err(io::Error::other)?;
        Ok(identity.insert(made.into()).clone())
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

    /// Returns how a client deals with this server.
    pub(crate) fn peer(
        &self,
        host: &str,
        port: u16,
        told: Option<Fingerprint>,
    ) -> io::Result<Arc<Peer>> {
        let server = (host.to_owned(), port, told);
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.get(&server) {
            return Ok(Arc::clone(peer));
        }
        let provider = preferring(provider(self.provider).map_err(io::Error::other)?);
        let verifier = self.trust.verifier(Arc::new(provider.clone()), host, port, told);
        let peer = Arc::new(Peer::new(verifier.map_err(io::Error::other)?, provider)?);
        if peers.len() >= MOST_SERVERS {
            peers.clear();
        }
        peers.insert(server, Arc::clone(&peer));
        Ok(peer)
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

impl Peer {
    fn new(verifier: Arc<Verifier>, provider: CryptoProvider) -> io::Result<Self> {
        let mut narrow = provider.clone();
        narrow.cipher_suites.truncate(1);
        narrow.kx_groups.truncate(1);
        let config = |provider| {
            let builder = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(io::Error::other)?;
            let verifier = Arc::clone(&verifier) as _;
            let verified = builder.dangerous().with_custom_certificate_verifier(verifier);
            io::Result::Ok(verified.with_no_client_auth())
        };
        let (own, foreign) = (config(narrow)?, config(provider)?);
        Ok(Self { own, foreign, verifier, sessions: Mutex::default() })
    }

    /// Returns the sessions that can be resumed to be served by `protocol`.
    pub(crate) fn sessions(&self, protocol: &[u8]) -> Arc<Sessions> {
        let mut sessions = lock(&self.sessions);
        let new = || Arc::new(Sessions::new());
        Arc::clone(sessions.entry(protocol.to_vec()).or_insert_with(new))
    }

    /// Returns what a client offers to be served by `protocol`. It keeps and resumes `sessions`,
    /// if there are any, and sends early data if it may.
    pub(crate) fn config(
        &self,
        protocol: &[u8],
        sessions: Option<Arc<dyn ClientSessionStore>>,
        early_data: bool,
    ) -> io::Result<Arc<QuicClientConfig>> {
        let mut config =
            if protocol == PERF.as_bytes() { self.foreign.clone() } else { self.own.clone() };
        config.alpn_protocols = vec![protocol.to_vec()];
        config.enable_early_data = early_data;
        config.resumption = sessions.map_or_else(Resumption::disabled, Resumption::store);
        Ok(Arc::new(QuicClientConfig::try_from(config).map_err(io::Error::other)?))
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
