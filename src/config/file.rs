//! The file: what stands in it, and on which line.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::report::safe;

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct File {
    /// Options of `polyperf server`.
    pub server: Section,
    /// Options of `polyperf client`.
    pub client: Section,
    /// Options of `polyperf compare`.
    pub compare: Section,
}

/// The options in a section, in the order in which they stand there.
pub type Section = Vec<Entry>;

/// An option in a section.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, which is to be the long name of an option.
    pub key: String,
    /// What it is set to.
    pub value: Scalar,
    /// The line of the key, from 1.
    pub line: usize,
}

/// What a key is set to.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `true` or `false`.
    Flag(bool),
    /// A text or a number, as it would be typed.
    Text(String),
    /// An array of those.
    List(Vec<String>),
    /// Something that no option takes, by its name in TOML.
    Other(&'static str),
}

/// The file as it is laid out. A section that is none of options is a field of its own here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    server: Options,
    client: Options,
    compare: Options,
}

type Options = BTreeMap<Spanned<String>, Value>;

impl File {
    /// Parses the text of the file at `path`.
    ///
    /// # Errors
    ///
    /// What is wrong, with the file and the line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let document: Document =
            toml::from_str(text).map_err(|error| explain(path, text, &error))?;
        let Document { server, client, compare } = document;
        let section = |options| section(options, text);
        Ok(Self { server: section(server), client: section(client), compare: section(compare) })
    }
}

fn section(options: Options, text: &str) -> Section {
    let mut entries: Section = options
        .into_iter()
        .map(|(key, value)| Entry {
            line: line_at(text, key.span().start),
            key: key.into_inner(),
            value: scalar(value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn scalar(value: Value) -> Scalar {
    match value {
        Value::Boolean(flag) => Scalar::Flag(flag),
        Value::String(text) => Scalar::Text(text),
        Value::Integer(number) => Scalar::Text(number.to_string()),
        Value::Float(number) => Scalar::Text(number.to_string()),
        Value::Datetime(_) => Scalar::Other("a date"),
        Value::Array(values) => list(values),
        Value::Table(_) => Scalar::Other("a table"),
    }
}

fn list(values: Vec<Value>) -> Scalar {
    let texts = values.into_iter().map(|value| match scalar(value) {
        Scalar::Text(text) => Some(text),
        _ => None,
    });
    let texts: Option<_> = texts.collect();
    texts.map_or(Scalar::Other("an array of something else than texts and numbers"), Scalar::List)
}

fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map(|span| format!(":{}", line_at(text, span.start)));
    let place = format!("{}{}", path.display(), at.unwrap_or_default());
    let message = error.message();
    let remedy = if message.starts_with("unknown field") {
        "; options stand in [server], [client] or [compare]"
    } else {
        ""
    };
    format!("{}: {}{remedy}", safe::line(&place), safe::line(message))
}

/// Returns the line, from 1, of what is at this place in `text`.
fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("polyperf.toml"), text)
    }

    #[test]
    fn every_key_comes_with_its_line_and_in_its_place() {
        let file =
            parse("# limits\n[server]\nport = 5202\n\nbind = \"::1\"\n[client]\nudp = true\n");
        let file = file.unwrap();
        let of = |key: &str, value, line| Entry { key: key.to_owned(), value, line };
        let text = |text: &str| Scalar::Text(text.to_owned());
        assert_eq!(file.server, [of("port", text("5202"), 3), of("bind", text("::1"), 5)]);
        assert_eq!(file.client, [of("udp", Scalar::Flag(true), 7)]);
    }

    #[test]
    fn numbers_read_as_they_would_be_typed() {
        let file = parse("[client]\na = 1_000\nb = 0.5\nc = -1\nd = 1e3\ne = [1, 'x']\n").unwrap();
        let values: Vec<_> = file.client.into_iter().map(|entry| entry.value).collect();
        let text = |text: &str| Scalar::Text(text.to_owned());
        let list = Scalar::List(vec!["1".to_owned(), "x".to_owned()]);
        assert_eq!(values, [text("1000"), text("0.5"), text("-1"), text("1000"), list]);
    }

    #[test]
    fn an_array_that_no_option_could_take_is_none() {
        for text in ["[[1]]", "[true]", "[{}]", "[1, 1979-05-27]"] {
            let file = parse(&format!("[server]\na = {text}\n")).unwrap();
            assert!(matches!(file.server[0].value, Scalar::Other(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_file_is_told_with_its_line() {
        for (text, start) in [
            ("[server]\nport = \n", "polyperf.toml:2: "),
            ("[server]\nport = 1\nport = 2\n", "polyperf.toml:3: duplicate key"),
            (
                "\n[sever]\n",
                "polyperf.toml:2: unknown field `sever`, expected one of `server`, `client`, `compare`",
            ),
            ("port = 1\n", "polyperf.toml:1: unknown field `port`"),
            ("server = 1\n", "polyperf.toml:1: invalid type"),
            ("[server]\n\u{1b} = 1", "polyperf.toml:2: "),
        ] {
            let line = parse(text).unwrap_err();
            assert!(line.starts_with(start), "{text:?}: {line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(parse(""), Ok(File::default()));
    }
}
