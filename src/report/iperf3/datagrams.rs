use serde::Serialize;

use crate::measure::DatagramSummary;

/// iperf3's keys about datagrams, in an interval.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum DatagramInterval {
    Sent { packets: Option<u64> },
    Received(Losses),
}

/// iperf3's keys about losses.
#[derive(Debug, Serialize)]
pub(super) struct Losses {
    jitter_ms: Option<f64>,
    lost_packets: Option<u64>,
    packets: Option<u64>,
    lost_percent: Option<f64>,
}

impl Losses {
    /// Returns what the receiver made of datagrams, of which the sender says that it `sent` so many.
    pub(super) fn new(sent: Option<u64>, received: Option<&DatagramSummary>) -> Self {
        let lost = received.and_then(|counts| counts.lost);
        let packets = sent.or_else(|| received?.expected());
        let jitter = received.and_then(|counts| counts.jitter);
        Self {
            jitter_ms: jitter.map(|jitter| jitter.as_secs_f64() * 1e3),
            lost_packets: lost,
            packets,
            lost_percent: lost.zip(packets).map(|(lost, packets)| percent(lost, packets)),
        }
    }

    /// Returns what iperf3 says of the sender, which knows of no loss: zeros, whatever was lost.
    pub(super) fn at_sender(sent: Option<u64>) -> Self {
        Self { jitter_ms: Some(0.0), lost_packets: Some(0), packets: sent, lost_percent: Some(0.0) }
    }
}

/// iperf3 has no share of nothing, and writes 0.
#[allow(clippy::cast_precision_loss, reason = "2^53 datagrams are more than any test sends")]
fn percent(lost: u64, packets: u64) -> f64 {
    if packets == 0 { 0.0 } else { lost as f64 / packets as f64 * 100.0 }
}
