//! `polyperf config`: the configuration, checked and shown.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{complain, leave, print, sources};
use crate::{
    cli::{self, Command, ConfigArgs, Invocation, exit},
    config::{Setting, Settings, candidates},
    registry::Registry,
    report::safe,
};

/// Does what was asked for, and says what came of it.
pub(super) fn run(args: &ConfigArgs) -> u8 {
    match args {
        ConfigArgs::Check { file } => check(file.as_deref()),
        ConfigArgs::Show { line, file, json } => show(line, file.as_deref(), *json),
    }
}

fn check(file: Option<&Path>) -> u8 {
    let path = match file.map(Path::to_owned).or_else(usual) {
        Some(path) => path,
        None => {
            let places = candidates(&sources::of_process());
            let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            complain(&format!(
                "there is no configuration file to check, neither {}; name one",
                places.join(" nor ")
            ));
            return exit::FAILED;
        }
    };
    let shown = safe::line(&path.display().to_string()).into_owned();
    let text = match sources::read(&path) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("cannot read {shown}: {error}; name a file that this user may read"));
            return exit::LOCAL_IO;
        }
    };
    match cli::check_file(&path, &text, &Registry::standard().names()) {
        Ok(1) => print(&format!("{shown}: good, 1 setting\n"), exit::SUCCESS),
        Ok(count) => print(&format!("{shown}: good, {count} settings\n"), exit::SUCCESS),
        Err(mistakes) => {
            mistakes.iter().for_each(|line| complain(line));
            exit::FAILED
        }
    }
}

/// Returns the file that a server would read.
fn usual() -> Option<PathBuf> {
    let sources = sources::of_process();
    let named = sources.path(crate::config::CONFIG_VARIABLE);
    match named.filter(|path| path != Path::new(crate::config::NO_FILE)) {
        Some(path) => Some(path),
        None => candidates(&sources).into_iter().find(|path| path.exists()),
    }
}

fn show(line: &[String], file: Option<&str>, json: bool) -> u8 {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let lines = match line {
        [] => vec![words(&["server"]), words(&["client", NO_HOST]), words(&["compare", NO_HOST])],
        [only] if only == "client" || only == "compare" => vec![words(&[only, NO_HOST])],
        line => vec![line.to_owned()],
    };
    let mut shown = Vec::new();
    for mut line in lines {
        line.insert(0, "polyperf".to_owned());
        line.extend(file.map(|file| format!("--config={file}")));
        let line = line.into_iter().map(OsString::from);
        match cli::parse(line, &Registry::standard().names(), &sources::of_process()) {
            Ok(invocation) => shown.push(invocation),
            Err(exit) => return leave(&exit),
        }
    }
    let sections: Vec<_> = shown.iter().filter_map(Section::of).collect();
    if !json {
        return print(&sections.iter().map(Section::text).collect::<String>(), exit::SUCCESS);
    }
    match serde_json::to_string_pretty(&Document { sections }) {
        Ok(text) => print(&(safe::json(text) + "\n"), exit::SUCCESS),
        Err(error) => {
            complain(&format!("cannot write JSON: {error}"));
            exit::LOCAL_IO
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    sections: Vec<Section<'a>>,
}

#[derive(Serialize)]
struct Section<'a> {
    command: &'static str,
    file: Option<&'a Path>,
    settings: &'a [Setting],
    warnings: &'a [String],
}

impl<'a> Section<'a> {
    fn of(invocation: &'a Invocation) -> Option<Self> {
        let Settings { file, all, warnings } = &invocation.settings;
        let command = match invocation.command {
            Command::Server(_) => "server",
            Command::Client(_) => "client",
            Command::Compare(_) => "compare",
            _ => return None,
        };
        Some(Self { command, file: file.as_deref(), settings: all, warnings })
    }

    fn text(&self) -> String {
        let file = self.file.map_or("no file".to_owned(), |file| file.display().to_string());
        let mut text = format!("[{}] of {}\n", self.command, safe::line(&file));
        for Setting { option, value, origin, .. } in self.settings {
            let value = safe::line(value.as_deref().unwrap_or("-"));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{option:<24}  {value:<24}  {origin}");
        }
        for warning in self.warnings {
            let _ = writeln!(text, "warning: {}", safe::line(warning));
        }
        text
    }
}

/// A host that is not shown.
const NO_HOST: &str = "localhost";
