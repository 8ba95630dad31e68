//! Once it runs, a conversation allocates nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use polyperf_kcp::{Config, Conversation, Flushed, Output};

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps to what it asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller got it from here.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller got it from here.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Two ends, and what is between them.
struct Both {
    here: Conversation,
    there: Conversation,
    output: Output,
    buf: Vec<u8>,
    now: Duration,
}

impl Both {
    fn new(fec: Option<&str>) -> Self {
        let end = || {
            let fec = fec.map(|fec| fec.parse().unwrap());
            Conversation::new(7, Config::default(), fec).unwrap()
        };
        let output = Output::default();
        Self { here: end(), there: end(), output, buf: vec![9; 1 << 17], now: Duration::ZERO }
    }

    /// Sends there what there is room for, and acknowledgements back; every hundredth datagram is
    /// lost if it `loses`.
    fn round(&mut self, loses: bool) {
        let Self { here, there, output, buf, now } = self;
        *now += Duration::from_millis(20);
        let _ = here.send(buf);
        pass(here, there, (output, buf), *now, loses);
        pass(there, here, (output, buf), *now, false);
    }
}

fn pass(
    from: &mut Conversation,
    to: &mut Conversation,
    (output, buf): (&mut Output, &mut [u8]),
    now: Duration,
    loses: bool,
) {
    loop {
        output.clear();
        let flushed = from.flush(now, output);
        for (index, datagram) in output.datagrams().enumerate() {
            if !loses || index % 100 != 7 {
                to.input(datagram, now).unwrap();
            }
        }
        while to.recv(buf).is_some() {}
        if flushed == Flushed::All {
            return;
        }
    }
}

#[test]
fn a_round_trip_allocates_nothing() {
    for (fec, loses) in [(None, false), (None, true), (Some("10:3"), false)] {
        let mut both = Both::new(fec);
        (0..300).for_each(|_| both.round(loses));
        let before = ALLOCATIONS.load(Relaxed);
        (0..300).for_each(|_| both.round(loses));
        let made = ALLOCATIONS.load(Relaxed) - before;
        assert_eq!(made, 0, "with error correction {fec:?}, with losses {loses}");
        assert!(both.there.stats().received.bytes > 10_000_000);
    }
}
