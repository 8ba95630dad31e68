//! From what was typed to one subcommand and the options that are its own.

use clap::error::{ContextKind, ContextValue};

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
    /// The subcommand; `None` if none was named, which is one of the mistakes.
    pub(super) mode: Option<Mode>,
    /// The arguments in clap's own form, the program's name first.
    pub(super) argv: Vec<String>,
    pub(super) mistakes: Mistakes,
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
    let mode = chosen.mode();
    let mut sorter = Sorter::new(command, chosen);
    for token in tokens {
        sorter.token(token);
    }
    Request::Run(match mode {
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
        if let Some(mode) = word_at(tokens, 0).and_then(Mode::by_name) {
            tokens.remove(0);
            return Self::ByName(mode);
        }
        if let Some(mode) = tokens.iter().find_map(selects) {
            return Self::AsInIperf3(mode);
        }
        let word = tokens.iter().position(|token| matches!(token, Token::Word { .. }));
        match word.and_then(|at| Some((at, word_at(tokens, at).and_then(Mode::by_name)?))) {
            Some((at, mode)) => {
                tokens.remove(at);
                Self::ByName(mode)
            }
            None => Self::Not,
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
    options: Vec<String>,
    hosts: Vec<String>,
    /// Whether there are words that may be hosts, or the values of unknown options.
    doubtful: bool,
    mistakes: Mistakes,
}

impl<'c> Sorter<'c> {
    fn new(command: &'c clap::Command, chosen: Chosen) -> Self {
        let (options, hosts, mistakes) = (Vec::new(), Vec::new(), Mistakes::default());
        Self { command, chosen, options, hosts, doubtful: false, mistakes }
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
            Token::Word { text, doubtful: false } => self.hosts.push(text),
            Token::Unknown { typed } => self.unknown(&typed),
            token => token.mistake().into_iter().for_each(|line| self.mistakes.add(line)),
        }
    }

    fn option(&mut self, typed: &str, known: &Known, value: Option<String>) {
        match &known.meaning {
            Meaning::Ours(modes) => match self.chosen.mode() {
                Some(mode) if !modes.contains(&mode) => self.misplaced(typed, mode, known, modes),
                _ => self.options.push(match value {
                    Some(value) => format!("--{}={value}", known.name()),
                    None => format!("--{}", known.name()),
                }),
            },
            Meaning::Absent(remedy) => {
                self.mistakes.add(format!(
                    "{typed} is an option of iperf3 that polyperf does not have: {remedy}"
                ));
            }
            Meaning::Select(mode) => {
                self.select(typed, *mode);
                self.hosts.extend(value);
            }
            Meaning::Help | Meaning::Version => {}
        }
    }

    /// Takes `-c` or `-s`, which name the subcommand if nothing else does.
    fn select(&mut self, typed: &str, mode: Mode) {
        match self.chosen {
            Chosen::ByName(named) => {
                let usage = if named == Mode::Server { "" } else { " HOST" };
                let named = named.name();
                self.mistakes
                    .add(format!("{typed} is of no use here: write polyperf {named}{usage}"));
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
        let why = match (mode, known.name()) {
            (Mode::Server, "interval") => "intervals are the client's choice".to_owned(),
            _ => format!("leave it out of polyperf {}", mode.name()),
        };
        self.mistakes.add(format!("{typed} belongs to {}: {why}", owners.join(" and ")));
    }

    fn unknown(&mut self, typed: &str) {
        let remedy = match self.suggestion(typed) {
            Some(similar) => format!("did you mean {similar}?"),
            None => "leave it out".to_owned(),
        };
        self.mistakes.add(format!("{} is not an option: {remedy}", shown(typed)));
    }

    /// Asks clap for the option that is most like this one.
    fn suggestion(&self, typed: &str) -> Option<String> {
        let mode = self.chosen.mode()?.name();
        let error = self.command.clone().try_get_matches_from(["polyperf", mode, typed]).err()?;
        match error.get(ContextKind::SuggestedArg)? {
            ContextValue::String(similar) => Some(similar.clone()),
            _ => None,
        }
    }

    fn finish(mut self, mode: Mode) -> Sorted {
        let mut words = std::mem::take(&mut self.hosts).into_iter();
        let host = if mode == Mode::Server { None } else { words.next() };
        let remedy = match mode {
            Mode::Server => "polyperf server takes options alone",
            Mode::Client | Mode::Compare => "name one HOST",
        };
        for word in words {
            self.mistakes.add(format!("{} is too much: {remedy}", shown(&word)));
        }
        if host.is_none() && mode == Mode::Client && !self.doubtful {
            self.mistakes.add("HOST is missing: name the server, as in polyperf client 192.0.2.1");
        }
        let mut argv = vec!["polyperf".to_owned(), mode.name().to_owned()];
        argv.append(&mut self.options);
        if let Some(host) = host {
            argv.extend(["--".to_owned(), host]);
        }
        Sorted { mode: Some(mode), argv, mistakes: self.mistakes }
    }

    fn without_mode(mut self) -> Sorted {
        let what = match self.hosts.first() {
            Some(word) => format!("{} is no command", shown(word)),
            None => "a command is missing".to_owned(),
        };
        let remedy = "write polyperf client HOST, polyperf server or polyperf compare";
        self.mistakes.add(format!("{what}: {remedy}"));
        Sorted { mode: None, argv: Vec::new(), mistakes: self.mistakes }
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
