//! quinn by itself, as its examples use it: one endpoint and one thread in each process, and its own
//! defaults throughout.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{
    ClientConfig, Endpoint, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    CipherSuite, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

use crate::{Figures, SIZE, support::Result};

/// Answers requests on a free port, which is printed first and the certificate with it.
pub(crate) fn serve() -> Result<()> {
    let identity = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let certificate = identity.cert.der().clone();
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())?;
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    runtime()?.block_on(async {
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
        let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{} {hex}", endpoint.local_addr()?);
        std::io::stdout().flush()?;
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                // A client that fails says so itself.
                let _ = answer(incoming).await;
            });
        }
        Ok(())
    })
}

async fn answer(incoming: quinn::Incoming) -> Result<()> {
    let connection = incoming.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut request = [0; SIZE];
    while recv.read_exact(&mut request).await.is_ok() {
        send.write_all(&request).await?;
    }
    send.finish()?;
    connection.closed().await;
    Ok(())
}

/// Asks again and again on one stream.
pub(crate) fn rr(addr: SocketAddr, time: Duration) -> Result<Figures> {
    runtime()?.block_on(async {
        let connection = client()?.connect(addr, HOST)?.await?;
        let (mut send, mut recv) = connection.open_bi().await?;
        let mut times = Vec::new();
        let mut bytes = [0; SIZE];
        let started = Instant::now();
        while started.elapsed() < time {
            let asked = Instant::now();
            send.write_all(&[0; SIZE]).await?;
            recv.read_exact(&mut bytes).await?;
            times.push(asked.elapsed());
        }
        Figures::of(&times, started.elapsed())
    })
}

/// Connects, asks once, and closes, again and again; none resumes an earlier one.
pub(crate) fn churn(addr: SocketAddr, time: Duration) -> Result<Figures> {
    runtime()?.block_on(async {
        let endpoint = client()?;
        let mut times = Vec::new();
        let mut bytes = [0; SIZE];
        let started = Instant::now();
        while started.elapsed() < time {
            let began = Instant::now();
            let connection = endpoint.connect(addr, HOST)?.await?;
            let (mut send, mut recv) = connection.open_bi().await?;
            send.write_all(&[0; SIZE]).await?;
            send.finish()?;
            recv.read_exact(&mut bytes).await?;
            times.push(began.elapsed());
            connection.close(0_u32.into(), b"");
        }
        Figures::of(&times, started.elapsed())
    })
}

fn client() -> Result<Endpoint> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    tls.resumption = Resumption::disabled();
    let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    let tls = QuicClientConfig::try_from(tls)?;
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(tls)));
    Ok(endpoint)
}

/// Returns polyperf's default, with the cipher suite and the group that it prefers.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
    Arc::new(provider)
}

fn roots() -> Result<RootCertStore> {
    let hex = std::env::var(CERTIFICATE)?;
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(bytes.collect::<std::result::Result<Vec<_>, _>>()?))?;
    Ok(roots)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Where the client is told the server's certificate.
pub(crate) const CERTIFICATE: &str = "EXCHANGES_CERTIFICATE";
const HOST: &str = "localhost";
