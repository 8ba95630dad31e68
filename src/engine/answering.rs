use std::{io, num::NonZeroUsize, sync::Arc, task::Poll, time::Duration};

use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf};

use super::{
    Drive,
    account::Account,
    arrivals,
    asking::{LONGEST_READ, answerable, len, request_of, response_of},
    buffer::Buffer,
    counters::Counters,
    flow::{Halves, Pause, Record, Stage, launch},
    framing::{Framing, nanos},
    replies::Replies,
    signals::{Bell, Phase},
};
use crate::{
    measure::{DatagramHeader, FlowId, Stamp},
    spec::{Exchange, Probe},
};

/// Answers on a stream until every request has come, and says so. `ration`: how many there may be.
pub(super) fn start_answerer(
    stage: &Stage,
    flow: FlowId,
    mut halves: Halves,
    exchange: Exchange,
    ration: Option<Ration>,
    counters: Arc<Counters>,
) {
    launch(stage, flow, Arc::clone(&counters), move |stage| async move {
        let (send, recv) = (halves.0.as_mut(), halves.1.as_mut());
        if !stage.framing.is_datagrams() {
            let ends = (send, recv);
            let result = answer(&stage, ends, exchange, ration, &counters).await;
            return (result, Record::default(), halves);
        }
        send.block_for(None);
        recv.block_for(stage.block_limit());
        let request = request_of(&exchange);
        let mut account = Box::new(Account::new(stage.framing, request, stage.omit));
        let answers = Some(Answers::new(&stage, send, exchange, ration));
        let result =
            arrivals::receive(&stage, recv, request, &mut account, answers, &counters).await;
        (result, Record { account: Some(account), ..Record::default() }, halves)
    });
}

/// Answers requests that are bytes in order until everything has come and is answered.
async fn answer(
    stage: &Stage,
    (send, recv): (&mut dyn SendHalf, &mut dyn RecvHalf),
    exchange: Exchange,
    mut ration: Option<Ration>,
    counters: &Counters,
) -> io::Result<()> {
    let (request, response) = (len(exchange.request), len(exchange.response));
    // A call that blocks returns when its buffer is full: with a request.
    let blocks = stage.drive == Drive::Threads && (exchange.in_flight == 1 || ration.is_some());
    send.block_for(None);
    recv.block_for(stage.block_limit().filter(|_| blocks));
    let expected = request.saturating_mul(exchange.in_flight.into()).min(LONGEST_READ);
    let mut buffer = Buffer::new(expected);
    let answers = response.saturating_mul(exchange.in_flight.into()).min(LONGEST_READ);
    let payload = if stage.digits { Buffer::digits(answers) } else { Buffer::payload(answers) };
    let mut replies = Replies::new(response_of(&exchange), payload);
    let bell = stage.signals.bell();
    let over = || stage.signals.reached(Phase::Close) || counters.is_full();
    let mut partial = 0;
    let mut pause = Pause::default();
    while !over() {
        let room = if blocks { (request - partial).min(expected) } else { expected };
        let room = &mut buffer.bytes_mut()[..room];
        let Some(received) = bell.until(over, |cx| recv.poll_recv(cx, room)).await else { break };
        let batch = match received {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            // A reset after the last request is an end like any other.
            Err(_) if stage.signals.reached(Phase::Drain) => break,
            Err(error) => return Err(error),
        };
        let now = stage.clock.now();
        counters.add(batch.len, now);
        let total = partial + batch.len;
        partial = total % request;
        let count = total / request;
        if let Some(ration) = &mut ration {
            ration.take(count, now)?;
        }
        // No further request is read before these are answered: who does not take the responses
        // cannot have them pile up.
        let owed = count.saturating_mul(response);
        if !send_all(stage, &bell, send, &mut replies, (owed, now)).await? {
            break;
        }
        pause.between_batches(stage.drive).await;
    }
    Ok(())
}

/// Sends so many bytes of responses to requests that were read then, and returns whether there was
/// time for all of them.
async fn send_all(
    stage: &Stage,
    bell: &Bell,
    half: &mut dyn SendHalf,
    replies: &mut Replies,
    (mut owed, read): (usize, Duration),
) -> io::Result<bool> {
    let closed = || stage.signals.reached(Phase::Close);
    while owed > 0 {
        let sent = bell.until(closed, |cx| match replies.chunk(owed, nanos(read), stage.clock) {
            Some(chunk) => half.poll_send(cx, chunk),
            None => Poll::Ready(Ok(0)),
        });
        let Some(taken) = sent.await else { return Ok(false) };
        match taken {
            Ok(taken) => {
                replies.took(taken.min(owed));
                owed -= taken.min(owed);
            }
            // Who asks no more may have left.
            Err(_) if stage.signals.reached(Phase::Drain) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Answers requests that are datagrams, each with one that has the same number and time.
pub(super) struct Answers<'a> {
    half: &'a mut dyn SendHalf,
    request: usize,
    response: NonZeroUsize,
    /// Responses that go together.
    batch: Buffer,
    filled: usize,
    ration: Option<Ration>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        stage: &Stage,
        half: &'a mut dyn SendHalf,
        exchange: Exchange,
        ration: Option<Ration>,
    ) -> Self {
        let response = response_of(&exchange);
        let most = Framing::Native.batch(half.batch(), response).min(exchange.in_flight.into());
        let longest = most.max(1).saturating_mul(response.get());
        let batch = if stage.digits { Buffer::digits(longest) } else { Buffer::payload(longest) };
        let request = len(exchange.request);
        Self { half, request, response, batch, filled: 0, ration }
    }

    /// Answers what was received at `now`. What is no request of the agreed length gets no answer.
    pub(super) async fn answer(
        &mut self,
        stage: &Stage,
        bell: &Bell,
        buffer: &[u8],
        received: Received,
        now: Duration,
    ) -> io::Result<()> {
        let bytes = &buffer[..received.len.min(buffer.len())];
        for datagram in bytes.chunks(received.stride.max(1)) {
            let Some(header) = answerable(datagram, self.request) else { continue };
            if let Some(ration) = &mut self.ration {
                ration.take(1, now)?;
            }
            self.put(header, now);
            if self.filled + self.response.get() > self.batch.len() {
                self.send(stage, bell).await?;
            }
        }
        self.send(stage, bell).await
    }

    /// Puts the response to a request that was read at `now` to the others.
    fn put(&mut self, header: DatagramHeader, now: Duration) {
        let response = &mut self.batch.bytes_mut()[self.filled..][..self.response.get()];
        if let Some((place, rest)) = response.split_first_chunk_mut() {
            *place = header.to_bytes();
            let now = nanos(now);
            Stamp { read: now, written: now }.write(rest);
        }
        self.filled += self.response.get();
    }

    async fn send(&mut self, stage: &Stage, bell: &Bell) -> io::Result<()> {
        let closed = || stage.signals.reached(Phase::Close);
        let stride = self.response;
        let mut sent = 0;
        while sent < self.filled {
            let bytes = &mut self.batch.bytes_mut()[sent..self.filled];
            let half = &mut *self.half;
            let polled = bell.until(closed, |cx| {
                mark_written(bytes, stride, nanos(stage.clock.now()));
                half.poll_send(cx, Chunk { bytes, stride })
            });
            match polled.await {
                Some(Ok(taken)) => sent += taken,
                Some(Err(error)) if !stage.signals.reached(Phase::Drain) => return Err(error),
                Some(Err(_)) | None => break,
            }
        }
        self.filled = 0;
        Ok(())
    }
}

/// Has each response of a batch tell that it goes now.
fn mark_written(batch: &mut [u8], stride: NonZeroUsize, now: u64) {
    for response in batch.chunks_mut(stride.get()) {
        let stamp = response.get_mut(DatagramHeader::LEN..).unwrap_or_default();
        if let Some(read) = Stamp::read(stamp) {
            Stamp { written: now, ..read }.write(stamp);
        }
    }
}

/// How often a probe may ask, so that a client has no more answered beside a test than was agreed.
#[derive(Debug)]
pub(super) struct Ration {
    every: Duration,
    taken: u64,
}

impl Ration {
    pub(super) fn new(probe: Probe) -> Self {
        Self { every: probe.every, taken: 0 }
    }

    fn take(&mut self, count: usize, now: Duration) -> io::Result<()> {
        self.taken = self.taken.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        // The client's clock may be ahead by so much, and may be faster.
        let due = (now + AHEAD).as_nanos() * 5 / 4 / self.every.as_nanos().max(1);
        if u128::from(self.taken) <= due + SOME {
            return Ok(());
        }
        let text = format!("the probe asks more often than every {:?}", self.every);
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

const AHEAD: Duration = Duration::from_secs(1);
/// Copies may be made on the way.
const SOME: u128 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_gets_what_was_agreed_and_no_flood() {
        let probe = Probe { every: Duration::from_millis(10), ..Probe::default() };
        let mut ration = Ration::new(probe);
        for tenth in 0..100 {
            let now = Duration::from_millis(100 * tenth);
            assert!(ration.take(10, now).is_ok(), "{now:?}");
        }
        let mut ration = Ration::new(probe);
        assert!(ration.take(140, Duration::ZERO).is_ok());
        let refused = ration.take(2, Duration::ZERO).unwrap_err();
        assert!(refused.to_string().contains("10ms"), "{refused}");
    }
}
