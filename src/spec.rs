//! What a test is: transport, direction, streams, when it ends, how fast it goes.

pub(crate) mod churn;
mod exchange;

use std::{fmt, ops::Deref, time::Duration};

use polyperf_transport::Tuning;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::exchange::{Exchange, MAX_IN_FLIGHT, Probe, Workload};
use crate::{
    measure::{FlowId, Role},
    micros,
    outcome::Side,
};

/// A test that can be run: its fields have been checked, and cannot be changed any more.
///
/// ```
/// use polyperf::spec::{Direction, Limit, SpecFields, TestSpec};
///
/// let spec = TestSpec::try_from(SpecFields {
///     direction: Direction::Reverse,
///     limit: Limit::Bytes(1 << 20),
///     ..SpecFields::default()
/// })?;
/// assert_eq!(spec.streams, 1);
/// # Ok::<(), polyperf::spec::SpecErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SpecFields", into = "SpecFields")]
pub struct TestSpec(SpecFields);

/// The fields of a [`TestSpec`], not yet checked.
///
/// Durations are whole microseconds on the wire. Unknown fields are refused: an option that one end
/// does not know cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecFields {
    /// The transport's name.
    pub transport: String,
    /// What the streams do.
    #[serde(default, skip_serializing_if = "Workload::is_bulk")]
    pub workload: Workload,
    /// What probes a test that carries bulk, on a flow of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Who sends.
    pub direction: Direction,
    /// Streams in each direction that is in use.
    pub streams: u16,
    /// When the test ends.
    pub limit: Limit,
    /// Time at the start that is left out of the totals.
    #[serde(rename = "omit_us", with = "micros")]
    #[schemars(with = "u64")]
    pub omit: Duration,
    /// Length of one write, or of one message, in bytes; 0 leaves it to the transport.
    pub block: u32,
    /// The rate of each stream; `None` is as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Time between reports; `None` reports only at the end.
    #[serde(
        rename = "interval_us",
        default,
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub interval: Option<Duration>,
    /// Settings of the streams, at both ends.
    #[serde(default, skip_serializing_if = "Tuning::is_default")]
    pub tuning: Tuning,
    /// A label that comes first on each line of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A text that is carried into the JSON report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_data: Option<String>,
    /// Whether the server's own report is wanted with its results.
    #[serde(default)]
    pub server_output: bool,
    /// Send the digits over and over in place of bytes that do not compress
    /// (`--repeating-payload`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub repeating_payload: bool,
    /// Number datagrams with 64 bits where the protocol leaves a choice (`--udp-counters-64bit`);
    /// polyperf's own has none, and always does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub udp_counters_64bit: bool,
    /// How long a receiver may get nothing before the test fails (`--rcv-timeout`); `None` leaves
    /// it to each end.
    #[serde(
        rename = "receive_timeout_us",
        default,
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub receive_timeout: Option<Duration>,
    /// The processor that the server's data threads keep to (`-A`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_affinity: Option<u16>,
}

/// Who sends, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The client sends.
    Forward,
    /// The server sends.
    Reverse,
    /// Both send, on streams of their own.
    Bidirectional,
}

/// When a test ends.
///
/// Counts are the total over all streams of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// After this time, not counting what is omitted.
    #[serde(rename = "time_us", with = "micros")]
    #[schemars(with = "u64")]
    Time(Duration),
    /// After this many bytes.
    Bytes(u64),
    /// After this many blocks.
    Blocks(u64),
    /// When the client says so.
    Endless,
}

/// The rate of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bits per second, counted in the bytes that the test hands to the transport.
    pub bits_per_second: u64,
    /// Blocks sent back to back; `None` leaves it to the pacer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u16>,
}

/// Everything that is wrong with a [`SpecFields`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SpecErrors(Vec<SpecError>);

/// One thing that is wrong with a [`SpecFields`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} of {value} is out of range: {allowed}")]
pub struct SpecError {
    /// The field.
    pub field: &'static str,
    /// What it held.
    pub value: String,
    /// What it may hold.
    pub allowed: &'static str,
}

impl TestSpec {
    /// Returns the fields, to be changed and checked anew.
    #[must_use]
    pub fn into_fields(self) -> SpecFields {
        self.0
    }

    /// Returns the test with what its server filled in or lowered. Neither can make it invalid.
    pub(crate) fn settled(mut self, block: u32, rate: Option<Rate>) -> Self {
        self.0.block = block.min(MAX_BLOCK);
        self.0.rate = rate;
        self
    }

    /// Returns the same test with another end.
    pub(crate) fn with_limit(mut self, limit: Limit) -> Self {
        self.0.limit = limit;
        self
    }

    /// Returns what `side` does on this stream; `None` if the test has no such stream.
    #[must_use]
    pub fn role(&self, side: Side, flow: FlowId) -> Option<Role> {
        if self.probe.is_some() && flow.0 == self.load_flows() + 1 {
            return Some(if side == Side::Client { Role::Prober } else { Role::Probed });
        }
        let client_sends = match self.direction {
            Direction::Forward => true,
            Direction::Reverse => false,
            Direction::Bidirectional => flow.0 <= self.streams,
        };
        let sends = client_sends == (side == Side::Client);
        let exists = (1..=self.load_flows()).contains(&flow.0);
        exists.then_some(if sends { Role::Sender } else { Role::Receiver })
    }

    /// Returns whether the client sends.
    #[must_use]
    pub fn client_sends(&self) -> bool {
        self.direction != Direction::Reverse
    }

    /// Returns whether the server sends.
    #[must_use]
    pub fn server_sends(&self) -> bool {
        self.direction != Direction::Forward
    }

    /// Returns how many streams the test opens, both directions together, and the probe's.
    #[must_use]
    pub fn flows(&self) -> u16 {
        self.load_flows() + u16::from(self.probe.is_some())
    }

    /// Returns how many streams carry the load, both directions together: all but the probe's, which
    /// is the last one.
    #[must_use]
    pub fn load_flows(&self) -> u16 {
        match self.direction {
            Direction::Bidirectional => self.streams * 2,
            Direction::Forward | Direction::Reverse => self.streams,
        }
    }

    /// Returns how long after the test's start its load begins: a probe measures the idle path
    /// before.
    #[must_use]
    pub fn load_begins(&self) -> Duration {
        self.probe.map_or(Duration::ZERO, |probe| probe.idle)
    }

    /// Returns how long after the test's start the totals begin: what was asked to be omitted, once
    /// the load has begun.
    #[must_use]
    pub fn omitted(&self) -> Duration {
        self.load_begins() + self.omit
    }

    /// Returns the rate of all streams and directions together, if the test has one.
    #[must_use]
    pub fn total_rate(&self) -> Option<u64> {
        let rate = self.rate?.bits_per_second;
        Some(rate.saturating_mul(u64::from(self.load_flows())))
    }

    /// Returns the time from one block to the next that the rate asks for; zero without a rate.
    #[must_use]
    pub fn block_time(&self) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let bits = f64::from(self.block.max(1)) * 8.0 * f64::from(rate.burst.unwrap_or(1));
        #[allow(clippy::cast_precision_loss, reason = "a rate below 2^50 is exact")]
        let seconds = bits / rate.bits_per_second as f64;
        Duration::from_secs_f64(seconds.min(MAX_TIME.as_secs_f64()))
    }

    /// Returns each length that a message of the test has, with the option that asks for it; 0 where
    /// it is left open.
    pub fn messages(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let bulk = self.workload.is_bulk().then_some(("-l", self.block));
        let exchange = self
            .workload
            .exchange()
            .map(|exchange| [("--request", exchange.request), ("--response", exchange.response)]);
        let probe = self.probe.map(|probe| ("the size behind --probe", probe.size));
        bulk.into_iter().chain(exchange.into_iter().flatten()).chain(probe)
    }

    /// Returns the limit in requests, where requests are what is counted; bytes are rounded up to
    /// whole ones.
    #[must_use]
    pub fn request_limit(&self) -> Option<Limit> {
        let request = u64::from(self.workload.exchange()?.request);
        Some(match self.limit {
            Limit::Bytes(bytes) => Limit::Blocks(bytes.div_ceil(request.max(1))),
            other => other,
        })
    }

    /// Returns how streams are set: as asked for, and where there are requests, so that none of them
    /// waits for more to send.
    #[must_use]
    pub fn stream_tuning(&self) -> Tuning {
        let asks = self.probe.is_some() || self.workload.exchange().is_some();
        Tuning { no_delay: self.tuning.no_delay || asks, ..self.tuning.clone() }
    }

    /// Returns how long the test runs, with what it omits, if time ends it.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        match self.limit {
            Limit::Time(time) => Some(time + self.omitted()),
            Limit::Bytes(_) | Limit::Blocks(_) | Limit::Endless => None,
        }
    }
}

impl Deref for TestSpec {
    type Target = SpecFields;

    fn deref(&self) -> &SpecFields {
        &self.0
    }
}

impl Default for SpecFields {
    /// Ten seconds of TCP, one stream, client to server, a report each second.
    fn default() -> Self {
        Self {
            transport: "tcp".to_owned(),
            workload: Workload::Bulk,
            probe: None,
            direction: Direction::Forward,
            streams: 1,
            limit: Limit::Time(Duration::from_secs(10)),
            omit: Duration::ZERO,
            block: 0,
            rate: None,
            interval: Some(Duration::from_secs(1)),
            tuning: Tuning::default(),
            title: None,
            extra_data: None,
            server_output: false,
            repeating_payload: false,
            udp_counters_64bit: false,
            receive_timeout: None,
            server_affinity: None,
        }
    }
}

impl TryFrom<SpecFields> for TestSpec {
    type Error = SpecErrors;

    fn try_from(fields: SpecFields) -> Result<Self, SpecErrors> {
        let errors = check(&fields);
        if errors.is_empty() { Ok(Self(fields)) } else { Err(SpecErrors(errors)) }
    }
}

impl From<TestSpec> for SpecFields {
    fn from(spec: TestSpec) -> Self {
        spec.0
    }
}

impl SpecErrors {
    /// Returns a mistake by itself.
    pub(crate) fn one(error: SpecError) -> Self {
        Self(vec![error])
    }

    /// Returns each mistake.
    pub fn iter(&self) -> impl Iterator<Item = &SpecError> {
        self.0.iter()
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

fn check(fields: &SpecFields) -> Vec<SpecError> {
    let mut errors = Vec::new();
    let mut require = |ok: bool, field, value: &dyn fmt::Debug, allowed| {
        if !ok {
            errors.push(SpecError { field, value: format!("{value:.64?}"), allowed });
        }
    };
    let name_ok = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    require(
        name_ok(&fields.transport),
        "transport",
        &clip(&fields.transport),
        "1 to 32 of a-z 0-9 - _",
    );
    require((1..=MAX_STREAMS).contains(&fields.streams), "streams", &fields.streams, "1 to 128");
    require(
        limit_ok(fields.limit),
        "limit",
        &fields.limit,
        "more than nothing, at most 86400 s or 2^62",
    );
    require(fields.omit <= MAX_OMIT, "omit", &fields.omit, "0 to 600 s");
    require(
        fields.block <= MAX_BLOCK,
        "block",
        &fields.block,
        "1 byte to 1 MiB (0 for the default)",
    );
    if let Some(rate) = fields.rate {
        let allowed = "1 bit/s to 2^50 bit/s";
        require(
            (1..=MAX_RATE).contains(&rate.bits_per_second),
            "rate",
            &rate.bits_per_second,
            allowed,
        );
        let burst = rate.burst.unwrap_or(1);
        require((1..=MAX_BURST).contains(&burst), "burst", &burst, "1 to 1000 blocks");
    }
    if let Some(interval) = fields.interval {
        require(
            (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval),
            "interval",
            &interval,
            "0.01 to 3600 s",
        );
    }
    let tuning = &fields.tuning;
    if let Some(window) = tuning.window {
        require(window.get() <= MAX_WINDOW, "window", &window, "1 byte to 512 MiB");
    }
    if let Some(mss) = tuning.mss {
        require((MIN_MSS..=MAX_MSS).contains(&mss.get()), "mss", &mss, "88 to 32767 bytes");
    }
    if let Some(congestion) = &tuning.congestion {
        let fits = control_ok(congestion);
        require(fits, "congestion", &clip(congestion), "1 to 32 of a-z A-Z 0-9 - _ : .");
    }
    if let Some(label) = tuning.flow_label {
        require(label.get() <= MAX_FLOW_LABEL, "flow_label", &label, "1 to 1048575");
    }
    if let Some(mtu) = tuning.mtu {
        require((MIN_MTU..=MAX_MTU).contains(&mtu.get()), "mtu", &mtu, "100 to 65507 bytes");
    }
    if let Some(packets) = tuning.ack_frequency {
        let ok = packets.get() <= MAX_ACK_FREQUENCY;
        require(ok, "ack_frequency", &packets, "1 to 1000 packets");
    }
    if let Some(connections) = tuning.connections {
        // Streams of a wrong number are a mistake of their own.
        let most = fields.streams.clamp(1, MAX_STREAMS);
        require(
            connections.get() <= most.into(),
            "connections",
            &connections,
            "1 to the number of streams, at most 128",
        );
    }
    if let Some(timeout) = tuning.send_timeout_ms {
        require(timeout.get() <= MAX_TIMEOUT_MS, "send_timeout_ms", &timeout, "1 ms to a day");
    }
    if let Some(timeout) = fields.receive_timeout {
        require(
            (MIN_RECEIVE_TIMEOUT..=MAX_TIME).contains(&timeout),
            "receive_timeout",
            &timeout,
            "0.1 to 86400 s",
        );
    }
    if let Some(processor) = fields.server_affinity {
        require(processor <= MAX_PROCESSOR, "server_affinity", &processor, "0 to 1024");
    }
    for (field, text) in [("title", &fields.title), ("extra_data", &fields.extra_data)] {
        let len = text.as_ref().map_or(0, String::len);
        require(len <= MAX_TEXT, field, &format!("{len} bytes"), "at most 4096 bytes");
    }
    exchange::check(fields, &mut require);
    errors
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

fn limit_ok(limit: Limit) -> bool {
    match limit {
        Limit::Time(time) => !time.is_zero() && time <= MAX_TIME,
        Limit::Bytes(count) | Limit::Blocks(count) => (1..=MAX_COUNT).contains(&count),
        Limit::Endless => true,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(48).collect()
}

/// The most streams in one direction, as in iperf3.
pub const MAX_STREAMS: u16 = 128;
/// The largest block, as in iperf3.
pub const MAX_BLOCK: u32 = 1 << 20;
const MAX_NAME: usize = 32;
const MAX_TEXT: usize = 4096;
const MAX_TIME: Duration = Duration::from_secs(86_400);
const MAX_OMIT: Duration = Duration::from_secs(600);
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
const MAX_COUNT: u64 = 1 << 62;
const MAX_RATE: u64 = 1 << 50;
const MAX_BURST: u16 = 1000;
const MAX_WINDOW: u32 = 512 << 20;
const MIN_MSS: u32 = 88;
const MAX_MSS: u32 = 32_767;
/// What the transport with the least takes, and what UDP over IPv4 carries.
const MIN_MTU: u32 = 100;
const MAX_MTU: u32 = 65_507;
const MAX_ACK_FREQUENCY: u32 = 1000;
const MAX_FLOW_LABEL: u32 = 0xf_ffff;
const MAX_TIMEOUT_MS: u32 = 86_400_000;
const MIN_RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_PROCESSOR: u16 = 1024;

/// Congestion controls may have a number behind their name, with a unit.
fn control_ok(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
    (1..=32).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert!(TestSpec::try_from(SpecFields::default()).is_ok());
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let errors = TestSpec::try_from(SpecFields {
            transport: "TCP\u{1b}[31m".to_owned(),
            streams: 0,
            limit: Limit::Bytes(1 << 63),
            omit: Duration::from_secs(601),
            block: MAX_BLOCK + 1,
            rate: Some(Rate { bits_per_second: 0, burst: Some(0) }),
            interval: Some(Duration::ZERO),
            tuning: Tuning {
                window: NonZeroU32::new(u32::MAX),
                mss: NonZeroU32::new(1),
                congestion: Some(String::new()),
                mtu: NonZeroU32::new(99),
                ack_frequency: NonZeroU32::new(1001),
                connections: NonZeroU32::new(2),
                ..Tuning::default()
            },
            title: Some("x".repeat(5000)),
            ..SpecFields::default()
        })
        .unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            [
                "transport",
                "streams",
                "limit",
                "omit",
                "block",
                "rate",
                "burst",
                "interval",
                "window",
                "mss",
                "congestion",
                "mtu",
                "ack_frequency",
                "connections",
                "title"
            ]
        );
        assert!(!errors.to_string().contains('\u{1b}'));
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let spec = TestSpec::try_from(SpecFields {
            direction: Direction::Bidirectional,
            rate: Some(Rate { bits_per_second: 100, burst: None }),
            ..SpecFields::default()
        })
        .unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<TestSpec>(&json).unwrap(), spec);
        assert_eq!((spec.flows(), spec.total_rate()), (2, Some(200)));
    }

    #[test]
    fn unknown_fields_and_absurd_values_are_refused_on_the_wire() {
        let mut json = serde_json::to_value(SpecFields::default()).unwrap();
        json["streams"] = 60_000.into();
        assert!(serde_json::from_value::<TestSpec>(json.clone()).is_err());
        json["streams"] = 1.into();
        json["zero_copy"] = true.into();
        assert!(serde_json::from_value::<TestSpec>(json).is_err());
    }
}
