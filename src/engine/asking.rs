use std::{io, num::NonZeroUsize, sync::Arc, task::Poll, time::Duration};

use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf};

use super::{
    Clock, Drive,
    alarm::Alarm,
    arrivals::LONGEST_TRAIN,
    buffer::Buffer,
    counters::Counters,
    flow::{Halves, Pause, Record, Stage, launch},
    framing::Outbox,
    signals::Phase,
};
use crate::{
    measure::{DatagramHeader, FlowId, Stamp},
    spec::Exchange,
    workload::{Asker, Turn},
};

/// What an asker waited for.
enum News {
    Sent(io::Result<usize>),
    Received(io::Result<Option<Received>>),
    Rang,
}

/// Asks on a stream until `asker` is done, and says so.
pub(super) fn start_asker(
    stage: &Stage,
    flow: FlowId,
    mut halves: Halves,
    asker: Asker,
    counters: Arc<Counters>,
) {
    launch(stage, flow, Arc::clone(&counters), move |stage| async move {
        let mut asker = Box::new(asker);
        let request = request_of(&asker.exchange());
        let longest = match stage.framing.is_datagrams() {
            true => stage.framing.batch(halves.0.batch(), request) * request.get(),
            false => LONGEST_READ,
        };
        let in_flight = usize::from(asker.exchange().in_flight);
        let longest = longest.min(request.get().saturating_mul(in_flight));
        let payload = if stage.digits { Buffer::digits(longest) } else { Buffer::payload(longest) };
        let outbox = Outbox::new(stage.framing, request, payload);
        let result = ask(&stage, &mut halves, &mut asker, outbox, &counters).await;
        (result, Record { asker: Some(asker), ..Record::default() }, halves)
    });
}

/// Asks, and takes the responses, until nothing is asked any more and nothing is waited for.
async fn ask(
    stage: &Stage,
    halves: &mut Halves,
    asker: &mut Asker,
    outbox: Outbox,
    counters: &Counters,
) -> io::Result<()> {
    let mut desk = Desk::new(stage, halves, asker);
    let mut post = Post::new(outbox, asker);
    let bell = stage.signals.bell();
    let halted = || stage.signals.reached(Phase::Halt);
    let mut pause = Pause::default();
    while !halted() {
        let now = stage.clock.now();
        if stage.signals.load_is_over() {
            asker.stop(now);
        }
        let turn = if post.is_empty() { asker.turn(now) } else { asker.waits(now) };
        let until = match turn {
            Turn::Ask(count) => {
                post.put(count);
                continue;
            }
            Turn::Rest(until) => until,
            Turn::Done => break,
        };
        let (room, stopped) = (desk.room(), asker.is_stopped());
        let over = || halted() || (stage.signals.load_is_over() && !stopped);
        let news = bell.until(over, |cx| {
            if !post.is_empty()
                && let Poll::Ready(sent) = desk.send.poll_send(cx, post.chunk(stage.clock))
            {
                return Poll::Ready(News::Sent(sent));
            }
            // Who blocks in receiving must have sent everything.
            if (post.is_empty() || !desk.blocks)
                && let Poll::Ready(received) =
                    desk.recv.poll_recv(cx, &mut desk.buffer.bytes_mut()[..room])
            {
                return Poll::Ready(News::Received(received));
            }
            desk.alarm.poll(cx, until).map(|()| News::Rang)
        });
        match news.await {
            Some(News::Sent(sent)) => {
                let (taken, now) = (sent?, stage.clock.now());
                let datagrams = post.took(taken);
                counters.add(taken, now);
                counters.add_datagrams(datagrams);
            }
            Some(News::Received(received)) => {
                if !desk.received(received, asker, stage.clock.now())? {
                    break;
                }
            }
            Some(News::Rang) | None => continue,
        }
        pause.between_batches(stage.drive).await;
    }
    if stage.finish {
        // A stream that fails at saying that there is no more has carried all.
        let _ = bell.until(halted, |cx| desk.send.poll_finish(cx)).await;
    }
    Ok(())
}

/// Requests that are to be sent.
struct Post {
    outbox: Outbox,
    request: usize,
    /// The most that goes at once.
    longest: usize,
    /// Bytes of requests that are to go and have not.
    unsent: usize,
}

impl Post {
    fn new(outbox: Outbox, asker: &Asker) -> Self {
        let longest = outbox.longest();
        Self { outbox, request: len(asker.exchange().request), longest, unsent: 0 }
    }

    fn is_empty(&self) -> bool {
        self.unsent == 0
    }

    fn put(&mut self, count: usize) {
        self.unsent += count.saturating_mul(self.request);
    }

    fn chunk(&mut self, clock: Clock) -> Chunk<'_> {
        self.outbox.chunk(self.unsent.min(self.longest), clock)
    }

    /// Takes note that so many bytes were taken, and returns how many datagrams those are.
    fn took(&mut self, bytes: usize) -> u64 {
        self.unsent = self.unsent.saturating_sub(bytes);
        self.outbox.took(bytes)
    }
}

/// Where responses come in.
struct Desk<'a> {
    send: &'a mut dyn SendHalf,
    recv: &'a mut dyn RecvHalf,
    /// Whether receiving blocks the thread.
    blocks: bool,
    /// Whether responses are bytes in order, and no datagrams.
    ordered: bool,
    buffer: Buffer,
    response: usize,
    /// What has come of the next response.
    partial: usize,
    /// How that begins.
    start: [u8; Stamp::LEN],
    alarm: Alarm,
}

impl<'a> Desk<'a> {
    fn new(stage: &Stage, (send, recv): &'a mut Halves, asker: &Asker) -> Self {
        let ordered = !stage.framing.is_datagrams();
        let threads = stage.drive == Drive::Threads;
        // A call that blocks returns when its buffer is full, so that of several responses each
        // would take a call; and no such call ends when a request is due.
        let alone = !ordered || asker.exchange().in_flight == 1;
        let blocks = threads && alone && !asker.has_schedule();
        send.block_for(None);
        recv.block_for(stage.block_limit().filter(|_| blocks));
        let response = len(asker.exchange().response);
        let expected = response.saturating_mul(asker.exchange().in_flight.into());
        // With room for a byte more, so that what was not asked for is seen.
        let longest = match ordered {
            true => expected.saturating_add(1).min(LONGEST_READ),
            false => response.max(LONGEST_TRAIN),
        };
        let exact = asker.has_schedule() && (threads || stage.home.is_some());
        Self {
            send: send.as_mut(),
            recv: recv.as_mut(),
            blocks,
            ordered,
            buffer: Buffer::new(longest),
            response,
            partial: 0,
            start: [0; Stamp::LEN],
            alarm: if exact { Alarm::exact(stage.clock) } else { Alarm::new(stage.clock) },
        }
    }

    /// Returns how many bytes are received at once: no more than are waited for, where a call waits
    /// for all of them.
    fn room(&self) -> usize {
        let longest = self.buffer.len();
        if self.blocks && self.ordered {
            (self.response - self.partial).min(longest)
        } else {
            longest
        }
    }

    /// Takes what was received at `now`, and returns whether more may come.
    fn received(
        &mut self,
        received: io::Result<Option<Received>>,
        asker: &mut Asker,
        now: Duration,
    ) -> io::Result<bool> {
        match received {
            Ok(Some(batch)) if self.ordered => self.bytes(batch.len, asker, now).map(|()| true),
            Ok(Some(batch)) => {
                self.datagrams(batch, asker, now);
                Ok(true)
            }
            // Nothing is asked any more, and what is missing is lost.
            _ if asker.is_stopped() => Ok(false),
            Ok(None) => {
                let text = "the other end closed the stream, on which more was to be asked";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
            Err(error) => Err(error),
        }
    }

    fn bytes(&mut self, len: usize, asker: &mut Asker, now: Duration) -> io::Result<()> {
        let mut bytes = &self.buffer.bytes()[..len.min(self.buffer.len())];
        while !bytes.is_empty() && asker.under_way() > 0 {
            let (next, rest) = bytes.split_at(bytes.len().min(self.response - self.partial));
            let start = self.start.get_mut(self.partial..).unwrap_or_default();
            for (place, byte) in start.iter_mut().zip(next) {
                *place = *byte;
            }
            self.partial += next.len();
            bytes = rest;
            if self.partial == self.response {
                self.partial = 0;
                // What a shorter one does not fill is of none.
                let stamp = Stamp::read(&self.start[..self.response.min(Stamp::LEN)]);
                asker.next_reply(stamp, now);
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let text = "the other end sent more than it was asked for";
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// What is no response of the length that was asked for is passed over.
    fn datagrams(&mut self, batch: Received, asker: &mut Asker, now: Duration) {
        let bytes = &self.buffer.bytes()[..batch.len.min(self.buffer.len())];
        for datagram in bytes.chunks(batch.stride.max(1)) {
            if let Some(header) = answerable(datagram, self.response) {
                let stamp = Stamp::read(&datagram[DatagramHeader::LEN..]);
                asker.reply(header.sequence, stamp, now);
            }
        }
    }
}

/// Returns the header of a datagram of this length; `None` if it is none.
pub(super) fn answerable(datagram: &[u8], len: usize) -> Option<DatagramHeader> {
    DatagramHeader::read(datagram).filter(|_| datagram.len() == len)
}

/// Returns the length of a request.
pub(super) fn request_of(exchange: &Exchange) -> NonZeroUsize {
    NonZeroUsize::new(len(exchange.request)).unwrap_or(NonZeroUsize::MIN)
}

/// Returns the length of a response.
pub(super) fn response_of(exchange: &Exchange) -> NonZeroUsize {
    NonZeroUsize::new(len(exchange.response)).unwrap_or(NonZeroUsize::MIN)
}

/// Returns a length that was checked to fit.
pub(super) fn len(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}

/// The most bytes that are received at once, or sent.
pub(super) const LONGEST_READ: usize = 256 << 10;
