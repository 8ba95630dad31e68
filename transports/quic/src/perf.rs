//! The `perf` protocol's server (draft-banks-quic-performance-00).
//!
//! A client asks on each stream: eight bytes say how many it wants back, then comes whatever it
//! likes, to the end of its direction. Its request is answered then, as most implementations do: on
//! the same stream, or on a new one if it was unidirectional.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use polyperf_transport::Visit;
use quinn::{Connection, RecvStream, SendStream};
use tokio::{task::JoinSet, time::timeout};
use tracing::debug;

use crate::error::code;

/// Serves a guest until it leaves, has to, or has asked for nothing for as long as `patience`.
pub(crate) async fn serve(connection: Connection, visit: Box<dyn Visit>, patience: Duration) {
    let visit: Arc<dyn Visit> = Arc::from(visit);
    let peer = connection.remote_address();
    let mut requests = JoinSet::new();
    loop {
        let idle = requests.is_empty();
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    requests.spawn(on_stream(send, recv, Arc::clone(&visit)));
                }
                Err(_) => break,
            },
            stream = connection.accept_uni() => match stream {
                Ok(recv) => {
                    requests.spawn(one_way(connection.clone(), recv, Arc::clone(&visit)));
                }
                Err(_) => break,
            },
            Some(_) = requests.join_next() => {}
            why = visit.over() => {
                debug!(%peer, %why, "a guest has to leave");
                break_off(&connection, requests).await;
                connection.close(code::OVER, why.as_bytes());
                break;
            }
            () = tokio::time::sleep(patience), if idle => {
                connection.close(code::IDLE, b"nothing was asked for");
                break;
            }
        }
    }
}

/// Takes back what has not been sent of any answer, and waits a moment until the client has been
/// told: while more is to be sent than the congestion window lets through, quinn does not even say
/// that a connection is closed.
async fn break_off(connection: &Connection, mut requests: JoinSet<()>) {
    if requests.is_empty() {
        return;
    }
    let told = || connection.stats().frame_tx.reset_stream;
    let before = told();
    requests.shutdown().await;
    let all = async {
        while told() == before {
            tokio::time::sleep(GLANCE).await;
        }
    };
    let _ = timeout(FAREWELL, all).await;
}

async fn on_stream(send: SendStream, recv: RecvStream, visit: Arc<dyn Visit>) {
    let mut answer = Answer { send, whole: false };
    match request(recv, visit.as_ref()).await {
        Some(wanted) => answer.give(wanted, visit.as_ref()).await,
        // Too short to be a request: nothing is wanted, and nothing is wrong.
        None => answer.finish(),
    }
}

async fn one_way(connection: Connection, recv: RecvStream, visit: Arc<dyn Visit>) {
    // No bytes are no stream.
    let Some(wanted) = request(recv, visit.as_ref()).await.filter(|wanted| *wanted > 0) else {
        return;
    };
    if let Ok(send) = connection.open_uni().await {
        Answer { send, whole: false }.give(wanted, visit.as_ref()).await;
    }
}

/// Reads a request to its end, and returns how many bytes are wanted; `None` if it does not say, or
/// was broken off.
async fn request(mut recv: RecvStream, visit: &dyn Visit) -> Option<u64> {
    let mut header = [0; 8];
    let mut filled = 0;
    while filled < header.len() {
        filled += recv.read(&mut header[filled..]).await.ok()??;
    }
    loop {
        match recv.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => visit.moved(chunk.bytes.len() as u64, 0),
            Ok(None) => return Some(u64::from_be_bytes(header)),
            Err(_) => return None,
        }
    }
}

/// The answer to a request, of which the rest is taken back if it is dropped before it is whole.
struct Answer {
    send: SendStream,
    whole: bool,
}

impl Answer {
    /// Sends so many bytes, or as many as the client takes: it ends an endless answer by refusing
    /// to read on.
    async fn give(&mut self, wanted: u64, visit: &dyn Visit) {
        let block = Bytes::from_static(&BLOCK);
        let mut refused = pin!(self.send.stopped());
        let mut left = wanted;
        while left > 0 {
            let len = usize::try_from(left).map_or(BLOCK.len(), |left| left.min(BLOCK.len()));
            let written = tokio::select! {
                biased;
                written = self.send.write_chunk(block.slice(..len)) => written.is_ok(),
                // What the connection's window holds back is not told by writing.
                _ = &mut refused => false,
            };
            if !written {
                return;
            }
            visit.moved(0, len as u64);
            // Without an end there is nothing to count down.
            left -= if wanted == ENDLESS { 0 } else { len as u64 };
        }
        self.finish();
        // The stream goes with its halves: what is under way has to arrive first.
        let _ = timeout(LINGER, refused).await;
    }

    fn finish(&mut self) {
        // A client that has stopped reading needs no word of the end.
        let _ = self.send.finish();
        self.whole = true;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.whole {
            // What has ended otherwise already has nothing to take back.
            let _ = self.send.reset(code::OVER);
        }
    }
}

/// As many bytes as the client cares to read.
const ENDLESS: u64 = u64::MAX;

static BLOCK: [u8; 64 << 10] = [0; 64 << 10];

/// How long a client may take to hear that it has to leave.
const FAREWELL: Duration = Duration::from_millis(500);
const GLANCE: Duration = Duration::from_millis(1);
/// How long the rest of an answer may be on its way.
const LINGER: Duration = Duration::from_secs(60);
