//! Protocols that run in this process, over sockets.
//!
//! A [`Machine`] is one end of a conversation, without a socket and without a clock; [`Driven`] is
//! one with them.

mod half;

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use polyperf_transport::{Chunk, Home as _};
use tokio::time::{Sleep, sleep_until};

use crate::{DatagramRecv, DatagramSend, Endpoint, Flushed, Output, Rooms, Sieve, Worker};

/// One end of a reliable conversation over datagrams.
///
/// It does what it is told at a `now`, which is the time since an epoch and never goes back.
pub trait Machine: fmt::Debug + Send + 'static {
    /// What it counts.
    type Stats: Clone + fmt::Debug + Send;

    /// Takes bytes to send as far as there is room, and returns how many.
    fn send(&mut self, bytes: &[u8]) -> usize;

    /// Says that nothing more will be sent, behind everything that was.
    fn finish(&mut self);

    /// Hears that nobody will read any more.
    fn desert(&mut self) {}

    /// Fills `buf` with what has arrived; `None` if there is nothing now.
    fn recv(&mut self, buf: &mut [u8]) -> Option<usize>;

    /// Takes a datagram in, which the network has `marked` or not (RFC 3168). What is wrong with one
    /// is counted.
    fn input(&mut self, datagram: &[u8], marked: bool, now: Duration);

    /// Writes what is to be sent now behind what `output` holds already.
    fn flush(&mut self, now: Duration, output: &mut Output) -> Flushed;

    /// Returns when to call [`flush`](Self::flush) next, if nothing happens before.
    fn deadline(&self, now: Duration) -> Option<Duration>;

    /// Returns whether there is enough room for what one system call sends, or as much as there can
    /// be: less is not worth a call while other data is under way.
    fn has_room(&self) -> bool;

    /// Returns whether there is something to read, or that nothing more will come.
    fn is_readable(&self) -> bool;

    /// Returns whether the peer has said that nothing follows, and everything before has been read.
    fn is_ended(&self) -> bool;

    /// Returns whether the peer has acknowledged everything that was sent.
    fn is_drained(&self) -> bool;

    /// Returns why it is over before its end, as what is said of the peer: `is gone: ...`.
    fn failure(&self) -> Option<(io::ErrorKind, String)>;

    /// Returns what it has counted.
    fn stats(&self) -> Self::Stats;
}

/// One end of a conversation, as its halves, its driver and whoever reads its figures share it.
///
/// Whoever holds the lock may receive and send: waits are the driver's, whichever task looks. The
/// halves do so themselves where they are driven beside the driver, on its thread, which saves a
/// change of tasks for each batch; there the lock is always free.
#[derive(Debug)]
pub struct Driven<M: Machine> {
    state: Mutex<State<M>>,
    /// As of the last look at the socket.
    stats: Mutex<M::Stats>,
    endpoint: Arc<Endpoint>,
    worker: Arc<Worker>,
}

/// What a driven conversation is made of.
#[derive(Debug)]
pub struct Parts<M> {
    /// This end.
    pub machine: M,
    /// Its socket.
    pub halves: (DatagramSend, DatagramRecv),
    /// What tells its datagrams from those that opened the flow.
    pub sieve: Sieve,
    /// What the reader finds first.
    pub hello: Vec<u8>,
    /// The thread that it runs on.
    pub worker: Arc<Worker>,
}

struct State<M> {
    machine: M,
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
    /// Why it is over.
    failure: Option<Failure>,
    /// Whether nothing more is to be sent.
    finished: bool,
    /// Whether the socket takes no more for now, so that there is nothing else to wait for.
    blocked: bool,
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

impl<M: Machine> Driven<M> {
    /// Returns a conversation that is driven until both of its halves are gone, and everything sent has
    /// arrived.
    #[must_use]
    pub fn start(parts: Parts<M>) -> Arc<Self> {
        let Parts { machine, halves, sieve, hello, worker } = parts;
        let (mut send, mut recv) = halves;
        // Whoever opened the flow had the socket watched by its own runtime, which would be woken by
        // each datagram; from here on the worker's does.
        send.block_for(None);
        recv.block_for(None);
        let stats = machine.stats();
        let endpoint = Arc::clone(recv.endpoint());
        let state = State {
            machine,
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
            failure: None,
            finished: false,
            blocked: false,
            armed: None,
            driver: None,
            sender: Waiter { waker: None, there: true },
            receiver: Waiter { waker: None, there: true },
        };
        let flow =
            Arc::new(Self { state: Mutex::new(state), stats: Mutex::new(stats), endpoint, worker });
        let driver = Driver { flow: Arc::clone(&flow), timer: None, leaves: None };
        flow.worker.spawn(Box::pin(driver.run()));
        flow
    }

    /// Takes bytes to send as far as there is room.
    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let mut looked = false;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if let Some(failure) = &state.failure {
                return Poll::Ready(Err(failure.error()));
            }
            if state.finished {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = if state.machine.has_room() { state.machine.send(bytes) } else { 0 };
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
    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Option<usize>>> {
        let mut state = self.lock();
        if !state.hello.is_empty() {
            let len = state.hello.len().min(buf.len());
            buf[..len].copy_from_slice(&state.hello[..len]);
            state.hello.drain(..len);
            return Poll::Ready(Ok(Some(len)));
        }
        let mut looked = false;
        loop {
            if let Some(len) = state.machine.recv(buf) {
                // The peer may have to hear that there is room again.
                if state.is_due() {
                    self.look(&mut state, Wanted::Nothing);
                }
                return Poll::Ready(Ok(Some(len)));
            }
            if state.machine.is_ended() {
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
    fn finish(&self) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.error());
        }
        state.finished = true;
        state.machine.finish();
        self.look(&mut state, Wanted::Nothing);
        Ok(())
    }

    /// Hears that a half is gone.
    fn leave(&self, half: Half) {
        let mut state = self.lock();
        match half {
            Half::Sender => state.sender = Waiter { waker: None, there: false },
            Half::Receiver => {
                state.receiver = Waiter { waker: None, there: false };
                state.machine.desert();
            }
        }
        if state.is_left() {
            state.wake_driver();
        }
    }

    /// Returns the figures as of the last look.
    pub fn stats(&self) -> M::Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns its socket.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Looks after the socket in the driver's stead, on its thread, or else has the driver look.
    fn look(&self, state: &mut State<M>, wanted: Wanted) {
        let Some(driver) = state.driver.clone().filter(|_| self.worker.is_here()) else {
            return state.wake_driver();
        };
        state.drive(&mut Context::from_waker(&driver), wanted);
        self.publish(state);
        let due = state.due();
        if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
            state.wake_driver();
        }
    }

    fn publish(&self, state: &State<M>) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = state.machine.stats();
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which half.
#[derive(Debug, Clone, Copy)]
enum Half {
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

impl<M: Machine> State<M> {
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
            Wanted::Room => self.machine.has_room(),
            Wanted::Data => self.machine.is_readable(),
        }
    }

    /// Returns whether there is something to be sent at this time.
    fn is_due(&self) -> bool {
        self.machine.deadline(self.now).is_some_and(|due| due <= self.now)
    }

    /// Receives what has come, as much as one acknowledgement should be for, and returns whether
    /// there was anything.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut received, mut datagrams) = (0, 0);
        while received < MOST_BYTES && datagrams < MOST_DATAGRAMS {
            let Self { recv, rooms, sieve, machine, endpoint, epoch, now, .. } = self;
            let keep = |datagram: &[u8]| sieve.keeps(datagram, endpoint);
            let mut read = None;
            let came = recv.poll_recv_each(cx, rooms, keep, |datagram, marked| {
                machine.input(datagram, marked, *read.get_or_insert_with(|| epoch.elapsed()));
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

    /// Returns when there is something to do, if nothing happens before.
    fn due(&self) -> Option<Duration> {
        let waits = self.failure.is_none() && !self.blocked;
        self.machine.deadline(self.now).filter(|_| waits)
    }

    /// Sends whatever is to be sent now, as far as the socket takes it.
    fn send(&mut self, cx: &mut Context<'_>) {
        while self.failure.is_none() {
            self.blocked = !self.send_output(cx);
            if self.blocked {
                return;
            }
            let all = self.machine.flush(self.now, &mut self.output) == Flushed::All;
            if self.output.is_empty() {
                return;
            }
            if all {
                self.blocked = !self.send_output(cx);
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
                match send.poll_send(cx, Chunk { bytes, ..next }) {
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
        if let Some((kind, text)) = self.machine.failure() {
            let peer = self.recv.endpoint().peer();
            self.fail(kind, format!("{peer} {text}"));
        }
    }

    fn fail(&mut self, kind: io::ErrorKind, text: String) {
        self.failure.get_or_insert(Failure { kind, text });
    }

    /// Wakes the halves that have something to do, and returns whether any has.
    fn wake_halves(&mut self) -> bool {
        let failed = self.failure.is_some();
        let readable = failed || self.machine.is_readable() || self.machine.is_ended();
        let writable = failed || self.machine.has_room();
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
struct Driver<M: Machine> {
    flow: Arc<Driven<M>>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Until when what was sent may still arrive, once nobody uses the flow any more.
    leaves: Option<Duration>,
}

impl<M: Machine> Driver<M> {
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
        for _ in 0..LOOKS {
            let now = state.epoch.elapsed();
            if state.is_left() && self.leaves.is_none() {
                state.machine.finish();
                self.leaves = Some(now + LINGER);
            }
            state.drive(cx, Wanted::Anything);
            flow.publish(&state);
            let now = state.now;
            let late = self.leaves.is_some_and(|leaves| now >= leaves);
            let done = state.failure.is_some() || late || state.machine.is_drained();
            if state.is_left() && done {
                return Poll::Ready(());
            }
            let due = [state.due(), self.leaves].into_iter().flatten().min();
            state.armed = due;
            if !self.poll_timer(cx, due.map(|due| state.epoch + due)) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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

impl<M: Machine> Drop for Driver<M> {
    /// Whatever ends the driver, nobody waits for it any more.
    fn drop(&mut self) {
        let mut state = self.flow.lock();
        state.fail(io::ErrorKind::BrokenPipe, "the flow is no longer driven".to_owned());
        state.driver = None;
        state.wake_halves();
    }
}

impl<M: fmt::Debug> fmt::Debug for State<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("machine", &self.machine)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// For how long what was sent may still arrive when nobody uses the flow any more.
const LINGER: Duration = Duration::from_secs(3);

/// How many timers may be over before others run.
const LOOKS: usize = 8;

/// How many times one look receives before it lets others run.
const ROUNDS: usize = 32;

/// What is received before it is acknowledged, and read: what one system call brings with receive
/// offload. Without, it takes many, and an acknowledgement for each would cost as much as the data.
const MOST_BYTES: usize = 48 << 10;
const MOST_DATAGRAMS: usize = 64;
