//! Options that exclude each other, so that one of them from above replaces another from below.

/// Returns whether two options exclude each other.
pub(super) fn are_rivals(one: &str, other: &str) -> bool {
    RIVALS.iter().any(|choice| {
        let place = |name| choice.iter().position(|options| options.contains(&name));
        matches!((place(one), place(other)), (Some(one), Some(other)) if one != other)
    })
}

/// Choices, each among options or groups of options that belong together.
const RIVALS: [&[&[&str]]; 9] = [
    &[&["json"], &["json-stream"], &["csv"]],
    &[&["version4"], &["version6"]],
    &[&["reverse"], &["bidir"]],
    &[&["time"], &["bytes"], &["blockcount"]],
    &[&["transport"], &["udp"]],
    &[&["log-level"], &["debug"]],
    &[&["state-dir"], &["cert", "key"]],
    &[&["psk-file", "psk-identity"], &["key-file"]],
    &[
        &["server-fingerprint"],
        &["ca"],
        &["system-roots"],
        &["insecure-skip-verify"],
        &["known-servers"],
    ],
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{super::super::raw::Raw, *};

    #[test]
    fn what_belongs_together_is_no_choice() {
        assert!(are_rivals("json", "csv") && are_rivals("key", "state-dir"));
        assert!(!are_rivals("cert", "key") && !are_rivals("json", "json"));
        assert!(!are_rivals("json", "debug"));
    }

    #[test]
    fn every_rival_is_an_option() {
        let command = Raw::command();
        let known = |name: &str| {
            let all = command.get_subcommands().flat_map(clap::Command::get_opts);
            all.into_iter().any(|arg| arg.get_long() == Some(name))
        };
        for name in RIVALS.iter().flat_map(|choice| choice.iter()).flat_map(|group| group.iter()) {
            assert!(known(name), "{name}");
        }
    }
}
