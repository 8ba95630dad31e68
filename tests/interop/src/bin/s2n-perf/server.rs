//! The server: reads a header, drains the stream, and answers with as many bytes as were asked for.

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
        tokio::spawn(serve(connection));
    }
    Err("it accepts no more".into())
}

async fn serve(mut connection: Connection) {
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(async move {
            if let Err(error) = tell(answer(stream).await) {
                eprintln!("s2n-quic: {error}");
            }
        });
    }
}

async fn answer(stream: BidirectionalStream) -> Answered {
    let mut told = Answered {
        stream: stream.id(),
        received: 0,
        sent: 0,
        asked: None,
        stopped: false,
        reset: false,
    };
    let (mut receive, mut answer) = stream.split();
    let fin = drain(&mut receive, &mut told).await;
    let mut ended = Ok(());
    if let Some(asked) = told.asked
        && fin
    {
        ended = send(&mut answer, asked, &mut told.sent).await;
    }
    if ended.is_ok() {
        ended = answer.close().await;
    }
    told.stopped = is_reset(&ended);
    told
}

/// Reads all that comes, and returns whether that was all there is.
async fn drain(receive: &mut ReceiveStream, told: &mut Answered) -> bool {
    let mut header = Vec::new();
    loop {
        match receive.receive().await {
            Ok(Some(mut data)) => {
                let missing = HEADER - header.len();
                header.extend_from_slice(&data.split_to(missing.min(data.len())));
                told.received += data.len() as u64;
                told.asked = header.as_slice().try_into().ok().map(u64::from_be_bytes);
            }
            Ok(None) => return true,
            ended => {
                told.reset = is_reset(&ended);
                return false;
            }
        }
    }
}

/// Bytes of the header.
const HEADER: usize = 8;
