use std::{fmt, time::Duration};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{BadResults, CpuPercent, Datagrams, Omitted, Output, Results, StreamResult};
use crate::{
    measure::FlowId,
    protocol::iperf3::fields::{self, Fields, Keys, Number, Scalar},
    spec::MAX_STREAMS,
};

pub(super) fn read(text: &[u8]) -> Result<Results, BadResults> {
    let top = fields::read(text, TopSeed).map_err(BadResults::Text)?;
    let cpu = |key| top.fields.number(key).map(|n| n.real).ok_or(BadResults::Missing(key));
    let cpu = CpuPercent {
        total: cpu("cpu_util_total")?,
        user: cpu("cpu_util_user")?,
        system: cpu("cpu_util_system")?,
    };
    let retransmits = required(&top.fields, "sender_has_retransmits")?;
    let streams = top.streams.ok_or(BadResults::Missing("streams"))?;
    let text = top.fields.text("server_output_text");
    Ok(Results {
        cpu,
        sender_has_retransmits: known(retransmits).map(|has| has > 0),
        congestion: top.fields.text("congestion_used").map(|name| clip(name, MAX_NAME)),
        streams: streams.iter().map(stream).collect::<Result<_, _>>()?,
        output: match (top.document, text) {
            (Some(document), _) => Some(Output::Json(document.get().to_owned())),
            (None, text) => text.map(|text| Output::Text(text.to_owned())),
        },
    })
}

fn flow_of(id: i64) -> Option<FlowId> {
    match id {
        1 => Some(FlowId(1)),
        3.. => u16::try_from(id - 1).ok().map(FlowId),
        _ => None,
    }
}

fn stream(fields: &Fields) -> Result<StreamResult, BadResults> {
    let id = required(fields, "id")?.whole;
    let [bytes, packets, lost] = [
        count(required(fields, "bytes")?),
        count(required(fields, "packets")?),
        count(required(fields, "errors")?),
    ];
    let omitted = match (fields.number("omitted_packets"), fields.number("omitted_errors")) {
        (Some(packets), Some(lost)) => Some(Omitted { packets: count(packets), lost: count(lost) }),
        _ => None,
    };
    let left_out = omitted.unwrap_or_default();
    let end = fields.number("end_time").map_or(0.0, |end| end.real);
    let start = fields.number("start_time").map_or(0.0, |start| start.real);
    Ok(StreamResult {
        flow: flow_of(id).ok_or(BadResults::Stream(id))?,
        bytes,
        retransmits: known(required(fields, "retransmits")?),
        datagrams: Datagrams {
            packets: packets.saturating_sub(left_out.packets),
            lost: lost.saturating_sub(left_out.lost),
            out_of_order: None,
            jitter: seconds(required(fields, "jitter")?.real),
            omitted,
        },
        duration: seconds(end - start),
    })
}

fn required(fields: &Fields, key: &'static str) -> Result<Number, BadResults> {
    fields.number(key).ok_or(BadResults::Missing(key))
}

/// Returns a count that may be -1 for unknown, which builds with another JSON library write as
/// 2^64 - 1.
fn known(number: Number) -> Option<u64> {
    if number.whole == i64::MAX { None } else { number.whole.try_into().ok() }
}

fn count(number: Number) -> u64 {
    known(number).unwrap_or(0)
}

/// Returns a time that is no longer than any test.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default().min(MAX_TIME)
}

fn clip(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The top level of the results, while they are read.
#[derive(Default)]
struct Top {
    fields: Fields,
    streams: Option<Vec<Fields>>,
    /// Kept as text: its values would take many times the room.
    document: Option<Box<RawValue>>,
}

struct TopSeed;

impl<'de> DeserializeSeed<'de> for TopSeed {
    type Value = Top;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Top, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopSeed {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut top = Top::default();
        while let Some(key) = map.next_key::<String>()? {
            match Keys(TOP_KEYS).find(&key) {
                Some("streams") if top.streams.is_none() => {
                    top.streams = Some(map.next_value_seed(StreamsSeed)?);
                }
                Some("server_output_json") if top.document.is_none() => {
                    top.document = Some(map.next_value()?);
                }
                Some(key) => top.fields.keep(key, map.next_value::<Scalar>()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(top)
    }
}

/// Reads no more streams than a test can have.
struct StreamsSeed;

impl<'de> DeserializeSeed<'de> for StreamsSeed {
    type Value = Vec<Fields>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Fields>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for StreamsSeed {
    type Value = Vec<Fields>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX} objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Fields>, A::Error> {
        let mut streams = Vec::new();
        while let Some(stream) = seq.next_element_seed(Keys(STREAM_KEYS))? {
            if streams.len() == MAX {
                return Err(serde::de::Error::invalid_length(MAX + 1, &self));
            }
            streams.push(stream);
        }
        Ok(streams)
    }
}

const TOP_KEYS: &[&str] = &[
    "cpu_util_total",
    "cpu_util_user",
    "cpu_util_system",
    "sender_has_retransmits",
    "congestion_used",
    "server_output_json",
    "server_output_text",
    "streams",
];
const STREAM_KEYS: &[&str] = &[
    "id",
    "bytes",
    "retransmits",
    "jitter",
    "errors",
    "omitted_errors",
    "packets",
    "omitted_packets",
    "start_time",
    "end_time",
];
/// Both directions' streams together.
const MAX: usize = MAX_STREAMS as usize * 2;
const MAX_NAME: usize = 32;
/// Longer than any test, and short enough for any sum.
const MAX_TIME: Duration = Duration::from_secs(1 << 20);
