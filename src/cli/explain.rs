//! Complaints about values that were not typed: they name the file or the variable instead.

use super::values::shown;
use crate::config::{Origin, Setting, at};

/// Returns a complaint about an option so that it can be understood where the option's value comes
/// from elsewhere.
pub(super) fn explain(settings: &[Setting], line: &str) -> String {
    let foreign = settings.iter().filter_map(|setting| Some((setting, told(setting)?)));
    let foreign: Vec<_> = foreign.collect();
    let behind_value = |setting: &Setting| {
        let value = shown(setting.value.as_deref().unwrap_or_default());
        labels(setting).find_map(|label| line.strip_prefix(&format!("{label} {value} ")))
    };
    let named = foreign
        .iter()
        .find_map(|(setting, told)| Some((setting, format!("{told} {}", behind_value(setting)?))));
    let line = named.as_ref().map_or(line, |(_, line)| line);
    let notes: Vec<_> = foreign
        .iter()
        .filter(|(setting, _)| named.as_ref().is_none_or(|(named, _)| *named != setting))
        .filter(|(setting, _)| labels(setting).any(|label| mentions(line, &label)))
        .map(|(_, told)| told.as_str())
        .collect();
    if notes.is_empty() {
        return line.to_owned();
    }
    format!("{line} (there is {})", notes.join(", and "))
}

/// Returns the names that an option could be typed by.
fn labels(setting: &Setting) -> impl Iterator<Item = String> {
    let short = setting.short.map(|letter| format!("-{letter}"));
    short.into_iter().chain([format!("--{}", setting.option)])
}

/// Returns what stands where the value comes from; `None` if it was typed, or is the default.
fn told(setting: &Setting) -> Option<String> {
    let value = shown(setting.value.as_deref().unwrap_or_default());
    match &setting.origin {
        Origin::Environment { name } => Some(format!("{name}={value}")),
        Origin::File { path, line } => {
            Some(format!("{} = {value} in {}", setting.option, at(path, *line)))
        }
        Origin::Flag | Origin::Default => None,
    }
}

/// Returns whether `label` stands in `line` as a word.
fn mentions(line: &str, label: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '-';
    line.match_indices(label).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + label.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<Setting> {
        let file = Origin::File { path: "/etc/p.toml".into(), line: 3 };
        let variable = Origin::Environment { name: "POLYPERF_JSON".to_owned() };
        let of = |option: &str, short, value: &str, origin| Setting {
            option: option.to_owned(),
            value: Some(value.to_owned()),
            origin,
            short,
        };
        vec![
            of("max-sessions", None, "0", file.clone()),
            of("port", Some('p'), "a b", file),
            of("json", Some('J'), "true", variable),
            of("csv", None, "true", Origin::Flag),
        ]
    }

    #[test]
    fn a_complaint_names_the_place_of_the_value() {
        for (line, told) in [
            (
                "--max-sessions 0 is out of range: 1 to 10000",
                "max-sessions = 0 in /etc/p.toml:3 is out of range: 1 to 10000",
            ),
            ("-p \"a b\" is bad", "port = \"a b\" in /etc/p.toml:3 is bad"),
            (
                "-J and --csv exclude each other: keep one",
                "-J and --csv exclude each other: keep one (there is POLYPERF_JSON=true)",
            ),
            ("HOST is missing", "HOST is missing"),
            ("--port-range is not -Job", "--port-range is not -Job"),
        ] {
            assert_eq!(explain(&settings(), line), told);
        }
    }
}
