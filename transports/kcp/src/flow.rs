//! A conversation over a socket.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use polyperf_socket::{DatagramRecv, DatagramSend, Endpoint, MAX_DATAGRAM, Rooms, Sieve, Worker};
use polyperf_transport::Chunk;
use tokio::time::{Sleep, sleep_until};

use crate::{Config, Conversation, Flushed, Output, Stats, settings::Settings};

/// One end of a conversation, as its halves, its driver and whoever reads its figures share it.
///
/// Whoever holds the lock may receive and send: waits are the driver's, whichever task looks. The
/// halves do so themselves where they are driven beside the driver, on its thread, which saves a
/// change of tasks for each batch; there the lock is always free.
#[derive(Debug)]
pub(crate) struct Flow {
    state: Mutex<State>,
    /// As of the last look at the socket.
    stats: Mutex<Stats>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) settings: Settings,
    /// How long it took to open; `None` where nobody asked to be let in.
    pub(crate) handshake: Option<Duration>,
}

/// What a flow is made of.
pub(crate) struct Parts {
    pub(crate) conversation: Conversation,
    pub(crate) halves: (DatagramSend, DatagramRecv),
    pub(crate) sieve: Sieve,
    /// What the reader finds first.
    pub(crate) hello: Vec<u8>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) settings: Settings,
    pub(crate) handshake: Option<Duration>,
}

pub(crate) struct State {
    conversation: Conversation,
    endpoint: Arc<Endpoint>,
    send: DatagramSend,
    recv: DatagramRecv,
    sieve: Sieve,
    hello: Vec<u8>,
    output: Output,
    /// The train that is sent next, and how many of its bytes have been.
    train: usize,
    sent: usize,
    rooms: Rooms,
    epoch: Instant,
    /// When the socket was looked at last, since then.
    now: Duration,
    /// Segments that there has to be room for before more is taken.
    enough: usize,
    /// Why it is over.
    failure: Option<Failure>,
    /// When the driver looks next without being woken.
    armed: Option<Duration>,
    driver: Option<Waker>,
    sender: Waiter,
    receiver: Waiter,
}

/// A half, from the flow's side.
#[derive(Debug)]
struct Waiter {
    waker: Option<Waker>,
    /// Whether the half is still there.
    there: bool,
}

#[derive(Debug, Clone)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Flow {
    /// Returns a flow that is driven until both of its halves are gone, and everything sent has
    /// arrived.
    pub(crate) fn start(parts: Parts) -> Arc<Self> {
        let Parts { conversation, halves, sieve, hello, worker, settings, handshake } = parts;
        let (send, recv) = halves;
        let stats = conversation.stats();
        let endpoint = Arc::clone(recv.endpoint());
        let state = State {
            conversation,
            endpoint: Arc::clone(&endpoint),
            send,
            recv,
            sieve,
            hello,
            output: Output::default(),
            train: 0,
            sent: 0,
            rooms: Rooms::new(),
            epoch: Instant::now(),
            now: Duration::ZERO,
            enough: enough(&settings.config),
            failure: None,
            armed: None,
            driver: None,
            sender: Waiter { waker: None, there: true },
            receiver: Waiter { waker: None, there: true },
        };
        let flow = Arc::new(Self {
            state: Mutex::new(state),
            stats: Mutex::new(stats),
            endpoint,
            worker,
            settings,
            handshake,
        });
        let driver = Driver { flow: Arc::clone(&flow), timer: None, leaves: None };
        use polyperf_transport::Home as _;
        flow.worker.spawn(Box::pin(driver.run()));
        flow
    }

    /// Takes bytes to send as far as there is room.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let mut looked = false;
        loop {
            if let Some(failure) = &state.failure {
                return Poll::Ready(Err(failure.error()));
            }
            // In a stream there is nothing too long.
            let taken =
                if state.has_room() { state.conversation.send(bytes).unwrap_or(0) } else { 0 };
            if taken > 0 {
                self.look(&mut state, Wanted::Nothing);
                return Poll::Ready(Ok(taken));
            }
            if looked {
                state.sender.wait(cx);
                return Poll::Pending;
            }
            looked = true;
            self.look(&mut state, Wanted::Room);
        }
    }

    /// Fills `buf` with what has arrived; `None` if nothing more will.
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
        let mut looked = false;
        loop {
            if let Some(len) = state.conversation.recv(buf) {
                // The peer may have to hear that there is room again.
                if state.is_due() {
                    self.look(&mut state, Wanted::Nothing);
                }
                return Poll::Ready(Ok(Some(len)));
            }
            if state.conversation.is_ended() {
                return Poll::Ready(Ok(None));
            }
            if let Some(failure) = &state.failure {
                return Poll::Ready(Err(failure.error()));
            }
            if looked {
                state.receiver.wait(cx);
                return Poll::Pending;
            }
            looked = true;
            self.look(&mut state, Wanted::Data);
        }
    }

    /// Says that nothing more will be sent, behind everything that was.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.error());
        }
        state.conversation.finish();
        self.look(&mut state, Wanted::Nothing);
        Ok(())
    }

    /// Hears that a half is gone.
    pub(crate) fn leave(&self, half: Half) {
        let mut state = self.lock();
        match half {
            Half::Sender => state.sender = Waiter { waker: None, there: false },
            Half::Receiver => state.receiver = Waiter { waker: None, there: false },
        }
        if state.is_left() {
            state.wake_driver();
        }
    }

    /// Returns the figures as of the last look.
    pub(crate) fn stats(&self) -> Stats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after the socket in the driver's stead, on its thread, or else has the driver look.
    fn look(&self, state: &mut State, wanted: Wanted) {
        let Some(driver) = state.driver.clone().filter(|_| self.worker.is_here()) else {
            return state.wake_driver();
        };
        state.drive(&mut Context::from_waker(&driver), wanted);
        self.publish(state);
        let due = state.conversation.deadline(state.now);
        if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
            state.wake_driver();
        }
    }

    fn publish(&self, state: &State) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = state.conversation.stats();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which half.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Half {
    Sender,
    Receiver,
}

/// What is looked for at the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Nothing is received.
    Nothing,
    /// Whatever comes.
    Anything,
    /// Room to send.
    Room,
    /// Something to read.
    Data,
}

impl State {
    /// Receives, unless nothing is wanted, and sends, until there is what was wanted, or something
    /// for a half that waits, which is woken. Whatever has to be waited for wakes the task of `cx`.
    fn drive(&mut self, cx: &mut Context<'_>, wanted: Wanted) {
        if wanted == Wanted::Nothing {
            self.now = self.epoch.elapsed();
            self.send(cx);
            return self.judge();
        }
        for _ in 0..ROUNDS {
            let received = self.receive(cx);
            self.send(cx);
            self.judge();
            let woken = self.wake_halves();
            if !received || self.failure.is_some() {
                return;
            }
            // What is there is read while it is in the cache.
            if woken || self.has(wanted) {
                break;
            }
        }
        cx.waker().wake_by_ref();
    }

    fn has(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Nothing | Wanted::Anything => false,
            Wanted::Room => self.has_room(),
            Wanted::Data => self.conversation.is_readable(),
        }
    }

    /// Returns whether there is enough room for what one system call sends, or as much as there can
    /// be: less is not worth a call while other data is under way.
    fn has_room(&self) -> bool {
        self.conversation.room() >= self.enough
    }

    /// Returns whether there is something to be sent at this time.
    fn is_due(&self) -> bool {
        self.conversation.deadline(self.now).is_some_and(|due| due <= self.now)
    }

    /// Receives what has come, as much as one acknowledgement should be for, and returns whether
    /// there was anything.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut received, mut datagrams) = (0, 0);
        while received < MOST_BYTES && datagrams < MOST_DATAGRAMS {
            let Self { recv, rooms, sieve, conversation, endpoint, epoch, now, .. } = self;
            let keep = |datagram: &[u8]| sieve.keeps(datagram, endpoint);
            let mut read = None;
            let came = recv.poll_recv_each(cx, rooms, keep, |datagram| {
                // What is rejected is counted there.
                let _ = conversation.input(datagram, *read.get_or_insert_with(|| epoch.elapsed()));
                received += datagram.len();
            });
            *now = read.unwrap_or(*now);
            match came {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => datagrams += count.max(1),
                Poll::Ready(Err(error)) => {
                    let peer = endpoint.peer();
                    self.fail(error.kind(), format!("receiving from {peer}: {error}"));
                    return false;
                }
            }
        }
        if datagrams == 0 {
            self.now = self.epoch.elapsed();
        }
        datagrams > 0
    }

    /// Sends whatever is to be sent now, as far as the socket takes it.
    fn send(&mut self, cx: &mut Context<'_>) {
        while self.failure.is_none() {
            if !self.send_output(cx) {
                return;
            }
            let all = self.conversation.flush(self.now, &mut self.output) == Flushed::All;
            if self.output.is_empty() {
                return;
            }
            if all {
                self.send_output(cx);
                return;
            }
        }
    }

    /// Hands written datagrams to the socket, and returns whether it took all of them.
    fn send_output(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { send, output, train, sent, .. } = self;
        let mut failed = None;
        'trains: for next in output.trains().skip(*train) {
            while let Some(bytes) = next.bytes.get(*sent..).filter(|bytes| !bytes.is_empty()) {
                let Some(stride) = NonZeroUsize::new(next.stride) else { break };
                let chunk = Chunk { bytes, stride };
                match send.poll_send(cx, chunk) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(len)) => *sent += len,
                    Poll::Ready(Err(error)) => {
                        failed = Some(error);
                        break 'trains;
                    }
                }
            }
            *train += 1;
            *sent = 0;
        }
        output.clear();
        (*train, *sent) = (0, 0);
        if let Some(error) = failed {
            let peer = self.recv.endpoint().peer();
            self.fail(error.kind(), format!("sending to {peer}: {error}"));
        }
        true
    }

    /// Ends the flow if the peer is gone.
    fn judge(&mut self) {
        if let Some(dead) = self.conversation.dead() {
            let peer = self.recv.endpoint().peer();
            self.fail(io::ErrorKind::TimedOut, format!("{peer} is gone: {dead}"));
        }
    }

    fn fail(&mut self, kind: io::ErrorKind, text: String) {
        self.failure.get_or_insert(Failure { kind, text });
    }

    /// Wakes the halves that have something to do, and returns whether any has.
    fn wake_halves(&mut self) -> bool {
        let failed = self.failure.is_some();
        let conversation = &self.conversation;
        let readable = failed || conversation.is_readable() || conversation.is_ended();
        let writable = failed || conversation.room() >= self.enough;
        let reads = readable && self.receiver.wake();
        let writes = writable && self.sender.wake();
        reads || writes
    }

    fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// Returns whether there is nobody to send or to receive for.
    fn is_left(&self) -> bool {
        !self.sender.there && !self.receiver.there
    }
}

impl Waiter {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    /// Wakes whoever waits, and returns whether somebody did.
    fn wake(&mut self) -> bool {
        let waiting = self.waker.take();
        let waited = waiting.is_some();
        waiting.into_iter().for_each(Waker::wake);
        waited
    }
}

impl Failure {
    fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.text.clone())
    }
}

/// The task that waits for a flow's socket and its timers.
struct Driver {
    flow: Arc<Flow>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Until when what was sent may still arrive, once nobody uses the flow any more.
    leaves: Option<Duration>,
}

impl Driver {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let flow = Arc::clone(&self.flow);
        let mut state = flow.lock();
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.driver = Some(cx.waker().clone()),
        }
        loop {
            let now = state.epoch.elapsed();
            if state.is_left() && self.leaves.is_none() {
                state.conversation.finish();
                self.leaves = Some(now + LINGER);
            }
            state.drive(cx, Wanted::Anything);
            flow.publish(&state);
            let now = state.now;
            let late = self.leaves.is_some_and(|leaves| now >= leaves);
            let done = state.failure.is_some() || late || state.conversation.is_drained();
            if state.is_left() && done {
                return Poll::Ready(());
            }
            let due = state.conversation.deadline(now);
            let due = [due, self.leaves].into_iter().flatten().min();
            state.armed = due;
            if !self.poll_timer(cx, due.map(|due| state.epoch + due)) {
                return Poll::Pending;
            }
        }
    }

    /// Waits for `due`, and returns whether it is over.
    fn poll_timer(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> bool {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return false };
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                timer
            }
            None => self.timer.insert(Box::pin(sleep_until(due))),
        };
        timer.as_mut().poll(cx).is_ready()
    }
}

impl Drop for Driver {
    /// Whatever ends the driver, nobody waits for it any more.
    fn drop(&mut self) {
        let mut state = self.flow.lock();
        state.fail(io::ErrorKind::BrokenPipe, "the flow is no longer driven".to_owned());
        state.driver = None;
        state.wake_halves();
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("conversation", &self.conversation)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// Returns how many segments one system call sends, or half of the window if that is less.
fn enough(config: &Config) -> usize {
    let call = MAX_DATAGRAM / usize::from(config.mtu).max(1);
    call.min(usize::from(config.send_window.get()) / 2).max(1)
}

/// For how long what was sent may still arrive when nobody uses the flow any more.
const LINGER: Duration = Duration::from_secs(3);

/// How many times one look receives before it lets others run.
const ROUNDS: usize = 32;

/// What is received before it is acknowledged, and read: what one system call brings with receive
/// offload. Without, it takes many, and an acknowledgement for each would cost as much as the data.
const MOST_BYTES: usize = 48 << 10;
const MOST_DATAGRAMS: usize = 64;
