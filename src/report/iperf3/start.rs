use std::{num::NonZero, time::Duration};

use polyperf_transport::PathStats;
use serde::Serialize;
use serde_json::Number;

use crate::{
    measure::FlowId,
    outcome::{Side, TestInfo},
    report::row,
    spec::{Direction, Limit, SpecFields},
};

/// `start`.
#[derive(Debug, Default, Serialize)]
pub(in crate::report) struct Start {
    connected: Vec<Connected>,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_info: Option<String>,
    #[serde(flatten)]
    test: Option<Test>,
}

/// What `start` holds once there is a test.
#[derive(Debug, Serialize)]
struct Test {
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    connecting_to: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_connection: Option<Endpoint>,
    cookie: String,
    /// The segment size that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_mss: Option<u32>,
    /// The segment size that came about: null until a path has told.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_mss_default: Option<Option<u32>>,
    target_bitrate: u64,
    fq_rate: u64,
    sock_bufsize: u32,
    sndbuf_actual: Option<u64>,
    rcvbuf_actual: Option<u64>,
    test_start: TestStart,
}

#[derive(Debug, Serialize)]
struct Connected {
    socket: FlowId,
    local_host: String,
    local_port: u16,
    remote_host: String,
    remote_port: u16,
}

#[derive(Debug, Serialize)]
struct Timestamp {
    time: String,
    timesecs: u64,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    host: String,
    port: u16,
}

#[derive(Debug, Serialize)]
struct TestStart {
    protocol: String,
    num_streams: u16,
    /// Null where the transport chooses the length.
    blksize: Option<u32>,
    omit: Number,
    duration: Number,
    bytes: u64,
    blocks: u64,
    reverse: u8,
    tos: u8,
    target_bitrate: u64,
    bidir: u8,
    fqrate: u64,
    interval: Number,
}

impl Start {
    /// Returns the start of a test that never came about.
    pub(in crate::report) fn of_nothing() -> Self {
        Self {
            version: concat!("polyperf ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Self::default()
        }
    }

    /// Returns the start of a test, and what is known of its first stream's `path` by now.
    pub(in crate::report) fn new(info: &TestInfo, path: Option<&PathStats>) -> Self {
        let connected = info.flows.iter().map(|flow| Connected {
            socket: flow.flow,
            local_host: flow.local.ip().to_canonical().to_string(),
            local_port: flow.local.port(),
            remote_host: flow.peer.ip().to_canonical().to_string(),
            remote_port: flow.peer.port(),
        });
        Self {
            connected: connected.collect(),
            version: info.local_host.program.clone(),
            system_info: Some(info.local_host.system.clone()),
            test: Some(Test::new(info, path)),
        }
    }
}

impl Test {
    fn new(info: &TestInfo, path: Option<&PathStats>) -> Self {
        let spec = &info.spec;
        let address = info.peer.ip().to_canonical().to_string();
        let host = info.host.clone().filter(|_| info.side == Side::Client).unwrap_or(address);
        let peer = Endpoint { host, port: info.peer.port() };
        let (connecting_to, accepted_connection) = match info.side {
            Side::Client => (Some(peer), None),
            Side::Server => (None, Some(peer)),
        };
        let datagrams = row::is_of_datagrams(info);
        let asked_mss = spec.tuning.mss.map(NonZero::get);
        Self {
            timestamp: Timestamp {
                time: http_date(info.started),
                timesecs: info.started.as_secs(),
            },
            connecting_to,
            accepted_connection,
            cookie: info.session.clone(),
            tcp_mss: asked_mss,
            tcp_mss_default: (asked_mss.is_none() && !datagrams).then(|| path?.mss),
            target_bitrate: spec.rate.map_or(0, |rate| rate.bits_per_second),
            fq_rate: fq_rate(spec),
            sock_bufsize: spec.tuning.window.map_or(0, NonZero::get),
            sndbuf_actual: path.and_then(|path| path.send_buffer),
            rcvbuf_actual: path.and_then(|path| path.recv_buffer),
            test_start: TestStart::new(info),
        }
    }
}

impl TestStart {
    fn new(info: &TestInfo) -> Self {
        let spec = &info.spec;
        let (mut duration, mut bytes, mut blocks) = (Duration::ZERO, 0, 0);
        match spec.limit {
            Limit::Time(time) => duration = time,
            Limit::Bytes(count) => bytes = count,
            Limit::Blocks(count) => blocks = count,
            Limit::Endless => {}
        }
        Self {
            protocol: spec.transport.to_ascii_uppercase(),
            num_streams: spec.streams,
            blksize: Some(spec.block).filter(|block| *block > 0),
            omit: seconds(spec.omitted()),
            duration: seconds(duration),
            bytes,
            blocks,
            reverse: u8::from(spec.direction == Direction::Reverse),
            tos: spec.tuning.tos.unwrap_or(0),
            target_bitrate: spec.rate.map_or(0, |rate| rate.bits_per_second),
            bidir: u8::from(spec.direction == Direction::Bidirectional),
            fqrate: fq_rate(spec),
            interval: seconds(spec.interval.unwrap_or_default()),
        }
    }
}

/// Returns the rate at which the system is to pace; 0 is not asked for.
fn fq_rate(spec: &SpecFields) -> u64 {
    spec.tuning.fq_rate.map_or(0, NonZero::get)
}

/// Returns seconds, as a whole number where they are one: iperf3 writes these as whole numbers, and
/// some of its readers take nothing else.
fn seconds(time: Duration) -> Number {
    match Number::from_f64(time.as_secs_f64()) {
        Some(fraction) if time.subsec_nanos() > 0 => fraction,
        _ => time.as_secs().into(),
    }
}

/// Returns a time since the Unix epoch as `Mon, 23 Nov 2026 04:12:07 GMT`.
fn http_date(since_epoch: Duration) -> String {
    let (days, of_day) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    #[allow(clippy::cast_possible_truncation, reason = "0 to 6")]
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Returns year, month and day of a count of days since 1970-01-01, by the Gregorian calendar.
///
/// Years are counted from March, so that a leap day is the last of its year, in cycles of 400.
fn civil(days: u64) -> (u64, &'static str, u64) {
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let days = days + 719_468;
    let (cycle, of_cycle) = (days / 146_097, days % 146_097);
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    #[allow(clippy::cast_possible_truncation, reason = "0 to 11")]
    let name = MONTHS[month as usize];
    (cycle * 400 + year + u64::from(month >= 10), name, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_407_119, "Mon, 23 Nov 2026 04:11:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(Duration::from_secs(seconds)), date);
        }
        assert!(http_date(Duration::from_micros(u64::MAX)).ends_with("GMT"));
    }

    #[test]
    fn whole_seconds_are_whole_numbers() {
        assert_eq!(seconds(Duration::from_secs(10)).to_string(), "10");
        assert_eq!(seconds(Duration::from_millis(500)).to_string(), "0.5");
    }
}
