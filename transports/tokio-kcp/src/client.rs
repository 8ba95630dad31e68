//! The end that opens flows.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Instant,
};

use polyperf_socket::{Crew, DatagramRecv, DatagramSend, Id, dial};
use polyperf_transport::{Connection, Error, Hello, Peer, Sockets, Stream, async_trait};
use tokio::sync::oneshot;

use crate::{PREFIX, flow::Flow, half::stream, hand_over::conv, settings::Settings};

/// A peer to open flows to.
#[derive(Debug)]
pub(crate) struct TokioKcpConnection {
    sockets: Arc<dyn Sockets>,
    peer: Peer,
    settings: Settings,
    crew: Arc<Crew>,
    opened: AtomicU16,
}

impl TokioKcpConnection {
    pub(crate) fn new(
        sockets: Arc<dyn Sockets>,
        peer: Peer,
        settings: Settings,
        crew: Arc<Crew>,
    ) -> Self {
        Self { sockets, peer, settings, crew, opened: AtomicU16::new(0) }
    }

    async fn open(&self, hello: Hello<'_>) -> io::Result<Stream> {
        let Hello::Own(hello) = hello else {
            let text = "tokio-kcp opens no flow without a handshake";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        };
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let endpoint = dial(&self.sockets, &self.peer, nth)?;
        endpoint.ask_for_window(self.settings.receive_window());
        endpoint.tune(&self.peer.tuning);
        let endpoint = Arc::new(endpoint);
        let recv = DatagramRecv::new(Arc::clone(&endpoint));
        let send = DatagramSend::new(Arc::clone(&endpoint));
        let began = Instant::now();
        let mut id: Id = rand::random();
        if let Some(mark) = &self.peer.mark {
            id[..mark.len()].copy_from_slice(mark);
        }
        drop(polyperf_socket::open(PREFIX, id, hello, (send, recv)).await?);
        let handshake = Some(began.elapsed());
        // Those that open at once are dealt out as they begin.
        let (worker, settings) = (self.crew.next()?, self.settings.clone());
        let flow = Flow::new(endpoint, Arc::clone(&worker), settings, Vec::new(), handshake);
        let (begun, begins) = oneshot::channel();
        let beginning = Arc::clone(&flow);
        worker.run(async move {
            // Whoever has given up waiting has dropped the flow.
            let _ = begun.send(beginning.begin(conv(id)).await);
        });
        begins.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(stream(flow))
    }
}

#[async_trait]
impl Connection for TokioKcpConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let opened = TokioKcpConnection::open(self, hello).await;
        opened.map_err(|source| Error::Connect { addr: self.peer.addr, source })
    }

    async fn close(&self) {}
}
