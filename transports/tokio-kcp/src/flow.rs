//! A conversation of the crate's, as the halves of its stream share it.

use std::{
    fmt,
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use polyperf_socket::{DatagramRecv, Endpoint, Seat, Sieve, Worker};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_kcp::KcpStream;

use crate::{
    hand_over::{converse, is_of},
    record::{self, END, HEADER, NOTHING, Parser},
    settings::Settings,
};

/// One end of a conversation.
pub(crate) struct Flow {
    state: Mutex<State>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) settings: Settings,
    /// How long it took to open, at the end that asked.
    pub(crate) handshake: Option<Duration>,
    /// Tells whoever waits for the peer to begin that nobody is left who cares.
    over: Notify,
    _seat: Seat,
}

struct State {
    stage: Stage,
    /// Halves that wait for the crate to begin.
    waiting: Vec<Waker>,
    /// What the reader finds first.
    hello: Vec<u8>,
    /// Room for a segment. It is not cleared for each, which took a sixth of the receiver's time.
    segment: Box<[u8]>,
    /// Bytes of the segment that is there, and those of them that have been taken.
    received: usize,
    taken: usize,
    parser: Parser,
    record: Vec<u8>,
    finished: bool,
    halves: usize,
}

enum Stage {
    /// The peer may not have heard yet that the flow is open.
    Opening,
    Running(KcpStream),
    Failed(io::ErrorKind, String),
}

impl Flow {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        worker: Arc<Worker>,
        settings: Settings,
        hello: Vec<u8>,
        handshake: Option<Duration>,
    ) -> Arc<Self> {
        let state = State {
            stage: Stage::Opening,
            waiting: Vec::new(),
            hello,
            segment: vec![0; LONGEST_SEGMENT].into(),
            received: 0,
            taken: 0,
            parser: Parser::default(),
            record: Vec::new(),
            finished: false,
            halves: 2,
        };
        let (state, over, seat) = (Mutex::new(state), Notify::new(), worker.seat());
        Arc::new(Self { state, endpoint, worker, settings, handshake, over, _seat: seat })
    }

    /// Begins at the end that asked, by saying that it has heard the answer.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) async fn begin(self: Arc<Self>, conv: u32) -> io::Result<()> {
        let mut stream = converse(&self.endpoint, &self.settings, conv).await?;
        stream.send(&NOTHING.to_le_bytes()).await.map_err(io::Error::from)?;
        self.run(stream);
        Ok(())
    }

    /// Begins at the end that was asked, once the other one's first segment has come. Until then,
    /// what comes goes through `recv`, which answers a client that asks again.
    pub(crate) async fn follow(self: Arc<Self>, conv: u32, recv: DatagramRecv, sieve: Sieve) {
        let first = tokio::select! {
            first = self.first(conv, recv, &sieve) => first,
            () = self.over.notified() => return,
        };
        let began = match first {
            Ok(first) => converse(&self.endpoint, &self.settings, conv).await.inspect(|stream| {
                // What is wrong with it, the crate says; what was lost, comes again.
                let _ = stream.session().kcp_socket().lock().input(&first);
            }),
            Err(error) => Err(error),
        };
        match began {
            Ok(stream) => self.run(stream),
            Err(error) => self.fail(&error),
        }
    }

    async fn first(&self, conv: u32, mut recv: DatagramRecv, sieve: &Sieve) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; polyperf_socket::MAX_TRAIN];
        let keep = |datagram: &[u8]| sieve.keeps(datagram, &self.endpoint) && is_of(datagram, conv);
        let received = poll_fn(|cx| recv.poll_recv(cx, &mut buf, keep));
        let train = tokio::time::timeout(PATIENCE, received).await??;
        buf.truncate(train.len);
        Ok(buf)
    }

    fn run(&self, stream: KcpStream) {
        self.leave_opening(Stage::Running(stream));
    }

    fn fail(&self, error: &io::Error) {
        self.leave_opening(Stage::Failed(error.kind(), format!("tokio-kcp: {error}")));
    }

    /// Goes on to `stage`, unless everybody has left meanwhile.
    fn leave_opening(&self, stage: Stage) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Opening) {
            state.stage = stage;
            state.waiting.drain(..).for_each(Waker::wake);
        }
    }

    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let longest = self.settings.longest_write() - HEADER;
        let bytes = &bytes[..bytes.len().min(longest)];
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut record = std::mem::take(&mut state.record);
        record::write(bytes, &mut record);
        let sent = state.poll_record(cx, &record);
        state.record = record;
        ready!(sent)?;
        Poll::Ready(Ok(bytes.len()))
    }

    pub(crate) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if !state.finished {
            ready!(state.poll_record(cx, &END.to_le_bytes()))?;
            state.finished = true;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<usize>>> {
        let mut state = self.lock();
        if !state.hello.is_empty() {
            let len = state.hello.len().min(buf.len());
            buf[..len].copy_from_slice(&state.hello[..len]);
            state.hello.drain(..len);
            return Poll::Ready(Ok(Some(len)));
        }
        let mut filled = 0;
        while filled < buf.len() {
            filled += state.take(&mut buf[filled..]);
            if filled == buf.len() || state.parser.is_ended() {
                break;
            }
            match state.poll_segment(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) | Poll::Pending if filled > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok((filled > 0 || buf.is_empty()).then_some(filled)))
    }

    /// Hears that a half is gone. With the last, the flow ends as soon as everything has arrived.
    pub(crate) fn leave(self: &Arc<Self>) {
        let mut state = self.lock();
        state.halves -= 1;
        if state.halves == 0 {
            let flow = Arc::clone(self);
            self.worker.run(flow.end());
        }
    }

    async fn end(self: Arc<Self>) {
        let until = Instant::now() + LINGER;
        let mut finish = std::pin::pin!(poll_fn(|cx| self.poll_finish(cx)));
        // Where it cannot be said any more, nobody is there to hear it.
        let _ = tokio::time::timeout_at(until, &mut finish).await;
        while Instant::now() < until && !self.is_drained() {
            sleep(LOOK).await;
        }
        let over = Stage::Failed(io::ErrorKind::NotConnected, "it is over".to_owned());
        if let Stage::Running(stream) = std::mem::replace(&mut self.lock().stage, over) {
            // The last acknowledgements would wait for the clock, and the peer for them.
            let _ = stream.session().kcp_socket().lock().flush();
        }
        self.over.notify_one();
    }

    fn is_drained(&self) -> bool {
        match &self.lock().stage {
            Stage::Opening => false,
            Stage::Running(stream) => stream.session().kcp_socket().lock().can_close(),
            Stage::Failed(..) => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_stream(&mut self, cx: &Context<'_>) -> Poll<io::Result<&mut KcpStream>> {
        match &mut self.stage {
            Stage::Running(stream) => Poll::Ready(Ok(stream)),
            Stage::Failed(kind, text) => Poll::Ready(Err(io::Error::new(*kind, text.clone()))),
            Stage::Opening => {
                if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    self.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Sends a record whole, or nothing of it.
    fn poll_record(&mut self, cx: &mut Context<'_>, record: &[u8]) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_stream(cx))?;
        ready!(stream.poll_send(cx, record)).map_err(io::Error::from)?;
        Poll::Ready(Ok(()))
    }

    /// Receives the next segment, when the last one has been taken.
    fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut segment = std::mem::take(&mut self.segment);
        let received = match self.poll_stream(cx) {
            Poll::Ready(Ok(stream)) => stream.poll_recv(cx, &mut segment).map_err(io::Error::from),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.segment = segment;
        match ready!(received)? {
            0 => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            len => {
                (self.received, self.taken) = (len, 0);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Takes what has been received.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        let (taken, put) = self.parser.parse(&self.segment[self.taken..self.received], buf);
        self.taken += taken;
        put
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("endpoint", &self.endpoint)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// As long as the longest datagram.
const LONGEST_SEGMENT: usize = 65_536;

/// For how long a client that has been let in may not begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long what was sent may still arrive when nobody uses the flow any more.
const LINGER: Duration = Duration::from_secs(3);

/// How often that is looked at, of which the crate does not tell.
const LOOK: Duration = Duration::from_millis(5);
