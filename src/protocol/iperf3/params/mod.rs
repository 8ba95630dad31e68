//! What a client asks for.

mod read;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{
    ErrorCode, MAX_PARAMS,
    wire::{self, ParamsText},
};
use crate::{
    outcome::{Failure, FailureCode},
    protocol::auth::SealedToken,
    spec::{Direction, Limit, TestSpec},
};

/// A test as iperf3's parameters say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// What every transport has. `tcp`, `udp` or `sctp`; with a block.
    pub spec: TestSpec,
    /// What iperf3 has beyond that.
    pub extras: Extras,
    /// What was passed over or changed, a sentence each.
    pub warnings: Vec<String>,
}

/// Parameters that a [`TestSpec`] has no place for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// Microseconds; without effect since 3.18 (`--pacing-timer`).
    pub pacing_timer: Option<u64>,
    /// UDP: how datagrams go to and from the kernel (`--gsro`).
    pub offload: Option<Offload>,
    /// Proof of who asks.
    pub auth_token: Option<SealedToken>,
    /// The client's own version; nothing follows from it.
    pub client_version: Option<String>,
}

/// UDP segmentation and coalescing, as 3.21 and later ask for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offload {
    /// Whether to send several datagrams at once.
    pub gso: bool,
    /// Bytes of each datagram then.
    pub gso_datagram: u64,
    /// Bytes that are sent at once then.
    pub gso_buffer: u64,
    /// Whether to receive several datagrams at once.
    pub gro: bool,
    /// Bytes that are received at once then.
    pub gro_buffer: u64,
}

/// Why parameters cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParams {
    /// A text that is no JSON object.
    #[error("the parameters cannot be read: {0}")]
    Text(String),
    /// Values out of range; there is at least one.
    #[error("{}", list(.0))]
    Values(Vec<Violation>),
}

/// One parameter out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} of {value} is out of range: {allowed}")]
pub struct Violation {
    /// The parameter.
    pub key: &'static str,
    /// What it held.
    pub value: String,
    /// What it may hold.
    pub allowed: String,
    /// What iperf3 calls it.
    pub code: ErrorCode,
}

impl Params {
    /// The name of every parameter that is read.
    pub const KEYS: &'static [&'static str] = read::KEYS;

    /// Returns the parameters that ask an iperf3 server for this test.
    ///
    /// Fills in the length of a block if the test leaves it open, as an iperf3 client does; where no
    /// rate is asked for, none is. iperf3 knows whole seconds only: omitted time is rounded up, at
    /// both ends. The client ends the test, so that its time needs no rounding.
    ///
    /// # Errors
    ///
    /// Refuses what iperf3 has no words for.
    pub fn new(spec: &TestSpec, mut extras: Extras) -> Result<Self, Failure> {
        let refuse = |text: String| Err(Failure::new(FailureCode::Unsupported, text));
        if !TRANSPORTS.contains(&&*spec.transport) {
            return refuse(format!("iperf3 has no {}; it has tcp and udp", spec.transport));
        }
        let mut fields = spec.clone().into_fields();
        let mut warnings = Vec::new();
        if fields.block == 0 {
            fields.block = if fields.transport == UDP { UDP_BLOCK } else { TCP_BLOCK };
        }
        if let Some(offload) = &mut extras.offload {
            offload.gso_datagram = fields.block.into();
        }
        // Servers older than 3.1 alone lack these, and 32 bits wrap within hours or minutes.
        fields.udp_counters_64bit |= fields.transport == UDP;
        if fields.omit.subsec_nanos() > 0 {
            fields.omit = Duration::from_secs(whole_seconds(fields.omit));
            let text = format!("iperf3 omits whole seconds: {} s", fields.omit.as_secs());
            warnings.push(text);
        }
        let spec = fields
            .try_into()
            .map_err(|error| Failure::new(FailureCode::Unsupported, format!("{error}")))?;
        let params = Self { spec, extras, warnings };
        let length = params.encode().len();
        if length > MAX_PARAMS {
            return refuse(format!(
                "iperf3 takes parameters of {MAX_PARAMS} bytes, not {length}; shorten the title or the extra data"
            ));
        }
        Ok(params)
    }

    /// Reads the text that a client has sent.
    ///
    /// # Errors
    ///
    /// [`BadParams`], with every value that is out of range.
    pub fn parse(text: &[u8]) -> Result<Self, BadParams> {
        read::read(text)
    }

    /// Returns the text to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::text(&self.text())
    }

    fn text(&self) -> ParamsText<'_> {
        let Self { spec, extras, .. } = self;
        let tuning = &spec.tuning;
        let (time, num, blockcount) = match spec.limit {
            Limit::Time(time) => (whole_seconds(time), 0, 0),
            Limit::Bytes(bytes) => (0, bytes, 0),
            Limit::Blocks(blocks) => (0, 0, blocks),
            Limit::Endless => (0, 0, 0),
        };
        let base = ParamsText {
            tcp: spec.transport == TCP,
            udp: spec.transport == UDP,
            sctp: spec.transport == SCTP,
            omit: whole_seconds(spec.omit),
            time,
            num,
            blockcount,
            mss: tuning.mss.map(Into::into),
            nodelay: tuning.no_delay,
            parallel: spec.streams,
            reverse: spec.direction == Direction::Reverse,
            bidirectional: spec.direction == Direction::Bidirectional,
            window: tuning.window.map(Into::into),
            len: (spec.block > 0).then_some(spec.block),
            bandwidth: spec.rate.map(|rate| rate.bits_per_second),
            burst: spec.rate.and_then(|rate| rate.burst),
            title: spec.title.as_deref(),
            extra_data: spec.extra_data.as_deref(),
            congestion: tuning.congestion.as_deref(),
            get_server_output: on(spec.server_output),
            server_affinity: spec.server_affinity,
            mptcp: tuning.mptcp,
            fqrate: tuning.fq_rate.map(Into::into),
            tos: tuning.tos.filter(|&tos| tos > 0),
            flowlabel: tuning.flow_label.map(Into::into),
            udp_counters_64bit: on(spec.udp_counters_64bit),
            repeating_payload: on(spec.repeating_payload),
            zerocopy: on(tuning.zero_copy),
            dont_fragment: on(tuning.dont_fragment),
            skip_rx_copy: on(tuning.skip_rx_copy),
            ..ParamsText::default()
        };
        extras.text(base)
    }
}

impl Extras {
    /// Returns what an iperf3 client of this version asks for by default.
    #[must_use]
    pub fn of_client(version: &str) -> Self {
        Self {
            pacing_timer: Some(PACING_TIMER),
            client_version: Some(version.to_owned()),
            ..Self::default()
        }
    }

    fn text<'a>(&'a self, base: ParamsText<'a>) -> ParamsText<'a> {
        let offload = self.offload.as_ref();
        ParamsText {
            pacing_timer: self.pacing_timer.filter(|&timer| timer > 0),
            gso: offload.map(|offload| offload.gso.into()),
            gso_dg_size: offload.map(|offload| offload.gso_datagram),
            gso_bf_size: offload.map(|offload| offload.gso_buffer),
            gro: offload.map(|offload| offload.gro.into()),
            gro_bf_size: offload.map(|offload| offload.gro_buffer),
            authtoken: self.auth_token.as_ref().map(SealedToken::as_str),
            client_version: self.client_version.as_deref(),
            ..base
        }
    }
}

impl Offload {
    /// Returns what iperf3 asks for with, or without, `--gsro`. [`Params::new`] fills in the length
    /// of a datagram.
    #[must_use]
    pub fn of(gso: bool) -> Self {
        Self { gso, gso_datagram: 0, gso_buffer: LONGEST_SEND, gro: gso, gro_buffer: LONGEST_SEND }
    }
}

impl BadParams {
    /// Returns the code to tell the client: that of the last violation, as iperf3 does.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Text(_) => ErrorCode::ReceiveParams,
            Self::Values(list) => list.last().map_or(ErrorCode::ReceiveParams, |last| last.code),
        }
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn on(flag: bool) -> Option<u8> {
    flag.then_some(1)
}

fn list(violations: &[Violation]) -> String {
    let texts: Vec<_> = violations.iter().map(Violation::to_string).collect();
    texts.join("; ")
}

/// iperf3's default for what is sent or received at once.
const LONGEST_SEND: u64 = 65_507;
const TCP: &str = "tcp";
const UDP: &str = "udp";
const SCTP: &str = "sctp";
const TRANSPORTS: [&str; 3] = [TCP, UDP, SCTP];
const TCP_BLOCK: u32 = 128 << 10;
/// What fits into an Ethernet frame below IPv4 and UDP, with room for options, as in iperf3.
const UDP_BLOCK: u32 = 1460;
const PACING_TIMER: u64 = 1000;
