//! The lab against this machine's kernel.
//!
//! Namespaces are entered before a second thread starts, so that each case runs in a process of its
//! own: this program again, with the case's name. Whoever is root runs most of them a second time as
//! a user without any right. Where this machine grants only a lower tier, that is said, and what
//! cannot be had there is tried for its refusal.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that runs tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod endings;
mod lossy;
mod packets;
mod queues;
mod timing;
mod traffic;
mod transports;
mod users;

use std::{
    env,
    process::{Child, Command, ExitCode},
};

use polyperf::lab::{self, Lab, LabError, Links, Prepared, Tier, Truth};

use crate::users::Program;

/// Something that the lab promises.
struct Case {
    name: &'static str,
    run: fn(),
    /// Whether it depends on how packets come and go, so that each kind of device has to show it.
    of_devices: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    let once = [endings::CASES, lossy::CASES, queues::CASES, timing::CASES, transports::CASES];
    let all = once.map(|cases| (cases, false)).into_iter().chain([(packets::CASES, true)]);
    all.flat_map(|(cases, of_devices)| {
        cases.iter().map(move |(name, run)| Case { name, run: *run, of_devices })
    })
}

/// Name, and what is done.
type Cases = &'static [(&'static str, fn())];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [flag, name, ..] = arguments.as_slice() {
        match flag.as_str() {
            CASE | CASE_OVER_PAIRS => run_one(name),
            "--hold" => endings::hold(name),
            "--tier" => endings::try_tier(name),
            _ => {}
        }
        if [CASE, CASE_OVER_PAIRS, "--hold", "--tier"].contains(&flag.as_str()) {
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
            let flags: &[_] = if case.of_devices { &[CASE, CASE_OVER_PAIRS] } else { &[CASE] };
            for flag in flags {
                let passed = run(program.command(user), flag, case.name);
                println!(
                    "test {} as {user} ... {}",
                    case.name,
                    if passed { "ok" } else { "FAILED" }
                );
                *if passed { &mut well } else { &mut ill } += 1;
            }
        }
    }
    println!("\ntest result: {well} passed; {ill} failed");
    if ill == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(mut program: Command, flag: &str, case: &str) -> bool {
    let mut child = program.args([flag, case]).spawn().expect("the program runs");
    let status = wait(&child).then(|| child.wait().expect("the program has ended"));
    if status.is_none() {
        println!("  it hangs");
        child.kill().and_then(|()| child.wait()).expect("the program is ended");
    }
    status.is_some_and(|status| status.success())
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

/// Opens a lab of the best tier if that has networks of their own.
fn open_quietly() -> Option<Lab> {
    let prepared = lab::prepare(None).unwrap_or_else(|error| panic!("{error}"));
    let has_namespaces = prepared.tier().has_namespaces();
    let open = || Lab::open(prepared, lab::DEFAULT_MTU).unwrap_or_else(|error| panic!("{error}"));
    has_namespaces.then(open)
}

/// Prepares the best tier; the best with pairs of Ethernet links if that is asked for, and to be
/// had.
fn prepare() -> Prepared {
    if env::args().any(|argument| argument == CASE_OVER_PAIRS) {
        for tier in [Tier::PacketRoot, Tier::PacketUser] {
            match lab::prepare(Some(tier)) {
                Ok(prepared) => return prepared,
                Err(LabError::Refused { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    lab::prepare(None).unwrap_or_else(|error| panic!("{error}"))
}

/// Opens a lab of the best tier, and says which it is; `None`, after its refusals have been looked
/// at, if there are no networks of their own here.
fn open() -> Option<Lab> {
    let prepared = prepare();
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
        let spoilt = truth.spoilt(None, None);
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
const CASE_OVER_PAIRS: &str = "--case-over-pairs";
const ATTEMPTS: u32 = 4;
/// No case takes nearly as long.
const PATIENCE_MS: i32 = 120_000;
