//! Every option that may be typed, whoever it belongs to.

use clap::Command;

use super::iperf3::ABSENT;

/// A subcommand, or a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Client,
    Server,
    Compare,
    Diff,
    /// The group of those that follow.
    Cert,
    CertShow,
    CertMake,
    CertExport,
    CertKnown,
    CertForget,
    /// The group of those that follow.
    Config,
    ConfigCheck,
    ConfigShow,
    Doctor,
    Completions,
    Man,
    WebPassword,
    History,
    HistoryList,
    HistoryShow,
    HistoryDiff,
    HistoryExport,
    HistoryPrune,
    Psk,
    PskMake,
    /// The group of those that follow.
    Lab,
    LabList,
    LabShow,
    LabRun,
    LabExec,
    LabShell,
    LabDoctor,
}

/// What an option means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An option of these subcommands.
    Ours(Vec<Mode>),
    /// An option of iperf3 alone, with what to do instead.
    Absent(&'static str),
    /// iperf3's way to ask for a subcommand.
    Select(Mode),
    Help,
    Version,
}

/// An option by all its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) short: Option<char>,
    /// Long names; the first is the one that clap knows it by.
    pub(super) long: Vec<String>,
    pub(super) takes_value: bool,
    /// Whether a value must be attached, and may be left out.
    pub(super) optional: bool,
    /// Whether it may be given more than once, a value each time.
    pub(super) repeats: bool,
    pub(super) meaning: Meaning,
}

/// What a long name stands for.
#[derive(Debug)]
pub(super) enum Lookup<'a> {
    Found(&'a Known),
    /// The start of more than one name.
    Ambiguous(Vec<&'a str>),
    Unknown,
}

/// All options.
#[derive(Debug)]
pub(super) struct Table(Vec<Known>);

impl Mode {
    pub(super) const ALL: [Self; 32] = [
        Self::Client,
        Self::Server,
        Self::Compare,
        Self::Diff,
        Self::Cert,
        Self::CertShow,
        Self::CertMake,
        Self::CertExport,
        Self::CertKnown,
        Self::CertForget,
        Self::Config,
        Self::ConfigCheck,
        Self::ConfigShow,
        Self::Doctor,
        Self::Completions,
        Self::Man,
        Self::WebPassword,
        Self::History,
        Self::HistoryList,
        Self::HistoryShow,
        Self::HistoryDiff,
        Self::HistoryExport,
        Self::HistoryPrune,
        Self::Psk,
        Self::PskMake,
        Self::Lab,
        Self::LabList,
        Self::LabShow,
        Self::LabRun,
        Self::LabExec,
        Self::LabShell,
        Self::LabDoctor,
    ];

    /// Returns its name: that of its group comes first.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Compare => "compare",
            Self::Diff => "diff",
            Self::Cert => "cert",
            Self::CertShow => "cert show",
            Self::CertMake => "cert make",
            Self::CertExport => "cert export",
            Self::CertKnown => "cert known",
            Self::CertForget => "cert forget",
            Self::Config => "config",
            Self::ConfigCheck => "config check",
            Self::ConfigShow => "config show",
            Self::Doctor => "doctor",
            Self::Completions => "completions",
            Self::Man => "man",
            Self::WebPassword => "web-password",
            Self::History => "history",
            Self::HistoryList => "history list",
            Self::HistoryShow => "history show",
            Self::HistoryDiff => "history diff",
            Self::HistoryExport => "history export",
            Self::HistoryPrune => "history prune",
            Self::Psk => "psk",
            Self::PskMake => "psk make",
            Self::Lab => "lab",
            Self::LabList => "lab list",
            Self::LabShow => "lab show",
            Self::LabRun => "lab run",
            Self::LabExec => "lab exec",
            Self::LabShell => "lab shell",
            Self::LabDoctor => "lab doctor",
        }
    }

    /// Returns the words of its name.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        self.name().split(' ')
    }

    /// Finds the subcommand whose name these words begin with; within a group if one is named.
    pub(super) fn named(words: &[&str]) -> Option<Self> {
        let begins = |mode: &Self| {
            let name: Vec<_> = mode.words().collect();
            words.starts_with(&name)
        };
        Self::ALL.into_iter().filter(begins).max_by_key(|mode| mode.words().count())
    }

    /// Returns what clap knows of it.
    pub(super) fn of(self, command: &Command) -> Option<&Command> {
        self.words().try_fold(command, |command, word| command.find_subcommand(word))
    }
}

impl Table {
    /// Returns the options of `command` and its subcommands, and iperf3's.
    pub(super) fn new(command: &Command) -> Self {
        let mut table = Self(vec![
            Known::new(Some('c'), "client", true, Meaning::Select(Mode::Client)),
            Known::new(Some('s'), "server", false, Meaning::Select(Mode::Server)),
            Known::new(Some('h'), "help", false, Meaning::Help),
            Known::new(Some('v'), "version", false, Meaning::Version),
        ]);
        for mode in Mode::ALL {
            if let Some(subcommand) = mode.of(command) {
                subcommand.get_opts().for_each(|arg| table.add(mode, arg));
            }
        }
        table.0.extend(ABSENT.iter().map(|absent| {
            Known::new(
                absent.short,
                absent.long,
                absent.takes_value,
                Meaning::Absent(absent.remedy),
            )
        }));
        table
    }

    pub(super) fn short(&self, letter: char) -> Option<&Known> {
        self.0.iter().find(|known| known.short == Some(letter))
    }

    /// Finds a long name, or the only one that starts this way, as `getopt_long` does.
    pub(super) fn long(&self, name: &str) -> Lookup<'_> {
        let has = |known: &&Known| known.long.iter().any(|long| long == name);
        if let Some(known) = self.0.iter().find(has) {
            return Lookup::Found(known);
        }
        let starts = |known: &&Known| known.long.iter().any(|long| long.starts_with(name));
        let candidates: Vec<_> = self.0.iter().filter(starts).collect();
        match candidates.as_slice() {
            [] => Lookup::Unknown,
            [known] => Lookup::Found(known),
            many => Lookup::Ambiguous(many.iter().map(|known| known.name()).collect()),
        }
    }

    /// Finds an option by the name that clap knows it by.
    pub(super) fn by_name(&self, name: &str) -> Option<&Known> {
        self.0.iter().find(|known| known.name() == name)
    }

    fn add(&mut self, mode: Mode, arg: &clap::Arg) {
        let Some(long) = arg.get_long() else { return };
        if let Some(known) = self.0.iter_mut().find(|known| known.name() == long) {
            if let Meaning::Ours(modes) = &mut known.meaning {
                modes.push(mode);
            }
            return;
        }
        let takes_value = arg.get_action().takes_values();
        let mut known = Known::new(arg.get_short(), long, takes_value, Meaning::Ours(vec![mode]));
        known.optional = arg.is_require_equals_set();
        known.repeats = matches!(arg.get_action(), clap::ArgAction::Append);
        known.long.extend(arg.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned));
        self.0.push(known);
    }
}

impl Known {
    fn new(short: Option<char>, long: &str, takes_value: bool, meaning: Meaning) -> Self {
        Self {
            short,
            long: vec![long.to_owned()],
            takes_value,
            optional: false,
            repeats: false,
            meaning,
        }
    }

    /// Returns the subcommands that have it.
    pub(super) fn modes(&self) -> &[Mode] {
        match &self.meaning {
            Meaning::Ours(modes) => modes,
            _ => &[],
        }
    }

    /// Returns the name that clap knows it by.
    pub(super) fn name(&self) -> &str {
        self.long.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{super::raw::Raw, *};

    #[test]
    fn no_letter_and_no_name_means_two_things() {
        let table = Table::new(&Raw::command());
        let mut seen = std::collections::HashSet::new();
        for known in &table.0 {
            let letter = known.short.map(String::from);
            for name in known.long.iter().cloned().chain(letter) {
                assert!(seen.insert(name.clone()), "{name}");
            }
        }
    }

    #[test]
    fn subcommands_agree_on_letters_and_values_of_the_options_they_share() {
        let command = Raw::command();
        let table = Table::new(&command);
        for subcommand in Mode::ALL.map(|mode| mode.of(&command).unwrap()) {
            for arg in subcommand.get_arguments().filter(|arg| !arg.is_positional()) {
                let Lookup::Found(known) = table.long(arg.get_long().unwrap()) else {
                    panic!("{arg}")
                };
                assert_eq!(
                    (known.short, known.takes_value),
                    (arg.get_short(), arg.get_action().takes_values())
                );
            }
        }
    }

    #[test]
    fn every_subcommand_has_a_name_of_its_own() {
        fn count(command: &Command) -> usize {
            command.get_subcommands().map(|subcommand| 1 + count(subcommand)).sum()
        }
        assert_eq!(count(&Raw::command()), Mode::ALL.len());
        for mode in Mode::ALL {
            let words: Vec<_> = mode.words().chain(["further"]).collect();
            assert_eq!(Mode::named(&words), Some(mode));
        }
        assert_eq!(Mode::named(&["show"]), None);
    }

    #[test]
    fn the_start_of_one_name_stands_for_it() {
        let table = Table::new(&Raw::command());
        assert!(matches!(table.long("rev"), Lookup::Found(known) if known.name() == "reverse"));
        assert!(matches!(table.long("bind"), Lookup::Found(known) if known.name() == "bind"));
        assert!(matches!(table.long("t"), Lookup::Ambiguous(_)));
        assert!(matches!(table.long("nothing"), Lookup::Unknown));
    }
}
