use std::{
    future::poll_fn,
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use polyperf_transport::{Delivery, Setting, Stream, Tuning, send_all};
use tokio::{sync::Notify, time::timeout};
use tracing::debug;

use super::{
    super::{
        Clock, Drive,
        buffer::Buffer,
        counters::Counters,
        flow::{Record, Stage, launch},
        means::Means,
        signals::Phase,
    },
    exchange,
};
use crate::{
    measure::FlowId,
    spec::{Exchange, TestSpec},
};

/// Answers the connections of one test's client.
///
/// Whoever knows the test's token can make some: what they cost is bounded by how many are served at
/// once, and by how long each may take.
#[derive(Debug)]
pub(crate) struct Answering {
    terms: Terms,
    /// What responses are made of.
    payload: Box<[u8]>,
    lanes: Box<[OnceLock<Books>]>,
    /// Connections that are being served, and how many may be.
    serving: AtomicUsize,
    most: usize,
    settings: OnceLock<Vec<Setting>>,
    /// Whether nothing is to be set, and a response is one segment on any path, which goes at once.
    plain: bool,
    over: AtomicBool,
    ended: Notify,
}

/// What a server answers, and how.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) exchange: Exchange,
    pub(crate) delivery: Delivery,
    /// What each connection is set to.
    pub(crate) tuning: Tuning,
    /// How long a request may take, and its response.
    pub(crate) limit: Duration,
}

/// What is counted of one lane, whose connections may overlap for a moment.
#[derive(Debug)]
struct Books {
    clock: Clock,
    counters: Mutex<Arc<Counters>>,
}

/// A connection's place among those that are served, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Answering {
    /// Returns what answers the connections of so many lanes.
    pub(crate) fn new(spec: &TestSpec, terms: Terms) -> Arc<Self> {
        let lanes = usize::from(spec.flows());
        let response = usize::try_from(terms.exchange.response).unwrap_or(LONGEST);
        Arc::new(Self {
            payload: Buffer::payload(response.min(LONGEST)).bytes().into(),
            lanes: (0..lanes).map(|_| OnceLock::new()).collect(),
            serving: AtomicUsize::new(0),
            most: (lanes * MOST_OF_ONE).max(LEAST),
            settings: OnceLock::new(),
            plain: terms.tuning == Tuning::default() && response <= ONE_SEGMENT,
            over: AtomicBool::new(false),
            ended: Notify::new(),
            terms,
        })
    }

    /// Returns whether there is room for a further connection.
    pub(crate) fn has_room(&self) -> bool {
        self.serving.load(Ordering::Relaxed) < self.most
    }

    /// Drops every connection, and takes no more.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Serves one connection of this lane, from behind its hello to its end.
    pub(crate) async fn serve(&self, lane: FlowId, stream: Stream) {
        let peer = stream.peer;
        let ended = self.ended.notified();
        if self.over.load(Ordering::SeqCst) {
            return debug!(%peer, "connection dropped: its test is over");
        }
        let Some(books) = self.books(lane) else {
            return debug!(%peer, lane = lane.0, "connection dropped: no such lane");
        };
        let Some(_place) = self.place() else {
            return debug!(%peer, most = self.most, "connection dropped: too many of its test");
        };
        tokio::select! {
            () = ended => {}
            result = self.answer(books, stream) => if let Err(error) = result {
                debug!(%peer, %error, "connection ended early");
            }
        }
    }

    /// Counts what is received on a lane until the test is over.
    pub(super) fn start(self: Arc<Self>, lane: FlowId, stage: &Stage, counters: Arc<Counters>) {
        if let Some(books) = self.lane(lane) {
            let counters = Mutex::new(Arc::clone(&counters));
            // A lane begins once.
            let _ = books.set(Books { clock: stage.clock, counters });
        }
        // There is nothing to do but to wait: the connections have tasks of their own.
        // Where they run is not where this task does, which moves nothing.
        let means = Means { processors: None, ..stage.means.clone() };
        let stage = &Stage { drive: Drive::Inline, means, ..stage.clone() };
        launch(stage, lane, Arc::clone(&counters), move |stage| async move {
            let bell = stage.signals.bell();
            let over = || stage.signals.reached(Phase::Close) || counters.is_full();
            bell.until(over, |_| Poll::<()>::Pending).await;
            (Ok(()), Record { settings: self.settings(), ..Record::default() }, None)
        });
    }

    async fn answer(&self, books: &Books, mut stream: Stream) -> io::Result<()> {
        self.set_up(&stream);
        let limit = self.terms.limit;
        let exchanged = async {
            match self.terms.delivery {
                Delivery::Bytes => self.answer_bytes(books, &mut stream).await,
                Delivery::Messages { .. } => self.answer_datagram(books, &mut stream).await,
            }
        };
        timeout(limit, exchanged).await.map_err(|_| io::ErrorKind::TimedOut)??;
        // Whoever is left first keeps the ports of a connection. The client, which may run out of
        // them, waits for this end.
        if self.terms.delivery == Delivery::Bytes && !self.leaves_at_once(&stream) {
            poll_fn(|cx| stream.send.poll_finish(cx)).await?;
            let mut buffer = [0; 1024];
            let end = exchange::end(stream.recv.as_mut(), &mut buffer, MOST_BEYOND);
            timeout(PARTING, end).await.map_err(|_| io::ErrorKind::TimedOut)??;
        }
        Ok(())
    }

    async fn answer_bytes(&self, books: &Books, stream: &mut Stream) -> io::Result<()> {
        let (request, response) = self.sizes();
        let mut buffer = vec![0; request.min(LONGEST)];
        exchange::receive(stream.recv.as_mut(), request, &mut buffer).await?;
        books.count(request);
        let mut left = response;
        while left > 0 {
            let part = &self.payload[..left.min(LONGEST)];
            send_all(stream.send.as_mut(), part).await?;
            left -= part.len();
        }
        Ok(())
    }

    async fn answer_datagram(&self, books: &Books, stream: &mut Stream) -> io::Result<()> {
        let (request, response) = self.sizes();
        let mut buffer = vec![0; request.max(response)];
        let half = stream.recv.as_mut();
        let header = exchange::receive_datagram(half, request, &mut buffer, |_| true).await?;
        books.count(request);
        exchange::send_datagram(stream, header, &mut buffer[..response]).await
    }

    /// Sets a connection as the test asks, and remembers what came of the first.
    fn set_up(&self, stream: &Stream) {
        if self.settings.get().is_some() && self.plain {
            return;
        }
        // A response goes at once, whatever of it is under way.
        let tuning = Tuning { no_delay: true, ..self.terms.tuning.clone() };
        let settings = stream.path.tune(&tuning);
        self.settings.get_or_init(|| {
            let asked = self.terms.tuning.no_delay;
            settings.into_iter().filter(|one| asked || one.option != "no_delay").collect()
        });
    }

    /// Returns whether nobody has to see a connection off: the system does where it carries it, and
    /// keeps no more than a segment for that. Who waits for the client is woken up once more.
    fn leaves_at_once(&self, stream: &Stream) -> bool {
        stream.home.is_none() && self.sizes().1 <= ONE_SEGMENT
    }

    fn settings(&self) -> Vec<Setting> {
        self.settings.get().cloned().unwrap_or_default()
    }

    fn sizes(&self) -> (usize, usize) {
        let Exchange { request, response, .. } = self.terms.exchange;
        let size = |size: u32| usize::try_from(size).unwrap_or(usize::MAX);
        (size(request), size(response))
    }

    fn place(&self) -> Option<Place<'_>> {
        let place = Place(&self.serving);
        // Counted first: two at once must not both find the last place.
        let before = self.serving.fetch_add(1, Ordering::Relaxed);
        (before < self.most).then_some(place)
    }

    fn books(&self, lane: FlowId) -> Option<&Books> {
        self.lane(lane)?.get()
    }

    fn lane(&self, lane: FlowId) -> Option<&OnceLock<Books>> {
        self.lanes.get(usize::from(lane.0).checked_sub(1)?)
    }
}

impl Books {
    fn count(&self, bytes: usize) {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.add(bytes, self.clock.now());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections of one lane at once: the one that asks, and those that are on their way out.
const MOST_OF_ONE: usize = 4;
/// The same of a test with few lanes.
const LEAST: usize = 16;
/// How long a client may take to close.
const PARTING: Duration = Duration::from_secs(1);
/// Bytes that a client may send beyond its request before nobody listens.
const MOST_BEYOND: usize = 64 << 10;
/// What fits into one segment on any path (RFC 9293, section 3.7.1).
const ONE_SEGMENT: usize = 536;
/// The most that is read or written at once.
const LONGEST: usize = 16 << 10;
