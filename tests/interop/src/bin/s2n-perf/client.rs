//! The client: asks on each stream, or misbehaves on each of them.

use std::{net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use clap::Args;
use futures_util::future::try_join_all;
use polyperf_interop::{Requested, UNLIMITED};
use s2n_quic::{
    Client,
    client::Connect,
    connection::Handle,
    stream::{ReceiveStream, SendStream},
};
use serde_json::json;
use tokio::{net::lookup_host, sync::watch};

use crate::{
    Failure,
    ends::{self, Ends, Watcher},
    is_reset, send, tell, trust,
};

#[derive(Debug, Args)]
pub(crate) struct Options {
    host: String,
    port: u16,
    /// A file in PEM.
    #[arg(long, required_unless_present = "insecure")]
    ca: Option<PathBuf>,
    /// Takes any server.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Bytes on each stream.
    #[arg(long, default_value_t = 0)]
    upload: u64,
    /// Bytes on each stream.
    #[arg(long, default_value_t = 0)]
    download: u64,
    /// 0 opens none.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Asks for all there is.
    #[arg(long)]
    unlimited: bool,
    /// Bytes of the answer.
    #[arg(long)]
    stop_after: Option<u64>,
    #[arg(long, default_value = "perf")]
    alpn: String,
    /// Bytes of the upload that arrive before the stream is reset.
    #[arg(long)]
    reset_after: Option<u64>,
    /// Bytes of the header that are sent at all.
    #[arg(long, conflicts_with = "reset_after")]
    short: Option<usize>,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let tls = trust::client(options.ca.as_deref(), &options.alpn)?;
    let (watcher, ends) = watch::channel(Ends::default());
    let client = Client::builder().with_tls(tls)?.with_event(Watcher(watcher))?;
    let mut client = client.with_io("[::]:0")?.start()?;
    let mut addresses = lookup_host((options.host.as_str(), options.port)).await?;
    let address: SocketAddr = addresses.next().ok_or("the host has no address")?;
    let connect = Connect::new(address).with_server_name(options.host.as_str());
    let connection = client.connect(connect).await?.handle();
    let alpn = connection.application_protocol()?;
    let one = |_| request(connection.clone(), &options, ends.clone());
    try_join_all((0..options.streams).map(one)).await?;
    // What nobody holds is closed once it has been sent.
    drop(connection);
    client.wait_idle().await?;
    tell(json!({ "handshake": true, "alpn": String::from_utf8_lossy(&alpn) }))
}

async fn request(
    mut connection: Handle,
    options: &Options,
    ends: watch::Receiver<Ends>,
) -> Result<(), Failure> {
    let stream = connection.open_bidirectional_stream().await?;
    let mut told = Requested {
        stream: stream.id(),
        sent: 0,
        received: 0,
        fin: false,
        stopped: false,
        reset: false,
    };
    let (mut answer, mut upload) = stream.split();
    ask(&mut upload, options, &mut told.sent).await?;
    receive(&mut answer, options.stop_after, &mut told).await?;
    if told.stopped {
        told.reset = ends::reset(ends, told.stream).await?;
    }
    tell(told)?;
    options.judge(&told)
}

/// Receives until either end has ended the stream.
async fn receive(
    answer: &mut ReceiveStream,
    stop_after: Option<u64>,
    told: &mut Requested,
) -> Result<(), Failure> {
    while stop_after.is_none_or(|bytes| told.received < bytes) {
        let received = answer.receive().await;
        if is_reset(&received) {
            told.reset = true;
            return Ok(());
        }
        let Some(data) = received? else {
            told.fin = true;
            return Ok(());
        };
        told.received += data.len() as u64;
    }
    told.stopped = true;
    Ok(answer.stop_sending(NO_ERROR.into())?)
}

/// Sends what the options say of header and upload, to the end or to the reset.
async fn ask(upload: &mut SendStream, options: &Options, sent: &mut u64) -> Result<(), Failure> {
    let asked = if options.unlimited { UNLIMITED } else { options.download };
    let header = asked.to_be_bytes();
    let length = options.short.unwrap_or(header.len()).min(header.len());
    upload.send(Bytes::copy_from_slice(&header[..length])).await?;
    if let Some(bytes) = options.reset_after {
        send(upload, bytes, sent).await?;
        // A reset takes along what the other end has not acknowledged.
        upload.flush().await?;
        upload.reset(NO_ERROR.into())?;
        return Ok(());
    }
    if options.short.is_none() {
        send(upload, options.upload, sent).await?;
    }
    Ok(upload.finish()?)
}

impl Options {
    /// Refuses an end that was not asked for.
    fn judge(&self, told: &Requested) -> Result<(), Failure> {
        let misbehaves = self.short.is_some() || self.reset_after.is_some();
        if misbehaves || told.stopped || (told.fin && told.received == self.download) {
            return Ok(());
        }
        let by = if told.fin { "the end" } else { "a reset" };
        let Requested { stream, received, .. } = told;
        Err(format!("stream {stream}: {by} after {received} of {} bytes", self.download).into())
    }
}

/// What the draft has no codes for.
const NO_ERROR: u32 = 0;
