//! What is outside of the command line: the environment, and files.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

/// The environment and the files that settings may come from.
pub struct Sources {
    variables: Vec<(OsString, OsString)>,
    read: Box<Reading>,
}

type Reading = dyn Fn(&Path) -> io::Result<String> + Send + Sync;

/// A variable whose name begins as ours do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// Its value; `None` if it is not valid UTF-8.
    pub(crate) value: Option<String>,
}

impl Sources {
    /// Returns an environment of these variables, in which `read` reads files.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        read: impl Fn(&Path) -> io::Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self { variables: variables.into_iter().collect(), read: Box::new(read) }
    }

    /// Returns an environment without variables and files.
    #[must_use]
    pub fn none() -> Self {
        Self::new([], |_| Err(io::ErrorKind::NotFound.into()))
    }

    /// Returns our variables, in the order of their names. An empty one is as if it were not there.
    pub(crate) fn ours(&self) -> Vec<Variable> {
        let mut ours: Vec<_> = self
            .variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| {
                let name = name.to_str().filter(|name| name.starts_with(PREFIX))?.to_owned();
                Some(Variable { name, value: value.to_str().map(str::to_owned) })
            })
            .collect();
        ours.sort_by(|one, other| one.name.cmp(&other.name));
        ours
    }

    /// Returns the path in a variable.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let (_, value) = self.variables.iter().find(|(known, _)| known == OsStr::new(name))?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: &Path) -> io::Result<String> {
        (self.read)(path)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Others keep secrets in the environment.
        f.debug_struct("Sources").field("ours", &self.ours()).finish_non_exhaustive()
    }
}

const PREFIX: &str = "POLYPERF_";

#[cfg(test)]
impl Sources {
    /// Returns an environment of these variables and these files.
    pub(crate) fn of(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let files: Vec<_> =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        Self::new(variables, move |path| {
            let found = files.iter().find(|(known, _)| known == path);
            found.map(|(_, text)| text.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_of_ours_that_say_something_count() {
        let sources = Sources::of(
            &[("POLYPERF_PORT", "1"), ("PATH", "/bin"), ("POLYPERF_BIND", ""), ("POLYPERF_A", "x")],
            &[],
        );
        let names: Vec<_> = sources.ours().into_iter().map(|variable| variable.name).collect();
        assert_eq!(names, ["POLYPERF_A", "POLYPERF_PORT"]);
    }
}
