//! From the client's options to a test.

use std::num::NonZeroU32;

use crate::{
    spec::{Direction, Limit, Rate, SpecFields, TestSpec},
    transport::Tuning,
};

use super::{
    exchange, kcp,
    packets::{self, Here},
    quic,
    raw::{RawClient, RawTest},
    values::{Mistakes, natural, rate, seconds, shown, size},
};

/// Checks which test is asked for. Returns `None` if a mistake leaves none.
pub(super) fn test_spec(
    raw: &RawClient,
    here: &Here,
    transports: &[&str],
    mistakes: &mut Mistakes,
) -> Option<TestSpec> {
    let fields = fields(raw, here, transports, mistakes);
    let errors = match TestSpec::try_from(fields) {
        Ok(spec) => return Some(spec),
        Err(errors) => errors,
    };
    for error in errors.iter() {
        match typed(raw, error.field) {
            Some((option, text)) => {
                let text = shown(text);
                mistakes.add(format!("{option} {text} is out of range: {}", error.allowed));
            }
            None => mistakes.add(error.to_string()),
        }
    }
    None
}

/// Returns the fields; one whose value is no value at all keeps its default.
fn fields(
    raw: &RawClient,
    here: &Here,
    transports: &[&str],
    mistakes: &mut Mistakes,
) -> SpecFields {
    let default = SpecFields::default();
    let RawClient { test, streams, output, .. } = raw;
    let transport = transport(test, transports, mistakes);
    let interval = mistakes.value("-i", test.interval.as_ref(), seconds);
    let workload = exchange::workload(raw, mistakes);
    let fields = SpecFields {
        transport: transport.unwrap_or(default.transport),
        workload,
        probe: exchange::probe(raw, mistakes),
        direction: direction(test, mistakes),
        limit: limit(test, mistakes).unwrap_or(default.limit),
        omit: mistakes.value("-O", test.omit.as_ref(), seconds).unwrap_or(default.omit),
        interval: interval.map_or(default.interval, |time| (!time.is_zero()).then_some(time)),
        streams: mistakes.value("-P", streams.parallel.as_ref(), count).unwrap_or(default.streams),
        rate: mistakes.value("-b", streams.bitrate.as_ref(), paced).flatten(),
        block: mistakes.value("-l", streams.length.as_ref(), size).map_or(default.block, capped),
        tuning: tuning(raw, mistakes),
        title: mistakes.text("-T", output.title.as_ref()),
        extra_data: mistakes.text("--extra-data", output.extra_data.as_ref()),
        server_output: output.get_server_output,
        repeating_payload: raw.packets.repeating_payload,
        udp_counters_64bit: raw.packets.udp_counters_64bit,
        receive_timeout: here.receive_timeout,
        server_affinity: here.server_affinity,
    };
    if workload.is_bulk() {
        return fields;
    }
    // Where these were asked for, they have been refused.
    SpecFields { direction: default.direction, block: default.block, rate: default.rate, ..fields }
}

fn transport(raw: &RawTest, transports: &[&str], mistakes: &mut Mistakes) -> Option<String> {
    let named = mistakes.name("--transport", raw.transport.as_ref(), transports);
    match (raw.udp, named) {
        (true, Some(named)) if named != UDP => {
            mistakes.add(format!("-u and --transport {named} exclude each other: keep one"));
            Some(named)
        }
        (true, _) => mistakes.name("-u, which is --transport", Some(&UDP.to_owned()), transports),
        (false, named) => named,
    }
}

fn direction(raw: &RawTest, mistakes: &mut Mistakes) -> Direction {
    match (raw.reverse, raw.bidir) {
        (true, true) => {
            mistakes.add("-R and --bidir exclude each other: --bidir already has both directions");
            Direction::Bidirectional
        }
        (true, false) => Direction::Reverse,
        (false, true) => Direction::Bidirectional,
        (false, false) => Direction::Forward,
    }
}

fn limit(raw: &RawTest, mistakes: &mut Mistakes) -> Option<Limit> {
    let given = [("-t", &raw.time), ("-n", &raw.bytes), ("-k", &raw.blockcount)];
    let given = given.map(|(option, text)| (option, text.is_some()));
    mistakes.exclusive(&given, "a test has one end; keep one");
    let time = mistakes.value("-t", raw.time.as_ref(), seconds);
    let time = time.map(|time| if time.is_zero() { Limit::Endless } else { Limit::Time(time) });
    let bytes = mistakes.value("-n", raw.bytes.as_ref(), size).map(Limit::Bytes);
    let blocks = mistakes.value("-k", raw.blockcount.as_ref(), size).map(Limit::Blocks);
    time.or(bytes).or(blocks)
}

fn tuning(raw: &RawClient, mistakes: &mut Mistakes) -> Tuning {
    let streams = &raw.streams;
    let tuning = Tuning {
        window: mistakes
            .value("-w", streams.window.as_ref(), size)
            .map(capped)
            .and_then(NonZeroU32::new),
        mss: mistakes.value("-M", streams.set_mss.as_ref(), segment),
        no_delay: streams.no_delay,
        congestion: mistakes.text("-C", streams.congestion.as_ref()),
        ..Tuning::default()
    };
    let tuning = packets::tuning(&raw.packets, tuning, mistakes);
    let tuning = quic::tuning(&raw.quic, tuning, mistakes);
    kcp::tuning(&raw.kcp, tuning, mistakes)
}

/// Parses `RATE` or `RATE/BURST`; 0 is no rate.
fn paced(text: &str) -> Result<Option<Rate>, String> {
    let (text, burst) = match text.split_once('/') {
        Some((text, burst)) => {
            (text, Some(count(burst).map_err(|problem| format!("has a burst that {problem}"))?))
        }
        None => (text, None),
    };
    match (rate(text)?, burst) {
        (0, Some(_)) => Err("has a burst without a rate: give one, as in 100M/10".to_owned()),
        (0, None) => Ok(None),
        (bits_per_second, burst) => Ok(Some(Rate { bits_per_second, burst })),
    }
}

fn segment(text: &str) -> Result<NonZeroU32, String> {
    NonZeroU32::new(capped(natural(text)?))
        .ok_or_else(|| "is nothing: leave it out for the system's".to_owned())
}

/// What `-u` stands for, as in iperf3.
const UDP: &str = "udp";

/// Parses a count; one that is too large stays too large, for the specification to refuse.
fn count(text: &str) -> Result<u16, String> {
    natural(text).map(|count| u16::try_from(count).unwrap_or(u16::MAX))
}

fn capped(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Returns the option that a field comes from, and what was typed.
fn typed<'a>(raw: &'a RawClient, field: &str) -> Option<(&'static str, &'a str)> {
    let RawClient { test, streams, exchange, quic, output, .. } = raw;
    let limit = [("-t", &test.time), ("-n", &test.bytes), ("-k", &test.blockcount)];
    let (option, text) = match field {
        "transport" => ("--transport", &test.transport),
        "streams" => ("-P", &streams.parallel),
        "limit" => limit.into_iter().find(|(_, text)| text.is_some())?,
        "omit" => ("-O", &test.omit),
        "interval" => ("-i", &test.interval),
        "block" => ("-l", &streams.length),
        "rate" | "burst" => ("-b", &streams.bitrate),
        "window" => ("-w", &streams.window),
        "mss" => ("-M", &streams.set_mss),
        "congestion" => ("-C", &streams.congestion),
        "request" => ("--request", &exchange.request),
        "response" => ("--response", &exchange.response),
        "in_flight" => ("--in-flight", &exchange.in_flight),
        "per_second" => ("--requests-per-second", &exchange.requests_per_second),
        "every" => ("--probe", &exchange.probe),
        "mtu" => ("--mtu", &quic.mtu),
        "ack_frequency" => ("--ack-frequency", &quic.ack_frequency),
        "connections" => ("--connections", &quic.connections),
        "title" => ("-T", &output.title),
        "extra_data" => ("--extra-data", &output.extra_data),
        _ => return None,
    };
    Some((option, text.as_deref()?))
}
