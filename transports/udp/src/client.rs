use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use polyperf_socket::{DatagramRecv, DatagramSend, Endpoint, Sieve, dial};
use polyperf_transport::{Chunk, Connection, Error, Hello, Peer, Sockets, Stream, async_trait};

use crate::{PREFIX, stream::stream};

/// A peer to open flows to. Nothing is shared between them, so nothing is open yet.
#[derive(Debug)]
pub(crate) struct UdpConnection {
    sockets: Arc<dyn Sockets>,
    peer: Peer,
    opened: AtomicU16,
}

impl UdpConnection {
    pub(crate) fn new(sockets: Arc<dyn Sockets>, peer: Peer) -> Self {
        Self { sockets, peer, opened: AtomicU16::new(0) }
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let endpoint = dial(&self.sockets, &self.peer, nth)?;
        endpoint.tune(&self.peer.tuning);
        Ok(endpoint)
    }
}

#[async_trait]
impl Connection for UdpConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let open = async {
            let endpoint = Arc::new(self.endpoint()?);
            let halves = (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint));
            match hello {
                Hello::Own(hello) => {
                    let id = rand::random();
                    let halves = polyperf_socket::open(PREFIX, id, hello, halves).await?;
                    Ok(stream(halves, Sieve::Client { prefix: PREFIX, id }))
                }
                Hello::Bare(word) => say(word, halves).await,
            }
        };
        open.await.map_err(|source| Error::Connect { addr: self.peer.addr, source })
    }

    async fn close(&self) {}
}

async fn say(word: &[u8], mut halves: (DatagramSend, DatagramRecv)) -> io::Result<Stream> {
    // Nobody is asked again, so the first refusal is the answer.
    halves.1.endpoint().set_patience(Duration::ZERO);
    if let Some(chunk) = Chunk::whole(word) {
        poll_fn(|cx| halves.0.poll_send(cx, chunk)).await?;
    }
    Ok(stream(halves, Sieve::Unanswered))
}
