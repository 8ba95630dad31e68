use std::time::Duration;

use polyperf_transport::Security;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Target;
use crate::{
    measure::{CpuScope, CpuUse, DatagramSummary, Role, RttSummary, SideSummary},
    micros,
    outcome::{Outcome, Side},
    report::connection::{self, Connection},
    spec::Direction,
};

/// What a test in one direction is compared by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Figures {
    /// What the receiver counted, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodput_bps: Option<f64>,
    /// The share of the datagrams sent that did not arrive, from 0 to 1, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// What the sender sent again, in the transport's own packets or segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Packets that the sender gave up as lost, where the transport counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_lost: Option<u64>,
    /// How much more went over the wire than arrived, as a share of what arrived: headers,
    /// acknowledgements, and whatever was lost or sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_overhead: Option<f64>,
    /// From the first packet of the first connection to the end of its handshake.
    #[serde(
        rename = "handshake_us",
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub handshake: Option<Duration>,
    /// What protects the connections; `None` if nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Box<Security>>,
    /// The mean of the streams' mean round-trip times.
    #[serde(
        rename = "rtt_mean_us",
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub rtt_mean: Option<Duration>,
    /// The smallest round-trip time of any stream.
    #[serde(
        rename = "rtt_min_us",
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub rtt_min: Option<Duration>,
    /// Processor time of both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuCost>,
    /// The sender's congestion control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
}

/// What moving a gigabyte (10^9 bytes received) cost both ends together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct CpuCost {
    /// Seconds of processor time.
    pub seconds_per_gb: f64,
    /// What was counted; [`CpuScope::Process`] holds what else the process did, and so is an upper
    /// bound.
    pub scope: CpuScope,
}

impl Figures {
    /// Returns the figures of a test whose server was at `target`.
    pub(super) fn of(outcome: &Outcome, target: &Target) -> Self {
        let sender = match outcome.info.spec.direction {
            Direction::Forward | Direction::Bidirectional => Side::Client,
            Direction::Reverse => Side::Server,
        };
        let sent = outcome.side(sender);
        let paths = || sent.into_iter().flat_map(|sent| sent.with_role(Role::Sender));
        let connections = connection::of_test(outcome);
        let first = connections.first();
        let rtts: Vec<_> = paths().filter_map(|flow| flow.rtt).collect();
        Self {
            goodput_bps: outcome.goodput(sender.other()),
            loss: loss(outcome, sender.other()),
            retransmits: sent.and_then(SideSummary::retransmits),
            packets_lost: sent.and_then(SideSummary::packets_lost),
            wire_overhead: connection::wire_overhead(&connections, sender),
            handshake: first.and_then(|first| first.summary().handshake),
            security: first.and_then(Connection::protection).cloned().map(Box::new),
            rtt_mean: mean(&rtts),
            rtt_min: rtts.iter().map(|rtt| rtt.min).min(),
            cpu: cpu(outcome, sender.other(), target),
            congestion: paths().find_map(|flow| flow.path.congestion.clone()),
        }
    }
}

fn loss(outcome: &Outcome, receiver: Side) -> Option<f64> {
    let received = outcome.side(receiver)?.with_role(Role::Receiver);
    DatagramSummary::together(received.map(|flow| flow.datagrams))?.loss()
}

fn mean(rtts: &[RttSummary]) -> Option<Duration> {
    let sum = rtts.iter().fold(Duration::ZERO, |sum, rtt| sum.saturating_add(rtt.mean));
    sum.checked_div(u32::try_from(rtts.len()).ok()?)
}

#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
fn cpu(outcome: &Outcome, receiver: Side, target: &Target) -> Option<CpuCost> {
    let (bytes, _) = outcome.side(receiver)?.total(Role::Receiver)?;
    let ends = [outcome.local.cpu?, outcome.remote.as_ref()?.cpu?];
    let (time, scope) = both(ends, target);
    let seconds_per_gb = time.as_secs_f64() / (bytes as f64 / 1e9);
    (bytes > 0).then_some(CpuCost { seconds_per_gb, scope })
}

/// Returns the processor time of both ends. Of one process that both ends are in, the process-wide
/// time already holds both: adding it up would count each end twice.
fn both(ends: [CpuUse; 2], target: &Target) -> (Duration, CpuScope) {
    let time = |end: &CpuUse| end.user.saturating_add(end.system);
    let process = ends.iter().filter(|end| end.scope == CpuScope::Process).map(time).max();
    let sum = time(&ends[0]).saturating_add(time(&ends[1]));
    match (process, target) {
        (None, _) => (sum, CpuScope::DataThreads),
        (Some(process), Target::InProcess) => (process, CpuScope::Process),
        (Some(_), Target::Host { .. }) => (sum, CpuScope::Process),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    fn host() -> Target {
        Target::Host { host: "server.example".to_owned(), port: 5201 }
    }

    fn use_of(millis: u64, scope: CpuScope) -> CpuUse {
        let wall = Duration::from_secs(2);
        CpuUse { user: Duration::ZERO, system: Duration::from_millis(millis), wall, scope }
    }

    #[test]
    fn figures_are_those_of_the_end_that_knows_them() {
        let outcome = testing::outcome(Direction::Reverse, 1);
        let figures = Figures::of(&outcome, &host());
        assert_eq!(figures.goodput_bps, outcome.goodput(Side::Client));
        assert_eq!(figures.retransmits, Some(3), "the server sent, so the server knows");
        assert_eq!(figures.rtt_min, Some(Duration::from_micros(47)));
        assert_eq!(figures.rtt_mean, Some(Duration::from_micros(1080)));
        assert_eq!(figures.congestion.as_deref(), Some("cubic"));
        assert_eq!(figures.loss, None, "bytes are not lost");
    }

    #[test]
    fn loss_is_what_the_receiver_missed_of_all_streams() {
        let mut outcome = testing::outcome(Direction::Reverse, 2);
        for (flow, lost) in outcome.local.flows.iter_mut().zip([0, 10]) {
            let datagrams =
                DatagramSummary { received: 20 - lost, lost: Some(lost), ..Default::default() };
            flow.datagrams = Some(datagrams);
        }
        assert_eq!(Figures::of(&outcome, &host()).loss, Some(0.25));
    }

    #[test]
    fn figures_of_a_connection_are_those_of_the_sending_direction_counted_once() {
        let outcome = testing::connections::over(2, Direction::Reverse, 4);
        let figures = Figures::of(&outcome, &host());
        assert_eq!((figures.packets_lost, figures.retransmits), (Some(5 + 7), None));
        assert_eq!(figures.wire_overhead, Some(0.04));
        assert_eq!(figures.handshake, Some(Duration::from_micros(1234)), "the client's");
        assert_eq!(figures.security.unwrap().protocol, "TLS 1.3");
    }

    #[test]
    fn what_the_other_end_did_not_say_is_unknown() {
        let outcome = testing::without_remote(testing::outcome(Direction::Forward, 1));
        let figures = Figures::of(&outcome, &host());
        assert_eq!((figures.goodput_bps, figures.cpu), (None, None));
        assert_eq!(figures.retransmits, Some(3), "the client knows what it sent");
    }

    #[test]
    fn no_bytes_cost_nothing_that_can_be_said() {
        let mut outcome = testing::outcome(Direction::Forward, 1);
        outcome.remote.as_mut().unwrap().flows[0].bytes = 0;
        assert_eq!(Figures::of(&outcome, &host()).cpu, None);
    }

    #[test]
    fn a_process_that_holds_both_ends_is_counted_once() {
        let threads = |millis| use_of(millis, CpuScope::DataThreads);
        let process = |millis| use_of(millis, CpuScope::Process);
        let of = |ends, target: &Target| {
            let (time, scope) = both(ends, target);
            (time.as_millis(), scope)
        };
        let here = Target::InProcess;
        assert_eq!(of([threads(5), threads(7)], &here), (12, CpuScope::DataThreads));
        assert_eq!(of([process(13), process(14)], &here), (14, CpuScope::Process));
        assert_eq!(of([threads(5), process(14)], &here), (14, CpuScope::Process));
        assert_eq!(of([process(5), process(14)], &host()), (19, CpuScope::Process));
    }
}
