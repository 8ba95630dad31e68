//! This program as other users run it.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// This program, where everybody may run it.
pub(crate) struct Program {
    own: PathBuf,
    /// A copy for the user without rights, who may not see where this one is.
    open: Option<(tempfile::TempDir, PathBuf)>,
}

impl Program {
    pub(crate) fn new() -> Self {
        let own = env::current_exe().expect("the program knows where it is");
        let open = is_root().then(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let copy = folder.path().join("lab");
            std::fs::copy(&own, &copy).expect("a copy of the program");
            for path in [folder.path(), &copy] {
                let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(path, all).expect("permissions");
            }
            (folder, copy)
        });
        Self { own, open }
    }

    pub(crate) fn users(&self) -> &'static [&'static str] {
        if self.open.is_some() { &["root", NOBODY] } else { &["this user"] }
    }

    /// Returns a command that runs this program as one of those users.
    pub(crate) fn command(&self, user: &str) -> Command {
        let path = match &self.open {
            Some((_, copy)) if user == NOBODY => copy,
            _ => &self.own,
        };
        command(path, user == NOBODY)
    }
}

/// Returns a command that runs a program, perhaps as a user without any right.
fn command(path: &Path, as_nobody: bool) -> Command {
    let mut command = Command::new(path);
    if as_nobody {
        command.uid(NOBODYS).gid(NOBODYS).current_dir("/");
        // SAFETY: between the fork and the program it makes a single system call.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    }
    command
}

fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

const NOBODY: &str = "nobody";
const NOBODYS: u32 = 65_534;
