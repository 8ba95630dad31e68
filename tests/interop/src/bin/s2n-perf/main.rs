//! s2n-quic speaking `perf` (draft-banks-quic-performance-00), as a server or as a client.
//!
//! A line of JSON tells of each stream that is over. Errors go to stderr, with exit code 1.

mod client;
mod ends;
mod server;
mod trust;

use std::{error::Error, process::ExitCode};

use bytes::Bytes;
use clap::Parser;
use s2n_quic::stream::{self, SendStream};
use serde::Serialize;

#[derive(Debug, Parser)]
enum Role {
    Server(server::Options),
    Client(client::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Role::parse() {
        Role::Server(options) => server::run(options).await,
        Role::Client(options) => client::run(options).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s2n-quic: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `count` bytes, and adds to `sent` as they are taken.
async fn send(stream: &mut SendStream, count: u64, sent: &mut u64) -> stream::Result<()> {
    let mut left = count;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK.len());
        stream.send(Bytes::from_static(&CHUNK[..size])).await?;
        left -= size as u64;
        *sent += size as u64;
    }
    Ok(())
}

/// Whether the other end has stopped or reset the stream.
fn is_reset<T>(result: &stream::Result<T>) -> bool {
    matches!(result, Err(stream::Error::StreamReset { .. }))
}

fn tell(line: impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

type Failure = Box<dyn Error + Send + Sync>;

static CHUNK: [u8; 16 << 10] = [0; 16 << 10];
