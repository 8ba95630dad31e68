//! Once it runs, a flow allocates nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use polyperf_rudp::{Config, Connection, Flushed, Output, Parameters};

/// The system's allocator, which counts for each thread, and so for each test.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to what it asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller got it from here.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller got it from here.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Two ends, and what is between them.
struct Both {
    here: Connection,
    there: Connection,
    output: Output,
    buf: Vec<u8>,
    now: Duration,
    sent: u64,
}

impl Both {
    fn new(control: &str, fec: Option<&str>) -> Self {
        let fec = fec.map(|fec| fec.parse().unwrap());
        let congestion = control.parse().unwrap();
        let config = Config { congestion, fec, window: 512 << 10, ..Config::default() };
        let (ours, theirs) = (Parameters::new(&config, 7), Parameters::new(&config, 8));
        Self {
            here: Connection::new(config, ours, theirs, 1).unwrap(),
            there: Connection::new(config, theirs, ours, 2).unwrap(),
            output: Output::default(),
            buf: vec![9; 1 << 18],
            now: Duration::ZERO,
            sent: 0,
        }
    }

    /// Sends there what there is room for, and acknowledgements back; every hundredth datagram is
    /// lost if it `loses`.
    fn round(&mut self, loses: bool) {
        let Self { here, there, output, buf, now, sent } = self;
        here.send(buf);
        *now += Duration::from_millis(5);
        pass(here, there, (output, buf, sent), *now, loses);
        *now += Duration::from_millis(5);
        pass(there, here, (output, buf, sent), *now, false);
    }
}

fn pass(
    from: &mut Connection,
    to: &mut Connection,
    (output, buf, sent): (&mut Output, &mut [u8], &mut u64),
    now: Duration,
    loses: bool,
) {
    loop {
        output.clear();
        let flushed = from.flush(now, output);
        for datagram in output.datagrams() {
            *sent += 1;
            if !loses || *sent % 100 != 7 {
                to.input(datagram, false, now);
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
    for control in ["cubic", "bbr", "fixed:200M", "none"] {
        for (fec, loses) in [(None, false), (None, true), (Some("10:3"), false)] {
            let mut both = Both::new(control, fec);
            (0..2000).for_each(|_| both.round(loses));
            let before = ALLOCATIONS.get();
            (0..500).for_each(|_| both.round(loses));
            let made = ALLOCATIONS.get() - before;
            assert_eq!(made, 0, "{control}, with error correction {fec:?}, with losses {loses}");
            let stats = both.there.stats();
            assert!(stats.packets_received > 3_000, "{control}: {stats:?}");
        }
    }
}
