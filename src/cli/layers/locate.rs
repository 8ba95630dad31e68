//! Which configuration file is read.

use std::{io, path::Path};

use super::{CONFIG_OPTION, Read};
use crate::{
    cli::{sort::Given, values::shown},
    config::{CONFIG_VARIABLE, File, NO_FILE, Sources, candidates},
};

/// Reads the file that the options or the environment name, or else the first that is there.
///
/// A file that is named and not there is a mistake, and so is one that is there and cannot be read:
/// to go on without it would be to do something else than what was set up.
pub(super) fn read(options: &[Given], sources: &Sources) -> Result<Option<Read>, String> {
    let typed = options.iter().rev().find(|given| given.name == CONFIG_OPTION);
    let typed = typed.and_then(|given| given.value.clone()).map(|path| (path, "--config"));
    let variable = || sources.path(CONFIG_VARIABLE)?.to_str().map(str::to_owned);
    match typed.or_else(|| Some((variable()?, CONFIG_VARIABLE))) {
        Some((path, _)) if path == NO_FILE => Ok(None),
        // It is told that this is no name where the options' values are looked at.
        Some((path, _)) if path.is_empty() => Ok(None),
        Some((path, by)) => {
            let text = sources.read(Path::new(&path)).map_err(|error| {
                let path = shown(&path);
                format!("{by} {path} cannot be read: {error}; name another, or none for no file")
            })?;
            parsed(Path::new(&path), &text).map(Some)
        }
        None => first(sources),
    }
}

fn first(sources: &Sources) -> Result<Option<Read>, String> {
    for path in candidates(sources) {
        match sources.read(&path) {
            Ok(text) => return parsed(&path, &text).map(Some),
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                let path = shown(&path.display().to_string());
                return Err(format!(
                    "the configuration file {path} cannot be read: {error}; let this user read it, or name another with --config, or none for no file"
                ));
            }
        }
    }
    Ok(None)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn parsed(path: &Path, text: &str) -> Result<Read, String> {
    Ok(Read { path: path.to_owned(), content: File::parse(path, text)? })
}
