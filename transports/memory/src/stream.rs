//! The halves of a stream, and its path.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use polyperf_transport::{
    Chunk, Delivery, Path, PathStats, Received, RecvHalf, SendHalf, Setting, Stream, Tuning,
};
use tokio::task::coop;

use crate::{
    bytes::ByteCarrier,
    carrier::{Carrier, End},
    link::LinkConfig,
    messages::MessageCarrier,
    pipe::{Alarm, Pipe},
    transport::name_of,
};

/// What connects the two ends of a stream: a pipe each way.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) to_server: Pipe,
    pub(crate) to_client: Pipe,
    delivery: Delivery,
}

impl Wire {
    /// Returns an unused wire over these links, to the server and to the client.
    pub(crate) fn new(links: [LinkConfig; 2], delivery: Delivery, window: NonZeroUsize) -> Self {
        let [to_server, to_client] = links.map(|link| pipe(link, delivery, window.get()));
        Self { to_server, to_client, delivery }
    }

    /// Returns the stream of either end, which receives `ahead` first.
    pub(crate) fn end(
        self: &Arc<Self>,
        side: Side,
        local: SocketAddr,
        peer: SocketAddr,
        ahead: &[u8],
    ) -> Stream {
        let wire = || Arc::clone(self);
        Stream {
            send: Box::new(Sender { wire: wire(), side, ended: false, alarm: Alarm::default() }),
            recv: Box::new(Receiver {
                wire: wire(),
                side,
                alarm: Alarm::default(),
                ahead: Some(ahead.to_vec()).filter(|ahead| !ahead.is_empty()),
            }),
            local,
            peer,
            path: Arc::new(MemoryPath { wire: wire(), side }),
            home: None,
            early: false,
        }
    }

    pub(crate) fn set_cut(&self, cut: bool) {
        self.to_server.set_cut(cut);
        self.to_client.set_cut(cut);
    }

    fn outgoing(&self, side: Side) -> &Pipe {
        match side {
            Side::Client => &self.to_server,
            Side::Server => &self.to_client,
        }
    }

    fn incoming(&self, side: Side) -> &Pipe {
        self.outgoing(side.other())
    }
}

/// An end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[derive(Debug)]
struct Sender {
    wire: Arc<Wire>,
    side: Side,
    ended: bool,
    alarm: Alarm,
}

impl Sender {
    fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let pipe = self.wire.outgoing(self.side);
        let mut state = pipe.lock();
        state.carrier.end(pipe.now(), end);
        let waker = state.receiver_waker.take();
        drop(state);
        wake(waker);
    }
}

impl SendHalf for Sender {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        let turn = ready!(coop::poll_proceed(cx));
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if chunk.bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let pipe = self.wire.outgoing(self.side);
        loop {
            let mut state = pipe.lock();
            if state.receiver_gone && !state.cut {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if let Some(taken) = state.carrier.send(pipe.now(), chunk)? {
                let waker = state.receiver_waker.take();
                drop(state);
                wake(waker);
                self.alarm.clear();
                turn.made_progress();
                return Poll::Ready(Ok(taken));
            }
            state.sender_waker = Some(cx.waker().clone());
            let next = pipe.on_the_clock(state.carrier.next_deadline());
            drop(state);
            ready!(self.alarm.set(cx, next));
        }
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end(End::Finished);
        Poll::Ready(Ok(()))
    }

    fn batch(&self) -> NonZeroUsize {
        match self.wire.delivery {
            Delivery::Bytes => NonZeroUsize::MIN,
            Delivery::Messages { .. } => BATCH,
        }
    }

    /// Ignored: nothing here is gained by blocking.
    fn block_for(&mut self, _: Option<Duration>) {}
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end(End::Reset);
    }
}

#[derive(Debug)]
struct Receiver {
    wire: Arc<Wire>,
    side: Side,
    alarm: Alarm,
    /// A message that came with the opening of the stream.
    ahead: Option<Vec<u8>>,
}

impl RecvHalf for Receiver {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let turn = ready!(coop::poll_proceed(cx));
        if buf.is_empty() {
            return Poll::Ready(Ok(Some(Received::whole(0))));
        }
        if let Some(ahead) = self.ahead.take() {
            let len = ahead.len().min(buf.len());
            buf[..len].copy_from_slice(&ahead[..len]);
            turn.made_progress();
            return Poll::Ready(Ok(Some(Received::whole(len))));
        }
        let pipe = self.wire.incoming(self.side);
        loop {
            let mut state = pipe.lock();
            if let Some(received) = state.carrier.recv(pipe.now(), buf)? {
                let waker = state.sender_waker.take();
                drop(state);
                wake(waker);
                self.alarm.clear();
                turn.made_progress();
                return Poll::Ready(Ok(received));
            }
            state.receiver_waker = Some(cx.waker().clone());
            let next = pipe.on_the_clock(state.carrier.next_deadline());
            drop(state);
            ready!(self.alarm.set(cx, next));
        }
    }

    /// Ignored: nothing here is gained by blocking.
    fn block_for(&mut self, _: Option<Duration>) {}

    fn expect_bulk(&mut self) {}
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.wire.incoming(self.side).lock();
        state.receiver_gone = true;
        let waker = state.sender_waker.take();
        drop(state);
        wake(waker);
    }
}

#[derive(Debug)]
struct MemoryPath {
    wire: Arc<Wire>,
    side: Side,
}

impl Path for MemoryPath {
    fn stats(&self) -> PathStats {
        let outgoing = self.wire.outgoing(self.side).lock().carrier.figures();
        let incoming = self.wire.incoming(self.side).lock().carrier.figures();
        PathStats {
            mss: outgoing.largest_payload.and_then(|len| u32::try_from(len).ok()),
            retransmits: outgoing.retransmits,
            bytes_retransmitted: outgoing.bytes_retransmitted,
            bytes_acked: outgoing.bytes_arrived,
            packets_sent: outgoing.packets_sent,
            packets_received: incoming.packets_received,
            wire_bytes_sent: outgoing.wire_bytes_sent,
            wire_bytes_received: incoming.wire_bytes_received,
            ..PathStats::default()
        }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let name = name_of(self.wire.delivery);
        tuning
            .asked()
            .into_iter()
            .map(|(option, value)| Setting::unsupported(option, value, name))
            .collect()
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

fn pipe(link: LinkConfig, delivery: Delivery, window: usize) -> Pipe {
    let timed = !link.is_perfect();
    let carrier: Box<dyn Carrier> = match delivery {
        Delivery::Bytes => Box::new(ByteCarrier::new(link, window)),
        Delivery::Messages { max, .. } => Box::new(MessageCarrier::new(link, window, max)),
    };
    Pipe::new(carrier, timed)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Enough that a call's fixed costs vanish.
const BATCH: NonZeroUsize = NonZeroUsize::new(64).expect("more than none");
