//! Whether what a client was asked to do has reached the test and both reports.

use polyperf::{
    measure::Role,
    outcome::{Outcome, Side},
};
use serde_json::Value;

use crate::{Cell, Peer};

/// Returns what was asked for in `cell`, and is not so in the test.
#[must_use]
pub(crate) fn missing(cell: &Cell, ours: &Outcome, theirs: &Value) -> Vec<String> {
    let (spec, tuning) = (&ours.info.spec, &ours.info.spec.tuning);
    let shown = ours.server_output.is_some() || theirs.get("server_output_text").is_some();
    let flags = [
        ("-Z", tuning.zero_copy),
        ("-N", tuning.no_delay),
        ("--repeating-payload", spec.repeating_payload),
        ("--udp-counters-64bit", spec.udp_counters_64bit),
        ("--dont-fragment", tuning.dont_fragment),
        ("--get-server-output", shown),
    ];
    let flags = flags.into_iter().filter(|(option, on)| {
        let asked = cell.has(option) && !is_kept_from_servers(cell, ours, option);
        // Our client asks a stock server for these in any case.
        asked != *on && !(*on && *option == "--udp-counters-64bit")
    });
    let mss = tuning.mss.map(|mss| mss.to_string());
    let mut senders = ours.local.flows.iter().filter(|flow| flow.role == Role::Sender);
    let in_force = senders.all(|flow| flow.path.congestion.as_deref() == cell.value("-C"));
    let in_force = (in_force || !cell.has("-C")).then_some(()).and(tuning.congestion.as_deref());
    // riperf3 puts no title into a document.
    let shows_title = (cell.peer == Peer::Iperf3).then(|| theirs["title"].as_str());
    let values = [
        ("-M", mss.as_deref()),
        ("-C", in_force),
        ("-T", spec.title.as_deref()),
        ("-T", shows_title.unwrap_or(cell.value("-T"))),
        ("--extra-data", spec.extra_data.as_deref()),
        ("--extra-data", theirs["extra_data"].as_str()),
    ];
    let values = values.into_iter().filter(|(option, value)| cell.value(option) != *value);
    let unmet = flags.map(|(option, _)| option).chain(values.map(|(option, _)| option));
    let unmet = unmet.map(|option| format!("{option} is at one end alone"));
    let settings = ours.local.flows.iter().flat_map(|flow| &flow.settings);
    // What is agreed on in a handshake is the client's to ask for.
    let refused = settings.filter(|setting| setting.refused.is_some() && setting.option != "mss");
    unmet.chain(refused.map(|setting| format!("refused here: {setting:?}"))).collect()
}

/// A client of riperf3's does not say these in its parameters, whatever the server: it keeps to them
/// in what it sends itself.
fn is_kept_from_servers(cell: &Cell, ours: &Outcome, option: &str) -> bool {
    let kept = ["-Z", "--repeating-payload", "--dont-fragment"].contains(&option);
    cell.peer == Peer::Riperf3 && ours.info.side == Side::Server && kept
}
