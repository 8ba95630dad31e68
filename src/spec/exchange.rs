use std::{fmt::Debug, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, SpecFields, churn};
use crate::micros;

/// What the streams of a test do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Workload {
    /// They carry as much as they can, or as they may, in the test's direction.
    #[default]
    Bulk,
    /// The client asks and the server answers, again and again on the same streams.
    Rr(Exchange),
    /// The client connects, asks once, is answered and closes, again and again; each stream of the
    /// test stands for one connection at a time.
    Churn(Exchange),
}

/// Requests and responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Bytes of a request.
    pub request: u32,
    /// Bytes of its response.
    pub response: u32,
    /// Requests under way at once on each stream; of connections that are closed after each, 1.
    pub in_flight: u16,
    /// Requests a second on each stream, on a schedule that does not wait for responses: latency is
    /// counted from when a request was due. `None`: the next one goes when a response has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

/// Requests on a flow of their own, to tell how long one takes while others are busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// From one request to the next.
    #[serde(rename = "every_us", with = "micros")]
    #[schemars(with = "u64")]
    pub every: Duration,
    /// How long it probes before the load begins; the test omits that time.
    #[serde(rename = "idle_us", with = "micros")]
    #[schemars(with = "u64")]
    pub idle: Duration,
    /// Bytes of a request, and of its response.
    pub size: u32,
}

impl Workload {
    /// Returns whether the streams carry bulk.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        *self == Self::Bulk
    }

    /// Returns what is exchanged, if requests and responses are.
    #[must_use]
    pub fn exchange(&self) -> Option<Exchange> {
        match self {
            Self::Bulk => None,
            Self::Rr(exchange) | Self::Churn(exchange) => Some(*exchange),
        }
    }
}

impl Default for Exchange {
    /// A request of 64 bytes and a response of 64, one at a time.
    fn default() -> Self {
        Self { request: 64, response: 64, in_flight: 1, per_second: None }
    }
}

impl Default for Probe {
    /// A hundred probes of 64 bytes a second, for a second before the load begins.
    fn default() -> Self {
        Self { every: Duration::from_millis(10), idle: Duration::from_secs(1), size: 64 }
    }
}

impl Probe {
    /// Returns what the probe exchanges: each request on its schedule, however many are under way.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        let (request, response) = (self.size, self.size);
        Exchange { request, response, in_flight: MAX_IN_FLIGHT, per_second: None }
    }
}

/// Takes note of whether a field holds what it may.
pub(super) type Require<'a> = &'a mut dyn FnMut(bool, &'static str, &dyn Debug, &'static str);

/// Checks what the streams do, and what probes them.
pub(super) fn check(fields: &SpecFields, require: Require<'_>) {
    match &fields.workload {
        Workload::Bulk => {}
        Workload::Rr(exchange) => check_rr(fields, exchange, require),
        Workload::Churn(exchange) => churn::check(fields, *exchange, require),
    }
    if let Some(probe) = &fields.probe {
        check_probe(fields, probe, require);
    }
}

fn check_rr(fields: &SpecFields, exchange: &Exchange, require: Require<'_>) {
    check_sizes(exchange, require);
    let in_flight = exchange.in_flight;
    require((1..=MAX_IN_FLIGHT).contains(&in_flight), "in_flight", &in_flight, "1 to 1024");
    if let Some(rate) = exchange.per_second {
        require((1..=MAX_PER_SECOND).contains(&rate), "per_second", &rate, "1 to 1000000");
    }
    let direction = fields.direction;
    require(direction == Direction::Forward, "direction", &direction, "forward: the client asks");
    let block_fits = [0, exchange.request].contains(&fields.block);
    require(block_fits, "block", &fields.block, "0, or the length of a request");
}

fn check_sizes(exchange: &Exchange, require: Require<'_>) {
    for (field, size) in [("request", exchange.request), ("response", exchange.response)] {
        require((1..=MAX_SIZE).contains(&size), field, &size, "1 byte to 1 MiB");
    }
}

fn check_probe(fields: &SpecFields, probe: &Probe, require: Require<'_>) {
    require(fields.workload.is_bulk(), "probe", &"another workload", "a test that carries bulk");
    let every = probe.every;
    require((MIN_EVERY..=MAX_EVERY).contains(&every), "every", &every, "1 ms to 10 s");
    require(probe.idle <= MAX_IDLE, "idle", &probe.idle, "0 to 60 s");
    require((1..=MAX_SIZE).contains(&probe.size), "size", &probe.size, "1 byte to 1 MiB");
}

/// The most requests that are under way at once on one stream.
pub const MAX_IN_FLIGHT: u16 = 1024;
/// The longest request or response.
const MAX_SIZE: u32 = 1 << 20;
const MAX_PER_SECOND: u32 = 1_000_000;
const MIN_EVERY: Duration = Duration::from_millis(1);
const MAX_EVERY: Duration = Duration::from_secs(10);
const MAX_IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{FlowId, Role},
        outcome::Side,
        spec::{Limit, TestSpec},
    };

    fn wrong(fields: SpecFields) -> Vec<&'static str> {
        let errors = TestSpec::try_from(fields).err();
        errors.iter().flat_map(|errors| errors.iter().map(|error| error.field)).collect()
    }

    fn rr(exchange: Exchange) -> SpecFields {
        SpecFields { workload: Workload::Rr(exchange), ..SpecFields::default() }
    }

    #[test]
    fn what_is_exchanged_keeps_to_its_bounds() {
        assert_eq!(wrong(rr(Exchange::default())), [""; 0]);
        let most = Exchange {
            request: MAX_SIZE,
            response: MAX_SIZE,
            in_flight: MAX_IN_FLIGHT,
            per_second: Some(MAX_PER_SECOND),
        };
        assert_eq!(wrong(rr(most)), [""; 0]);
        let beyond =
            Exchange { request: 0, response: MAX_SIZE + 1, in_flight: 0, per_second: Some(0) };
        assert_eq!(wrong(rr(beyond)), ["request", "response", "in_flight", "per_second"]);
        let backwards = SpecFields { direction: Direction::Reverse, block: 9, ..rr(most) };
        assert_eq!(wrong(backwards), ["direction", "block"]);
    }

    #[test]
    fn a_probe_keeps_to_its_bounds_and_to_bulk() {
        let probed = |probe| SpecFields { probe: Some(probe), ..SpecFields::default() };
        assert_eq!(wrong(probed(Probe::default())), [""; 0]);
        let beyond = Probe { every: MIN_EVERY / 2, idle: MAX_IDLE * 2, size: 0 };
        assert_eq!(wrong(probed(beyond)), ["every", "idle", "size"]);
        let rr = SpecFields { probe: Some(Probe::default()), ..rr(Exchange::default()) };
        assert_eq!(wrong(rr), ["probe"]);
    }

    #[test]
    fn a_probe_has_a_flow_of_its_own_that_no_load_has() {
        let fields = SpecFields {
            direction: Direction::Bidirectional,
            streams: 2,
            omit: Duration::from_secs(2),
            limit: Limit::Time(Duration::from_secs(10)),
            probe: Some(Probe::default()),
            ..SpecFields::default()
        };
        let spec = TestSpec::try_from(fields).unwrap();
        assert_eq!((spec.load_flows(), spec.flows()), (4, 5));
        let roles = [Side::Client, Side::Server].map(|side| spec.role(side, FlowId(5)));
        assert_eq!(roles, [Some(Role::Prober), Some(Role::Probed)]);
        assert_eq!(spec.role(Side::Client, FlowId(6)), None);
        assert_eq!(spec.omitted(), Duration::from_secs(3), "the idle time, and what is omitted");
        assert_eq!(spec.duration(), Some(Duration::from_secs(13)));
    }
}
