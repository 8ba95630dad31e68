//! What an operator has: a unit, a manual, completions, and a doctor.

use std::{
    io::{ErrorKind, Write as _},
    os::unix::net::UnixDatagram,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::program::{Ended, Server, polyperf, run};

/// Runs another program with this input; `None` if it is not installed.
fn other(program: &str, args: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        child => child.unwrap(),
    };
    let mut stdin = child.stdin.take().unwrap();
    // Whoever does not read it has ended, and says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Some(child.wait_with_output().unwrap())
}

fn file(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A service manager, to which a server tells how it is.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    fn start(&self, watchdog: Option<&str>) -> Server {
        let config = self.folder.path().join("polyperf.toml");
        std::fs::write(&config, "[server]\nmax-sessions = 3\n").unwrap();
        let mut command = polyperf(&["server", "-p", "0", "--log-format", "json", "--config"]);
        command.arg(config).env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env_remove("WATCHDOG_PID").envs(watchdog.map(|usec| ("WATCHDOG_USEC", usec)));
        Server::spawn(command.stdout(Stdio::null()))
    }

    /// Waits for a message with this line, and returns all of the message's lines.
    fn hears(&self, line: &str) -> Vec<String> {
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap();
            let text = str::from_utf8(&buffer[..length]).unwrap();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if lines.iter().any(|said| said == line) {
                return lines;
            }
        }
    }
}

/// Returns the time of the clock that a service manager compares with.
fn monotonic_usec() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to a place that is valid for that, and keeps no pointer.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

#[test]
fn a_service_manager_hears_how_the_server_is() {
    let manager = Manager::new();
    let server = manager.start(None);
    let ready = manager.hears("READY=1");
    let port = format!("on port {}", server.port);
    assert!(ready[1].starts_with("STATUS=serving tcp") && ready[1].ends_with(&port), "{ready:?}");
    let before = monotonic_usec();
    server.signal(libc::SIGHUP);
    let reloading = manager.hears("RELOADING=1");
    // A manager takes this for the answer to its own signal by the time alone.
    let at = reloading[1].strip_prefix("MONOTONIC_USEC=").and_then(|usec| usec.parse().ok());
    let within = before..=monotonic_usec();
    assert!(at.is_some_and(|at| within.contains(&at)), "{reloading:?} {within:?}");
    let reloaded = manager.hears("READY=1");
    assert!(reloaded[1].starts_with("STATUS=serving; 0 settings reloaded"), "{reloaded:?}");
    std::fs::write(manager.folder.path().join("polyperf.toml"), "[").unwrap();
    server.signal(libc::SIGHUP);
    manager.hears("RELOADING=1");
    assert!(manager.hears("READY=1")[1].contains("has mistakes"));
    server.signal(libc::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_watchdog_is_told_that_the_server_is_alive() {
    let manager = Manager::new();
    let _server = manager.start(Some("20000"));
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
}

#[test]
fn the_unit_leaves_little_to_whoever_breaks_in() {
    let unit = file("contrib/polyperf.service");
    let args = ["security", "--offline=true", "--no-pager", &unit];
    let Some(output) = other("systemd-analyze", &args, "") else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    let level = text.split("Overall exposure level for polyperf.service: ").nth(1);
    let level: f64 = level.unwrap_or(&text).split(' ').next().unwrap().parse().unwrap();
    assert!(level <= 2.0, "{text}");
}

#[test]
fn the_unit_has_no_line_that_systemd_would_pass_over() {
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(file("contrib/polyperf.service")).unwrap();
    // Only what is installed can be verified.
    let unit = unit.replace("/usr/local/bin/polyperf", env!("CARGO_BIN_EXE_polyperf"));
    let path = folder.path().join("polyperf.service");
    std::fs::write(&path, unit.replace("Documentation=man:polyperf(1)\n", "")).unwrap();
    let args = ["verify", "--man=no", path.to_str().unwrap()];
    let Some(output) = other("systemd-analyze", &args, "") else { return };
    let text = String::from_utf8(output.stderr).unwrap();
    let ours: Vec<_> = text.lines().filter(|line| line.contains("polyperf.service")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn the_example_configuration_is_good() {
    let ended = run(&["config", "check", &file("contrib/polyperf.toml")]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let ended = run(&["completions", shell]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.out.contains("max-sessions") && ended.out.contains("doctor"), "{shell}");
        if let Some(output) = other(shell, &[check], &ended.out) {
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
    let ended = run(&["completions"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("SHELL is missing: write bash, zsh or fish"), "{}", ended.err);
    assert!(run(&["completions", "tcsh"]).err.contains("SHELL tcsh is not known"));
}

#[test]
fn the_manual_has_a_page_for_each_command_and_renders() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    let ended = run(&["man", into.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let pages: Vec<_> =
        std::fs::read_dir(&into).unwrap().map(|page| page.unwrap().path()).collect();
    assert!(pages.len() >= 17, "{pages:?}");
    for page in &pages {
        let args = ["-l", "--warnings", "-Tutf8", page.to_str().unwrap()];
        let Some(output) = other("man", &args, "") else { break };
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
    }
    let main = std::fs::read(into.join("polyperf.1")).unwrap();
    assert_eq!(polyperf(&["man"]).output().unwrap().stdout, main);
    let server = std::fs::read_to_string(into.join("polyperf-server.1")).unwrap();
    assert!(server.contains("max\\-sessions"), "{server}");
    assert_eq!(run(&["man", "/dev/null/man1"]).code, Some(6));
}

#[test]
fn a_doctor_says_who_has_the_port_and_how_to_get_it() {
    let server = Server::start(&[]);
    let port = server.port.to_string();
    let ended: Ended = polyperf(&["doctor", "-J", "-p", &port]).output().unwrap().into();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(document["well"], false);
    let findings = document["findings"].as_array().unwrap();
    assert!(findings.len() >= 15, "{findings:#?}");
    for check in ["tcp port", "udp port"] {
        let finding = findings.iter().find(|finding| finding["check"] == check).unwrap();
        let held = format!("{port} is held by polyperf, process {}", server.id());
        assert_eq!((&finding["verdict"], &finding["found"]), (&"bad".into(), &held.into()));
        assert!(finding["remedy"].as_str().unwrap().starts_with("kill "), "{finding}");
    }
    let text = run(&["doctor", "-p", &port]);
    assert!(text.out.contains("BAD   tcp port") && text.out.contains("mend: "), "{}", text.out);
}

#[test]
fn a_doctor_finds_a_free_port_free() {
    let port = {
        let socket = std::net::TcpListener::bind("[::]:0").unwrap();
        socket.local_addr().unwrap().port().to_string()
    };
    let ended = run(&["doctor", "-p", &port]);
    assert!(ended.out.contains(&format!("{port} is free")), "{}", ended.out);
}

#[test]
fn the_documentation_names_every_check_of_the_doctor() {
    let page = include_str!("../../docs/operations.md");
    let document: Value = serde_json::from_str(&run(&["doctor", "-J"]).out).unwrap();
    for finding in document["findings"].as_array().unwrap() {
        let check = finding["check"].as_str().unwrap();
        assert!(page.contains(&format!("| {check} |")), "{check}");
    }
}
