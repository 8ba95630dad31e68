//! Servers of all kinds, and handshakes with them over nothing but memory.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "it is of tests alone")]

use std::sync::Arc;

use polyperf_certs::{Identity, Provider, Trust, Verifier, provider};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData as _,
};
use rustls::{
    ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

pub const HOST: &str = "server.test";
pub const PORT: u16 = 5201;

pub fn ring() -> Arc<CryptoProvider> {
    provider(Provider::Ring).unwrap()
}

pub fn identity() -> Identity {
    Identity::generate(&[HOST]).unwrap()
}

/// A verifier of the server at [`HOST`], to which a control connection told nothing.
pub fn verifier(trust: &Trust) -> Arc<Verifier> {
    trust.verifier(ring(), HOST, PORT, None).unwrap()
}

/// What became of a handshake, by the client's word.
pub fn meet(identity: &Identity, verifier: &Arc<Verifier>) -> Result<(), Error> {
    shake(identity.server_config(ring(), &[b"perf"], true).unwrap(), verifier)
}

pub fn shake(server: ServerConfig, verifier: &Arc<Verifier>) -> Result<(), Error> {
    let client = verifier.client_config(&[b"perf"], false, None).unwrap();
    let (client, _) = connect(&Arc::new(server), &Arc::new(client), verifier)?;
    assert_eq!(client.alpn_protocol(), Some(&b"perf"[..]));
    Ok(())
}

/// Both ends after a handshake; the client has read what the server said behind it.
pub fn connect(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    verifier: &Verifier,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let name = verifier.server_name().clone();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |bytes| server.read_tls(bytes));
        server.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |bytes| client.read_tls(bytes));
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) {
    while !bytes.is_empty() {
        read(&mut bytes).unwrap();
    }
}

/// A server that shows any certificate, and signs with any key.
pub fn imposter(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> ServerConfig {
    let key = ring().key_provider.load_private_key(key.clone_key()).unwrap();
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = ServerConfig::builder_with_provider(ring())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"perf".to_vec()];
    config
}

/// A key, and what it signs as.
pub fn key() -> (KeyPair, PrivateKeyDer<'static>) {
    let pair = KeyPair::generate().unwrap();
    let der = PrivatePkcs8KeyDer::from(pair.serialized_der().to_vec());
    (pair, der.into())
}

/// Someone who vouches for servers.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        Self::named("an authority")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key().0).unwrap())
    }

    pub fn pem(&self) -> String {
        pem(self.0.der())
    }

    /// A server with a certificate by this authority.
    pub fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let (pair, der) = key();
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&pair, &self.0).unwrap();
        imposter(vec![certificate.into()], &der)
    }
}

pub fn pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.to_vec()))
}

/// A certificate of X.509 version 1 for this key, as some tools make them.
pub fn version_1(pair: &KeyPair) -> CertificateDer<'static> {
    let certificate = CertificateParams::default().self_signed(pair).unwrap();
    let whole = elements(content(certificate.der()));
    let body: Vec<_> = elements(content(whole[0]))
        .into_iter()
        .filter(|element| !matches!(element[0], VERSION | EXTENSIONS))
        .collect();
    assert!(body.iter().any(|element| *element == pair.subject_public_key_info()));
    sequence(&[&sequence(&body), whole[1], whole[2]]).into()
}

/// What is in an element of DER.
pub fn content(der: &[u8]) -> &[u8] {
    &der[header(der)..]
}

/// The elements in a sequence's content.
pub fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let header = header(der);
        let length = der[2..header].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if header == 2 { usize::from(der[1]) } else { length };
        let (element, rest) = der.split_at(header + length);
        found.push(element);
        der = rest;
    }
    found
}

fn header(der: &[u8]) -> usize {
    2 + if der[1] < 0x80 { 0 } else { usize::from(der[1] & 0x7f) }
}

fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    let content = elements.concat();
    let length = u16::try_from(content.len()).unwrap();
    [&[SEQUENCE, 0x82][..], &length.to_be_bytes(), &content].concat()
}

const SEQUENCE: u8 = 0x30;
/// `[0]` and `[3]` of a TBSCertificate (RFC 5280, 4.1).
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
