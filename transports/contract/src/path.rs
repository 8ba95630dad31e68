use std::{fmt::Debug, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Setting, Tuning};

/// What is known of the path below a stream, and what can be set on it.
///
/// Shared between the tasks that move bytes and the one that reports, so it works through `&self`
/// and never waits.
pub trait Path: Debug + Send + Sync + 'static {
    /// Returns the path's figures as they are now, since the stream was opened.
    fn stats(&self) -> PathStats;

    /// Sets what `tuning` asks for on an open stream, and returns each setting as it then stands.
    ///
    /// Asking again for what is already set changes nothing. A setting that the transport does not
    /// have, or that the system refuses, comes back with its reason; it is never left out.
    fn tune(&self, tuning: &Tuning) -> Vec<Setting>;
}

/// Figures of a path, cumulative since the stream was opened unless the field says "now".
///
/// Unknown is `None`, never zero. On the wire and in JSON an unknown figure is left out; durations
/// are whole microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PathStats {
    /// Smoothed round-trip time, now.
    #[serde(rename = "rtt_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub rtt: Option<Duration>,
    /// Mean deviation of the round-trip time, now.
    #[serde(rename = "rttvar_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub rttvar: Option<Duration>,
    /// Smallest round-trip time seen.
    #[serde(rename = "min_rtt_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub min_rtt: Option<Duration>,
    /// Congestion window in bytes, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwnd: Option<u64>,
    /// The window that the peer offers, in bytes, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_window: Option<u64>,
    /// Largest packet that the path takes, in bytes, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Largest payload of one packet (TCP's MSS), in bytes, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u32>,
    /// Packets or segments sent again, for whatever cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Bytes sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_retransmitted: Option<u64>,
    /// Bytes that the peer has acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_acked: Option<u64>,
    /// How far reordering was seen to reach, in packets, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordering: Option<u32>,
    /// Rate at which data reached the peer lately, in bits per second, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_rate: Option<u64>,
    /// Rate at which the sender paces, in bits per second, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pacing_rate: Option<u64>,
    /// Datagrams or segments put on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_sent: Option<u64>,
    /// Datagrams or segments taken from the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_received: Option<u64>,
    /// Bytes put on the wire, as far down as the transport sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_bytes_sent: Option<u64>,
    /// Bytes taken from the wire, as far down as the transport sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_bytes_received: Option<u64>,
    /// Time in which the sender had data and was held back by the peer's window.
    #[serde(rename = "rwnd_limited_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub rwnd_limited: Option<Duration>,
    /// Time in which the sender had data and was held back by its own send buffer.
    #[serde(
        rename = "sndbuf_limited_us",
        with = "micros",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub sndbuf_limited: Option<Duration>,
    /// Packets that this host dropped before the transport could take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_drops: Option<u64>,
    /// What the system keeps for data on its way out, in bytes, now: of sockets on Linux twice what
    /// may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer: Option<u64>,
    /// What the system keeps for data that was received and not yet taken, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_buffer: Option<u64>,
    /// Datagrams that one system call may send, now; 1 without segmentation offload (GSO).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gso_segments: Option<u32>,
    /// Datagrams that one system call may receive, now; 1 without receive offload (GRO).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gro_segments: Option<u32>,
    /// The congestion control in force, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_micros))
    }
}
