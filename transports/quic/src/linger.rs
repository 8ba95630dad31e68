//! What a connection has to see off before it is closed: closing it throws away whatever has not
//! arrived, and with it the word that nobody reads on.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use quinn::{Connection, RecvStream, SendStream};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::PERF;
use polyperf_socket::Worker;

/// Streams that were dropped, and are not over.
#[derive(Debug)]
pub(crate) struct Linger {
    worker: Arc<Worker>,
    /// Streams that still have something to say.
    leaving: watch::Sender<usize>,
    /// Streams on which the other end was asked to send no more.
    stopped: AtomicU64,
    /// Whether nothing but the streams themselves says how the ends part.
    perf: bool,
}

impl Linger {
    /// Returns the linger of a connection that this worker carries.
    pub(crate) fn new(worker: Arc<Worker>, protocol: &[u8]) -> Self {
        let perf = protocol == PERF.as_bytes();
        Self { worker, leaving: watch::Sender::new(0), stopped: AtomicU64::new(0), perf }
    }

    /// Sees off a stream that has been finished: all of it has to arrive.
    pub(crate) fn finished(self: &Arc<Self>, stream: &SendStream) {
        let arrived = stream.stopped();
        self.see_off(async move {
            // However it ends, nothing of it is under way any more.
            let _ = arrived.await;
        });
    }

    /// Sees off a stream that was not read to its end.
    pub(crate) fn broken_off(self: &Arc<Self>, mut stream: RecvStream, rtt: Duration) {
        if !self.perf {
            // The ends have agreed that it is over.
            return;
        }
        let this = Arc::clone(self);
        self.see_off(async move {
            // Right behind what was asked for is the end, and there is nothing to stop then.
            let next = timeout(2 * rtt + GRACE, stream.read_chunk(1, true)).await;
            if matches!(next, Ok(Ok(Some(_))) | Err(_)) && stream.stop(UNREAD).is_ok() {
                this.stopped.fetch_add(1, Relaxed);
            }
        });
    }

    /// Waits, within bounds, until every stream that was dropped is over.
    pub(crate) async fn over(&self, connection: &Connection) {
        let mut leaving = self.leaving.subscribe();
        let longest = if self.perf { LONGEST } else { AGREED };
        let _ = timeout(longest, leaving.wait_for(|count| *count == 0)).await;
        let stopped = self.stopped.load(Relaxed);
        let answered = async {
            while connection.close_reason().is_none()
                && connection.stats().frame_rx.reset_stream < stopped
            {
                sleep(GLANCE).await;
            }
        };
        let _ = timeout(ANSWER, answered).await;
    }

    fn see_off(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.leaving.send_modify(|count| *count += 1);
        let this = Arc::clone(self);
        self.worker.run(async move {
            work.await;
            this.leaving.send_modify(|count| *count -= 1);
        });
    }
}

/// The code of a stream that is not read on: nothing is wrong with it.
const UNREAD: quinn::VarInt = quinn::VarInt::from_u32(0);

/// How long what is under way may take where nobody tells of having got it.
const LONGEST: Duration = Duration::from_secs(10);
/// The same where the ends have told each other what they got.
const AGREED: Duration = Duration::from_millis(500);
/// How long the other end may take to answer that it sends no more.
const ANSWER: Duration = Duration::from_secs(1);
/// How much later than the network needs an end may come.
const GRACE: Duration = Duration::from_millis(20);
const GLANCE: Duration = Duration::from_millis(1);
