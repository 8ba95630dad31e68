use std::time::Duration;

use super::Target;
use crate::{
    measure::{CpuScope, CpuUse, DatagramSummary, Role, SideSummary},
    outcome::{Outcome, Side},
    spec::Direction,
};

/// What a test in one direction came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    /// What the receiver counted, in bits per second.
    pub(super) goodput_bps: Option<f64>,
    /// The share of the datagrams sent that did not arrive, from 0 to 1, where they are counted.
    pub(super) loss: Option<f64>,
    /// What the sender sent again, in the transport's own packets or segments.
    pub(super) retransmits: Option<u64>,
    /// Packets that the sender gave up as lost, where the transport counts them.
    pub(super) packets_lost: Option<u64>,
    /// Seconds of processor time of both ends for each gigabyte (10^9 bytes) received. Where only
    /// that of a whole process is known it holds what else that did, and so is an upper bound; what
    /// an emulated link in that process took is known, and taken off.
    pub(super) cpu_per_gb: Option<f64>,
}

impl Figures {
    /// Returns the figures of a test whose server was at `target`.
    pub(super) fn of(outcome: &Outcome, target: &Target) -> Self {
        let sender = match outcome.info.spec.direction {
            Direction::Forward | Direction::Bidirectional => Side::Client,
            Direction::Reverse => Side::Server,
        };
        let sent = outcome.side(sender);
        Self {
            goodput_bps: outcome.goodput(sender.other()),
            loss: loss(outcome, sender.other()),
            retransmits: sent.and_then(SideSummary::retransmits),
            packets_lost: sent.and_then(SideSummary::packets_lost),
            cpu_per_gb: cpu_per_gb(outcome, sender.other(), target),
        }
    }
}

/// Returns the bytes that `side` received, those of the omitted time among them: what is counted of
/// threads and of paths is counted from the start on.
pub(super) fn received_in_all(outcome: &Outcome, side: Side) -> Option<u64> {
    let flows = outcome.side(side)?.with_role(Role::Receiver);
    let bytes = flows.map(|flow| flow.bytes.saturating_add(flow.omitted_bytes));
    bytes.reduce(u64::saturating_add)
}

fn loss(outcome: &Outcome, receiver: Side) -> Option<f64> {
    let received = outcome.side(receiver)?.with_role(Role::Receiver);
    DatagramSummary::together(received.map(|flow| flow.datagrams))?.loss()
}

#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
fn cpu_per_gb(outcome: &Outcome, receiver: Side, target: &Target) -> Option<f64> {
    let bytes = received_in_all(outcome, receiver).filter(|bytes| *bytes > 0)?;
    let ends = [outcome.local.cpu?, outcome.remote.as_ref()?.cpu?];
    let both = both(ends, link_time(outcome), target);
    // Nothing that moves bytes takes no time: what is nothing is not known.
    (!both.is_zero()).then(|| both.as_secs_f64() / (bytes as f64 / 1e9))
}

/// Returns the processor time of the thread that emulates a link in this process, where there is one.
pub(super) fn link_time(outcome: &Outcome) -> Duration {
    let truth = outcome.link.as_ref().and_then(|link| link.truth.as_ref());
    truth.and_then(|truth| truth.cpu).unwrap_or_default()
}

/// Returns the processor time of both ends. Of one process that both ends are in, the process-wide
/// time already holds both: adding it up would count each end twice. What the thread of a link took is
/// in that, too.
fn both(ends: [CpuUse; 2], link: Duration, target: &Target) -> Duration {
    let time = |end: &CpuUse| end.user.saturating_add(end.system);
    let process = ends.iter().filter(|end| end.scope == CpuScope::Process).map(time).max();
    match (process, target) {
        (Some(process), Target::InProcess) => process.saturating_sub(link),
        _ => time(&ends[0]).saturating_add(time(&ends[1])),
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
    }

    #[test]
    fn what_the_other_end_did_not_say_is_unknown() {
        let outcome = testing::without_remote(testing::outcome(Direction::Forward, 1));
        let figures = Figures::of(&outcome, &host());
        assert_eq!((figures.goodput_bps, figures.cpu_per_gb), (None, None));
        assert_eq!(figures.retransmits, Some(3), "the client knows what it sent");
    }

    #[test]
    fn no_bytes_cost_nothing_that_can_be_said() {
        let mut outcome = testing::outcome(Direction::Forward, 1);
        outcome.remote.as_mut().unwrap().flows[0].bytes = 0;
        assert_eq!(Figures::of(&outcome, &host()).cpu_per_gb, None);
    }

    #[test]
    fn what_was_received_in_the_omitted_time_is_paid_for_as_well() {
        let mut outcome = testing::outcome(Direction::Forward, 1);
        let before = Figures::of(&outcome, &host()).cpu_per_gb.unwrap();
        let flow = &mut outcome.remote.as_mut().unwrap().flows[0];
        flow.omitted_bytes = flow.bytes;
        let after = Figures::of(&outcome, &host()).cpu_per_gb.unwrap();
        assert!((before / after - 2.0).abs() < 1e-9, "{before} {after}");
    }

    #[test]
    fn a_process_that_holds_both_ends_is_counted_once() {
        let threads = |millis| use_of(millis, CpuScope::DataThreads);
        let process = |millis| use_of(millis, CpuScope::Process);
        let of = |ends, target: &Target| both(ends, Duration::ZERO, target).as_millis();
        let here = Target::InProcess;
        assert_eq!(of([threads(5), threads(7)], &here), 12);
        assert_eq!(of([process(13), process(14)], &here), 14);
        assert_eq!(of([threads(5), process(14)], &here), 14);
        assert_eq!(of([process(5), process(14)], &host()), 19);
    }

    #[test]
    fn what_a_link_took_is_taken_off_where_its_thread_was_counted() {
        let threads = |millis| use_of(millis, CpuScope::DataThreads);
        let process = |millis| use_of(millis, CpuScope::Process);
        let link = Duration::from_millis(10);
        let of = |ends, target: &Target| both(ends, link, target).as_millis();
        assert_eq!(of([process(13), process(14)], &Target::InProcess), 4);
        assert_eq!(of([process(3), process(4)], &Target::InProcess), 0);
        assert_eq!(of([threads(5), threads(7)], &Target::InProcess), 12);
        assert_eq!(of([process(5), process(14)], &host()), 19);
    }
}
