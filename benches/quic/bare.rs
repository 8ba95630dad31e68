//! quinn by itself, as its examples use it: one runtime on one thread in each process, and its own
//! defaults throughout, but for what a case asks for.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    CipherSuite, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use serde::{Deserialize, Serialize};

use crate::{
    case::{CERTIFICATE, Case, Figures, Suite},
    support::Result,
};

/// What one end has to tell.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    /// What it received: all bytes, those that count, and the seconds in which they came.
    received: Option<(u64, u64, f64)>,
    /// Packets sent, packets lost, system calls, congestion events, and the largest packet.
    sent: (u64, u64, u64, u64, u32),
}

/// Serves on a free port, which is printed first and the certificate with it, until the process is
/// ended.
pub(crate) fn serve(case: &Case) -> Result<()> {
    let identity = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let certificate = identity.cert.der().clone();
    let tls = rustls::ServerConfig::builder_with_provider(provider(case))
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
                let _ = answer(incoming.await?).await;
                Ok::<_, quinn::ConnectionError>(())
            });
        }
        Ok(())
    })
}

/// Does what the client orders, and tells what came of it.
async fn answer(connection: Connection) -> Result<()> {
    let (send, mut recv) = connection.accept_bi().await?;
    let mut order = [0; ORDER];
    recv.read_exact(&mut order).await?;
    let [reverse, time, omit] = order;
    let received = if reverse == 1 {
        transmit(send, Duration::from_secs((time + omit).into())).await?;
        None
    } else {
        Some(count(recv, Duration::from_secs(omit.into())).await?)
    };
    let mut telling = connection.open_uni().await?;
    telling.write_all(&serde_json::to_vec(&report(&connection, received))?).await?;
    telling.finish()?;
    connection.closed().await;
    Ok(())
}

/// Has the server and this end do what `case` says, and prints what it came to.
pub(crate) fn client(server: SocketAddr, case: &Case) -> Result<()> {
    let tls = rustls::ClientConfig::builder_with_provider(provider(case))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    if case.no_gso {
        let mut transport = TransportConfig::default();
        transport.enable_segmentation_offload(false);
        config.transport_config(Arc::new(transport));
    }
    let (ours, theirs) = runtime()?.block_on(async {
        let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
        endpoint.set_default_client_config(config);
        let connection = endpoint.connect(case.via.unwrap_or(server), HOST)?.await?;
        let reports = order(&connection, case).await?;
        connection.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(reports)
    })?;
    let (sender, receiver) = if case.reverse { (theirs, ours) } else { (ours, theirs) };
    let figures = figures(&sender, &receiver, case)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn order(connection: &Connection, case: &Case) -> Result<(Report, Report)> {
    let (mut send, recv) = connection.open_bi().await?;
    let seconds = |seconds: u64| u8::try_from(seconds);
    send.write_all(&[case.reverse.into(), seconds(case.time)?, seconds(case.omit)?]).await?;
    let received = if case.reverse {
        send.finish()?;
        Some(count(recv, Duration::from_secs(case.omit)).await?)
    } else {
        transmit(send, Duration::from_secs(case.time + case.omit)).await?;
        None
    };
    let mut told = connection.accept_uni().await?;
    let theirs = serde_json::from_slice(&told.read_to_end(MOST_TOLD).await?)?;
    Ok((report(connection, received), theirs))
}

/// Sends for so long.
async fn transmit(mut send: SendStream, time: Duration) -> Result<()> {
    let block = vec![0x5a; BLOCK];
    let started = Instant::now();
    while started.elapsed() < time {
        send.write_all(&block).await?;
    }
    send.finish()?;
    send.stopped().await?;
    Ok(())
}

/// Receives all, and counts what comes after `omit`.
async fn count(mut recv: RecvStream, omit: Duration) -> Result<(u64, u64, f64)> {
    let mut buffer = vec![0; BLOCK];
    let mut started = Instant::now();
    let mut omit = Some(omit).filter(|omit| !omit.is_zero());
    let (mut all, mut counted) = (0, 0);
    while let Some(len) = recv.read(&mut buffer).await? {
        all += len as u64;
        counted += len as u64;
        if omit.is_some_and(|omit| started.elapsed() >= omit) {
            (omit, counted, started) = (None, 0, Instant::now());
        }
    }
    Ok((all, counted, started.elapsed().as_secs_f64()))
}

fn report(connection: &Connection, received: Option<(u64, u64, f64)>) -> Report {
    let stats = connection.stats();
    let (path, udp) = (stats.path, stats.udp_tx);
    let mtu = path.current_mtu.into();
    let sent = (udp.datagrams, path.lost_packets, udp.ios, path.congestion_events, mtu);
    Report { received, sent }
}

#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any run moves")]
fn figures(sender: &Report, receiver: &Report, case: &Case) -> Result<Figures> {
    let (bytes, counted, seconds) = receiver.received.ok_or("nothing was received")?;
    let (packets_sent, packets_lost, send_calls, congestion_events, mtu) = sender.sent;
    Ok(Figures {
        goodput_bps: counted as f64 * 8.0 / seconds,
        bytes,
        packets_sent,
        packets_lost,
        send_calls,
        congestion_events,
        mtu,
        gso_segments: case.no_gso.then_some(1),
        loss: 0.0,
    })
}

fn provider(case: &Case) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if case.suite == Suite::Same {
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != SAME);
    }
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

const HOST: &str = "localhost";
const SAME: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
/// Bytes of a write, and of the room for a read.
const BLOCK: usize = 64 << 10;
/// Bytes of an order: whether the server sends, for how many seconds, and after how many.
const ORDER: usize = 3;
/// Bytes of a report at most.
const MOST_TOLD: usize = 1 << 10;
