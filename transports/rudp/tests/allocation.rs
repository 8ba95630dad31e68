//! Once it runs, a flow allocates nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

#[path = "../../../tests/support/counting.rs"]
mod counting;
#[path = "../../socket/tests/support/driven.rs"]
mod driven;

use std::{
    num::{NonZeroU8, NonZeroU32},
    sync::Arc,
    time::Duration,
};

use counting::allocations;
use polyperf_rudp::{Config, Connection, Flushed, Output, Parameters, Rudp};
use polyperf_transport::{Fec, HostSockets, Tuning};

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
            let before = allocations();
            (0..500).for_each(|_| both.round(loses));
            let made = allocations() - before;
            assert_eq!(made, 0, "{control}, with error correction {fec:?}, with losses {loses}");
            let stats = both.there.stats();
            assert!(stats.packets_received > 3_000, "{control}: {stats:?}");
        }
    }
}

#[tokio::test]
async fn a_flow_over_sockets_allocates_nothing_whoever_drives_it() {
    let fec = Fec { data: non_zero(10), parity: non_zero(3) };
    for (control, fec) in [("cubic", None), ("bbr", None), ("none", Some(fec))] {
        let tuning = Tuning {
            congestion: Some(control.to_owned()),
            // Memory for a stream is taken as it is needed, up to this.
            window: NonZeroU32::new(512 << 10),
            fec,
            ..Tuning::default()
        };
        let rudp = Rudp::new(Arc::new(HostSockets::new())).with_defaults(&tuning).unwrap();
        assert_eq!(driven::made_at_home(&rudp).await, [0; 2], "{control} at home, {fec:?}");
        assert_eq!(driven::made_elsewhere(&rudp).await, [0; 3], "{control} elsewhere, {fec:?}");
    }
}

fn non_zero(number: u8) -> NonZeroU8 {
    NonZeroU8::new(number).unwrap()
}
