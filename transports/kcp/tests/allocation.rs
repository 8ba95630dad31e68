//! Once it runs, a conversation allocates nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

#[path = "../../../tests/support/counting.rs"]
mod counting;
#[path = "../../socket/tests/support/driven.rs"]
mod driven;

use std::{num::NonZeroU8, sync::Arc, time::Duration};

use counting::allocations;
use polyperf_kcp::{
    Config, Conversation, Flushed, Kcp, Output,
    segment::{Command, Segment},
};
use polyperf_transport::{Fec, HostSockets, Tuning};

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
        let before = allocations();
        (0..300).for_each(|_| both.round(loses));
        let made = allocations() - before;
        assert_eq!(made, 0, "with error correction {fec:?}, with losses {loses}");
        assert!(both.there.stats().received.bytes > 10_000_000);
    }
}

#[test]
fn acknowledgements_that_wait_for_the_clock_take_no_more_room_the_longer_they_do() {
    let mut conversation = Conversation::new(7, Config::default(), None).unwrap();
    let (mut sn, mut buf) = (0_u32, [0; 100]);
    let mut pairs_out_of_order = |count| {
        for _ in 0..count {
            for sn in [sn + 1, sn] {
                let (cmd, payload) = (Command::Push, &b"x"[..]);
                let segment =
                    Segment { conv: 7, cmd, frg: 0, wnd: 128, ts: 0, sn, una: 0, payload };
                let mut datagram = [0; 25];
                datagram[..24].copy_from_slice(&segment.header());
                datagram[24..].copy_from_slice(payload);
                conversation.input(&datagram, Duration::ZERO).unwrap();
            }
            sn += 2;
            assert_eq!(conversation.recv(&mut buf), Some(2));
        }
    };
    pairs_out_of_order(10_000);
    let before = allocations();
    pairs_out_of_order(200_000);
    assert_eq!(allocations() - before, 0);
}

#[tokio::test]
async fn a_flow_over_sockets_allocates_nothing_whoever_drives_it() {
    for fec in [None, Some(Fec { data: non_zero(10), parity: non_zero(3) })] {
        let kcp = Kcp::new(Arc::new(HostSockets::new()));
        let kcp = kcp.with_defaults(&Tuning { fec, ..Tuning::default() }).unwrap();
        assert_eq!(driven::made_at_home(&kcp).await, [0; 2], "at home, {fec:?}");
        assert_eq!(driven::made_elsewhere(&kcp).await, [0; 3], "elsewhere, {fec:?}");
    }
}

fn non_zero(number: u8) -> NonZeroU8 {
    NonZeroU8::new(number).unwrap()
}
