//! From what was typed to one subcommand and the options that are its own.

use clap::{
    Arg, ArgAction,
    error::{ContextKind, ContextValue},
};

use super::{
    scan::Token,
    table::{Known, Meaning, Mode},
    values::{Mistakes, shown},
};

/// What is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// The help of a subcommand, or of all.
    Help(Option<Mode>),
    Version,
    Run(Sorted),
}

/// The arguments of one subcommand.
#[derive(Debug)]
pub(super) struct Sorted {
    /// The subcommand, or the group in which none was named; `None` without a group.
    pub(super) mode: Option<Mode>,
    /// Whether a subcommand was named; if not, that is one of the mistakes.
    pub(super) complete: bool,
    pub(super) options: Vec<Given>,
    pub(super) words: Vec<String>,
    pub(super) mistakes: Mistakes,
}

/// An option that is given, by the name that clap knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

impl Sorted {
    /// Returns a subcommand without options, for which nothing is missing, nor of no use.
    pub(super) fn bare(mode: Mode) -> Self {
        let has_host = matches!(mode, Mode::Client | Mode::Compare);
        let words = if has_host { vec!["localhost".to_owned()] } else { Vec::new() };
        let (options, mistakes) = (Vec::new(), Mistakes::default());
        Self { mode: Some(mode), complete: true, options, words, mistakes }
    }

    /// Returns the arguments in clap's own form, the program's name first.
    pub(super) fn argv(&self) -> Vec<String> {
        let mut argv = vec!["polyperf".to_owned()];
        argv.extend(self.mode.into_iter().flat_map(Mode::words).map(str::to_owned));
        argv.extend(self.options.iter().map(|Given { name, value }| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        }));
        if !self.words.is_empty() {
            argv.push("--".to_owned());
            argv.extend(self.words.iter().cloned());
        }
        argv
    }
}

/// Sorts tokens to their subcommand.
pub(super) fn sort(command: &clap::Command, mut tokens: Vec<Token<'_>>) -> Request {
    let wants_help = word_at(&tokens, 0) == Some("help");
    if wants_help {
        tokens.remove(0);
    }
    let chosen = Chosen::take(&mut tokens);
    if wants_help || tokens.iter().any(|token| means(token, &Meaning::Help)) {
        return Request::Help(chosen.mode());
    }
    if tokens.iter().any(|token| means(token, &Meaning::Version)) {
        return Request::Version;
    }
    let mut sorter = Sorter::new(command, chosen);
    for token in tokens {
        sorter.token(token);
    }
    Request::Run(match sorter.mode {
        Some(mode) => sorter.finish(mode),
        None => sorter.without_mode(),
    })
}

/// How the subcommand was named.
#[derive(Debug, Clone, Copy)]
enum Chosen {
    ByName(Mode),
    AsInIperf3(Mode),
    Not,
}

impl Chosen {
    /// Finds the subcommand, and takes its name out of the tokens.
    fn take(tokens: &mut Vec<Token<'_>>) -> Self {
        let (places, words): (Vec<_>, Vec<_>) =
            (0..tokens.len()).filter_map(|at| Some((at, word_at(tokens, at)?))).unzip();
        let named = Mode::named(&words);
        let selected = tokens.iter().find_map(selects);
        match (named, selected) {
            // A name that comes first counts, whatever follows.
            (Some(mode), _) if selected.is_none() || places.first() == Some(&0) => {
                for &at in places.iter().take(mode.words().count()).rev() {
                    tokens.remove(at);
                }
                Self::ByName(mode)
            }
            (_, Some(mode)) => Self::AsInIperf3(mode),
            _ => Self::Not,
        }
    }

    fn mode(self) -> Option<Mode> {
        match self {
            Self::ByName(mode) | Self::AsInIperf3(mode) => Some(mode),
            Self::Not => None,
        }
    }
}

struct Sorter<'c> {
    command: &'c clap::Command,
    chosen: Chosen,
    /// The subcommand; `None` if none was named, or only its group.
    mode: Option<Mode>,
    options: Vec<Given>,
    words: Vec<String>,
    /// Whether there are words that may be hosts, or the values of unknown options.
    doubtful: bool,
    mistakes: Mistakes,
}

impl<'c> Sorter<'c> {
    fn new(command: &'c clap::Command, chosen: Chosen) -> Self {
        let is_group = |mode: &Mode| mode.of(command).is_some_and(clap::Command::has_subcommands);
        let mode = chosen.mode().filter(|mode| !is_group(mode));
        let (options, words, mistakes) = (Vec::new(), Vec::new(), Mistakes::default());
        Self { command, chosen, mode, options, words, doubtful: false, mistakes }
    }

    fn token(&mut self, token: Token<'_>) {
        match token {
            Token::Option { typed, known, value } => self.option(&typed, known, value),
            Token::Lacking { typed, known, .. }
                if known.meaning == Meaning::Select(Mode::Client) =>
            {
                // That the host is missing is found at the end.
                self.select(&typed, Mode::Client);
            }
            Token::Word { doubtful: true, .. } => self.doubtful = true,
            Token::Word { text, doubtful: false } => self.words.push(text),
            Token::Unknown { typed } => self.unknown(&typed),
            token => token.mistake().into_iter().for_each(|line| self.mistakes.add(line)),
        }
    }

    fn option(&mut self, typed: &str, known: &Known, value: Option<String>) {
        match &known.meaning {
            Meaning::Ours(modes) => match self.mode {
                Some(mode) if !modes.contains(&mode) => self.misplaced(typed, mode, known, modes),
                _ => self.options.push(Given { name: known.name().to_owned(), value }),
            },
            Meaning::Absent(remedy) => {
                self.mistakes.add(format!(
                    "{typed} is an option of iperf3 that polyperf does not have: {remedy}"
                ));
            }
            Meaning::Select(mode) => {
                self.select(typed, *mode);
                self.words.extend(value);
            }
            Meaning::Help | Meaning::Version => {}
        }
    }

    /// Takes `-c` or `-s`, which name the subcommand if nothing else does.
    fn select(&mut self, typed: &str, mode: Mode) {
        match self.chosen {
            Chosen::ByName(named) => {
                let word = self.positional(named).map(|word| format!(" {}", value_name(word)));
                let usage = format!("{}{}", named.name(), word.unwrap_or_default());
                self.mistakes.add(format!("{typed} is of no use here: write polyperf {usage}"));
            }
            Chosen::AsInIperf3(first) if first != mode => {
                self.mistakes
                    .add("-c and -s exclude each other: a client and a server are two programs");
            }
            Chosen::AsInIperf3(_) | Chosen::Not => {}
        }
    }

    fn misplaced(&mut self, typed: &str, mode: Mode, known: &Known, owners: &[Mode]) {
        let owners: Vec<_> =
            owners.iter().map(|owner| format!("polyperf {}", owner.name())).collect();
        let owners = listed(&owners, "and");
        let why = match (mode, known.name()) {
            (Mode::Server, "interval") => "intervals are the client's choice".to_owned(),
            (Mode::ConfigShow, _) => {
                "write it behind --, as in polyperf config show -- server -p 5202".to_owned()
            }
            _ => format!("leave it out of polyperf {}", mode.name()),
        };
        self.mistakes.add(format!("{typed} belongs to {owners}: {why}"));
    }

    fn unknown(&mut self, typed: &str) {
        let similar = self.mode.and_then(|mode| suggestion(self.command, mode, typed));
        let remedy = match similar {
            Some(similar) => format!("did you mean {similar}?"),
            None => "leave it out".to_owned(),
        };
        self.mistakes.add(format!("{} is not an option: {remedy}", shown(typed)));
    }

    fn finish(mut self, mode: Mode) -> Sorted {
        let positional = self.positional(mode);
        let most = match positional {
            Some(word) if matches!(word.get_action(), ArgAction::Append) => self.words.len(),
            Some(_) => 1.min(self.words.len()),
            None => 0,
        };
        let remedy = match positional {
            Some(word) => format!("name one {}", value_name(word)),
            None => format!("polyperf {} takes options alone", mode.name()),
        };
        for word in self.words.split_off(most) {
            self.mistakes.add(format!("{} is too much: {remedy}", shown(&word)));
        }
        let required = positional.filter(|word| word.is_required_set());
        if let Some(word) = required.filter(|_| self.words.is_empty() && !self.doubtful) {
            let (word, mode) = (value_name(word), mode.name());
            let remedy = match word {
                "IDENTITY" => format!("name whom it is for, as in polyperf {mode} alice"),
                "PRESET" => format!("name a link, as in polyperf {mode} lossy-iid"),
                _ => format!("name the server, as in polyperf {mode} 192.0.2.1"),
            };
            self.mistakes.add(format!("{word} is missing: {remedy}"));
        }
        self.sorted(Some(mode), true)
    }

    fn without_mode(mut self) -> Sorted {
        let what = match self.words.first() {
            Some(word) => format!("{} is no command", shown(word)),
            None => "a command is missing".to_owned(),
        };
        let group = self.chosen.mode();
        let remedy = match group.and_then(|group| Some((group.name(), group.of(self.command)?))) {
            Some((name, group)) => {
                let names: Vec<_> = group.get_subcommands().map(clap::Command::get_name).collect();
                format!("polyperf {name} {}", listed(&names, "or"))
            }
            None => "polyperf client HOST, polyperf server, polyperf compare, polyperf diff, \
                polyperf cert, polyperf psk, polyperf lab, polyperf history, polyperf config, \
                polyperf doctor, polyperf completions, polyperf man or polyperf web-password"
                .to_owned(),
        };
        self.mistakes.add(format!("{what}: write {remedy}"));
        self.sorted(group, false)
    }

    fn sorted(self, mode: Option<Mode>, complete: bool) -> Sorted {
        let Self { options, words, mistakes, .. } = self;
        Sorted { mode, complete, options, words, mistakes }
    }

    /// Returns the word that a subcommand takes beside its options.
    fn positional(&self, mode: Mode) -> Option<&'c Arg> {
        mode.of(self.command)?.get_positionals().next()
    }
}

/// Asks clap for the option of a subcommand that is most like this one.
pub(super) fn suggestion(command: &clap::Command, mode: Mode, typed: &str) -> Option<String> {
    let words = ["polyperf"].into_iter().chain(mode.words());
    let line = words.map(str::to_owned).chain([typed.to_owned()]);
    let error = command.clone().try_get_matches_from(line).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(similar) => Some(similar.clone()),
        _ => None,
    }
}

fn value_name(arg: &Arg) -> &str {
    arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str())
}

/// Returns names with commas between them, and a word before the last one.
fn listed(names: &[impl AsRef<str>], word: &str) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => {
            format!("{} {word} {last}", others.join(", "))
        }
        _ => names.concat(),
    }
}

fn means(token: &Token<'_>, meaning: &Meaning) -> bool {
    matches!(token, Token::Option { known, .. } if known.meaning == *meaning)
}

fn selects(token: &Token<'_>) -> Option<Mode> {
    match token {
        Token::Option { known, .. } | Token::Lacking { known, .. } => match known.meaning {
            Meaning::Select(mode) => Some(mode),
            _ => None,
        },
        _ => None,
    }
}

fn word_at<'a>(tokens: &'a [Token<'_>], at: usize) -> Option<&'a str> {
    match tokens.get(at) {
        Some(Token::Word { text, .. }) => Some(text),
        _ => None,
    }
}
