//! The lab against this machine's kernel.
//!
//! Namespaces are entered before a second thread starts, so that each case runs in a process of its
//! own: this program again, with the case's name. Whoever is root runs most of them a second time as
//! a user without any right. Where this machine grants only a lower tier, that is said, and what
//! cannot be had there is tried for its refusal.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that runs tests")]

mod endings;
mod lossy;
mod packets;
mod queues;
mod timing;
mod traffic;

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
};

use polyperf::lab::{self, Lab, Links, Tier, Truth};

/// Something that the lab promises.
struct Case {
    name: &'static str,
    run: fn(),
}

fn cases() -> impl Iterator<Item = Case> {
    [endings::CASES, lossy::CASES, packets::CASES, queues::CASES, timing::CASES]
        .into_iter()
        .flatten()
        .map(|(name, run)| Case { name, run: *run })
}

/// Name, and what is done.
type Cases = &'static [(&'static str, fn())];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice() {
        match flag.as_str() {
            CASE => run_one(name),
            "--hold" => endings::hold(name),
            "--tier" => endings::try_tier(name),
            _ => {}
        }
        if [CASE, "--hold", "--tier"].contains(&flag.as_str()) {
            return ExitCode::SUCCESS;
        }
    }
    if arguments.iter().any(|argument| argument == "--list") {
        cases().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = |case: &Case| filter.is_none_or(|filter| case.name.contains(filter.as_str()));
    run_all(cases().filter(wanted))
}

fn run_one(name: &str) {
    let case = cases().find(|case| case.name == name).expect("a case of this name");
    (case.run)();
}

fn run_all(cases: impl Iterator<Item = Case>) -> ExitCode {
    let program = Program::new();
    let (mut well, mut ill) = (0, 0);
    for case in cases {
        for user in program.users() {
            let passed = program.run(user, case.name);
            println!("test {} as {user} ... {}", case.name, if passed { "ok" } else { "FAILED" });
            *if passed { &mut well } else { &mut ill } += 1;
        }
    }
    println!("\ntest result: {well} passed; {ill} failed");
    if ill == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This program, where everybody may run it.
struct Program {
    own: PathBuf,
    /// A copy for the user without rights, who may not see where this one is.
    open: Option<(tempfile::TempDir, PathBuf)>,
}

impl Program {
    fn new() -> Self {
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

    fn users(&self) -> &'static [&'static str] {
        if self.open.is_some() { &["root", NOBODY] } else { &["this user"] }
    }

    fn run(&self, user: &str, case: &str) -> bool {
        let path = match &self.open {
            Some((_, copy)) if user == NOBODY => copy,
            _ => &self.own,
        };
        let mut command = command(path, user == NOBODY);
        let mut child = command.args([CASE, case]).spawn().expect("the program runs");
        let status = wait(&child).then(|| child.wait().expect("the program has ended"));
        if status.is_none() {
            println!("  it hangs");
            child.kill().and_then(|()| child.wait()).expect("the program is ended");
        }
        status.is_some_and(|status| status.success())
    }
}

/// Waits until a child has ended; returns whether it has, in time.
fn wait(child: &Child) -> bool {
    let number = libc::c_long::from(child.id());
    // SAFETY: it takes numbers alone; the child has not been waited for.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
    let descriptor = i32::try_from(descriptor).expect("a descriptor");
    assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
    let mut entry = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: there is one entry, as it is told; and the descriptor is ours alone.
    unsafe {
        libc::poll(&raw mut entry, 1, PATIENCE_MS);
        libc::close(descriptor);
    }
    entry.revents != 0
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

/// Opens a lab of the best tier if that has networks of their own.
fn open_quietly() -> Option<Lab> {
    let prepared = lab::prepare(None).unwrap_or_else(|error| panic!("{error}"));
    let has_namespaces = prepared.tier().has_namespaces();
    let open = || Lab::open(prepared, lab::DEFAULT_MTU).unwrap_or_else(|error| panic!("{error}"));
    has_namespaces.then(open)
}

/// Opens a lab of the best tier, and says which it is; `None`, after its refusals have been looked
/// at, if there are no networks of their own here.
fn open() -> Option<Lab> {
    let prepared = lab::prepare(None).unwrap_or_else(|error| panic!("{error}"));
    println!("  tier {}", prepared.tier());
    if prepared.tier().has_namespaces() {
        return Some(
            Lab::open(prepared, lab::DEFAULT_MTU).unwrap_or_else(|error| panic!("{error}")),
        );
    }
    for (tier, obstacle) in prepared.refused() {
        println!("  not {tier}: {obstacle}");
        assert!(!obstacle.remedy.is_empty() && !obstacle.problem.is_empty());
    }
    let refused: Vec<_> = prepared.refused().iter().map(|(tier, _)| *tier).collect();
    assert!(Tier::ALL.iter().filter(|tier| tier.has_namespaces()).all(|t| refused.contains(t)));
    None
}

/// Runs something over a link, again if the emulator itself spoilt it, as a comparison does.
fn unspoilt<T>(lab: &Lab, links: &Links, mut run: impl FnMut() -> T) -> (T, Truth) {
    let mut attempt = 0;
    loop {
        lab.set(links.clone()).unwrap();
        let result = run();
        let truth = lab.truth().unwrap();
        let spoilt = truth.spoilt(None);
        attempt += 1;
        if spoilt.is_empty() || attempt == ATTEMPTS {
            return (result, truth);
        }
        for reason in spoilt {
            println!("  again: {reason}");
        }
    }
}

const CASE: &str = "--case";
const NOBODY: &str = "nobody";
const NOBODYS: u32 = 65_534;
const ATTEMPTS: u32 = 6;
/// No case takes nearly as long.
const PATIENCE_MS: i32 = 120_000;
