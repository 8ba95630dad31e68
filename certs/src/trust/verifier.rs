use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible,
    SignatureScheme,
    client::{
        ClientSessionStore, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    version::TLS13,
};

use super::{
    Refusal, Roots, Verdict, Verified,
    shown::{Shown, public_key, reason},
};
use crate::{Fingerprint, HostPort, KnownServers, KnownServersError};

/// Decides about one server's certificate in the handshakes with it.
///
/// A handshake that resumes a session has no certificate in it: rustls resumes those alone that the
/// very same verifier has let pass, so the verdict of that stands.
pub struct Verifier {
    server: HostPort,
    name: ServerName<'static>,
    rule: Rule,
    provider: Arc<CryptoProvider>,
    state: Mutex<State>,
}

pub(super) enum Rule {
    Known { servers: KnownServers, known: Option<Fingerprint>, told: Option<Fingerprint> },
    Pinned(Fingerprint),
    Roots { roots: Roots, inner: Arc<WebPkiServerVerifier> },
    Insecure,
}

#[derive(Debug, Default)]
struct State {
    verdict: Option<Verdict>,
    refusal: Option<Refusal>,
    /// Handshakes in which the server has proved to hold the key.
    proofs: u64,
}

impl Verifier {
    pub(super) fn new(
        server: HostPort,
        name: ServerName<'static>,
        rule: Rule,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self { server, name, rule, provider, state: Mutex::default() }
    }

    /// Returns the configuration of a client that speaks TLS 1.3 alone, has no certificate of its
    /// own, and offers these protocols (ALPN, RFC 7301), the best first.
    ///
    /// Sessions are kept in `sessions` and resumed from there, with data ahead of the handshake if
    /// `early_data` says so; without a store every handshake is a full one. Only this configuration
    /// and its clones resume what it has begun.
    ///
    /// # Errors
    ///
    /// That the provider cannot do TLS 1.3.
    pub fn client_config(
        self: &Arc<Self>,
        alpn: &[&[u8]],
        early_data: bool,
        sessions: Option<Arc<dyn ClientSessionStore>>,
    ) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.enable_early_data = early_data;
        config.resumption = sessions.map_or_else(Resumption::disabled, Resumption::store);
        Ok(config)
    }

    /// Remembers a server that was not known before by the certificate to which it has proved to
    /// hold the key; for all others there is nothing to do.
    ///
    /// It is for when the handshake is complete, and touches the disk.
    ///
    /// # Errors
    ///
    /// [`KnownServersError::Changed`] if somebody else has remembered another meanwhile; that the
    /// known servers cannot be read or written.
    pub fn remember(&self) -> Result<(), KnownServersError> {
        match (&self.rule, self.verdict()) {
            (Rule::Known { servers, known: None, .. }, Some(verdict)) => {
                servers.remember(self.server.host(), self.server.port(), verdict.fingerprint)
            }
            _ => Ok(()),
        }
    }

    /// Returns whether [`remember`](Self::remember) has something to do.
    #[must_use]
    pub fn is_to_remember(&self) -> bool {
        matches!(self.rule, Rule::Known { known: None, .. }) && self.verdict().is_some()
    }

    /// Returns what the latest handshake with a certificate came to; `None` before the server has
    /// proved to hold the key.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.state().verdict
    }

    /// Returns in how many handshakes the server has shown a certificate and proved to hold its
    /// key. One that resumes an earlier connection does without.
    #[must_use]
    pub fn proofs(&self) -> u64 {
        self.state().proofs
    }

    /// Returns why the latest certificate was refused; `None` if none was.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.state().refusal.clone()
    }

    /// Returns the name to ask the server by, which is the host without its zone. A certificate has
    /// to be made out to this one, whatever a connection asked for.
    #[must_use]
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// Returns the server it decides about.
    #[must_use]
    pub fn server(&self) -> &HostPort {
        &self.server
    }

    /// Decides whether this certificate may be the server's, on the condition that it proves to
    /// hold the key.
    fn judge(&self, shown: Fingerprint, chain: &Shown<'_>) -> Result<(), Error> {
        let server = || self.server.clone();
        Err(match &self.rule {
            Rule::Insecure => return Ok(()),
            Rule::Pinned(pinned) if *pinned == shown => return Ok(()),
            Rule::Pinned(pinned) => {
                self.refuse(Refusal::NotPinned { server: server(), pinned: *pinned, shown })
            }
            Rule::Roots { roots, inner } => {
                return chain.verify(inner, &self.name).inspect_err(|error| {
                    let (roots, reason) = (roots.to_string(), reason(error));
                    self.refuse(Refusal::NotVouched { server: server(), roots, reason, shown });
                });
            }
            Rule::Known { known: Some(known), .. } if *known == shown => return Ok(()),
            Rule::Known { servers, known: Some(known), .. } => {
                self.refuse(self.changed(*known, shown, servers.path()))
            }
            Rule::Known { told: Some(told), .. } if *told != shown => {
                self.refuse(Refusal::NotAsTold { server: server(), told: *told, shown })
            }
            Rule::Known { .. } => return Ok(()),
        })
    }

    /// Takes note that the server has proved to hold the key to this certificate. One that was met
    /// for the first time keeps to it from then on.
    fn prove(&self, shown: Fingerprint) -> Result<(), Error> {
        let verdict = Verdict { fingerprint: shown, how: self.how() };
        let before = {
            let mut state = self.state();
            state.proofs += 1;
            match state.verdict {
                Some(before) if before != verdict && matches!(self.rule, Rule::Known { .. }) => {
                    before
                }
                _ => {
                    *state = State { verdict: Some(verdict), refusal: None, ..*state };
                    return Ok(());
                }
            }
        };
        Err(self.refuse(self.changed(before.fingerprint, shown, None)))
    }

    /// Keeps why, and returns what TLS is told: no more than that it is refused, since QUIC tells
    /// the peer in turn, and what is known is none of a stranger's business.
    fn refuse(&self, refusal: Refusal) -> Error {
        self.state().refusal = Some(refusal);
        CertificateError::ApplicationVerificationFailure.into()
    }

    fn changed(&self, known: Fingerprint, shown: Fingerprint, file: Option<&Path>) -> Refusal {
        Refusal::Changed {
            server: self.server.clone(),
            known,
            shown,
            file: file.map(Path::to_owned),
        }
    }

    /// Who vouches for a certificate that passes.
    fn how(&self) -> Verified {
        match &self.rule {
            Rule::Known { known: Some(_), .. } => Verified::KnownServer,
            Rule::Known { told: Some(_), .. } => Verified::FirstUseAsTold,
            Rule::Known { .. } => Verified::FirstUse,
            Rule::Pinned(_) => Verified::Fingerprint,
            Rule::Roots { roots, .. } => roots.verified(),
            Rule::Insecure => Verified::Nothing,
        }
    }

    /// Verifies that who made this signature holds the certificate's key.
    ///
    /// webpki reads certificates of X.509 version 3 alone. Of others the key is taken, and that is
    /// enough where the certificate is known by its fingerprint.
    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = self.algorithms();
        match ParsedCertificate::try_from(certificate) {
            Ok(_) => verify_tls13_signature(message, certificate, signature, algorithms),
            Err(_) if matches!(self.rule, Rule::Insecure) => {
                Ok(HandshakeSignatureValid::assertion())
            }
            Err(error) => {
                let key = public_key(certificate).ok_or(error)?;
                verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
            }
        }
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = Shown { end_entity, intermediates, ocsp, now };
        self.judge(Fingerprint::of(end_entity), &chain)?;
        Ok(ServerCertVerified::assertion())
    }

    /// TLS 1.2 is not offered, so no server comes here.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let shown = Fingerprint::of(certificate);
        let valid = self.verify_signature(message, certificate, signature);
        let valid = valid.inspect_err(|error| {
            let (server, reason) = (self.server.clone(), error.to_string());
            self.refuse(Refusal::NotProved { server, shown, reason });
        })?;
        self.prove(shown)?;
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, state, .. } = self;
        f.debug_struct("Verifier")
            .field("server", server)
            .field("state", state)
            .finish_non_exhaustive()
    }
}
