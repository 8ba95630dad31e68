use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::{Entry, Record, sql::Value};
use crate::{
    event::FailedEvent,
    measure::{DatagramSummary, ExchangeSummary, FlowSummary, Latencies, Role},
    names::name_of,
    outcome::{Ended, Failure, Outcome, Side},
};

/// A test in a list: what can be told without its document.
///
/// What is unknown is `None`, and left out of JSON. Texts of the other end are as they came, but cut
/// to a length: whoever shows them makes them safe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, FromRow)]
pub struct Summary {
    /// Its number in this history.
    pub id: i64,
    /// Its name in every history.
    pub key: String,
    /// When it started, in microseconds since the Unix epoch; when it failed, if it did not start.
    pub started_us: i64,
    /// The end that tells: `client` or `server`.
    pub side: String,
    /// `complete`, `stopped`, `failed`, or `nothing` where it has nothing to show.
    pub ended: String,
    /// The kind of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why it failed, or was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The session's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The label that its user gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The control protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// The transport's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// What its streams did: `bulk`, `rr` or `churn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// `forward`, `reverse` or `bidirectional`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Streams in each direction that was in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<i64>,
    /// The host that the client's user named, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The other end's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The other end's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_port: Option<i64>,
    /// Who the client has proved to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// This end's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The other end's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_program: Option<String>,
    /// How long it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<i64>,
    /// Bytes that the server received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_up: Option<i64>,
    /// Bytes that the client received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_down: Option<i64>,
    /// Goodput towards the server, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_up: Option<f64>,
    /// Goodput towards the client, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_down: Option<f64>,
    /// The mean of its streams' mean round-trip times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<i64>,
    /// The mean of its streams' jitters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_us: Option<i64>,
    /// The part of its datagrams that was lost, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Retransmissions of all streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<i64>,
    /// What half of its requests did not exceed, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p50_ns: Option<i64>,
    /// What 99 % of its requests did not exceed, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_ns: Option<i64>,
    /// How many intervals are kept of it.
    pub intervals: i64,
    /// How many are not, because there was no room for them.
    pub intervals_left_out: i64,
    /// About how many bytes it takes in the history.
    pub size: i64,
}

/// A column, and what a test has in it.
pub(super) type Column = (&'static str, fn(&Summary) -> Value);

/// Every column that a list shows, but the first: the database numbers tests.
pub(super) const COLUMNS: [Column; 33] = [
    ("key", |of| Value::text(&of.key)),
    ("started_us", |of| of.started_us.into()),
    ("side", |of| Value::text(&of.side)),
    ("ended", |of| Value::text(&of.ended)),
    ("failure", |of| of.failure.clone().into()),
    ("message", |of| of.message.clone().into()),
    ("session", |of| of.session.clone().into()),
    ("title", |of| of.title.clone().into()),
    ("dialect", |of| of.dialect.clone().into()),
    ("transport", |of| of.transport.clone().into()),
    ("workload", |of| of.workload.clone().into()),
    ("direction", |of| of.direction.clone().into()),
    ("streams", |of| of.streams.into()),
    ("host", |of| of.host.clone().into()),
    ("peer", |of| of.peer.clone().into()),
    ("peer_port", |of| of.peer_port.into()),
    ("username", |of| of.username.clone().into()),
    ("program", |of| of.program.clone().into()),
    ("peer_program", |of| of.peer_program.clone().into()),
    ("duration_us", |of| of.duration_us.into()),
    ("bytes_up", |of| of.bytes_up.into()),
    ("bytes_down", |of| of.bytes_down.into()),
    ("goodput_up", |of| of.goodput_up.into()),
    ("goodput_down", |of| of.goodput_down.into()),
    ("rtt_us", |of| of.rtt_us.into()),
    ("jitter_us", |of| of.jitter_us.into()),
    ("loss", |of| of.loss.into()),
    ("retransmits", |of| of.retransmits.into()),
    ("latency_p50_ns", |of| of.latency_p50_ns.into()),
    ("latency_p99_ns", |of| of.latency_p99_ns.into()),
    ("intervals", |of| of.intervals.into()),
    ("intervals_left_out", |of| of.intervals_left_out.into()),
    ("size", |of| of.size.into()),
];

impl Summary {
    /// Returns what can be told of a test; its number and its size are not known yet.
    #[must_use]
    pub fn new(entry: &Entry) -> Self {
        let of_record = match &entry.record {
            Record::Finished(outcome) => Self::finished(outcome),
            Record::Failed(event) => Self::failed(event, entry.noticed),
        };
        Self { key: entry.key.clone(), intervals_left_out: signed(entry.left_out), ..of_record }
    }

    /// Returns when it started, since the Unix epoch.
    #[must_use]
    pub fn started(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.started_us).unwrap_or_default())
    }

    /// Returns what a search for a text looks at.
    pub(super) fn search(&self) -> String {
        let texts = [
            &self.title,
            &self.host,
            &self.peer,
            &self.username,
            &self.session,
            &self.message,
            &self.failure,
            &self.program,
            &self.peer_program,
            &self.transport,
        ];
        let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
        texts.join("\n").to_lowercase()
    }

    fn finished(outcome: &Outcome) -> Self {
        let (info, spec) = (&outcome.info, &outcome.info.spec);
        let (ended, failure, message) = match &outcome.ended {
            Ended::Complete => ("complete", None, None),
            Ended::Stopped { reason, .. } => ("stopped", None, Some(reason)),
            Ended::Failed(failure) => ("failed", Some(failure), Some(&failure.message)),
        };
        let received = |side| outcome.side(side)?.total(Role::Receiver);
        let bytes = |side| received(side).map(|(bytes, _)| signed(bytes));
        let datagrams = datagrams(outcome);
        let latency = latencies(outcome);
        let quantile = |part| latency.quantile(part).map(nanos);
        Self {
            started_us: signed(micros(info.started)),
            side: name_of(&info.side),
            ended: ended.to_owned(),
            failure: failure.map(|failure| name_of(&failure.code)),
            message: message.map(|text| fit(text, LONGEST_MESSAGE)),
            session: Some(fit(&info.session, LONGEST)),
            title: spec.title.as_deref().map(|text| fit(text, LONGEST)),
            dialect: Some(name_of(&info.dialect)),
            transport: Some(spec.transport.clone()),
            workload: Some(workload(outcome)),
            direction: Some(name_of(&spec.direction)),
            streams: Some(spec.streams.into()),
            host: info.host.as_deref().map(|host| fit(&host.to_ascii_lowercase(), LONGEST)),
            peer: Some(info.peer.ip().to_canonical().to_string()),
            peer_port: Some(info.peer.port().into()),
            username: info.user.as_deref().map(|user| fit(user, LONGEST)),
            program: named(&info.local_host.program),
            peer_program: named(&info.peer_host.program),
            duration_us: duration(outcome).map(|time| signed(micros(time))),
            bytes_up: bytes(Side::Server),
            bytes_down: bytes(Side::Client),
            goodput_up: outcome.goodput(Side::Server),
            goodput_down: outcome.goodput(Side::Client),
            rtt_us: rtt(outcome).map(|time| signed(micros(time))),
            jitter_us: datagrams.and_then(|of| of.jitter).map(|time| signed(micros(time))),
            loss: datagrams.and_then(|of| of.loss()),
            retransmits: retransmits(outcome).map(signed),
            latency_p50_ns: quantile(0.5),
            latency_p99_ns: quantile(0.99),
            intervals: i64::try_from(outcome.intervals.len()).unwrap_or(i64::MAX),
            ..Self::default()
        }
    }

    fn failed(event: &FailedEvent, noticed: Duration) -> Self {
        let Failure { code, message, .. } = &event.failure;
        Self {
            started_us: signed(micros(noticed)),
            side: name_of(&event.side),
            ended: "nothing".to_owned(),
            failure: Some(name_of(code)),
            message: Some(fit(message, LONGEST_MESSAGE)),
            session: event.session.as_deref().map(|session| fit(session, LONGEST)),
            peer: event.peer.map(|peer| peer.ip().to_canonical().to_string()),
            peer_port: event.peer.map(|peer| peer.port().into()),
            ..Self::default()
        }
    }
}

/// Returns a number as databases have them: signed.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the beginning of a text, without the one character that PostgreSQL does not take.
fn fit(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

fn named(program: &str) -> Option<String> {
    (!program.is_empty()).then(|| fit(program, LONGEST))
}

fn workload(outcome: &Outcome) -> String {
    let value = serde_json::to_value(outcome.info.spec.workload).unwrap_or_default();
    value["kind"].as_str().unwrap_or_default().to_owned()
}

/// Returns every flow that carries the load, as each end has it.
fn flows(outcome: &Outcome) -> impl Iterator<Item = &FlowSummary> {
    let sides = std::iter::once(&outcome.local).chain(&outcome.remote);
    sides.flat_map(|side| &side.flows)
}

fn duration(outcome: &Outcome) -> Option<Duration> {
    flows(outcome).filter(|flow| flow.role.is_of_load()).map(|flow| flow.duration).max()
}

fn rtt(outcome: &Outcome) -> Option<Duration> {
    let means: Vec<_> = flows(outcome).filter_map(|flow| flow.rtt).map(|rtt| rtt.mean).collect();
    let count = u32::try_from(means.len()).ok().filter(|count| *count > 0)?;
    Some(means.iter().fold(Duration::ZERO, |sum, mean| sum.saturating_add(*mean)) / count)
}

fn retransmits(outcome: &Outcome) -> Option<u64> {
    let sides = std::iter::once(&outcome.local).chain(&outcome.remote);
    let sending = sides.filter(|side| side.total(Role::Sender).is_some());
    let known: Option<Vec<_>> = sending.map(|side| side.retransmits()).collect();
    known.filter(|known| !known.is_empty()).map(|of| of.into_iter().fold(0, u64::saturating_add))
}

fn datagrams(outcome: &Outcome) -> Option<DatagramSummary> {
    let received = flows(outcome).filter(|flow| flow.role == Role::Receiver);
    DatagramSummary::together(received.map(|flow| flow.datagrams))
}

/// Returns how long requests took, those of all streams together.
fn latencies(outcome: &Outcome) -> Latencies {
    let mut all = Latencies::new();
    let exchanges = flows(outcome).filter_map(|flow| flow.exchanges.as_deref());
    let latencies = exchanges.filter_map(|ExchangeSummary { latency, .. }| latency.as_ref());
    for latency in latencies.filter_map(crate::measure::LatencySummary::latencies) {
        all.merge(&latency);
    }
    all
}

/// In characters: more than names have.
const LONGEST: usize = 256;
const LONGEST_MESSAGE: usize = 1024;
