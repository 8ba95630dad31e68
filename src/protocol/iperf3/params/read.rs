use std::{
    num::{NonZeroU32, NonZeroU64},
    ops::RangeInclusive,
    time::Duration,
};

use polyperf_transport::Tuning;

use super::{BadParams, Extras, Offload, Params, SCTP, TCP, TCP_BLOCK, UDP, UDP_BLOCK, Violation};
use crate::{
    protocol::{
        auth::SealedToken,
        iperf3::{
            ErrorCode,
            fields::{self, Fields, Keys, Scalar},
        },
    },
    spec::{Direction, Limit, Rate, SpecError, SpecFields, TestSpec},
};

/// Reads parameters in iperf3's order, so that the last violation is the same as there.
struct Reader {
    fields: Fields,
    warnings: Vec<String>,
    violations: Vec<Violation>,
}

pub(super) fn read(text: &[u8]) -> Result<Params, BadParams> {
    let fields = fields::read(text, Keys(KEYS)).map_err(BadParams::Text)?;
    let mut reader = Reader { fields, warnings: Vec::new(), violations: Vec::new() };
    let (fields, extras) = reader.all();
    if !reader.violations.is_empty() {
        return Err(BadParams::Values(reader.violations));
    }
    let spec = TestSpec::try_from(fields)
        .map_err(|errors| BadParams::Values(errors.iter().map(violation).collect()))?;
    Ok(Params { spec, extras, warnings: reader.warnings })
}

impl Reader {
    fn all(&mut self) -> (SpecFields, Extras) {
        let mut fields = SpecFields::default();
        let mut extras = Extras::default();
        self.transport(&mut fields);
        fields.omit = self.seconds("omit", 600, ErrorCode::Omit).unwrap_or_default();
        let affinity = self.number("server_affinity", 0..=1024, ErrorCode::Affinity);
        fields.server_affinity = affinity.and_then(|cpu| cpu.try_into().ok());
        fields.limit = self.limit();
        self.streams(&mut fields);
        fields.tuning.mptcp = self.flag("mptcp");
        self.sizes(&mut fields);
        self.rates(&mut fields, &mut extras);
        extras.offload = self.offload();
        self.marks(&mut fields);
        self.texts(&mut fields, &mut extras);
        self.switches(&mut fields);
        (fields, extras)
    }

    fn transport(&mut self, fields: &mut SpecFields) {
        let [tcp, udp, sctp] = [TCP, UDP, SCTP].map(|name| self.flag(name));
        let name = match (udp, sctp) {
            (_, true) => SCTP,
            (true, false) => UDP,
            (false, false) => TCP,
        };
        if u8::from(tcp) + u8::from(udp) + u8::from(sctp) > 1 {
            self.warnings.push(format!("more than one transport: {name} is taken"));
        }
        name.clone_into(&mut fields.transport);
    }

    fn limit(&mut self) -> Limit {
        let time = self.seconds("time", 86_400, ErrorCode::Duration);
        let bytes = self.count("num", MAX_COUNT);
        let blocks = self.count("blockcount", MAX_COUNT);
        let time = time.unwrap_or(DEFAULT_TIME);
        if bytes + blocks > 0 && !time.is_zero() && self.fields.get("time").is_some() {
            self.warnings.push("more than one limit: the server goes by the count".to_owned());
        }
        match (bytes, blocks, time.is_zero()) {
            (0, 0, true) => Limit::Endless,
            (0, 0, false) => Limit::Time(time),
            (0, blocks, _) => Limit::Blocks(blocks),
            (bytes, _, _) => Limit::Bytes(bytes),
        }
    }

    fn streams(&mut self, fields: &mut SpecFields) {
        let mss = self.number("MSS", 0..=32_767, ErrorCode::SegmentSize);
        fields.tuning = Tuning { mss: non_zero(mss), ..Tuning::default() };
        fields.tuning.no_delay = self.flag("nodelay");
        let streams = self.number("parallel", 1..=128, ErrorCode::Streams);
        fields.streams = streams.and_then(|n| n.try_into().ok()).unwrap_or(1);
        fields.direction = match (self.flag("reverse"), self.flag("bidirectional")) {
            (_, true) => Direction::Bidirectional,
            (true, false) => Direction::Reverse,
            (false, false) => Direction::Forward,
        };
    }

    fn sizes(&mut self, fields: &mut SpecFields) {
        let window = self.number("window", 0..=MAX_WINDOW, ErrorCode::BufferSize);
        fields.tuning.window = non_zero(window);
        let udp = fields.transport == UDP;
        let len = match self.number("len", 0..=i64::MAX, block_code(udp)) {
            // iperf3 takes this for a server that is to choose.
            Some(0) if udp => None,
            len => len,
        };
        let allowed = if udp { 16..=65_507 } else { 1..=1 << 20 };
        let len = len.and_then(|len| self.within("len", len, allowed, block_code(udp)));
        let default = if udp { UDP_BLOCK } else { TCP_BLOCK };
        fields.block = len.and_then(|len| len.try_into().ok()).unwrap_or(default);
    }

    fn rates(&mut self, fields: &mut SpecFields, extras: &mut Extras) {
        let bits_per_second = self.count("bandwidth", MAX_RATE);
        fields.tuning.fq_rate = NonZeroU64::new(self.count("fqrate", MAX_RATE));
        extras.pacing_timer = Some(self.count("pacing_timer", MAX_COUNT)).filter(|&us| us > 0);
        let burst = self.number("burst", 1..=1000, ErrorCode::Burst);
        let burst = burst.and_then(|burst| burst.try_into().ok());
        fields.rate = (bits_per_second > 0).then_some(Rate { bits_per_second, burst });
    }

    fn offload(&mut self) -> Option<Offload> {
        let asked = OFFLOAD.iter().any(|key| self.fields.number(key).is_some());
        let offload = Offload {
            gso: self.count("gso", MAX_COUNT) > 0,
            gso_datagram: self.count("gso_dg_size", MAX_COUNT),
            gso_buffer: self.count("gso_bf_size", MAX_COUNT),
            gro: self.number("gro", 0..=1, ErrorCode::ReceiveParams) == Some(1),
            gro_buffer: self.count("gro_bf_size", MAX_COUNT),
        };
        asked.then_some(offload)
    }

    fn marks(&mut self, fields: &mut SpecFields) {
        let tos = self.number("TOS", 0..=255, ErrorCode::Tos);
        fields.tuning.tos = tos.and_then(|tos| tos.try_into().ok()).filter(|&tos| tos > 0);
        let label = self.number("flowlabel", 1..=0xf_ffff, ErrorCode::SetFlowLabel);
        fields.tuning.flow_label = non_zero(label);
    }

    fn texts(&mut self, fields: &mut SpecFields, extras: &mut Extras) {
        fields.title = self.text("title");
        fields.extra_data = self.text("extra_data");
        fields.tuning.congestion = self.text("congestion");
        extras.auth_token = self.text("authtoken").map(SealedToken::new);
        extras.client_version = self.text("client_version");
    }

    fn switches(&mut self, fields: &mut SpecFields) {
        fields.server_output = self.present("get_server_output").is_some();
        fields.udp_counters_64bit = self.present("udp_counters_64bit").is_some();
        fields.repeating_payload = self.present("repeating_payload").is_some();
        let mut on = |key| self.present(key).is_some_and(|value| value != 0);
        fields.tuning.zero_copy = on("zerocopy");
        fields.tuning.dont_fragment = on("dont_fragment");
        fields.tuning.skip_rx_copy = on("skip_rx_copy");
    }

    fn seconds(&mut self, key: &'static str, most: i64, code: ErrorCode) -> Option<Duration> {
        let seconds = self.number(key, 0..=most, code)?;
        seconds.try_into().ok().map(Duration::from_secs)
    }

    /// Returns a number that is refused below 0, and lowered where it is beyond any test.
    fn count(&mut self, key: &'static str, most: u64) -> u64 {
        let number = self.number(key, 0..=i64::MAX, ErrorCode::ReceiveParams).unwrap_or(0);
        let number = u64::try_from(number).unwrap_or(0);
        if number > most {
            self.warnings.push(format!("{key} of {number} is lowered to {most}"));
        }
        number.min(most)
    }

    fn number(
        &mut self,
        key: &'static str,
        allowed: RangeInclusive<i64>,
        code: ErrorCode,
    ) -> Option<i64> {
        let number = self.present(key)?;
        self.within(key, number, allowed, code)
    }

    fn within(
        &mut self,
        key: &'static str,
        number: i64,
        allowed: RangeInclusive<i64>,
        code: ErrorCode,
    ) -> Option<i64> {
        if allowed.contains(&number) {
            return Some(number);
        }
        let allowed = match (*allowed.start(), *allowed.end()) {
            (least, i64::MAX) => format!("{least} or more"),
            (least, most) => format!("{least} to {most}"),
        };
        self.violations.push(Violation { key, value: number.to_string(), allowed, code });
        None
    }

    fn present(&mut self, key: &'static str) -> Option<i64> {
        match self.fields.get(key)? {
            Scalar::Number(number) => Some(number.whole),
            other => {
                let kind = other.kind();
                self.mistyped(key, kind, "a number");
                None
            }
        }
    }

    /// Returns a boolean. `false` is off here; iperf3 takes it for on, and never sends it.
    fn flag(&mut self, key: &'static str) -> bool {
        match self.fields.get(key) {
            None => false,
            Some(Scalar::Bool(value)) => *value,
            Some(other) => {
                let kind = other.kind();
                self.mistyped(key, kind, "a boolean");
                false
            }
        }
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        match self.fields.get(key)? {
            Scalar::Text(text) => Some(text.clone()),
            other => {
                let kind = other.kind();
                self.mistyped(key, kind, "a string");
                None
            }
        }
    }

    fn mistyped(&mut self, key: &str, kind: &str, wanted: &str) {
        self.warnings.push(format!("{key} is {kind} and not {wanted}: passed over"));
    }
}

fn violation(error: &SpecError) -> Violation {
    let (key, code) = match error.field {
        "transport" => ("transport", ErrorCode::Protocol),
        "streams" => ("parallel", ErrorCode::Streams),
        "omit" => ("omit", ErrorCode::Omit),
        "block" => ("len", ErrorCode::BlockSize),
        "burst" => ("burst", ErrorCode::Burst),
        "window" => ("window", ErrorCode::BufferSize),
        "mss" => ("MSS", ErrorCode::SegmentSize),
        "congestion" => ("congestion", ErrorCode::SetCongestion),
        other => (other, ErrorCode::ReceiveParams),
    };
    let (value, allowed) = (error.value.clone(), error.allowed.to_owned());
    Violation { key, value, allowed, code }
}

fn non_zero(number: Option<i64>) -> Option<NonZeroU32> {
    NonZeroU32::new(number?.try_into().ok()?)
}

fn block_code(udp: bool) -> ErrorCode {
    if udp { ErrorCode::UdpBlockSize } else { ErrorCode::BlockSize }
}

pub(super) const KEYS: &[&str] = &[
    "tcp",
    "udp",
    "sctp",
    "omit",
    "server_affinity",
    "time",
    "num",
    "blockcount",
    "MSS",
    "nodelay",
    "parallel",
    "reverse",
    "bidirectional",
    "mptcp",
    "window",
    "len",
    "bandwidth",
    "fqrate",
    "pacing_timer",
    "burst",
    "gso",
    "gso_dg_size",
    "gso_bf_size",
    "gro",
    "gro_bf_size",
    "TOS",
    "flowlabel",
    "title",
    "extra_data",
    "congestion",
    "get_server_output",
    "udp_counters_64bit",
    "repeating_payload",
    "zerocopy",
    "dont_fragment",
    "authtoken",
    "skip_rx_copy",
    "client_version",
];
const OFFLOAD: [&str; 5] = ["gso", "gso_dg_size", "gso_bf_size", "gro", "gro_bf_size"];
const DEFAULT_TIME: Duration = Duration::from_secs(10);
const MAX_WINDOW: i64 = 512 << 20;
/// The largest count that a test may have, far beyond what one can move.
const MAX_COUNT: u64 = 1 << 62;
/// The highest rate that a test may have.
const MAX_RATE: u64 = 1 << 50;
