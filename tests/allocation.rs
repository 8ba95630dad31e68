//! What moves a test's bytes neither allocates nor logs, however many batches there are. Alone in
//! its program, since it looks at every thread.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![cfg(target_os = "linux")]

#[path = "support/allocator.rs"]
mod allocator;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use polyperf::{
    Client, Server, client,
    outcome::Ended,
    spec::{Direction, Exchange, Rate, Workload},
};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use crate::allocator::Telling;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_times_the_batches_make_no_more_allocations_and_no_more_events() {
    tracing::subscriber::set_global_default(Listening).unwrap();
    let server = Server::builder().listen(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = server.bind().await.unwrap();
    let addr = server.local_addrs()[0].1;
    tokio::spawn(server.run(std::future::pending()));
    for case in cases() {
        for direction in [Direction::Forward, Direction::Reverse] {
            if case.asks && direction == Direction::Reverse {
                continue;
            }
            let case = Case { direction, ..case };
            // What is made once in a process is made.
            case.made(addr, 1).await;
            let (few, many) = (case.made(addr, 1).await, case.made(addr, 8).await);
            assert!(few.allocations > 0, "a flow takes its memory: {case:?}");
            let more = many.allocations.saturating_sub(few.allocations);
            assert!(more <= SOME, "{few:?} and {many:?}: {case:?}");
            let more = many.events.saturating_sub(few.events);
            assert!(more <= SOME, "{few:?} and {many:?}: {case:?}");
        }
    }
}

/// A kind of test, and how many batches make a short one.
#[derive(Debug, Clone, Copy)]
struct Case {
    transport: &'static str,
    block: u32,
    no_gso: bool,
    rate: Option<u64>,
    batches: u64,
    /// Bytes that go at once.
    batch: u64,
    direction: Direction,
    /// Whether blocks are requests, which are answered.
    asks: bool,
}

fn cases() -> [Case; 9] {
    let stream = Case {
        transport: "tcp",
        block: 64 << 10,
        no_gso: false,
        rate: None,
        batches: 1024,
        batch: 64 << 10,
        direction: Direction::Forward,
        asks: false,
    };
    let asking = Case { asks: true, block: 64, batches: 4096, batch: 64, ..stream };
    let datagrams = Case { transport: "udp", block: 1448, batch: 45 * 1448, ..stream };
    let singly = Case { no_gso: true, batch: 1448, batches: 4096, ..datagrams };
    [
        stream,
        Case { rate: Some(2_000_000_000), batches: 256, ..stream },
        datagrams,
        singly,
        Case { rate: Some(200_000_000), batches: 512, ..singly },
        Case { transport: "rudp", ..stream },
        Case { transport: "kcp", ..stream },
        asking,
        Case { transport: "udp", ..asking },
    ]
}

/// What a whole test made, its server and its client included.
#[derive(Debug)]
struct Made {
    /// Allocations on the threads that move bytes.
    allocations: u64,
    /// Events and spans on all threads.
    events: u64,
}

impl Case {
    /// Runs a test of so many times the batches.
    async fn made(&self, server: SocketAddr, times: u64) -> Made {
        let (allocations, events) = (ALLOCATIONS.load(Relaxed), EVENTS.load(Relaxed));
        let outcome = self.client(server, times).build().unwrap().run().await.unwrap();
        assert_eq!(outcome.ended, Ended::Complete, "{self:?}");
        Made {
            allocations: ALLOCATIONS.load(Relaxed) - allocations,
            events: EVENTS.load(Relaxed) - events,
        }
    }

    fn client(&self, server: SocketAddr, times: u64) -> client::Builder {
        let client = Client::builder("127.0.0.1").port(server.port()).transport(self.transport);
        client.interval(None).bytes(self.batches * self.batch * times).spec(|spec| {
            spec.block = self.block;
            spec.direction = self.direction;
            spec.rate = self.rate.map(|bits_per_second| Rate { bits_per_second, burst: None });
            spec.tuning.no_gso = self.no_gso;
            if self.asks {
                let exchange = Exchange { in_flight: 8, ..Exchange::default() };
                spec.workload = Workload::Rr(exchange);
            }
        })
    }
}

/// Counts whatever is logged, at any level.
struct Listening;

impl Subscriber for Listening {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        EVENTS.fetch_add(1, Relaxed);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        EVENTS.fetch_add(1, Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Counts on the threads that move bytes.
fn count() {
    let mut name = [0_u8; 16];
    // SAFETY: it writes 16 bytes at most.
    let named = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) } == 0;
    if named && MOVERS.iter().any(|mover| name.starts_with(mover)) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Telling = Telling(count);

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// What the threads of flows, and of protocols that run in this process, are called.
const MOVERS: [&[u8]; 3] = [b"flow-", b"rudp-", b"kcp-"];

/// Far fewer than there are batches more: windows and queues that grow, reports, timers.
const SOME: u64 = 100;
