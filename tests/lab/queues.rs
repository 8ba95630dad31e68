//! Queues, and what tells a sender of them.

use std::time::Duration;

use polyperf::lab::{
    Links,
    link::{Aqm, BitRate, CoDel, LinkConfig, QueueLimit},
};

use crate::{Cases, open, traffic::tcp, unspoilt};

pub(crate) const CASES: Cases = &[
    ("codel_keeps_the_queue_short_where_drop_tail_fills_it", codel_keeps_it_short),
    ("marks_reach_the_kernels_tcp_in_place_of_losses", marks_reach_the_kernel),
];

fn codel_keeps_it_short() {
    let Some(lab) = open() else { return };
    let run = |aqm| {
        let links = Links { to_far: bloated(aqm), to_near: bloated(Aqm::Off) };
        let (_, truth) = unspoilt(&lab, &links, || tcp(&lab, Some("reno"), SECOND, 2 * SECOND));
        truth.to_far
    };
    let (full, short) = (run(Aqm::Off), run(Aqm::CoDel(CoDel::new())));
    let (filled, kept) = (full.total.queueing.unwrap(), short.total.queueing.unwrap());
    assert!(filled.p95 > Duration::from_millis(100), "{filled:?}");
    assert!(kept.p50 < Duration::from_millis(25), "{kept:?}");
    assert!(short.total.drops.aqm > 0, "{:?}", short.total.drops);
    assert_eq!(full.total.drops.aqm, 0, "{:?}", full.total.drops);
}

fn marks_reach_the_kernel() {
    let Some(lab) = open() else { return };
    let codel = Aqm::CoDel(CoDel::new().with_ecn());
    let links = Links { to_far: bloated(codel), to_near: bloated(Aqm::Off) };
    let nothing_goes_twice = || {
        let (bulk, truth) = unspoilt(&lab, &links, || tcp(&lab, Some("reno"), SECOND, 2 * SECOND));
        let total = truth.to_far.total;
        assert!(total.marks > 0, "{total:?}");
        assert_eq!(total.drops.total(), 0, "{total:?}");
        // Nobody would slow down for marks that do not arrive.
        assert!(total.queueing.unwrap().p50 < Duration::from_millis(25), "{total:?}");
        bulk.retransmits == 0
    };
    // Where nothing is lost, a busy machine that keeps an acknowledgement waiting has the kernel probe
    // the tail (RFC 8985), which is no answer to the link; but not each time.
    assert!((0..3).any(|_| nothing_goes_twice()), "something was sent again each time");
}

/// 200 ms of queue at 50 Mbit/s.
fn bloated(aqm: Aqm) -> LinkConfig {
    let queue = QueueLimit::Bytes(1_250_000);
    let rate = LinkConfig::perfect().rate(BitRate::mbps(50)).queue(queue);
    rate.aqm(aqm).delay(Duration::from_millis(10))
}

const SECOND: Duration = Duration::from_secs(1);
