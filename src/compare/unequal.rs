//! Where the arms of an experiment did not run under the same conditions.

use std::collections::BTreeMap;

use super::experiment::{PartKind, Plan, Run};
use crate::{
    outcome::{Outcome, Side},
    report::connection,
};

/// Returns a sentence for each condition that differs between the arms.
pub(super) fn notes(plan: &Plan, runs: &[Run]) -> Vec<String> {
    let outcome = |arm: &str| {
        let of_arm = runs.iter().filter(|run| run.arm == arm);
        of_arm
            .flat_map(|run| [run.outcome(PartKind::Up), run.outcome(PartKind::Down)])
            .flatten()
            .next()
    };
    let arms: Vec<_> =
        plan.arms.iter().filter_map(|arm| Some((arm.name.as_str(), outcome(&arm.name)?))).collect();
    let told = |what: &str, tell: &dyn Fn(&Outcome) -> Option<String>| {
        let told = arms.iter().map(|(name, outcome)| (*name, tell(outcome)));
        differing(what, told)
    };
    let notes = [
        told("bytes handed over at a time", &|outcome| Some(outcome.info.spec.block.to_string())),
        told("delivery", &|outcome| {
            let datagrams = outcome.info.flows.iter().any(|flow| flow.datagrams);
            Some(
                if datagrams { "datagrams, which may be lost" } else { "bytes, in order" }
                    .to_owned(),
            )
        }),
        told("congestion control", &|outcome| {
            let sent = outcome.side(Side::Client)?.flows.iter();
            let named = sent.filter_map(|flow| flow.path.congestion.clone()).next();
            Some(named.unwrap_or_else(|| "none that is known".to_owned()))
        }),
        told("encryption", &|outcome| {
            let connections = connection::of_test(outcome);
            let security = connections.first().and_then(connection::Connection::protection);
            Some(security.map_or_else(|| "none".to_owned(), |security| security.protocol.clone()))
        }),
        told("connections of the streams", &|outcome| {
            let spec = &outcome.info.spec;
            let shared = connection::of_test(outcome).len();
            let connections = if shared > 0 { shared } else { spec.streams.into() };
            Some(connections.to_string())
        }),
        told("socket's send buffer in bytes", &|outcome| {
            let sent = outcome.side(Side::Client)?.flows.first()?;
            Some(sent.path.send_buffer?.to_string())
        }),
        told("socket's receive buffer in bytes", &|outcome| {
            let received = outcome.side(Side::Server)?.flows.first()?;
            Some(received.path.recv_buffer?.to_string())
        }),
        told("changed by the server", &|outcome| {
            let changes = &outcome.info.changes;
            Some(if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") })
        }),
    ];
    notes.into_iter().flatten().collect()
}

/// Returns which arms have which value, if there is more than one.
fn differing<'a>(
    what: &str,
    told: impl Iterator<Item = (&'a str, Option<String>)>,
) -> Option<String> {
    let mut by_value: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (arm, value) in told {
        by_value.entry(value.unwrap_or_else(|| "unknown".to_owned())).or_default().push(arm);
    }
    if by_value.len() < 2 {
        return None;
    }
    let mut parts: Vec<_> = by_value.into_iter().map(|(value, arms)| (arms, value)).collect();
    parts.sort();
    let parts = parts.into_iter().map(|(arms, value)| format!("{} {value}", arms.join(", ")));
    Some(format!("{what}: {}", parts.collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_not_said_and_what_differs_is_sorted_by_value() {
        let told = |values: &[(&'static str, &str)]| {
            let told = values.iter().map(|(arm, value)| (*arm, Some((*value).to_owned())));
            differing("delay", told.collect::<Vec<_>>().into_iter())
        };
        assert_eq!(told(&[("a", "1"), ("b", "1")]), None);
        let differs = told(&[("a", "2"), ("b", "1"), ("c", "2")]);
        assert_eq!(differs.as_deref(), Some("delay: a, c 2; b 1"));
        let unknown = differing("delay", [("a", None), ("b", Some("1".to_owned()))].into_iter());
        assert_eq!(unknown.as_deref(), Some("delay: a unknown; b 1"));
    }
}
