//! The server: reads a header, drains the stream, and answers with as many bytes as were asked for;
//! or answers as soon as it has the header, as s2n-quic's own server of `perf` does.

use std::path::PathBuf;

use clap::Args;
use polyperf_interop::Answered;
use s2n_quic::{
    Connection, Server, provider::tls::rustls, stream::BidirectionalStream, stream::ReceiveStream,
};

use crate::{Failure, is_reset, send, tell};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A port of both families; 0 takes any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A file in PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// A file in PEM.
    #[arg(long)]
    private_key: PathBuf,
    #[arg(long, default_value = "perf")]
    alpn: String,
    /// Answers before the request has ended.
    #[arg(long)]
    at_once: bool,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let tls = rustls::Server::builder()
        .with_certificate(options.certificate.as_path(), options.private_key.as_path())?
        .with_application_protocols([&options.alpn].into_iter())?
        .build()?;
    let any = format!("[::]:{}", options.port);
    let mut server = Server::builder().with_tls(tls)?.with_io(any.as_str())?.start()?;
    println!("listening {}", server.local_addr()?.port());
    while let Some(connection) = server.accept().await {
        tokio::spawn(serve(connection, options.at_once));
    }
    Err("it accepts no more".into())
}

async fn serve(mut connection: Connection, at_once: bool) {
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(async move {
            if let Err(error) = tell(answer(stream, at_once).await) {
                eprintln!("s2n-quic: {error}");
            }
        });
    }
}

async fn answer(stream: BidirectionalStream, at_once: bool) -> Answered {
    let id = stream.id();
    let (mut receive, mut answer) = stream.split();
    let mut request = Request::default();
    let mut sent = 0;
    let is_whole = request.read(&mut receive, at_once).await;
    let asked = request.asked().filter(|_| is_whole).unwrap_or(0);
    let respond = async {
        send(&mut answer, asked, &mut sent).await?;
        answer.close().await
    };
    let (ended, _) = tokio::join!(respond, request.read(&mut receive, false));
    Answered {
        stream: id,
        received: request.received,
        sent,
        asked: request.asked(),
        stopped: is_reset(&ended),
        reset: request.reset,
    }
}

/// What has come of a request.
#[derive(Debug, Default)]
struct Request {
    header: Vec<u8>,
    /// Bytes after the header.
    received: u64,
    ended: bool,
    reset: bool,
}

impl Request {
    /// Reads to the end, or just until there is a header, and returns whether the client has broken
    /// off nothing.
    async fn read(&mut self, receive: &mut ReceiveStream, just_header: bool) -> bool {
        while !self.ended {
            if just_header && self.asked().is_some() {
                break;
            }
            match receive.receive().await {
                Ok(Some(mut data)) => {
                    let missing = HEADER - self.header.len();
                    self.header.extend_from_slice(&data.split_to(missing.min(data.len())));
                    self.received += data.len() as u64;
                }
                Ok(None) => self.ended = true,
                failed => {
                    self.reset = is_reset(&failed);
                    self.ended = true;
                    return false;
                }
            }
        }
        true
    }

    fn asked(&self) -> Option<u64> {
        self.header.as_slice().try_into().ok().map(u64::from_be_bytes)
    }
}

/// Bytes of the header.
const HEADER: usize = 8;
