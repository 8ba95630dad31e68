use std::{
    fmt,
    num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a test asks to be set on its streams, at both ends.
///
/// `None` and `false` leave the transport's default. A transport that cannot honour a field says so
/// in a [`Setting`]; it never drops it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Socket buffers, or the stream's window, in bytes (`-w`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<NonZeroU32>,
    /// Largest segment payload in bytes (`-M`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<NonZeroU32>,
    /// Send small segments at once (`-N`).
    #[serde(skip_serializing_if = "is_false")]
    pub no_delay: bool,
    /// Congestion control by name (`-C`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
    /// The byte for type of service or traffic class, DSCP and ECN bits as one (`-S`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos: Option<u8>,
    /// IPv6 flow label (`-L`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_label: Option<NonZeroU32>,
    /// Pacing by the kernel, in bits per second of each stream (`--fq-rate`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fq_rate: Option<NonZeroU64>,
    /// Forbid IPv4 routers to fragment (`--dont-fragment`).
    #[serde(skip_serializing_if = "is_false")]
    pub dont_fragment: bool,
    /// Send without copying to the kernel (`-Z`): what is sent is then the transport's own copy of
    /// an earlier chunk, over and over. For payloads that nobody reads.
    #[serde(skip_serializing_if = "is_false")]
    pub zero_copy: bool,
    /// Receive without copying from the kernel (`--skip-rx-copy`): buffers are counted as filled, and
    /// are not.
    #[serde(skip_serializing_if = "is_false")]
    pub skip_rx_copy: bool,
    /// Fail when sent data stays unacknowledged for so many milliseconds (`--snd-timeout`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_timeout_ms: Option<NonZeroU32>,
    /// Have the system ask a silent peer whether it is still there (`--cntl-ka`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Several paths under one stream (`-m`).
    #[serde(skip_serializing_if = "is_false")]
    pub mptcp: bool,
    /// Send each datagram by itself, without segmentation offload (`--no-gso`).
    #[serde(skip_serializing_if = "is_false")]
    pub no_gso: bool,
    /// The largest packet to look for on the path, in bytes of UDP payload (`--mtu`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<NonZeroU32>,
    /// Packets that the receiver may leave without an acknowledgement
    /// (`--ack-frequency`; draft-ietf-quic-ack-frequency).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_frequency: Option<NonZeroU32>,
    /// Connections that the streams are spread over (`--connections`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<NonZeroU32>,
    /// Resume an earlier connection (`--resume`).
    #[serde(skip_serializing_if = "is_false")]
    pub resume: bool,
    /// Send the first bytes before the handshake is over (`--zero-rtt`).
    #[serde(skip_serializing_if = "is_false")]
    pub zero_rtt: bool,
    /// KCP's settings under a name that its users know (`--kcp-mode`); those below replace single
    /// ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_mode: Option<String>,
    /// How soon KCP sends again what was not acknowledged: 0, 1 or 2 (`--kcp-nodelay`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_nodelay: Option<u8>,
    /// KCP's clock, in milliseconds (`--kcp-interval`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_interval_ms: Option<NonZeroU32>,
    /// Acknowledgements of later data after which KCP sends again at once; 0 never does
    /// (`--kcp-resend`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_resend: Option<u8>,
    /// Whether KCP goes without congestion control (`--kcp-nc`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_nc: Option<bool>,
    /// Segments that KCP has waiting or under way at most (`--kcp-sndwnd`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_sndwnd: Option<NonZeroU16>,
    /// Segments that KCP holds for the reader at most (`--kcp-rcvwnd`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_rcvwnd: Option<NonZeroU16>,
    /// KCP's longest datagram, in bytes of UDP payload (`--kcp-mtu`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_mtu: Option<NonZeroU16>,
    /// When KCP sends: `batch` or `interval` (`--kcp-flush`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kcp_flush: Option<String>,
    /// Forward error correction (`--fec`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fec: Option<Fec>,
}

impl Tuning {
    /// Returns whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is asked for: the name of each setting, and its value.
    #[must_use]
    pub fn asked(&self) -> Vec<(&'static str, String)> {
        // Taken apart, so that a new field is not forgotten here.
        let Self {
            window,
            mss,
            no_delay,
            congestion,
            tos,
            flow_label,
            fq_rate,
            dont_fragment,
            zero_copy,
            skip_rx_copy,
            send_timeout_ms,
            keep_alive,
            mptcp,
            no_gso,
            mtu,
            ack_frequency,
            connections,
            resume,
            zero_rtt,
            kcp_mode,
            kcp_nodelay,
            kcp_interval_ms,
            kcp_resend,
            kcp_nc,
            kcp_sndwnd,
            kcp_rcvwnd,
            kcp_mtu,
            kcp_flush,
            fec,
        } = self;
        let flag = |on: &bool| on.then(|| on.to_string());
        let options = [
            ("window", window.map(|bytes| bytes.to_string())),
            ("mss", mss.map(|bytes| bytes.to_string())),
            ("no_delay", flag(no_delay)),
            ("congestion", congestion.clone()),
            ("tos", tos.map(|byte| byte.to_string())),
            ("flow_label", flow_label.map(|label| label.to_string())),
            ("fq_rate", fq_rate.map(|rate| rate.to_string())),
            ("dont_fragment", flag(dont_fragment)),
            ("zero_copy", flag(zero_copy)),
            ("skip_rx_copy", flag(skip_rx_copy)),
            ("send_timeout_ms", send_timeout_ms.map(|limit| limit.to_string())),
            ("keep_alive", keep_alive.map(|keep_alive| keep_alive.to_string())),
            ("mptcp", flag(mptcp)),
            ("no_gso", flag(no_gso)),
            ("mtu", mtu.map(|bytes| bytes.to_string())),
            ("ack_frequency", ack_frequency.map(|packets| packets.to_string())),
            ("connections", connections.map(|connections| connections.to_string())),
            ("resume", flag(resume)),
            ("zero_rtt", flag(zero_rtt)),
            ("kcp_mode", kcp_mode.clone()),
            ("kcp_nodelay", kcp_nodelay.map(|number| number.to_string())),
            ("kcp_interval_ms", kcp_interval_ms.map(|interval| interval.to_string())),
            ("kcp_resend", kcp_resend.map(|number| number.to_string())),
            ("kcp_nc", kcp_nc.map(|on| on.to_string())),
            ("kcp_sndwnd", kcp_sndwnd.map(|segments| segments.to_string())),
            ("kcp_rcvwnd", kcp_rcvwnd.map(|segments| segments.to_string())),
            ("kcp_mtu", kcp_mtu.map(|bytes| bytes.to_string())),
            ("kcp_flush", kcp_flush.clone()),
            ("fec", fec.map(|fec| fec.to_string())),
        ];
        options.into_iter().filter_map(|(option, value)| Some((option, value?))).collect()
    }

    /// Refuses every setting that is of connections of several streams: `transport` has none.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first of them.
    pub fn without_connections(&self, transport: &'static str) -> Result<(), Error> {
        self.without(&["mtu", "ack_frequency", "connections", "resume", "zero_rtt"], transport)
    }

    /// Refuses every setting of a protocol that sends again, in this process, what was lost:
    /// `transport` is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first of them.
    pub fn without_repair(&self, transport: &'static str) -> Result<(), Error> {
        self.without_kcp(transport)?;
        self.without(&["fec"], transport)
    }

    /// Refuses every setting of KCP, which `transport` is not.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first of them.
    pub fn without_kcp(&self, transport: &'static str) -> Result<(), Error> {
        self.without(&OF_KCP, transport)
    }

    /// Refuses these settings, which `transport` does not have.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first that is asked for.
    pub fn without(&self, options: &[&str], transport: &'static str) -> Result<(), Error> {
        match self.asked().into_iter().find(|(option, _)| options.contains(option)) {
            Some((option, value)) => Err(Error::Unsupported {
                transport,
                option: format!("{option} {value}"),
                reason: "it has no such setting; leave the option out, or take another transport"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Returns an answer for each setting asked for that `answers` does not contain: `transport`
    /// has none of them.
    pub fn answer_rest(&self, answers: &mut Vec<Setting>, transport: &str) {
        for (option, value) in self.asked() {
            if !answers.iter().any(|answer| answer.option == option) {
                answers.push(Setting::unsupported(option, value, transport));
            }
        }
    }
}

/// What is KCP's alone.
const OF_KCP: [&str; 9] = [
    "kcp_mode",
    "kcp_nodelay",
    "kcp_interval_ms",
    "kcp_resend",
    "kcp_nc",
    "kcp_sndwnd",
    "kcp_rcvwnd",
    "kcp_mtu",
    "kcp_flush",
];

/// Forward error correction: so many datagrams of parity for so many of data, from any `data` of
/// which the others can be rebuilt. Written `10:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fec {
    /// Datagrams of data in a group.
    pub data: NonZeroU8,
    /// Datagrams of parity in a group.
    pub parity: NonZeroU8,
}

impl fmt::Display for Fec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.data, self.parity)
    }
}

/// When a silent peer is asked whether it is still there, in seconds and questions; 0 leaves the
/// system's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepAlive {
    /// Silence before the first question.
    pub idle: u16,
    /// Between questions.
    pub interval: u16,
    /// Questions without an answer, after which the stream fails.
    pub count: u8,
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.idle, self.interval, self.count)
    }
}

/// One setting: what was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The setting: the name of its field in [`Tuning`].
    pub option: String,
    /// The value asked for.
    pub asked: String,
    /// The value in force now; `None` where it cannot be read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<String>,
    /// Why the value asked for is not the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Setting {
    /// Returns a setting that `transport` does not have.
    #[must_use]
    pub fn unsupported(option: &str, asked: impl ToString, transport: &str) -> Self {
        Self {
            option: option.to_owned(),
            asked: asked.to_string(),
            granted: None,
            refused: Some(format!("{transport} has no such setting")),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}
