use std::{
    future::{Future, poll_fn},
    io,
    num::NonZeroUsize,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use polyperf_transport::{Received, RecvHalf};

use super::{
    account::Account,
    answering::Answers,
    buffer::Buffer,
    counters::Counters,
    flow::{Pause, Stage},
    signals::Phase,
};

/// Why waiting for datagrams came to an end.
enum News {
    Received(io::Result<Option<Received>>),
    /// The senders are done, and nothing more has come for long enough.
    Quiet,
    /// The test has got further.
    Advanced,
}

/// Receives datagrams until all have come, or nothing has for some time after the last was sent.
/// Where they are requests, they get `answers`.
pub(super) async fn receive(
    stage: &Stage,
    half: &mut dyn RecvHalf,
    block: NonZeroUsize,
    account: &mut Account,
    mut answers: Option<Answers<'_>>,
    counters: &Counters,
) -> io::Result<()> {
    let mut buffer = Buffer::new(block.get().max(LONGEST_TRAIN));
    let bell = stage.signals.bell();
    let closed = || stage.signals.reached(Phase::Close);
    let drained = || stage.signals.reached(Phase::Drain);
    let mut quiet = pin!(tokio::time::sleep_until(stage.clock.at(Duration::MAX)));
    let mut draining = false;
    let mut pause = Pause::default();
    while !(closed() || draining && account.is_complete()) {
        if drained() && !draining {
            draining = true;
            counters.datagram_target().into_iter().for_each(|sent| account.expect(sent));
            put_off(stage, quiet.as_mut());
            // What was waited for may be there already.
            continue;
        }
        let advanced = || closed() || (drained() && !draining);
        let news = bell.until(advanced, |cx| match half.poll_recv(cx, buffer.bytes_mut()) {
            Poll::Ready(received) => Poll::Ready(News::Received(received)),
            Poll::Pending if draining => quiet.as_mut().poll(cx).map(|()| News::Quiet),
            Poll::Pending => Poll::Pending,
        });
        let received = match news.await.unwrap_or(News::Advanced) {
            News::Received(Ok(Some(received))) => received,
            News::Received(Err(error)) if !drained() => return Err(error),
            News::Received(_) | News::Quiet => break,
            News::Advanced => continue,
        };
        if note(stage, account, counters, buffer.bytes(), received) && draining {
            put_off(stage, quiet.as_mut());
        }
        if let Some(answers) = &mut answers {
            let now = stage.clock.now();
            answers.answer(stage, &bell, buffer.bytes(), received, now).await?;
        }
        pause.between_batches(stage.drive).await;
    }
    if closed() {
        take_what_is_there(stage, half, &mut buffer, account, counters).await;
    }
    counters.publish(&account.counts(), account.jitter());
    Ok(())
}

/// Counts what has arrived and was not looked at yet, when the test is told to be over.
async fn take_what_is_there(
    stage: &Stage,
    half: &mut dyn RecvHalf,
    buffer: &mut Buffer,
    account: &mut Account,
    counters: &Counters,
) {
    half.block_for(None);
    for _ in 0..LAST_BATCHES {
        let polled = poll_fn(|cx| Poll::Ready(half.poll_recv(cx, buffer.bytes_mut()))).await;
        let Poll::Ready(Ok(Some(received))) = polled else { break };
        note(stage, account, counters, buffer.bytes(), received);
    }
}

/// Counts a batch, and returns whether there was anything new in it.
fn note(
    stage: &Stage,
    account: &mut Account,
    counters: &Counters,
    buffer: &[u8],
    received: Received,
) -> bool {
    let now = stage.clock.now();
    counters.pass(now);
    let bytes = account.take(buffer, received, now);
    if bytes > 0 {
        counters.add(bytes, now);
    }
    counters.publish(&account.counts(), account.jitter());
    bytes > 0
}

fn put_off(stage: &Stage, quiet: Pin<&mut tokio::time::Sleep>) {
    quiet.reset(stage.clock.at(stage.clock.now() + QUIET));
}

/// How long nothing must have come, after everything was sent, until the rest is taken for lost:
/// longer than any queue on the way holds a datagram, and far shorter than a stall.
pub(crate) const QUIET: Duration = Duration::from_millis(500);
/// More batches than a socket's buffer holds, and few enough for a sender that never stops.
const LAST_BATCHES: u32 = 256;
/// The most that one receive can return: the kernel joins datagrams up to this length.
pub(super) const LONGEST_TRAIN: usize = 64 << 10;
