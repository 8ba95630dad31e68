//! When packets arrive, and how many do.

use std::time::Duration;

use polyperf::lab::{
    Links,
    link::{BitRate, LinkConfig, QueueLimit},
};

use crate::{
    Cases, open,
    traffic::{flood, one_way, quantile, tcp},
    unspoilt,
};

pub(crate) const CASES: Cases = &[
    ("no_packet_is_early_and_half_are_on_time", no_packet_is_early),
    ("a_rate_is_what_tcp_and_udp_get", a_rate_is_what_tcp_and_udp_get),
];

fn no_packet_is_early() {
    let Some(lab) = open() else { return };
    let delay = 20 * MS;
    let links = Links::both(&LinkConfig::perfect().delay(delay));
    let (arrived, truth) = unspoilt(&lab, &links, || one_way(&lab, 500, 64, 2 * MS));
    assert_eq!(arrived.len(), 500);
    let mut times: Vec<_> = arrived.into_iter().map(|(_, time)| time).collect();
    assert!(times.iter().all(|time| *time >= delay), "{:?}", times.iter().min());
    // How exact it is at best is for the benchmark to say.
    let half = quantile(&mut times, 0.5);
    assert!(half < delay + MS, "{half:?} of {delay:?}");
    assert_eq!((truth.to_far.delay, truth.to_far.total.delivered), (delay, 500));
}

fn a_rate_is_what_tcp_and_udp_get() {
    let Some(lab) = open() else { return };
    let queue = QueueLimit::Bytes(312_500);
    let config = LinkConfig::perfect().rate(BitRate::mbps(50)).queue(queue).delay(10 * MS);
    let links = Links::both(&config);
    let (bulk, truth) = unspoilt(&lab, &links, || tcp(&lab, None, SECOND, 2 * SECOND));
    let expected = 50e6 * 1448.0 / 1500.0;
    assert!((bulk.rate / expected - 1.0).abs() < 0.02, "{} of {expected}", bulk.rate);
    assert!(truth.to_far.per_packet && truth.to_far.rate == Some(50_000_000));
    let longest = truth.to_far.total.bytes / truth.to_far.total.packets;
    assert!(longest <= 1500, "{longest} bytes to a packet");

    let (rate, truth) = unspoilt(&lab, &links, || flood(&lab, 1400, 70e6, SECOND / 2, SECOND));
    let expected = 50e6 * 1400.0 / 1428.0;
    assert!((rate / expected - 1.0).abs() < 0.02, "{rate} of {expected}");
    assert!(truth.to_far.total.drops.queue > 0);
    assert!(truth.to_far.longest_queue_bytes <= 312_500);
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
