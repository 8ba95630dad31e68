//! Why there is no such preset.

use std::{fmt, io, path::PathBuf};

use crate::report::safe;

/// Why there is no such preset.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// No shipped preset has this name.
    #[error("{}", unknown(name, near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The labels of what may have been meant.
        near: Vec<String>,
    },
    /// The file cannot be read.
    #[error("cannot read the preset {}", safe::line(&path.display().to_string()))]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no preset.
    #[error("{}", listed(path, mistakes))]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        mistakes: Vec<Mistake>,
    },
}

/// Something that is wrong with a preset's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// Which key has which value, and what is allowed.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.problem)
    }
}

fn unknown(name: &str, near: &[String]) -> String {
    let name = safe::short(name);
    let near = match near {
        [] => String::new(),
        near => format!("; there is {}", near.join(", ")),
    };
    format!(
        "there is no preset {name:?}{near}; see all with \"polyperf lab list\", or name a file of \
         your own, with a / or with .toml at its end"
    )
}

fn listed(path: &std::path::Path, mistakes: &[Mistake]) -> String {
    let path = path.display().to_string();
    let path = safe::line(&path);
    let lines: Vec<_> = mistakes.iter().map(|mistake| format!("{path}:{mistake}")).collect();
    lines.join("\n")
}
