//! What a lab enters, what it leaves behind, and how it refuses.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use polyperf::lab::{self, Endpoint, Lab, LabError, Links, Tier, link::LinkConfig};

use crate::{Cases, open, traffic::udp_pair};

pub(crate) const CASES: Cases = &[
    ("every_tier_works_or_says_what_to_do", every_tier_works_or_says_what_to_do),
    ("a_second_thread_is_refused", a_second_thread_is_refused),
    ("an_impossible_mtu_is_refused", an_impossible_mtu_is_refused),
    ("a_new_link_is_empty", a_new_link_is_empty),
    ("programs_see_their_ends_network_and_end_with_the_lab", programs_end_with_the_lab),
    ("nothing_is_left_after_a_kill", nothing_is_left_after_a_kill),
    ("a_panic_at_an_end_is_an_error", a_panic_at_an_end_is_an_error),
];

/// Each in a process of its own: a namespace of users is entered but once.
fn every_tier_works_or_says_what_to_do() {
    for tier in Tier::ALL {
        let own = env::current_exe().unwrap();
        let output = Command::new(own).args(["--tier", tier.name()]).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{tier}: {out}{err}");
        print!("  {out}");
        assert!(out.starts_with(&format!("{tier} ")), "{out}");
    }
}

/// What one of those processes does.
pub(crate) fn try_tier(name: &str) {
    let tier: Tier = name.parse().unwrap();
    let prepared = match lab::prepare(Some(tier)) {
        Ok(prepared) => prepared,
        Err(LabError::Refused { tier, obstacle }) => {
            assert!(!obstacle.remedy.is_empty(), "{obstacle}");
            return println!("{tier} cannot be had: {obstacle}");
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(prepared.tier(), tier);
    let lab = Lab::open(prepared, lab::DEFAULT_MTU).unwrap();
    if tier.emulates() {
        let delay = Duration::from_millis(30);
        lab.set(Links::both(&LinkConfig::perfect().delay(delay))).unwrap();
        let begin = Instant::now();
        round_trip(&lab);
        assert!(begin.elapsed() >= 2 * delay, "{:?}", begin.elapsed());
        let truth = lab.truth().unwrap();
        let packets = (truth.to_far.total.delivered, truth.to_near.total.delivered);
        assert_eq!(packets, (1, 1));
    } else {
        round_trip(&lab);
        assert!(matches!(lab.set(Links::perfect()), Err(LabError::NoLink { .. })));
        assert!(matches!(lab.truth(), Err(LabError::NoLink { .. })));
    }
    println!("{tier} works");
}

fn a_second_thread_is_refused() {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let second = thread::spawn(move || wait.recv().is_err());
    let error = lab::prepare(None).unwrap_err();
    assert!(matches!(error, LabError::Threads { threads: 2 }), "{error}");
    assert!(error.to_string().ends_with("call prepare first in main"), "{error}");
    drop(end);
    assert!(second.join().unwrap());
}

fn an_impossible_mtu_is_refused() {
    let error = Lab::open(lab::prepare(None).unwrap(), 1279).unwrap_err();
    assert_eq!(error.to_string(), "a lab cannot have an MTU of 1279: it is 1280 to 9216");
}

fn a_new_link_is_empty() {
    let Some(lab) = open() else { return };
    lab.set(Links::both(&LinkConfig::perfect().delay(Duration::from_secs(1)))).unwrap();
    let (near, far) = udp_pair(&lab);
    near.send(b"too late").unwrap();
    // It has been taken in once it is counted.
    while lab.truth().unwrap().to_far.total.packets == 0 {
        thread::yield_now();
    }
    lab.set(Links::perfect()).unwrap();
    assert_eq!(lab.truth().unwrap().to_far.total.packets, 0);
    near.send(b"in time").unwrap();
    let mut buffer = [0; 16];
    let len = far.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"in time");
    far.recv(&mut buffer).unwrap_err();
}

fn programs_end_with_the_lab() {
    let Some(lab) = open() else { return };
    for end in [lab.near(), lab.far()] {
        let mut command = Command::new("cat");
        command.arg("/proc/net/dev").stdout(Stdio::piped());
        let output = end.spawn(command).unwrap().wait_with_output().unwrap();
        let devices = text(&output.stdout);
        let devices: Vec<_> = devices.lines().filter_map(|line| line.split_once(':')).collect();
        let names: Vec<_> = devices.iter().map(|(name, _)| name.trim()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.contains(&"lo") && names.contains(&"lab0"), "{names:?}");
    }
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut child = lab.near().spawn(command).unwrap();
    drop(lab);
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}

fn nothing_is_left_after_a_kill() {
    let mark = format!("1000.{}", std::process::id());
    let own = env::current_exe().unwrap();
    let mut command = Command::new(own);
    command.args(["--hold", &mark]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = command.spawn().unwrap();
    let mut output = BufReader::new(holder.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("holding ") || line.starts_with("nothing"), "{line}");
    let before = marked(&mark);
    if line.starts_with("holding ") {
        // The holder, the first of its namespace, two shells' programs and their children.
        assert!(before.len() >= 6, "{before:?}");
    }
    // SAFETY: it is our child and has not been waited for, so that its number is still its own.
    unsafe { libc::kill(holder.id().try_into().unwrap(), libc::SIGKILL) };
    holder.wait().unwrap();
    // Whoever had inherited it is gone when it ends.
    output.read_to_end(&mut Vec::new()).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !marked(&mark).is_empty() {
        assert!(Instant::now() < until, "still there: {:?}", marked(&mark));
        thread::yield_now();
    }
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    assert!(!devices.contains("lab0"), "{devices}");
}

/// Opens a lab, starts programs at both ends that would outlive anything, and waits to be killed.
pub(crate) fn hold(mark: &str) {
    let Some(lab) = crate::open_quietly() else { return println!("nothing to hold here") };
    let start = |end: &Endpoint| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("setsid sleep {mark} & exec sleep {mark}")]);
        end.spawn(command).unwrap()
    };
    let _children = [lab.near(), lab.far()].map(start);
    while marked(mark).len() < 6 {
        thread::yield_now();
    }
    println!("holding {}", lab.tier());
    let _ = std::io::stdin().read(&mut [0]);
}

fn a_panic_at_an_end_is_an_error() {
    let Some(lab) = open() else { return };
    let error = lab.near().run(|| panic!("on purpose")).unwrap_err();
    assert_eq!(error.to_string(), "the thread of this end of the lab has ended");
    let again = lab.near().run(|| 1).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(lab.far().run(|| 1).unwrap(), 1);
}

/// Returns the numbers of the processes that have this among their arguments.
fn marked(mark: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_mark = |number: &u32| {
        let arguments = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes())
    };
    numbers.filter(has_mark).collect()
}

fn round_trip(lab: &Lab) {
    let (near, far) = (
        crate::traffic::udp(lab.near(), lab.near().v4()),
        crate::traffic::udp(lab.far(), lab.far().v4()),
    );
    let mut buffer = [0; 16];
    // Where everybody knows it to be; behind a relay it is elsewhere.
    let known = (lab.far().v4(), far.local_addr().unwrap().port());
    near.send_to(b"ping", known).unwrap();
    let (_, from) = far.recv_from(&mut buffer).unwrap();
    far.send_to(b"pong", from).unwrap();
    near.recv_from(&mut buffer).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
