use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use polyperf_transport::{
    Connection, Delivery, Error, Hello, Home, PathStats, Peer, Stream, Transport, Tuning, send_all,
};
use tokio::{
    sync::oneshot,
    time::{timeout, timeout_at},
};

use super::{
    super::{
        buffer::Buffer,
        counters::Counters,
        flow::{Record, Stage, launch},
        framing::nanos,
        means::pin as pin_to,
        signals::{Bell, Phase},
    },
    exchange,
    tally::{Tally, Times},
};
use crate::{
    measure::{DatagramHeader, FlowId},
    protocol::native::HELLO_LEN,
    spec::{Exchange, TestSpec},
    workload::{Appointment, Budget, Turns},
};

/// Connects again and again, and asks once on each connection.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) peer: Peer,
    /// What each connection begins with.
    pub(crate) hello: [u8; HELLO_LEN],
    pub(crate) exchange: Exchange,
}

/// A lane on which connections are made.
struct Asker {
    asking: Asking,
    tuning: Tuning,
    turns: Turns,
    budget: Option<Arc<Budget>>,
    /// When time ends the test.
    end: Option<Duration>,
    request: usize,
    response: usize,
    /// What the connection begins with: the hello, and as much of the request as goes with it.
    opening: Vec<u8>,
    payload: Buffer,
    buffer: Buffer,
    /// Datagrams so far.
    number: u64,
    /// Whether connections tell what protects them, once there was one.
    protects: Option<bool>,
    tally: Tally,
}

/// What came of one connection.
enum Came {
    Replied(Box<Answered>),
    Lost(String),
    Refused(String),
    /// The test is over.
    Over,
}

/// A response that has come, and what brought it.
struct Answered {
    times: Times,
    now: Duration,
    stream: Stream,
    connection: Box<dyn Connection>,
}

impl Asking {
    /// Asks until the test is over.
    pub(super) fn start(
        self: Box<Self>,
        flow: FlowId,
        spec: &TestSpec,
        stage: &Stage,
        budget: Option<Arc<Budget>>,
        counters: Arc<Counters>,
    ) {
        let asker = Asker::new(*self, spec, stage, budget);
        launch(stage, flow, Arc::clone(&counters), move |stage| async move {
            let (result, asker) = asker.ask_all(stage, counters).await;
            let Some(mut tally) = asker.map(|asker| asker.tally) else {
                return (result, Record::default(), None);
            };
            let settings = tally.settings.take().unwrap_or_default();
            (result, Record { churn: Some(Box::new(tally)), settings, ..Record::default() }, None)
        });
    }
}

impl Asker {
    fn new(asking: Asking, spec: &TestSpec, stage: &Stage, budget: Option<Arc<Budget>>) -> Self {
        let size = |size: u32| usize::try_from(size).unwrap_or(usize::MAX);
        let exchange = asking.exchange;
        let (request, response) = (size(exchange.request), size(exchange.response));
        let payload = if stage.digits { Buffer::digits(request) } else { Buffer::payload(request) };
        let (ahead, longest) = match asking.transport.delivery() {
            // What can carry bytes with its handshake is to do so: that is what it is chosen for.
            Delivery::Bytes => (request.min(Hello::MAX - HELLO_LEN), response.min(LONGEST_READ)),
            Delivery::Messages { .. } => (0, LONGEST_TRAIN),
        };
        let opening = [&asking.hello, &payload.bytes()[..ahead]].concat();
        Self {
            tuning: spec.tuning.clone(),
            turns: Turns::new(exchange.per_second, gap(spec, exchange)),
            budget,
            end: spec.duration(),
            request,
            response,
            opening,
            payload,
            buffer: Buffer::new(longest),
            number: 0,
            protects: None,
            tally: Tally::new(stage.omit),
            asking,
        }
    }

    /// Asks until the test is over. The first connection may tell where others are best made.
    async fn ask_all(
        mut self,
        stage: Stage,
        counters: Arc<Counters>,
    ) -> (io::Result<()>, Option<Box<Self>>) {
        let Some((home, answered)) = self.run(&stage, &counters, None).await else {
            return (self.result(), Some(Box::new(self)));
        };
        let (tell, told) = oneshot::channel();
        let stage = stage.at(Some(Arc::clone(&home)));
        home.spawn(Box::pin(async move {
            if let Some(processor) = stage.means.affinity.filter(|_| stage.means.owns_homes) {
                // What came of it is told of the thread that the lane began on.
                let _ = pin_to(processor);
            }
            self.run(&stage, &counters, Some(answered)).await;
            let _ = tell.send(self);
        }));
        match told.await {
            Ok(asker) => (asker.result(), Some(Box::new(asker))),
            Err(_) => (Err(io::Error::other("the thread of its connections broke down")), None),
        }
    }

    /// Asks until the test is over, or until a connection has a thread on which the next ones are
    /// better made. `left` is the one from which the lane came there, to be closed there.
    async fn run(
        &mut self,
        stage: &Stage,
        counters: &Counters,
        mut left: Option<Box<Answered>>,
    ) -> Option<(Arc<dyn Home>, Box<Answered>)> {
        let bell = stage.signals.bell();
        loop {
            if let Some(answered) = left.take() {
                self.replied(*answered, counters).await;
            }
            let turn = self.next_turn(stage, &bell).await?;
            match self.turn(stage, &bell, turn).await {
                Came::Replied(answered) => match self.new_home(stage, &answered) {
                    Some(home) => return Some((home, answered)),
                    None => left = Some(answered),
                },
                Came::Lost(why) => self.tally.lost(&why, stage.clock.now()),
                Came::Refused(why) => {
                    self.tally.refused(&why, stage.clock.now());
                    self.rest_until(stage.clock.now() + PAUSE, stage, &bell).await;
                }
                Came::Over => return None,
            }
        }
    }

    /// Returns where to make connections from now on, if that is elsewhere.
    fn new_home(&self, stage: &Stage, answered: &Answered) -> Option<Arc<dyn Home>> {
        // Who has a schedule sleeps on a thread that may: a runtime's timer is precise to a
        // millisecond alone.
        let stays = stage.home.is_some() || self.turns.has_schedule();
        answered.stream.home.clone().filter(|_| !stays)
    }

    /// Counts a response, and closes what brought it.
    async fn replied(&mut self, answered: Answered, counters: &Counters) {
        let Answered { mut times, now, .. } = answered;
        let path = self.part(answered).await.unwrap_or_default();
        // What had to be there before the connection could be made is no part of it.
        let prepared = path.prepared.unwrap_or_default();
        times.latency = times.latency.saturating_sub(prepared);
        times.connect = path.handshake.unwrap_or(times.connect.saturating_sub(prepared));
        self.tally.replied(times, now);
        counters.add(self.request, now);
    }

    fn result(&self) -> io::Result<()> {
        match self.tally.failure() {
            Some(why) => Err(io::Error::other(format!("no request was answered: {why}"))),
            None => Ok(()),
        }
    }

    /// Waits for the next turn; `None` if there is none.
    async fn next_turn(&mut self, stage: &Stage, bell: &Bell) -> Option<Appointment> {
        let turn = self.turns.next(stage.clock.now());
        if let Some(end) = self.end.filter(|end| turn.at >= *end) {
            self.rest_until(end, stage, bell).await;
            return None;
        }
        if self.budget.as_ref().is_some_and(|budget| budget.claim(1) == 0) {
            return None;
        }
        self.rest_until(turn.at, stage, bell).await;
        (!stage.signals.reached(Phase::Halt)).then_some(turn)
    }

    async fn rest_until(&self, at: Duration, stage: &Stage, bell: &Bell) {
        while stage.clock.now() < at && !stage.signals.reached(Phase::Halt) {
            stage.rest(at, bell).await;
        }
    }

    /// Makes one connection, asks, and closes it.
    async fn turn(&mut self, stage: &Stage, bell: &Bell, turn: Appointment) -> Came {
        let began = stage.clock.now();
        let limit = began + LIMIT;
        let until = self.end.map_or(limit, |end| end.min(limit));
        let mut connected = None;
        let halted = || stage.signals.reached(Phase::Halt);
        let answered = {
            let ask = self.ask(stage, &mut connected);
            let mut ask = pin!(timeout_at(stage.clock.at(until), ask));
            bell.until(halted, |cx| ask.as_mut().poll(cx)).await
        };
        let why = match answered {
            None => return Came::Over,
            Some(Ok(Ok(answered))) => {
                // On a schedule, one that began late has been waited for.
                let since = self.asking.exchange.per_second.map_or(began, |_| turn.due);
                let (now, stream, connection) = answered;
                let connect = connected.unwrap_or(now).saturating_sub(began);
                let times = Times { connect, latency: now.saturating_sub(since) };
                return Came::Replied(Box::new(Answered { times, now, stream, connection }));
            }
            Some(Ok(Err(why))) => why,
            Some(Err(_)) if until < limit => {
                self.tally.unanswered("the test was over before the first response");
                return Came::Over;
            }
            Some(Err(_)) => format!("nothing came within {LIMIT:?}"),
        };
        if connected.is_some() { Came::Lost(why) } else { Came::Refused(why) }
    }

    /// Connects, asks, and waits for the response.
    async fn ask(
        &mut self,
        stage: &Stage,
        connected: &mut Option<Duration>,
    ) -> Result<(Duration, Stream, Box<dyn Connection>), String> {
        let Asking { transport, peer, .. } = &self.asking;
        let connection = transport.connect(peer).await.map_err(|error| chain(&error))?;
        let opened = connection.open(Hello::Own(&self.opening)).await;
        let mut stream = opened.map_err(|error| chain(&error))?;
        *connected = Some(stage.clock.now());
        self.tally.elsewhere |= stream.home.is_some();
        self.look_at_first(&stream);
        let exchanged = match self.asking.transport.delivery() {
            Delivery::Bytes => self.exchange_bytes(&mut stream, stage).await,
            Delivery::Messages { .. } => self.exchange_datagrams(&mut stream, stage).await,
        };
        exchanged.map_err(|error| format!("{}: {error}", stream.peer))?;
        Ok((stage.clock.now(), stream, connection))
    }

    async fn exchange_bytes(&mut self, stream: &mut Stream, stage: &Stage) -> io::Result<()> {
        stream.recv.block_for(stage.block_limit());
        let rest = &self.payload.bytes()[self.opening.len() - HELLO_LEN..];
        if !rest.is_empty() {
            // Its end must not wait until the hello is acknowledged.
            stream.path.tune(&Tuning { no_delay: true, ..Tuning::default() });
            send_all(stream.send.as_mut(), rest).await?;
        }
        exchange::receive(stream.recv.as_mut(), self.response, self.buffer.bytes_mut()).await
    }

    async fn exchange_datagrams(&mut self, stream: &mut Stream, stage: &Stage) -> io::Result<()> {
        stream.recv.block_for(stage.block_limit());
        let sequence = self.number;
        self.number += 1;
        let header = DatagramHeader { sequence, sent: nanos(stage.clock.now()) };
        exchange::send_datagram(stream, header, self.payload.bytes_mut()).await?;
        let buffer = self.buffer.bytes_mut();
        let half = stream.recv.as_mut();
        let reply = exchange::receive_datagram(half, self.response, buffer, |h| *h == header);
        match timeout(DATAGRAM_LIMIT, reply).await {
            Ok(reply) => reply.map(drop),
            Err(_) => {
                let text = format!("no response came within {DATAGRAM_LIMIT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    /// Takes note of what the first connection is set to.
    fn look_at_first(&mut self, stream: &Stream) {
        if self.tally.settings.is_none() {
            self.tally.settings = Some(stream.path.tune(&self.tuning));
        }
    }

    /// Closes a connection, each step within a bound, and returns how it was made where the transport
    /// knows more of that.
    ///
    /// The server has closed first, so that it is the one which keeps the connection's ports for a
    /// while: a client that did would soon have none left.
    async fn part(&mut self, answered: Answered) -> Option<PathStats> {
        let Answered { mut stream, connection, .. } = answered;
        // Leaving says enough: nobody waits for a word that nothing follows.
        if self.asking.transport.delivery() == Delivery::Bytes {
            let end = exchange::end(stream.recv.as_mut(), self.buffer.bytes_mut(), 0);
            // The response has come: how the ends part is no part of it.
            let _ = timeout(PARTING, end).await;
        }
        let path = Arc::clone(&stream.path);
        drop(stream);
        connection.close().await;
        if self.protects == Some(false) {
            return None;
        }
        let stats = path.stats();
        self.protects = Some(stats.security.is_some());
        self.tally.protected(stats.security.as_ref()?);
        Some(stats)
    }
}

/// Returns how far apart exchanges have to begin for a lane to keep to the test's rate.
fn gap(spec: &TestSpec, exchange: Exchange) -> Duration {
    let Some(rate) = spec.rate.filter(|rate| rate.bits_per_second > 0) else {
        return Duration::ZERO;
    };
    let nanos = u64::from(exchange.request) * 8 * 1_000_000_000 / rate.bits_per_second;
    Duration::from_nanos(nanos)
}

/// Returns why there is no connection. The address stands before the reason, which would say it
/// again.
fn chain(error: &Error) -> String {
    match error {
        Error::Connect { addr, source } => format!("{addr}: {source}"),
        other => other.to_string(),
    }
}

/// How long a connection and its response may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a datagram may take until it counts as lost.
const DATAGRAM_LIMIT: Duration = Duration::from_secs(1);
/// How long the other end may take to close.
const PARTING: Duration = Duration::from_secs(1);
/// How long after a refusal nothing is tried.
const PAUSE: Duration = Duration::from_millis(10);
/// The most that is read of a response at once.
const LONGEST_READ: usize = 64 << 10;
/// The most that one receive can return: the kernel joins datagrams up to this length.
const LONGEST_TRAIN: usize = 64 << 10;
