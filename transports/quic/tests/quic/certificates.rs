//! Servers that are not who they should be.

use polyperf_certs::{Fingerprint, Identity, KnownServers, Provider, Roots, Trust, provider};
use polyperf_quic::{Quic, QuicTransport, Settings};
use polyperf_transport::{Hello, Listener, Peer, Transport, Tuning};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::support::*;

/// Returns why a client does not connect.
async fn refusal(client: &QuicTransport, peer: &Peer) -> String {
    text(&soon("refusal", client.connect(peer)).await.unwrap_err())
}

async fn serve(identity: &Identity) -> Box<dyn Listener> {
    let settings = Settings { identity: Some(identity.clone().into()), ..Settings::default() };
    listen(&with(settings).streams()).await
}

#[tokio::test]
async fn a_changed_key_is_refused_with_both_fingerprints() {
    let known = Fingerprint::of(b"the one before");
    let identity = Identity::generate(&[]).unwrap();
    let listener = serve(&identity).await;
    let addr = listener.local_addr();
    let servers = KnownServers::in_memory();
    servers.remember("127.0.0.1", addr.port(), known).unwrap();
    let client = trusting(Trust::Known(servers)).streams();
    let refusal = refusal(&client, &Peer::at(addr)).await;
    assert!(refusal.contains(&known.to_string()), "{refusal}");
    assert!(refusal.contains(&identity.fingerprint().to_string()), "{refusal}");
    assert!(refusal.contains("polyperf cert forget"), "{refusal}");
    serves(listener).await;
}

#[tokio::test]
async fn a_changed_key_is_refused_with_both_fingerprints_when_there_was_early_data() {
    let before = Identity::generate(&[]).unwrap();
    let listener = serve(&before).await;
    let addr = listener.local_addr();
    let client = quic().streams();
    let tuning = Tuning { zero_rtt: true, ..Tuning::default() };
    let peer = Peer { tuning, ..Peer::at(addr) };
    let pair = Pair::between(listener, &client, &peer).await;
    pair.connection.close().await;
    drop(pair);

    let after = Identity::generate(&[]).unwrap();
    let settings = Settings { identity: Some(after.clone().into()), ..Settings::default() };
    let server = with(settings).streams();
    let listener = again(&server, addr).await;
    let open = async { client.connect(&peer).await?.open(Hello::Own(HELLO)).await };
    let refusal = text(&soon("refusal", open).await.unwrap_err());
    assert!(refusal.contains(&before.fingerprint().to_string()), "{refusal}");
    assert!(refusal.contains(&after.fingerprint().to_string()), "{refusal}");
    serves(listener).await;
}

#[tokio::test]
async fn another_than_the_pinned_certificate_is_refused_with_both_fingerprints() {
    let identity = Identity::generate(&[]).unwrap();
    let listener = serve(&identity).await;
    let pinned = Fingerprint::of(b"another");
    let client = trusting(Trust::Pinned(pinned)).streams();
    let refusal = refusal(&client, &Peer::at(listener.local_addr())).await;
    assert!(refusal.contains(&pinned.to_string()), "{refusal}");
    assert!(refusal.contains(&identity.fingerprint().to_string()), "{refusal}");
    serves(listener).await;
}

#[tokio::test]
async fn a_certificate_that_was_not_told_of_is_refused() {
    let identity = Identity::generate(&[]).unwrap();
    let listener = serve(&identity).await;
    let told = Fingerprint::of(b"another").to_string();
    let peer = Peer { told: Some(told.clone()), ..Peer::at(listener.local_addr()) };
    let why = refusal(&quic().streams(), &peer).await;
    assert!(why.contains(&told), "{why}");
    assert!(why.contains(&identity.fingerprint().to_string()), "{why}");
    let peer = Peer { told: Some("nonsense".to_owned()), ..peer };
    let why = refusal(&quic().streams(), &peer).await;
    assert!(why.contains("what was told of it"), "{why}");
    serves(listener).await;
}

#[tokio::test]
async fn the_certificate_that_was_told_of_is_taken() {
    let identity = Identity::generate(&[]).unwrap();
    let listener = serve(&identity).await;
    assert_eq!(listener.identity(), Some(identity.fingerprint().to_string()));
    let peer = Peer { told: listener.identity(), ..Peer::at(listener.local_addr()) };
    let mut pair = Pair::between(listener, &quic().streams(), &peer).await;
    pair.carries(100_000).await;
    let security = pair.client.path.stats().security.unwrap();
    assert_eq!(security.peer, Some(identity.fingerprint().to_string()));
    assert!(security.verified.is_some());
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let identity = Identity::generate(&[]).unwrap();
    let listener = serve(&identity).await;
    let client = vouched(&Authority::new()).streams();
    let refusal = refusal(&client, &named("localhost", &*listener)).await;
    assert!(refusal.contains("do not vouch"), "{refusal}");
    assert!(refusal.contains(&identity.fingerprint().to_string()), "{refusal}");
    serves(listener).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let authority = Authority::new();
    let server = authority.server(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let refusal = meet(&authority, &server, "localhost").await.unwrap_err();
    assert!(refusal.contains("it has expired"), "{refusal}");
}

#[tokio::test]
async fn a_certificate_with_another_name_is_refused() {
    let authority = Authority::new();
    let server = authority.server(|_| {});
    let refusal = meet(&authority, &server, "server.example").await.unwrap_err();
    assert!(refusal.contains("by one of its names"), "{refusal}");
    meet(&authority, &server, "localhost").await.unwrap();
}

/// Connects to a server at what should be `host`, and returns why not.
async fn meet(authority: &Authority, server: &quinn::Endpoint, host: &str) -> Result<(), String> {
    let peer = Peer { name: Some(host.to_owned()), ..Peer::at(server.local_addr().unwrap()) };
    let client = vouched(authority).streams();
    let accept = async {
        let _ = server.accept().await.unwrap().await;
    };
    let meet = async { tokio::join!(client.connect(&peer), accept).0 };
    soon("meet", meet).await.map(drop).map_err(|error| text(&error))
}

fn named(host: &str, listener: &dyn Listener) -> Peer {
    Peer { name: Some(host.to_owned()), ..Peer::at(listener.local_addr()) }
}

fn vouched(authority: &Authority) -> Quic {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let der = authority.0.der().to_vec();
    std::fs::write(&path, pem::encode(&pem::Pem::new("CERTIFICATE", der))).unwrap();
    trusting(Trust::Roots(Roots::open(path).unwrap()))
}

/// Someone who vouches for servers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server on this host, with a certificate by this authority.
    fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> quinn::Endpoint {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialized_der().to_vec());
        let mut config =
            rustls::ServerConfig::builder_with_provider(provider(Provider::Ring).unwrap())
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.into()], key.into())
                .unwrap();
        config.alpn_protocols = vec![STREAMS.to_vec()];
        bare_server_with(config)
    }
}
