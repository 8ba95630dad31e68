//! The rules that every transport keeps, over both flavours and over good and bad links.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use polyperf_memory::{
    Memory, Network,
    link::{BitRate, LinkConfig, Loss, Probability, QueueLimit},
};
use polyperf_transport::conformance;

conformance!(bytes, Arc::new(Memory::bytes(&Network::perfect())));
conformance!(messages, Arc::new(Memory::messages(&Network::perfect(), longest())));
conformance!(bytes_over_ipv6, Arc::new(Memory::bytes(&Network::perfect())), "[::1]:0");
conformance!(bytes_over_a_bad_link, Arc::new(Memory::bytes(&Network::new(bad()))));
conformance!(messages_over_a_slow_link, Arc::new(Memory::messages(&slow(), longest())));

fn longest() -> NonZeroUsize {
    NonZeroUsize::new(1200).expect("more than none")
}

/// Loses, repeats and reorders; a stream of bytes must not show it.
fn bad() -> LinkConfig {
    LinkConfig::perfect()
        .rate(BitRate::mbps(1000))
        .queue(QueueLimit::Packets(50))
        .delay(Duration::from_millis(1))
        .jitter(Duration::from_micros(100))
        .loss(Loss::iid(Probability::new(0.02)))
        .duplicate(Probability::new(0.02))
        .reorder(Probability::new(0.02), Duration::from_millis(1))
        .seed(1)
}

/// Takes time, and loses nothing.
fn slow() -> Network {
    Network::new(LinkConfig::perfect().rate(BitRate::mbps(100)).delay(Duration::from_millis(1)))
}
