//! The JSON texts as they are written: iperf3's keys, in iperf3's order, and nothing that is off.

use serde::Serialize;
use serde_json::value::RawValue;

/// The parameters.
#[derive(Debug, Default, Serialize)]
pub(super) struct ParamsText<'a> {
    #[serde(skip_serializing_if = "is_off")]
    pub(super) tcp: bool,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) udp: bool,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) sctp: bool,
    pub(super) omit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_affinity: Option<u16>,
    pub(super) time: u64,
    pub(super) num: u64,
    pub(super) blockcount: u64,
    #[serde(rename = "MSS", skip_serializing_if = "Option::is_none")]
    pub(super) mss: Option<u32>,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) nodelay: bool,
    pub(super) parallel: u16,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) reverse: bool,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) bidirectional: bool,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) mptcp: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) len: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bandwidth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fqrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pacing_timer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) burst: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gso: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gso_dg_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gso_bf_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gro: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gro_bf_size: Option<u64>,
    #[serde(rename = "TOS", skip_serializing_if = "Option::is_none")]
    pub(super) tos: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flowlabel: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) congestion: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) get_server_output: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) udp_counters_64bit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repeating_payload: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zerocopy: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dont_fragment: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authtoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) skip_rx_copy: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_version: Option<&'a str>,
}

/// The results.
#[derive(Debug, Serialize)]
pub(super) struct ResultsText<'a> {
    pub(super) cpu_util_total: f64,
    pub(super) cpu_util_user: f64,
    pub(super) cpu_util_system: f64,
    pub(super) sender_has_retransmits: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) congestion_used: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_output_json: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_output_text: Option<&'a str>,
    pub(super) streams: Vec<StreamText>,
}

/// The results of one stream.
#[derive(Debug, Serialize)]
pub(super) struct StreamText {
    pub(super) id: u32,
    pub(super) bytes: u64,
    pub(super) retransmits: i64,
    pub(super) jitter: f64,
    pub(super) errors: u64,
    pub(super) omitted_errors: u64,
    pub(super) packets: u64,
    pub(super) omitted_packets: u64,
    pub(super) start_time: u8,
    pub(super) end_time: f64,
}

/// Returns the text of what cannot fail to have one.
pub(super) fn text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_off(value: &bool) -> bool {
    !value
}
