//! Options that were not typed, filled in from the environment and the configuration file.

mod locate;
mod rivals;

use std::path::{Path, PathBuf};

use clap::Command;

use self::rivals::are_rivals;
use super::{
    sort::{Given, Sorted, suggestion},
    table::{Known, Mode, Table},
    values::shown,
};
use crate::config::{
    self, CONFIG_VARIABLE, Entry, File, Origin, Scalar, Section, Setting, Settings, Sources,
    Variable,
};

/// A file that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) content: File,
}

/// The options of a subcommand that may be set from elsewhere.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    command: &'a Command,
    table: &'a Table,
    mode: Mode,
    /// What the names of its variables begin with.
    prefix: &'static str,
    warnings: Vec<String>,
    mistakes: Vec<String>,
}

/// The value of an option in one of the layers.
#[derive(Debug)]
struct Found {
    given: Given,
    /// Whether it is anything else than a flag that is not set.
    is_set: bool,
    origin: Origin,
}

/// Reads the file that is named, or else the first that is there; fills in what stands there and in
/// the environment, and returns what every option is set to.
pub(super) fn fill_in(
    command: &Command,
    table: &Table,
    sorted: &mut Sorted,
    sources: &Sources,
) -> Settings {
    let Some(layers) = Layers::new(command, table, sorted.mode) else {
        return Settings::default();
    };
    let file = match locate::read(&sorted.options, sources) {
        Ok(file) => file,
        Err(mistake) => {
            sorted.mistakes.add(mistake);
            None
        }
    };
    layers.fill_in(sorted, file, sources)
}

impl<'a> Layers<'a> {
    /// Returns `None` for a subcommand whose options are always typed.
    pub(super) fn new(command: &'a Command, table: &'a Table, mode: Option<Mode>) -> Option<Self> {
        let (mode, prefix) = mode.and_then(|mode| Some((mode, prefix(mode)?)))?;
        let (warnings, mistakes) = (Vec::new(), Vec::new());
        Some(Self { command, table, mode, prefix, warnings, mistakes })
    }

    /// Fills in what stands in this file and in the environment, which counts for more.
    pub(super) fn fill_in(
        mut self,
        sorted: &mut Sorted,
        file: Option<Read>,
        sources: &Sources,
    ) -> Settings {
        let alone = self.mode == Mode::Compare && sorted.words.is_empty();
        let environment = self.environment(sources.ours());
        let in_file = file.as_ref().map(|Read { path, content }| self.section(path, content));
        let typed = sorted.options.iter().cloned();
        let mut found: Vec<Found> =
            typed.map(|given| Found { given, is_set: true, origin: Origin::Flag }).collect();
        for layer in [environment, in_file.unwrap_or_default()] {
            let fits = |new: &Found| !found.iter().any(|above| above.overrides(new));
            let is_moot = |new: &Found| alone && OF_A_HOST.contains(&new.given.name.as_str());
            let layer = layer.into_iter().filter(|new| fits(new) && !is_moot(new));
            let mut layer: Vec<_> = layer.collect();
            let set = layer.iter().filter(|found| found.is_set);
            sorted.options.extend(set.map(|found| found.given.clone()));
            found.append(&mut layer);
        }
        let all = self.all(&found);
        for mistake in self.mistakes {
            sorted.mistakes.add(mistake);
        }
        Settings { file: file.map(|file| file.path), all, warnings: self.warnings }
    }

    fn environment(&mut self, variables: Vec<Variable>) -> Vec<Found> {
        let mut found = Vec::new();
        for Variable { name, value } in variables {
            let Some(option) = self.option_of(&name) else { continue };
            let known = self.known(&option).filter(|_| name == self.variable(&option));
            let Some(known) = known.filter(|_| !is_link(&option, value.as_deref())) else {
                let remedy = self.remedy(&option).map(|similar| self.variable(&similar));
                let remedy = remedy.map(|similar| format!("; did you mean {similar}?"));
                self.warnings.push(format!(
                    "{} is no setting of polyperf {}, and has no effect{}",
                    shown(&name),
                    self.mode.name(),
                    remedy.unwrap_or_default()
                ));
                continue;
            };
            let text = value.as_deref().unwrap_or_default();
            let fitted = match &value {
                Some(text) => fit(known, from_text(known, text)),
                None => Err("is not valid UTF-8: write it in UTF-8".to_owned()),
            };
            match fitted {
                Ok(values) => {
                    let origin = Origin::Environment { name };
                    found.extend(values.into_iter().map(|value| value.found(&option, &origin)));
                }
                Err(problem) => self.mistakes.push(format!("{name}={} {problem}", shown(text))),
            }
        }
        found
    }

    fn section(&mut self, path: &Path, file: &File) -> Vec<Found> {
        let mut found = Vec::new();
        for Entry { key, value, line } in section(file, self.mode) {
            let at = config::at(path, *line);
            let Some(known) = self.known(key) else {
                self.mistakes.push(format!("{} in {at} {}", shown(key), self.unknown(key)));
                continue;
            };
            match fit(known, value.clone()) {
                Ok(values) => {
                    let origin = Origin::File { path: path.to_owned(), line: *line };
                    found.extend(values.into_iter().map(|value| value.found(key, &origin)));
                }
                Err(problem) => {
                    let value = match value {
                        Scalar::Flag(flag) => format!(" = {flag}"),
                        Scalar::Text(text) => format!(" = {}", shown(text)),
                        Scalar::List(_) | Scalar::Other(_) => String::new(),
                    };
                    self.mistakes.push(format!("{key}{value} in {at} {problem}"));
                }
            }
        }
        found
    }

    /// Returns what every option is set to.
    fn all(&self, found: &[Found]) -> Vec<Setting> {
        let known = self.mode.of(self.command).into_iter().flat_map(Command::get_opts);
        let settings = known.filter_map(|arg| {
            let option = arg.get_long()?;
            let known = self.known(option)?;
            // One layer alone has it. What comes last there counts, unless all of it does.
            let mut found: Vec<_> =
                found.iter().filter(|found| found.given.name == option).collect();
            if !known.repeats {
                found = found.split_off(found.len().saturating_sub(1));
            }
            let (value, origin) = match found.first() {
                Some(first) => {
                    let values = found.iter().map(|found| {
                        found.given.value.clone().unwrap_or_else(|| found.is_set.to_string())
                    });
                    (Some(values.collect::<Vec<_>>().join(", ")), first.origin.clone())
                }
                None => (self.default(arg), Origin::Default),
            };
            Some(Setting { option: option.to_owned(), value, origin, short: arg.get_short() })
        });
        settings.collect()
    }

    /// Returns what an option is if nobody sets it, as its help says.
    fn default(&self, arg: &clap::Arg) -> Option<String> {
        if !arg.get_action().takes_values() {
            return Some("false".to_owned());
        }
        let help = arg.get_help()?.to_string();
        let (_, default) = help.rsplit_once("[default: ")?;
        let default = default.strip_suffix(']').unwrap_or(default);
        let default = match (self.mode, default.split_once("; of a server, ")) {
            (Mode::Server, Some((_, of_server))) => of_server,
            (_, Some((of_client, _))) => of_client,
            (_, None) => default,
        };
        Some(default.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Finds an option that may be set from elsewhere, by the name that clap knows it by.
    fn known(&self, option: &str) -> Option<&'a Known> {
        let known = self.table.by_name(option)?;
        (known.modes().contains(&self.mode) && option != CONFIG_OPTION).then_some(known)
    }

    /// Returns the option that a variable is for; `None` if it is another subcommand's.
    fn option_of(&self, variable: &str) -> Option<String> {
        let option = variable.strip_prefix(self.prefix)?;
        let others = Mode::ALL.into_iter().filter_map(prefix);
        let of_other = others
            .filter(|other| other.len() > self.prefix.len())
            .any(|other| variable.starts_with(other));
        let ours = variable != CONFIG_VARIABLE && !of_other;
        ours.then(|| option.to_ascii_lowercase().replace('_', "-"))
    }

    fn variable(&self, option: &str) -> String {
        format!("{}{}", self.prefix, option.to_ascii_uppercase().replace('-', "_"))
    }

    /// Returns what is wrong with a key that is no option here, and what to do.
    fn unknown(&self, key: &str) -> String {
        let owners = self.table.by_name(key).map(Known::modes).unwrap_or_default();
        if key == CONFIG_OPTION {
            return "cannot name another file: leave it out".to_owned();
        }
        if let Some(owner) = owners.iter().find(|owner| prefix(**owner).is_some()) {
            let owner = owner.name();
            return format!("belongs to polyperf {owner}: write it in [{owner}]");
        }
        match self.remedy(key) {
            Some(similar) => format!("is not an option: did you mean {similar}?"),
            None => "is not an option: leave it out".to_owned(),
        }
    }

    /// Returns the option that is most like a name.
    fn remedy(&self, name: &str) -> Option<String> {
        let name = name.replace('_', "-");
        if self.known(&name).is_some() {
            return Some(name);
        }
        // What cannot be a name would be taken for something else on a command line.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
            return None;
        }
        let similar = suggestion(self.command, self.mode, &format!("--{name}"))?;
        let similar = similar.strip_prefix("--")?;
        self.known(similar).map(|known| known.name().to_owned())
    }
}

impl Found {
    /// Returns whether `below`, from a layer below, gives way to this one.
    fn overrides(&self, below: &Self) -> bool {
        let (this, other) = (&self.given.name, &below.given.name);
        this == other || self.is_set && are_rivals(this, other)
    }
}

/// A value that an option has, if it takes any, and whether it is set at all.
#[derive(Debug)]
struct Fitted {
    is_set: bool,
    value: Option<String>,
}

impl Fitted {
    fn found(self, option: &str, origin: &Origin) -> Found {
        let given = Given { name: option.to_owned(), value: self.value };
        Found { given, is_set: self.is_set, origin: origin.clone() }
    }
}

/// Returns the values that an option has: one, unless it may be given more than once.
fn fit(known: &Known, value: Scalar) -> Result<Vec<Fitted>, String> {
    let set = |text| Fitted { is_set: true, value: Some(text) };
    match value {
        Scalar::Other(kind) => Err(format!("is {kind}: write a text, a number, true or false")),
        Scalar::Flag(is_set) if !known.takes_value || known.optional => {
            Ok(vec![Fitted { is_set, value: None }])
        }
        Scalar::Flag(_) => Err("is no value: write the value itself".to_owned()),
        Scalar::Text(text) if known.takes_value => Ok(vec![set(text)]),
        Scalar::Text(_) => Err("is no flag: write true or false".to_owned()),
        Scalar::List(texts) if known.repeats => Ok(texts.into_iter().map(set).collect()),
        Scalar::List(_) => Err("is an array, and has one value: write that alone".to_owned()),
    }
}

/// Takes the text of a variable as what it is for.
fn from_text(known: &Known, text: &str) -> Scalar {
    match text {
        "true" if !known.takes_value || known.optional => Scalar::Flag(true),
        "false" if !known.takes_value || known.optional => Scalar::Flag(false),
        "1" if !known.takes_value => Scalar::Flag(true),
        "0" if !known.takes_value => Scalar::Flag(false),
        text if known.repeats => Scalar::List(text.split(',').map(str::to_owned).collect()),
        text => Scalar::Text(text.to_owned()),
    }
}

/// Returns whether a variable is of those that Kubernetes sets for a service of the name polyperf.
fn is_link(option: &str, value: Option<&str>) -> bool {
    option == "port" && value.is_some_and(|value| value.contains("://"))
}

fn section(file: &File, mode: Mode) -> &[Entry] {
    const NONE: &Section = &Vec::new();
    match mode {
        Mode::Server => &file.server,
        Mode::Client => &file.client,
        Mode::Compare => &file.compare,
        _ => NONE,
    }
}

/// Returns what the names of a subcommand's variables begin with, if there are any.
pub(super) fn prefix(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::Server => Some("POLYPERF_"),
        Mode::Client => Some("POLYPERF_CLIENT_"),
        Mode::Compare => Some("POLYPERF_COMPARE_"),
        _ => None,
    }
}

/// What `polyperf compare` has for a server elsewhere. Where it is configured and no server is named,
/// that is no mistake: nobody has typed it, and the comparison is one within this host.
const OF_A_HOST: [&str; 13] = [
    "port",
    "username",
    "rsa-public-key-path",
    "use-pkcs1-padding",
    "psk-file",
    "psk-identity",
    "key-file",
    "tls",
    "server-fingerprint",
    "ca",
    "system-roots",
    "insecure-skip-verify",
    "known-servers",
];
/// The option that names the file.
const CONFIG_OPTION: &str = "config";
