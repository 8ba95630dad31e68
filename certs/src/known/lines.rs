//! The text of a file of known servers.

use std::{collections::HashMap, fmt};

use super::HostPort;
use crate::Fingerprint;

/// All lines, in their order.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Line>);

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Its number, from 1.
    pub(super) line: usize,
    pub(super) problem: String,
}

#[derive(Debug)]
struct Line {
    text: String,
    /// `None` for a comment.
    entry: Option<(HostPort, Fingerprint)>,
}

impl Lines {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadLine> {
        let mut lines = Self::default();
        let mut servers = HashMap::new();
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let bad = |problem| BadLine { line: index + 1, problem };
            let text = str::from_utf8(line).map_err(|_| bad("it is not UTF-8".to_owned()))?;
            let entry = entry(text).map_err(bad)?;
            if let Some((server, fingerprint)) = &entry
                && servers
                    .insert(server.clone(), *fingerprint)
                    .is_some_and(|old| old != *fingerprint)
            {
                return Err(bad(format!("{server} has another fingerprint on a line before")));
            }
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            lines.0.push(Line { text, entry });
        }
        Ok(lines)
    }

    pub(super) fn add(&mut self, server: HostPort, fingerprint: Fingerprint) {
        let text = format!("{server} {fingerprint}");
        self.0.push(Line { text, entry: Some((server, fingerprint)) });
    }

    /// Removes the lines of these servers, and returns how many servers those were.
    pub(super) fn remove(&mut self, is_meant: impl Fn(&HostPort) -> bool) -> usize {
        let meant = |line: &Line| line.entry.as_ref().is_some_and(|(server, _)| is_meant(server));
        let mut servers: Vec<_> =
            self.servers().map(|(server, _)| server).filter(&is_meant).collect();
        servers.sort_unstable();
        servers.dedup();
        self.0.retain(|line| !meant(line));
        servers.len()
    }

    pub(super) fn get(&self, server: &HostPort) -> Option<Fingerprint> {
        let mut entries = self.0.iter().filter_map(|line| line.entry.as_ref());
        entries.find(|(other, _)| other == server).map(|(_, fingerprint)| *fingerprint)
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = (HostPort, Fingerprint)> {
        self.0.iter().filter_map(|line| line.entry.clone())
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{}", line.text))
    }
}

fn entry(text: &str) -> Result<Option<(HostPort, Fingerprint)>, String> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(None),
        (Some(first), ..) if first.starts_with('#') => Ok(None),
        (Some(server), Some(fingerprint), None) => {
            let server = server.parse().map_err(|error: super::BadHostPort| error.to_string())?;
            let fingerprint = fingerprint.parse::<Fingerprint>();
            Ok(Some((server, fingerprint.map_err(|error| error.to_string())?)))
        }
        (Some(_), None, _) => Err("it has one word".to_owned()),
        (Some(_), Some(_), Some(_)) => Err("it has more than two words".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(of: &str) -> Fingerprint {
        Fingerprint::of(of.as_bytes())
    }

    #[test]
    fn comments_and_the_forms_of_lines_are_kept() {
        let text = format!("# mine\n\n  A:1\t{}\r\n", fingerprint("a"));
        let mut lines = Lines::parse(text.as_bytes()).unwrap();
        lines.add("b:2".parse().unwrap(), fingerprint("b"));
        let text = text.replace('\r', "");
        assert_eq!(lines.to_string(), format!("{text}b:2 {}\n", fingerprint("b")));
    }

    #[test]
    fn a_last_line_without_an_end_is_a_line() {
        let text = format!("a:1 {}", fingerprint("a"));
        let lines = Lines::parse(text.as_bytes()).unwrap();
        assert_eq!(lines.to_string(), format!("{text}\n"));
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        let good = format!("a:1 {}", fingerprint("a"));
        let other = format!("A:1 {}", fingerprint("b"));
        for wrong in ["a:1", "a:1 sha256:00", "a sha256:00", &format!("{good} x"), &other] {
            let text = format!("#\n{good}\n{wrong}\n");
            assert_eq!(Lines::parse(text.as_bytes()).unwrap_err().line, 3, "{wrong}");
        }
        assert_eq!(Lines::parse(b"#\n\xff\n").unwrap_err().line, 2);
    }
}
