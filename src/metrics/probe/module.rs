use std::{collections::BTreeMap, time::Duration};

use super::Target;
use crate::{
    report::safe,
    spec::{Direction, Limit, Rate, SpecFields},
    units,
};

/// A test, by the name that Prometheus gives it: `tcp`, `quic_reverse`, `udp_bidir`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// The transport.
    pub transport: String,
    /// Whether the other end sends.
    pub reverse: bool,
    /// Whether both ends send at once.
    pub bidir: bool,
    /// How long it runs.
    pub time: Duration,
    /// Streams in each direction.
    pub streams: u16,
    /// Bits per second of each stream; datagrams have 1 Mbit/s if it is not given.
    pub rate: Option<u64>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    target: String,
    port: Option<u16>,
    pub(super) module: Module,
    pub(super) names: Names,
}

/// Whose names the figures are to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Ours,
    /// Those of github.com/edgard/iperf3_exporter.
    Iperf3Exporter,
}

impl Module {
    fn named(name: &str) -> Result<Self, String> {
        let (transport, way) = match name.rsplit_once('_') {
            Some((transport, way @ ("reverse" | "bidir"))) => (transport, way),
            _ => (name, ""),
        };
        Ok(Self {
            transport: transport.to_owned(),
            reverse: way == "reverse",
            bidir: way == "bidir",
            time: DEFAULT_TIME,
            streams: 1,
            rate: (transport == "udp" || transport == "quic-datagram").then_some(DATAGRAM_RATE),
        })
    }

    pub(super) fn apply(&self, spec: &mut SpecFields) {
        spec.transport.clone_from(&self.transport);
        spec.direction = match (self.reverse, self.bidir) {
            (_, true) => Direction::Bidirectional,
            (true, _) => Direction::Reverse,
            _ => Direction::Forward,
        };
        spec.limit = Limit::Time(self.time);
        spec.streams = self.streams;
        spec.rate = self.rate.map(|bits_per_second| Rate { bits_per_second, burst: None });
    }
}

impl Wish {
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
            .map_err(|error| format!("the query cannot be read: {error}"))?;
        for (key, value) in pairs {
            if given.insert(key.clone(), value).is_some() {
                return Err(format!("{} is given twice", shown(&key)));
            }
        }
        let mut take = |key: &str| given.remove(key).filter(|value| !value.is_empty());
        let target =
            take("target").ok_or("the target is missing: /probe?target=HOST&module=tcp")?;
        let port = take("port").map(|port| number(&port, "port", 1, u16::MAX)).transpose()?;
        let protocol = take("protocol").map(|name| name.to_lowercase());
        let name = take("module").or(protocol).unwrap_or_else(|| "tcp".to_owned());
        let mut module = Module::named(&name)?;
        if let Some(reverse) = take("reverse_mode") {
            module.reverse |= truth(&reverse, "reverse_mode")?;
        }
        if let Some(time) = take("time").or_else(|| take("period")) {
            module.time = seconds(&time)?;
        }
        if let Some(streams) = take("streams") {
            module.streams = number(&streams, "streams", 1, 128)?;
        }
        if let Some(rate) = take("bitrate") {
            let rate = units::parse_rate(&rate)
                .map_err(|problem| format!("bitrate {} {problem}", shown(&rate)))?;
            module.rate = (rate > 0).then_some(rate);
        }
        let names = match take("format").as_deref() {
            None | Some("polyperf") => Names::Ours,
            Some("iperf3_exporter") => Names::Iperf3Exporter,
            Some(other) => {
                return Err(format!(
                    "format {} is neither polyperf nor iperf3_exporter",
                    shown(other)
                ));
            }
        };
        if let Some(unknown) = given.keys().next() {
            return Err(format!("{} is no parameter of a probe", shown(unknown)));
        }
        Ok(Self { target, port, module, names })
    }

    /// Returns whether this target is meant: by its name, or by its host where a port is given, which
    /// must be its own.
    pub(super) fn means(&self, target: &Target) -> bool {
        match self.port {
            None => self.target == target.name,
            Some(port) => {
                [&target.name, &target.host].contains(&&self.target) && port == target.port
            }
        }
    }

    /// Returns how the target was named, as it can be shown.
    pub(super) fn shown(&self) -> String {
        let port = self.port.map(|port| format!(" port {port}")).unwrap_or_default();
        shown(&self.target) + &port
    }
}

fn number(text: &str, what: &str, least: u16, most: u16) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{what} {} is not from {least} to {most}", shown(text)))
}

fn truth(text: &str, what: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{what} {} is neither true nor false", shown(text))),
    }
}

/// Parses `5`, `5s` or `1m`.
fn seconds(text: &str) -> Result<Duration, String> {
    let plain = text.parse().ok().map(Duration::from_secs);
    let time = plain.or_else(|| humantime::parse_duration(text).ok());
    let time = time.filter(|time| (MIN_TIME..=MAX_TIME).contains(time));
    time.ok_or_else(|| format!("time {} is not from 1 s to 60 s", shown(text)))
}

/// Returns a text as it can be shown.
fn shown(text: &str) -> String {
    format!("\"{}\"", safe::short(text))
}

const DEFAULT_TIME: Duration = Duration::from_secs(5);
const MIN_TIME: Duration = Duration::from_secs(1);
const MAX_TIME: Duration = Duration::from_secs(60);
const DATAGRAM_RATE: u64 = 1 << 20;
