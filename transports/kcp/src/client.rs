//! The end that opens flows.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Instant,
};

use polyperf_socket::{Crew, DatagramRecv, DatagramSend, Driven, Endpoint, Id, Parts, Sieve, dial};
use polyperf_transport::{Connection, Error, Hello, Peer, Sockets, Stream, async_trait};

use crate::{Conversation, PREFIX, conv, path::KcpPath, settings::Settings};

/// A peer to open flows to. Nothing is shared between them but the threads that drive them.
#[derive(Debug)]
pub(crate) struct KcpConnection {
    sockets: Arc<dyn Sockets>,
    peer: Peer,
    settings: Settings,
    crew: Arc<Crew>,
    opened: AtomicU16,
}

impl KcpConnection {
    pub(crate) fn new(
        sockets: Arc<dyn Sockets>,
        peer: Peer,
        settings: Settings,
        crew: Arc<Crew>,
    ) -> Self {
        Self { sockets, peer, settings, crew, opened: AtomicU16::new(0) }
    }

    fn endpoint(&self) -> io::Result<Arc<Endpoint>> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let endpoint = dial(&self.sockets, &self.peer, nth)?;
        endpoint.ask_for_window(self.settings.config.receive_window.get());
        endpoint.tune(&self.peer.tuning);
        Ok(Arc::new(endpoint))
    }

    /// Returns what the attempt is called: by what the listener knows the test by, if it has been
    /// told.
    fn id(&self) -> Id {
        let mut id: Id = rand::random();
        if let Some(mark) = &self.peer.mark {
            id[..mark.len()].copy_from_slice(mark);
        }
        id
    }

    async fn open(&self, hello: Hello<'_>) -> io::Result<Stream> {
        let endpoint = self.endpoint()?;
        let halves = (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint));
        let began = Instant::now();
        let (halves, sieve, settings, conv, first) = match hello {
            Hello::Own(hello) => {
                let id = self.id();
                let halves = polyperf_socket::open(PREFIX, id, hello, halves).await?;
                let sieve = Sieve::Client { prefix: PREFIX, id };
                (halves, sieve, self.settings.among_ourselves(), conv::of_hello(hello), &[][..])
            }
            Hello::Bare(bytes) => {
                let settings = self.settings.with_strangers();
                (halves, Sieve::Open, settings, conv::any(rand::random()), bytes)
            }
        };
        let handshake = matches!(sieve, Sieve::Client { .. }).then(|| began.elapsed());
        let mut machine = Conversation::new(conv, settings.config, settings.fec)
            .map_err(|mistakes| crate::invalid(&mistakes))?;
        if machine.send(first).map_err(io::Error::other)? < first.len() {
            let text = format!("{} bytes are too many to begin with", first.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // Those that open at once are dealt out as they begin.
        let (worker, hello) = (self.crew.next()?, Vec::new());
        let parts = Parts { machine, halves, sieve, hello, worker };
        Ok(KcpPath::stream(Driven::start(parts), settings, handshake))
    }
}

#[async_trait]
impl Connection for KcpConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let opened = KcpConnection::open(self, hello).await;
        opened.map_err(|source| Error::Connect { addr: self.peer.addr, source })
    }

    async fn close(&self) {}
}
