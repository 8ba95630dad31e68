use std::{env, ffi::OsString, path::PathBuf};

/// Nothing says where to keep anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no folder to keep certificates and known servers in: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is an absolute path; set one of them"
)]
pub struct NoStateDir;

/// Returns the folder for what is kept from one run to the next, which may not exist yet; `lookup`
/// returns the value of an environment variable.
///
/// It is the first of `$STATE_DIRECTORY`, which systemd sets for services that ask for one
/// (systemd.exec(5)); `polyperf` in `$XDG_STATE_HOME`; `.local/state/polyperf` in `$HOME` (XDG Base
/// Directory Specification). Of several folders for a service the first counts. Values that are empty or relative are as if they were not set.
///
/// # Errors
///
/// [`NoStateDir`].
pub fn default_state_dir(lookup: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoStateDir> {
    let dir = |name| Some(PathBuf::from(lookup(name)?)).filter(|path| path.is_absolute());
    let service = || env::split_paths(&lookup("STATE_DIRECTORY")?).next();
    service()
        .filter(|path| path.is_absolute())
        .or_else(|| Some(dir("XDG_STATE_HOME")?.join("polyperf")))
        .or_else(|| Some(dir("HOME")?.join(".local/state/polyperf")))
        .ok_or(NoStateDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(vars: &[(&str, &str)]) -> Option<PathBuf> {
        let lookup = |name: &str| {
            let found = vars.iter().find(|(var, _)| *var == name);
            found.map(|(_, value)| OsString::from(value))
        };
        default_state_dir(lookup).ok()
    }

    #[test]
    fn a_service_keeps_its_state_where_systemd_says() {
        let vars = [("STATE_DIRECTORY", "/var/lib/polyperf"), ("HOME", "/root")];
        assert_eq!(dir(&vars), Some("/var/lib/polyperf".into()));
        let several = [("STATE_DIRECTORY", "/var/lib/polyperf:/var/lib/other")];
        assert_eq!(dir(&several), Some("/var/lib/polyperf".into()));
    }

    #[test]
    fn a_user_has_a_folder_in_the_state_home() {
        let vars = [("XDG_STATE_HOME", "/state"), ("HOME", "/home/me")];
        assert_eq!(dir(&vars), Some("/state/polyperf".into()));
        assert_eq!(dir(&[("HOME", "/home/me")]), Some("/home/me/.local/state/polyperf".into()));
    }

    #[test]
    fn empty_and_relative_values_are_as_if_not_set() {
        let vars = [("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "state"), ("HOME", "/home/me")];
        assert_eq!(dir(&vars), Some("/home/me/.local/state/polyperf".into()));
        assert_eq!(dir(&[("HOME", "")]), None);
        assert_eq!(dir(&[]), None);
    }
}
