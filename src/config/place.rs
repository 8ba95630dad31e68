//! Where a file is looked for if none is named.

use std::path::{Path, PathBuf};

use super::Sources;

/// Returns the files of which the first that is there is read.
pub(crate) fn candidates(sources: &Sources) -> Vec<PathBuf> {
    // The specification of these folders has relative ones ignored.
    let folder = |name| sources.path(name).filter(|path: &PathBuf| path.is_absolute());
    let own = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let system = Path::new("/etc").to_owned();
    own.into_iter().chain([system]).map(|folder| folder.join("polyperf/polyperf.toml")).collect()
}

/// The variable that names a file, as `--config` does.
pub(crate) const CONFIG_VARIABLE: &str = "POLYPERF_CONFIG";
/// What is named so that no file is read.
pub(crate) const NO_FILE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<String> {
        let sources = Sources::of(variables, &[]);
        candidates(&sources).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let system = "/etc/polyperf/polyperf.toml";
        assert_eq!(found(&[("HOME", "/h")]), ["/h/.config/polyperf/polyperf.toml", system]);
        let both = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")];
        assert_eq!(found(&both), ["/x/polyperf/polyperf.toml", system]);
        let relative = [("HOME", "/h"), ("XDG_CONFIG_HOME", "x")];
        assert_eq!(found(&relative), ["/h/.config/polyperf/polyperf.toml", system]);
        assert_eq!(found(&[]), [system]);
    }
}
