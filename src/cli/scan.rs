//! From arguments to options with their values, by the rules of `getopt_long`.
//!
//! A first pass of our own, because clap stops at the first mistake, and because a value can only
//! be told from a host if the options that we refuse are known as well.

use std::{ffi::OsString, iter::Peekable, vec::IntoIter};

use super::{
    table::{Known, Lookup, Meaning, Table},
    values::shown,
};

/// One thing that was typed.
#[derive(Debug)]
pub(super) enum Token<'t> {
    /// An option, as it was typed, with its value if it takes one.
    Option { typed: String, known: &'t Known, value: Option<String> },
    /// An option whose value is not there; `next` is the option that stands in its place.
    Lacking { typed: String, known: &'t Known, next: Option<String> },
    /// A value for an option that takes none.
    Excess { typed: String, value: String },
    /// An option that nobody knows.
    Unknown { typed: String },
    /// The start of several options.
    Ambiguous { typed: String, candidates: Vec<&'t str> },
    /// A word that is not an option. It is doubtful after an unknown option, whose value it may be.
    Word { text: String, doubtful: bool },
    /// An argument that is not text; its readable part.
    NotText(String),
}

/// Takes arguments apart. Never fails: what is wrong is a token, too.
pub(super) fn scan(table: &Table, args: impl IntoIterator<Item = OsString>) -> Vec<Token<'_>> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut scanner = Scanner { table, args: args.into_iter().peekable(), tokens: Vec::new() };
    while let Some(arg) = scanner.args.next() {
        if arg == "--" {
            scanner.rest();
            break;
        }
        scanner.argument(arg);
    }
    scanner.tokens
}

struct Scanner<'t> {
    table: &'t Table,
    args: Peekable<IntoIter<OsString>>,
    tokens: Vec<Token<'t>>,
}

impl<'t> Scanner<'t> {
    fn argument(&mut self, arg: OsString) {
        let arg = match arg.into_string() {
            Ok(arg) => arg,
            Err(arg) => {
                return self.tokens.push(Token::NotText(arg.to_string_lossy().into_owned()));
            }
        };
        if let Some(long) = arg.strip_prefix("--") {
            self.long(long);
        } else if let Some(cluster) = arg.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            self.cluster(cluster);
        } else {
            let doubtful =
                matches!(self.tokens.last(), Some(Token::Unknown { .. } | Token::Ambiguous { .. }));
            self.tokens.push(Token::Word { text: arg, doubtful });
        }
    }

    fn long(&mut self, text: &str) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let typed = format!("--{name}");
        match self.table.long(name) {
            Lookup::Found(known) => self.option(typed, known, value),
            Lookup::Ambiguous(candidates) => {
                self.tokens.push(Token::Ambiguous { typed, candidates })
            }
            Lookup::Unknown => self.tokens.push(Token::Unknown { typed }),
        }
    }

    /// Takes `-RP4` apart: flags, up to the first letter that takes what remains as its value.
    fn cluster(&mut self, cluster: &str) {
        let mut rest = cluster.chars();
        while let Some(letter) = rest.next() {
            let typed = format!("-{letter}");
            let Some(known) = self.table.short(letter) else {
                // What follows may be its value as well as more letters.
                return self.tokens.push(Token::Unknown { typed: format!("-{cluster}") });
            };
            if known.takes_value {
                let value = rest.as_str();
                let value = value.strip_prefix('=').unwrap_or(value);
                let value = (!rest.as_str().is_empty()).then(|| value.to_owned());
                return self.option(typed, known, value);
            }
            self.option(typed, known, None);
        }
    }

    fn option(&mut self, typed: String, known: &'t Known, value: Option<String>) {
        let token = match (known.takes_value, value) {
            (true, None) if !known.optional => self.with_next(typed, known),
            // That the option does not exist says more than that its value is too much.
            (false, Some(value)) if !matches!(known.meaning, Meaning::Absent(_)) => {
                Token::Excess { typed, value }
            }
            (_, value) => Token::Option { typed, known, value },
        };
        self.tokens.push(token);
    }

    /// Takes the next argument as the value, unless it is an option: then the value was forgotten.
    fn with_next(&mut self, typed: String, known: &'t Known) -> Token<'t> {
        match self.args.next_if(|arg| !is_option(&arg.to_string_lossy())).map(OsString::into_string)
        {
            Some(Ok(value)) => Token::Option { typed, known, value: Some(value) },
            Some(Err(value)) => Token::NotText(format!("{typed} {}", value.to_string_lossy())),
            None => {
                let next = self.args.peek().map(|next| next.to_string_lossy().into_owned());
                Token::Lacking { typed, known, next }
            }
        }
    }

    /// Takes what is behind `--`: words alone.
    fn rest(&mut self) {
        for arg in self.args.by_ref() {
            self.tokens.push(match arg.into_string() {
                Ok(text) => Token::Word { text, doubtful: false },
                Err(text) => Token::NotText(text.to_string_lossy().into_owned()),
            });
        }
    }
}

impl Token<'_> {
    /// Returns what is wrong with it, whichever subcommand it is for.
    pub(super) fn mistake(&self) -> Option<String> {
        Some(match self {
            Self::Lacking { typed, next: Some(next), .. } => {
                let joint = if typed.starts_with("--") { "=" } else { "" };
                let next = shown(next);
                format!(
                    "{typed} lacks its value: write {typed}{joint}{next} if {next} is the value"
                )
            }
            Self::Lacking { typed, next: None, .. } => {
                format!("{typed} lacks its value: write it behind {typed}")
            }
            Self::Excess { typed, value } => {
                format!("{typed}={} is too much: {typed} takes no value", shown(value))
            }
            Self::Ambiguous { typed, candidates } => {
                let names: Vec<_> = candidates.iter().map(|name| format!("--{name}")).collect();
                format!(
                    "{} is the start of several options: write out {}",
                    shown(typed),
                    names.join(" or ")
                )
            }
            Self::NotText(text) => format!("{} is not valid UTF-8: write it in UTF-8", shown(text)),
            Self::Option { .. } | Self::Unknown { .. } | Self::Word { .. } => return None,
        })
    }
}

/// Returns whether it looks like an option; a negative number is a value.
fn is_option(arg: &str) -> bool {
    let mut chars = arg.chars();
    chars.next() == Some('-')
        && chars.next().is_some_and(|next| !next.is_ascii_digit() && next != '.')
}
