//! The end that opens flows.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Instant,
};

use polyperf_socket::{
    Crew, DatagramRecv, DatagramSend, Driven, Endpoint, Id, Parts, Sieve, dial, open_with,
};
use polyperf_transport::{Connection, Error, Hello, Peer, Sockets, Stream, async_trait};

use crate::{Config, PREFIX, Parameters, path::RudpPath, socket};

/// A peer to open flows to. Nothing is shared between them but the threads that drive them.
#[derive(Debug)]
pub(crate) struct RudpConnection {
    sockets: Arc<dyn Sockets>,
    peer: Peer,
    config: Config,
    crew: Arc<Crew>,
    opened: AtomicU16,
}

impl RudpConnection {
    pub(crate) fn new(
        sockets: Arc<dyn Sockets>,
        peer: Peer,
        config: Config,
        crew: Arc<Crew>,
    ) -> Self {
        Self { sockets, peer, config, crew, opened: AtomicU16::new(0) }
    }

    fn endpoint(&self) -> io::Result<Arc<Endpoint>> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let endpoint = dial(&self.sockets, &self.peer, nth)?;
        endpoint.tune(&socket::tuning(&self.peer.tuning));
        socket::prepare(&endpoint, &self.config, &self.peer.tuning);
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
        let Hello::Own(hello) = hello else {
            let text = "whoever listens must be of this project: both ends tell each other how they \
                        work";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        };
        let endpoint = self.endpoint()?;
        let config = socket::fitted(self.config, &endpoint);
        let halves = (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint));
        let began = Instant::now();
        let (id, own) = (self.id(), Parameters::new(&config, rand::random()));
        let (halves, told) = open_with(PREFIX, id, &own.encode(), hello, halves).await?;
        let handshake = Some(began.elapsed());
        let theirs = Parameters::parse(&told).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("no flow can work by {told:?}"))
        })?;
        let machine = crate::Connection::new(config, own, theirs, rand::random())
            .map_err(|mistake| crate::invalid(&mistake))?;
        let sieve = Sieve::Client { prefix: PREFIX, id };
        // Those that open at once are dealt out as they begin.
        let (worker, hello) = (self.crew.next()?, Vec::new());
        let flow = Driven::start(Parts { machine, halves, sieve, hello, worker });
        Ok(RudpPath::stream(flow, config, handshake))
    }
}

#[async_trait]
impl Connection for RudpConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let opened = RudpConnection::open(self, hello).await;
        opened.map_err(|source| Error::Connect { addr: self.peer.addr, source })
    }

    async fn close(&self) {}
}
