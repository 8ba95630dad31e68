//! What an emulated link saw of a test, in words.

use super::{
    figure::{self, UNKNOWN},
    safe,
};
use crate::lab::{Direction, Drops, LinkReport, Spread};

/// Returns the link, what crossed it each way, and what the emulator itself did to the test.
pub(crate) fn lines(report: &LinkReport) -> Vec<String> {
    let LinkReport { link, about, seed, tier, truth, spoilt, .. } = report;
    let [link, about] = [link, about].map(|text| safe::line(text));
    let mut lines = vec![format!("Link: {link}, seed {seed}: {about}; {}", tier.about())];
    if let Some(truth) = truth {
        lines.push(format!("  to the far side: {}", direction(&truth.to_far)));
        lines.push(format!("  to the near side: {}", direction(&truth.to_near)));
    }
    lines.extend(spoilt.iter().map(|what| format!("  spoilt by this machine: {what}")));
    lines
}

/// Returns what crossed a link one way, in a line.
pub(crate) fn direction(direction: &Direction) -> String {
    let total = &direction.total;
    let mut text = format!("{} packets, {} bytes", total.packets, total.bytes);
    let causes = causes(&total.drops);
    if causes.is_empty() {
        text.push_str(", none lost");
    } else {
        text.push_str(&format!(", lost {}", causes.join(", ")));
    }
    if total.marks > 0 {
        text.push_str(&format!(", {} marked", total.marks));
    }
    let queueing = total.queueing.map_or(UNKNOWN.to_owned(), spread);
    text.push_str(&format!(
        "; queue {queueing}, longest {} packets",
        direction.longest_queue_packets
    ));
    text
}

fn spread(times: Spread) -> String {
    let [p50, p95] = [times.p50, times.p95].map(figure::millis);
    format!("{p50} ms p50, {p95} ms p95")
}

/// Returns how many packets were lost, by cause.
fn causes(drops: &Drops) -> Vec<String> {
    let Drops { queue, aqm, policer, loss, blackout, script, cut } = *drops;
    let causes = [
        (queue, "to a full queue"),
        (aqm, "to the queue's management"),
        (policer, "to the policer"),
        (loss, "by chance"),
        (blackout, "in the dark"),
        (script, "by the script"),
        (cut, "to a cut"),
    ];
    let some = causes.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, cause)| format!("{count} {cause}")).collect()
}
