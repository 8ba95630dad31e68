//! A PostgreSQL server for tests: of its own folder and socket, gone when nobody needs it.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
};

/// A server that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    child: Mutex<Child>,
    databases: Mutex<u32>,
}

impl Postgres {
    /// Starts a server; `None` where there is none to start, which it says loudly.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os("POLYPERF_REQUIRE_POSTGRES").is_none(),
                "there is no PostgreSQL here, and POLYPERF_REQUIRE_POSTGRES is set"
            );
            eprintln!("NOT TESTED: there is no PostgreSQL here; apt-get install postgresql");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if let Some((user, group)) = substitute() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut init = as_user(&programs.join("initdb"));
        init.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C"]);
        let made = init.arg("-D").arg(folder.path().join("data")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let child = Mutex::new(serve(&programs, folder.path()));
        Some(Self { folder, programs, child, databases: Mutex::new(0) })
    }

    /// Returns the one that tests share, which lives as long as one of them holds it.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// Makes a database, and returns its URL.
    pub(crate) fn database(&self) -> String {
        let name = {
            let mut databases = self.databases.lock().unwrap();
            *databases += 1;
            format!("perf{databases}")
        };
        let mut make = Command::new(self.programs.join("createdb"));
        make.arg("-h").arg(self.folder.path()).args(["-U", "postgres", &name]);
        let made = make.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        format!("postgres://postgres@localhost/{name}?host={}", self.folder.path().display())
    }

    /// Ends the server, as a loss of power would.
    pub(crate) fn stop(&self) {
        let mut child = self.child.lock().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        // SIGQUIT: every process of it ends at once, without tidying up.
        // SAFETY: it is a child that was not waited for, so the number is its own.
        unsafe { libc::kill(id, libc::SIGQUIT) };
        child.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        *self.child.lock().unwrap() = serve(&self.programs, self.folder.path());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(programs: &Path, folder: &Path) -> Child {
    let mut server = as_user(&programs.join("postgres"));
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "lc_messages=C"]);
    let mut child = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready to accept connections") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "PostgreSQL has ended");
    }
    // It waits for nobody if its log is full.
    std::thread::spawn(move || log.lines().for_each(drop));
    child
}

/// Returns a command that runs as somebody whom PostgreSQL takes: it refuses root.
fn as_user(program: &Path) -> Command {
    let Some((user, group)) = substitute() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]);
    // Where it may be: the folder that tests run in may be root's alone.
    command.arg("--").arg(program).current_dir("/");
    command
}

/// Returns in whose place to run, if this is root.
fn substitute() -> Option<(u32, u32)> {
    // SAFETY: it takes nothing, and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let number = |line: &str, at| line.split(':').nth(at).and_then(|field| field.parse().ok());
    line.and_then(|line| Some((number(line, 2)?, number(line, 3)?))).or(Some((65_534, 65_534)))
}

/// Returns the folder of the newest PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = debian.map(|entry| entry.path().join("bin")).collect();
    let version = |path: &PathBuf| {
        let name = path.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        name.and_then(|name| name.parse::<u32>().ok())
    };
    folders.sort_by_key(version);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path).collect::<Vec<_>>();
    let all = ["postgres", "initdb", "createdb"];
    let mut candidates = folders.into_iter().rev().chain(elsewhere);
    candidates.find(|folder| all.iter().all(|program| folder.join(program).is_file()))
}
