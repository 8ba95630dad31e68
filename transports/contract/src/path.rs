use std::{collections::BTreeMap, fmt::Debug, time::Duration};

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

    /// Returns what both ends of the connection below know for this label, and nobody else: 32 bytes
    /// of TLS' keying material (RFC 8446, 7.5) without a context. `None` where nothing protects the
    /// connection, or its handshake is not over.
    fn exported(&self, label: &[u8]) -> Option<[u8; 32]>;
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
    /// Bytes that are under way: sent, and neither acknowledged nor given up, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
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
    /// What congestion control is doing, by the name that its specification uses, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion_state: Option<String>,
    /// A number of the connection that all figures here are of, where streams share one: those of
    /// streams with the same number must not be added up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// Packets that were given up as lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_lost: Option<u64>,
    /// Bytes of those packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_lost: Option<u64>,
    /// Packets that were given up as lost, and had arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spurious_losses: Option<u64>,
    /// Packets that the network has marked instead of dropping them, as the peer tells (RFC 3168).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ce_marks: Option<u64>,
    /// How often congestion control has answered to loss or marks (RFC 9002, section 7.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion_events: Option<u64>,
    /// Times that the sender had data, and told the peer that its window held it back: QUIC's
    /// `DATA_BLOCKED` and `STREAM_DATA_BLOCKED` (RFC 9000, section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_blocked: Option<u64>,
    /// System calls that sent; `packets_sent` over this is the batch that was achieved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_calls: Option<u64>,
    /// System calls that received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_calls: Option<u64>,
    /// Packets that carried acknowledgements, received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acks_received: Option<u64>,
    /// Packets that probed for a larger path MTU and were lost, which says nothing of congestion
    /// (RFC 8899).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes_lost: Option<u64>,
    /// From the first packet to the end of the handshake.
    #[serde(rename = "handshake_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub handshake: Option<Duration>,
    /// From the first packet to the listener's first byte on the stream, which compares handshakes:
    /// it includes whatever has to come before data, and nothing else.
    #[serde(rename = "first_reply_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub first_reply: Option<Duration>,
    /// How long an earlier connection took that was made for this one to resume; `None` if none was.
    /// It is no part of `handshake` and of `first_reply`.
    #[serde(rename = "prepared_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub prepared: Option<Duration>,
    /// What protects the connection; `None` if nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// What it took to bring everything across, where the protocol runs in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arq: Option<Arq>,
    /// What the protocol works with in this process, by the names of its options: those that were
    /// asked for and those that were not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// What a protocol that sends again what was lost (automatic repeat request) has counted at one end
/// of a stream.
///
/// [`PathStats::retransmits`] is the sum of the causes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Arq {
    /// Segments of all kinds that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments_sent: Option<u64>,
    /// Segments of all kinds that were received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments_received: Option<u64>,
    /// Segments sent again because no acknowledgement came in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_retransmits: Option<u64>,
    /// Segments sent again because later ones were acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_retransmits: Option<u64>,
    /// Segments sent again because a later one was acknowledged, and there was nothing else to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_retransmits: Option<u64>,
    /// Segments sent again in vain: an earlier transmission had arrived, as far as the sender can
    /// tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spurious_retransmits: Option<u64>,
    /// Segments of data received that had been received before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// Datagrams received of which nothing was taken: of another conversation, malformed, or with
    /// acknowledgements of what was never sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<u64>,
    /// Questions for the peer's window while that was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_probes: Option<u64>,
    /// Time in which data waited for nothing but a window: the own, the peer's, or that of
    /// congestion control.
    #[serde(
        rename = "window_limited_us",
        with = "micros",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub window_limited: Option<Duration>,
    /// Smoothed round-trip time by the protocol's own clock, which may be coarse, now.
    #[serde(rename = "srtt_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub srtt: Option<Duration>,
    /// Mean deviation of the round-trip time by that clock, now.
    #[serde(rename = "srttvar_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub srttvar: Option<Duration>,
    /// How long an acknowledgement is waited for at first, now.
    #[serde(rename = "rto_us", with = "micros", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub rto: Option<Duration>,
    /// Datagrams of parity that were sent (forward error correction).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity_sent: Option<u64>,
    /// Bytes of those datagrams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity_bytes_sent: Option<u64>,
    /// Datagrams of parity that were received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity_received: Option<u64>,
    /// Datagrams that were rebuilt from others and parity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<u64>,
    /// Datagrams of data that were missing, and could not be rebuilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecoverable: Option<u64>,
}

/// What protects a connection, and how this end knows whom it talks to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Security {
    /// The protocol: `TLS 1.3`.
    pub protocol: String,
    /// The library that does the arithmetic: `ring`, `aws-lc-rs`.
    pub provider: String,
    /// The cipher suite, as IANA names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The key exchange group, as IANA names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<String>,
    /// How the other end was verified, at the end that did: `known server`, `not verified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// The fingerprint of the other end's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Whether the connection resumed an earlier one, at the end that knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// What came of data sent before the handshake was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_data: Option<EarlyData>,
}

/// What came of sending data before the handshake was over (0-RTT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EarlyData {
    /// It was asked for, and there was no earlier connection to resume.
    NotAttempted,
    /// The other end took it.
    Accepted,
    /// The other end refused it, and it was sent again after the handshake.
    Rejected,
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
