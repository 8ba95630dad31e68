use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge as Metric},
    registry::Registry,
};

use super::{Probed, Target};
use crate::{
    measure::{DatagramSummary, Role, SideSummary},
    metrics::encode,
    names::name_of,
    outcome::{Ended, Failure, Outcome, Side},
};

type Gauge = Metric<f64, AtomicU64>;
type Labels = Vec<(&'static str, String)>;

/// Figures of one test: a page of its own, so that what is not known is not there.
#[derive(Debug, Default)]
struct Page {
    registry: Registry,
    families: Vec<(&'static str, Family<Labels, Gauge>)>,
}

impl Page {
    fn add(&mut self, name: &'static str, help: &str, labels: Labels, figure: Option<f64>) {
        let Some(figure) = figure else { return };
        if labels.is_empty() {
            let gauge = Gauge::default();
            gauge.set(figure);
            return self.registry.register(name, help, gauge);
        }
        let known = self.families.iter().position(|(known, _)| *known == name);
        let at = known.unwrap_or_else(|| {
            let family = Family::default();
            self.registry.register(name, help, family.clone());
            self.families.push((name, family));
            self.families.len() - 1
        });
        self.families[at].1.get_or_create(&labels).set(figure);
    }
}

/// Returns the page of a test under our own names, and the usual ones of a probe.
pub(super) fn ours(probed: &Probed) -> String {
    let mut page = Page::default();
    let outcome = shown(probed);
    let success = if outcome.is_ok() { 1.0 } else { 0.0 };
    page.add("probe_success", "Whether the test ran to its end", vec![], Some(success));
    let took = probed.ended.duration_since(probed.began).as_secs_f64();
    page.add("probe_duration_seconds", "How long it took", vec![], Some(took));
    let age = probed.ended.elapsed().as_secs_f64();
    page.add("polyperf_probe_age_seconds", "How long ago it ended", vec![], Some(age));
    match outcome {
        Ok(outcome) => {
            for (direction, receiver) in [("up", Side::Server), ("down", Side::Client)] {
                figures(&mut page, outcome, direction, receiver);
            }
        }
        Err(failure) => {
            let labels = vec![("code", name_of(&failure.code))];
            page.add("polyperf_probe_failed", "Why it failed", labels, Some(1.0));
        }
    }
    encode(&page.registry)
}

fn figures(page: &mut Page, outcome: &Outcome, direction: &str, receiver: Side) {
    let labels = || vec![("direction", direction.to_owned())];
    let received = outcome.side(receiver).filter(|side| side.total(Role::Receiver).is_some());
    let sent = outcome.side(receiver.other()).filter(|side| side.total(Role::Sender).is_some());
    let goodput = outcome.goodput(receiver).map(|bits| bits / 8.0);
    let help = "What the receiver counted, over the time in which it did";
    page.add("polyperf_probe_goodput_bytes_per_second", help, labels(), goodput);
    let bytes = |side: Option<&SideSummary>, role| Some(float(side?.total(role)?.0));
    let help = "Bytes that the receiver counted";
    page.add("polyperf_probe_received_bytes", help, labels(), bytes(received, Role::Receiver));
    let help = "Bytes that the sender handed to the transport";
    page.add("polyperf_probe_sent_bytes", help, labels(), bytes(sent, Role::Sender));
    let again = sent.and_then(SideSummary::retransmits).map(float);
    page.add("polyperf_probe_retransmissions", "What was sent again", labels(), again);
    let datagrams = received.and_then(|side| {
        let flows = side.with_role(Role::Receiver);
        DatagramSummary::together(flows.map(|flow| flow.datagrams))
    });
    let lost = datagrams.and_then(|of| of.loss());
    page.add("polyperf_probe_lost_ratio", "Datagrams lost, of those sent", labels(), lost);
    let jitter = datagrams.and_then(|of| of.jitter).map(|jitter| jitter.as_secs_f64());
    let help = "Interarrival jitter (RFC 3550), the mean of all streams";
    page.add("polyperf_probe_jitter_seconds", help, labels(), jitter);
    let rtt = sent.and_then(|side| {
        side.with_role(Role::Sender).filter_map(|flow| Some(flow.rtt?.mean)).max()
    });
    let rtt = rtt.map(|rtt| rtt.as_secs_f64());
    let help = "Mean round-trip time, of the stream with most";
    page.add("polyperf_probe_rtt_seconds", help, labels(), rtt);
}

/// Returns the page under the names of an exporter that dashboards exist for; where a test has
/// failed, no zero stands for what is not known.
pub(super) fn iperf3_exporter(target: &Target, reverse: bool, probed: &Probed) -> String {
    let mut page = Page::default();
    let labels = || vec![("target", target.host.clone()), ("port", target.port.to_string())];
    let outcome = shown(probed).ok();
    let up = if outcome.is_some() { 1.0 } else { 0.0 };
    page.add("iperf3_up", "Whether the test ran to its end", labels(), Some(up));
    let Some(outcome) = outcome else { return encode(&page.registry) };
    let sender = if reverse { Side::Server } else { Side::Client };
    let ends = [
        (sender, Role::Sender, ["iperf3_sent_seconds", "iperf3_sent_bytes", "iperf3_sent_bps"]),
        (
            sender.other(),
            Role::Receiver,
            ["iperf3_received_seconds", "iperf3_received_bytes", "iperf3_received_bps"],
        ),
    ];
    for (end, role, [seconds, bytes, bps]) in ends {
        let total = outcome.side(end).and_then(|side| side.total(role));
        let time = total.map(|(_, time)| time.as_secs_f64());
        page.add(seconds, "Seconds in which it was counted", labels(), time);
        page.add(bytes, "Bytes", labels(), total.map(|(count, _)| float(count)));
        let rate = total.and_then(|(count, time)| crate::measure::bits_per_second(count, time));
        page.add(bps, "Bits per second", labels(), rate);
    }
    let again = outcome.side(sender).and_then(SideSummary::retransmits).map(float);
    page.add("iperf3_retransmits", "What was sent again", labels(), again);
    encode(&page.registry)
}

/// Returns what a test has to show, if it ran to its end.
fn shown(probed: &Probed) -> Result<&Outcome, &Failure> {
    match &probed.result {
        Ok(outcome) => match &outcome.ended {
            Ended::Failed(failure) => Err(failure),
            Ended::Complete | Ended::Stopped { .. } => Ok(outcome),
        },
        Err(failure) => Err(failure),
    }
}

#[allow(clippy::cast_precision_loss, reason = "2^53 of anything are more than a probe moves")]
fn float(figure: u64) -> f64 {
    figure as f64
}
