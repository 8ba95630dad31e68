//! Where a setting comes from, and how that is told.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::report::safe;

/// Where the value of an option comes from; the first that has one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment {
        /// The variable.
        name: String,
    },
    /// The file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody has said anything.
    Default,
}

/// An option, and what it is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The long name of the option.
    pub option: String,
    /// Its value as it would be typed, `true` and `false` of a flag; `None` if there is none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
    /// The short name.
    #[serde(skip)]
    pub(crate) short: Option<char>,
}

/// Every option of a subcommand that can be set from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The file that was read; `None` if there is none.
    pub file: Option<PathBuf>,
    /// The options, in the order of the help text.
    pub all: Vec<Setting>,
    /// What is odd, but no reason to do nothing.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Returns what an option is set to.
    #[must_use]
    pub fn value(&self, option: &str) -> Option<&str> {
        let found = self.all.iter().find(|setting| setting.option == option)?;
        found.value.as_deref()
    }
}

impl Setting {
    /// Returns whether it stands in the file.
    #[must_use]
    pub fn is_from_file(&self) -> bool {
        matches!(self.origin, Origin::File { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment { name } => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "file {}", at(path, *line)),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Returns a line of a file as people and editors write it.
pub(crate) fn at(path: &Path, line: usize) -> String {
    format!("{}:{line}", safe::line(&path.display().to_string()))
}
