use std::{collections::BTreeSet, fmt, net::IpAddr, num::NonZeroU32, time::Duration};

use ipnet::IpNet;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::policy::{Arrivals, Policies, Policy};
use crate::{spec::Direction, units};

/// Everything that is wrong with a file of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMistakes(Vec<PolicyMistake>);

/// Something that is wrong with a file of policies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PolicyMistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to write.
    pub problem: String,
}

impl Policies {
    /// Reads policies from a text in TOML; docs/governance.md has its form. They may name these
    /// transports.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, at once.
    pub fn parse(text: &str, transports: &[&str]) -> Result<Self, PolicyMistakes> {
        let mut reader = Reader { text, transports, mistakes: Vec::new() };
        let policies = reader.document();
        let mut mistakes = reader.mistakes;
        mistakes.sort_by_key(|mistake| mistake.line);
        if mistakes.is_empty() { Ok(policies) } else { Err(PolicyMistakes(mistakes)) }
    }
}

impl PolicyMistakes {
    /// Returns each mistake, in the order of the lines.
    pub fn iter(&self) -> impl Iterator<Item = &PolicyMistake> {
        self.0.iter()
    }
}

impl fmt::Display for PolicyMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyMistakes {}

struct Reader<'a> {
    text: &'a str,
    transports: &'a [&'a str],
    mistakes: Vec<PolicyMistake>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl Reader<'_> {
    fn document(&mut self) -> Policies {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.mistake(at, error.message());
        }
        let mut policies = Policies::default();
        let (mut per_second, mut at_once, mut public) = (None, None, false);
        let mut list = Vec::new();
        for (key, value) in document.get_ref() {
            match key.get_ref().as_ref() {
                "public" => public = self.boolean(key, value),
                "new_sessions_per_second" => per_second = self.count(key, value),
                "new_sessions_at_once" => at_once = self.count(key, value),
                "policy" => list = self.tables(key, value),
                other => self.unknown(key.span().start, other, &TOP),
            }
        }
        if !list.is_empty() {
            policies = Policies::new(list);
        }
        if public {
            policies = policies.public();
        }
        let usual = policies.arrivals();
        policies.arriving(Arrivals {
            per_second: per_second.unwrap_or(usual.per_second),
            burst: at_once.unwrap_or(usual.burst),
        })
    }

    fn tables(&mut self, key: &Spanned<impl AsRef<str>>, value: &Value<'_>) -> Vec<Policy> {
        let DeValue::Array(tables) = value.get_ref() else {
            self.mistake(key.span().start, "policy is no list: begin each with [[policy]]");
            return Vec::new();
        };
        let mut names = BTreeSet::new();
        let mut list = Vec::new();
        for table in tables.iter() {
            let DeValue::Table(fields) = table.get_ref() else {
                self.mistake(table.span().start, "a policy is a table: begin it with [[policy]]");
                continue;
            };
            let policy = self.policy(table.span().start, fields);
            if !policy.name.is_empty() && !names.insert(policy.name.clone()) {
                let text = format!("there is another policy of the name {:?}", policy.name);
                self.mistake(table.span().start, &text);
            }
            list.push(policy);
        }
        list
    }

    fn policy(&mut self, at: usize, fields: &DeTable<'_>) -> Policy {
        let mut policy = Policy::default();
        for (key, value) in fields {
            let known = match key.get_ref().as_ref() {
                "name" => set(&mut policy.name, self.text(key, value)),
                "prefixes" => set(&mut policy.prefixes, self.list(key, value, prefix)),
                "identities" => set(&mut policy.identities, self.list(key, value, identity)),
                "deny" => set(&mut policy.deny, Some(self.boolean(key, value))),
                "transports" => {
                    let known = self.transports;
                    let list = self.list(key, value, |text| transport(text, known));
                    set(&mut policy.transports, list.map(Some))
                }
                "directions" => {
                    let list = self.list(key, value, direction);
                    set(&mut policy.directions, list.map(Some))
                }
                "max_streams" => {
                    let count = self.count(key, value).map(NonZeroU32::get);
                    set(&mut policy.max_streams, count.map(|n| u16::try_from(n).ok()))
                }
                "max_rate" => {
                    let rate = self.amount(key, value, units::parse_rate);
                    set(&mut policy.max_rate, rate.map(Some))
                }
                "max_duration" => {
                    let time = self.time(key, value);
                    set(&mut policy.max_duration, time.map(Some))
                }
                "max_sessions" => {
                    let count = self.count(key, value);
                    set(&mut policy.max_sessions, count.map(Some))
                }
                "bytes_per_day" => {
                    let bytes = self.amount(key, value, units::parse_size);
                    set(&mut policy.bytes_per_day, bytes.map(Some))
                }
                _ => false,
            };
            if !known {
                self.unknown(key.span().start, key.get_ref().as_ref(), &FIELDS);
            }
        }
        if policy.name.is_empty() && !fields.contains_key("name") {
            self.mistake(at, "a policy has no name: write name = \"…\"");
        }
        let deny = Policy {
            name: policy.name.clone(),
            prefixes: policy.prefixes.clone(),
            identities: policy.identities.clone(),
            deny: true,
            ..Policy::default()
        };
        if policy.deny && policy != deny {
            self.mistake(at, "deny = true goes with name, prefixes and identities alone");
        }
        policy
    }

    fn boolean(&mut self, key: &Spanned<impl AsRef<str>>, value: &Value<'_>) -> bool {
        match value.get_ref() {
            DeValue::Boolean(value) => *value,
            _ => {
                self.wrong(key, "true or false");
                false
            }
        }
    }

    fn text(&mut self, key: &Spanned<impl AsRef<str>>, value: &Value<'_>) -> Option<String> {
        let text = value.get_ref().as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.wrong(key, "a text that is not empty");
        }
        text.map(str::to_owned)
    }

    fn count(&mut self, key: &Spanned<impl AsRef<str>>, value: &Value<'_>) -> Option<NonZeroU32> {
        let number = integer(value).and_then(|number| u32::try_from(number).ok());
        let count = number.and_then(NonZeroU32::new);
        if count.is_none() {
            self.wrong(key, "a whole number from 1");
        }
        count
    }

    /// Reads an amount other than 0: a number, or a text with a prefix.
    fn amount<E: fmt::Display>(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<u64, E>,
    ) -> Option<u64> {
        let parsed = match (value.get_ref().as_str(), integer(value)) {
            (Some(text), _) => parse(text).map_err(|error| error.to_string()),
            (None, Some(number)) => Ok(number),
            (None, None) => Err("neither a whole number nor a text such as \"100M\"".to_owned()),
        };
        match parsed {
            Ok(0) => self.wrong(key, "more than 0; leave it out for no limit"),
            Ok(amount) => return Some(amount),
            Err(error) => {
                let text = format!("{}: {error}", key.get_ref().as_ref());
                self.mistake(key.span().start, &text);
            }
        }
        None
    }

    fn time(&mut self, key: &Spanned<impl AsRef<str>>, value: &Value<'_>) -> Option<Duration> {
        let time = match (value.get_ref().as_str(), integer(value)) {
            (Some(text), _) => units::parse_seconds(text).ok(),
            (None, Some(seconds)) => Some(Duration::from_secs(seconds)),
            (None, None) => None,
        };
        let time = time.filter(|time| !time.is_zero() && *time <= LONGEST);
        if time.is_none() {
            self.wrong(key, "seconds, or a text such as \"10m\", up to 30 days");
        }
        time
    }

    fn list<T>(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, "a list of texts: [\"…\", \"…\"]");
            return None;
        };
        if items.is_empty() {
            self.wrong(key, "a list that is not empty; leave it out for all");
        }
        let mut list = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str().map(&parse) {
                Some(Ok(item)) => list.push(item),
                Some(Err(problem)) => {
                    let text = format!("{}: {problem}", key.get_ref().as_ref());
                    self.mistake(item.span().start, &text);
                }
                None => self.wrong(key, "a list of texts: [\"…\", \"…\"]"),
            }
        }
        Some(list)
    }

    fn wrong(&mut self, key: &Spanned<impl AsRef<str>>, wanted: &str) {
        let text = format!("{} is to be {wanted}", key.get_ref().as_ref());
        self.mistake(key.span().start, &text);
    }

    fn unknown(&mut self, at: usize, key: &str, known: &[&str]) {
        let text = format!("{key:?} is not known: there are {}", known.join(", "));
        self.mistake(at, &text);
    }

    fn mistake(&mut self, at: usize, problem: &str) {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.mistakes.push(PolicyMistake { line, problem: problem.to_owned() });
    }
}

/// Sets a field that could be read; the key is known either way.
fn set<T>(field: &mut T, value: Option<T>) -> bool {
    if let Some(value) = value {
        *field = value;
    }
    true
}

fn integer(value: &Value<'_>) -> Option<u64> {
    let number = value.get_ref().as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| {
        format!("{text:?} is no prefix: write for instance 192.0.2.0/24 or 2001:db8::/32")
    })?;
    Ok(net.trunc())
}

fn identity(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{text:?} is no identity: write a name without blanks, or *"));
    }
    Ok(text.to_owned())
}

fn transport(text: &str, known: &[&str]) -> Result<String, String> {
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no transport {text:?}; there are {}", known.join(", ")))
}

fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "forward" => Ok(Direction::Forward),
        "reverse" => Ok(Direction::Reverse),
        "bidirectional" => Ok(Direction::Bidirectional),
        _ => Err(format!(
            "there is no direction {text:?}; there are forward, reverse, bidirectional"
        )),
    }
}

const TOP: [&str; 4] = ["public", "new_sessions_per_second", "new_sessions_at_once", "[[policy]]"];
const FIELDS: [&str; 11] = [
    "name",
    "prefixes",
    "identities",
    "deny",
    "transports",
    "directions",
    "max_streams",
    "max_rate",
    "max_duration",
    "max_sessions",
    "bytes_per_day",
];
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
