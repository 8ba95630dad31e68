//! The configuration file and the environment, and what SIGHUP changes.

use std::{fs, path::PathBuf, process::Stdio};

use polyperf::auth::{self, PrivateKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Server, polyperf, run};

/// A configuration file, which is gone after the test.
struct Configured(TempDir);

impl Configured {
    fn new(text: &str) -> Self {
        let configured = Self(tempfile::tempdir().unwrap());
        configured.write(text);
        configured
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("polyperf.toml")
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn server(&self, args: &[&str]) -> Server {
        let file = self.path("polyperf.toml");
        Server::start(&[&["--config", &file], args].concat())
    }
}

#[test]
fn a_server_reloads_under_load_and_its_running_tests_go_on() {
    let configured = Configured::new("[server]\nmax-duration = 600\nmax-sessions = 4\n");
    let server = configured.server(&[]);
    let running: Vec<_> = (0..3).map(|_| server.start_client(&["-t", "2", "-i", "0"])).collect();
    server.wait_for_nth("test started", running.len());
    configured.write(
        "[server]\nmax-duration = 1\nmax-sessions = 4\nmax-rate = \"1M\"\nidle-timeout = 9\n",
    );
    server.signal(libc::SIGHUP);
    let told = server.wait_for("the configuration was reloaded");
    assert_eq!((&told["changed"], &told["restart"]), (&Value::from(2), &Value::from(1)));
    let idle = server.wait_for("needs a restart");
    let told = [&idle["setting"], &idle["from"], &idle["to"]];
    assert_eq!(told, ["idle-timeout", "-", "9"]);
    let refused = server.client(&["-t", "5"]);
    assert_eq!(refused.code, Some(4), "{}", refused.err);
    for client in running {
        let ended: Ended = client.wait_with_output().unwrap().into();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
    let ended = server.client(&["-n", "10K"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn a_bad_file_leaves_everything_as_it_was_and_says_so() {
    let configured = Configured::new("[server]\nmax-duration = 600\n");
    let server = configured.server(&[]);
    configured.write("[server]\nmax-duration = 1\nmax-sessions = 0\n");
    server.signal(libc::SIGHUP);
    let told = server.wait_for("max-sessions = 0 in ");
    assert!(told["message"].as_str().unwrap().contains("polyperf.toml:3"), "{told}");
    assert_eq!(server.wait_for("was not reloaded")["level"], "ERROR");
    assert_eq!(server.client(&["-t", "2", "-n", "1K"]).code, Some(2));
    let ended = server.client(&["-n", "64K"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    fs::remove_file(configured.file()).unwrap();
    server.signal(libc::SIGHUP);
    server.wait_for("cannot be read");
    configured.write("[server]\nlog-level = \"debug\"\n");
    server.signal(libc::SIGHUP);
    server.wait_for("the configuration was reloaded");
    assert_eq!(server.wait_for("a setting has changed")["setting"], "max-duration");
}

#[test]
fn what_is_typed_stays_whatever_the_file_comes_to_say() {
    let configured = Configured::new("[server]\n");
    let server = configured.server(&["--max-duration", "1"]);
    configured.write("[server]\nmax-duration = 600\n");
    server.signal(libc::SIGHUP);
    assert_eq!(server.wait_for("the configuration was reloaded")["changed"], 0);
    assert_eq!(server.client(&["-t", "5"]).code, Some(4));
}

#[test]
fn the_users_are_read_again_and_may_move_to_another_file() {
    let configured = Configured::new("");
    let key = PrivateKey::generate().unwrap();
    fs::write(configured.path("private.pem"), key.to_pem().as_bytes()).unwrap();
    fs::write(configured.path("public.pem"), key.public().to_pem()).unwrap();
    fs::write(configured.path("old"), auth::line("mario", "rossi")).unwrap();
    fs::write(configured.path("new"), auth::line("luigi", "verdi")).unwrap();
    let text = |users: &str| {
        let (key, users) = (configured.path("private.pem"), configured.path(users));
        format!("[server]\nrsa-private-key-path = {key:?}\nauthorized-users-path = {users:?}\n")
    };
    configured.write(&text("old"));
    let server = configured.server(&[]);
    let client = |user: &str, password: &str| {
        let key = configured.path("public.pem");
        let args = ["-n", "64K", "--username", user, "--rsa-public-key-path", &key];
        let mut command = server.command(&args);
        command.env("IPERF3_PASSWORD", password).output().unwrap().status.code()
    };
    assert_eq!(client("mario", "rossi"), Some(0));
    configured.write(&text("missing"));
    server.signal(libc::SIGHUP);
    server.wait_for("cannot read the users");
    server.wait_for("was not reloaded");
    assert_eq!(client("mario", "rossi"), Some(0));
    configured.write(&text("new"));
    server.signal(libc::SIGHUP);
    server.wait_for("the configuration was reloaded");
    assert_eq!((client("mario", "rossi"), client("luigi", "verdi")), (Some(4), Some(0)));
}

#[test]
fn a_client_takes_its_defaults_from_the_file_and_the_environment() {
    let server = Server::start(&[]);
    let port = server.port;
    let configured = Configured::new(&format!("[client]\nport = {port}\nbytes = \"64K\"\n"));
    let client = |name: &str, value: &str| -> Ended {
        let mut command = polyperf(&["client", "127.0.0.1", "-J"]);
        command.env("POLYPERF_CONFIG", configured.file()).env(name, value);
        command.output().unwrap().into()
    };
    let ended = client("POLYPERF_CLIENT_TITLE", "from outside");
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    assert!(ended.out.contains("from outside"), "{}", ended.out);
    let ended = client("POLYPERF_CLIENT_TITEL", "x");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("did you mean POLYPERF_CLIENT_TITLE?"), "{}", ended.err);
    let ended = client("POLYPERF_CLIENT_PARALLEL", "0");
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.starts_with("error: POLYPERF_CLIENT_PARALLEL=0 is "), "{}", ended.err);
}

#[test]
fn a_file_is_checked_without_a_server() {
    let configured = Configured::new("[server]\nport = 1\n[client]\ntime = 3\n");
    let file = configured.path("polyperf.toml");
    let ended = run(&["config", "check", &file]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), &*format!("{file}: good, 2 settings\n"))
    );
    configured.write("[server]\nport = 1\nprot = 1\n[client]\ntime = 'x'\n");
    let ended = run(&["config", "check", &file]);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(1), 2), "{}", ended.err);
    let ended = run(&["config", "check", &configured.path("absent")]);
    assert_eq!(ended.code, Some(6), "{}", ended.err);
    let endless = run(&["config", "check", "/dev/zero"]);
    assert_eq!(endless.code, Some(6), "{}", endless.err);
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let configured = Configured::new("[server]\nport = 1\nmax-queue = 2\n");
    let file = configured.path("polyperf.toml");
    let mut command = polyperf(&["config", "show", "-J", "--config", &file, "--", "server", "-1"]);
    let output = command.env("POLYPERF_PORT", "7").stderr(Stdio::inherit()).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let section = &document["sections"][0];
    assert_eq!((&section["command"], &section["file"]), (&"server".into(), &file.clone().into()));
    let of = |option: &str| {
        let all = section["settings"].as_array().unwrap();
        all.iter().find(|setting| setting["option"] == option).unwrap().clone()
    };
    let json = |value: &str, origin: Value| serde_json::json!({"value": value, "origin": origin});
    for (option, expected) in [
        ("port", json("7", serde_json::json!({"kind": "environment", "name": "POLYPERF_PORT"}))),
        ("max-queue", json("2", serde_json::json!({"kind": "file", "path": file, "line": 3}))),
        ("one-off", json("true", serde_json::json!({"kind": "flag"}))),
        ("max-sessions", json("64", serde_json::json!({"kind": "default"}))),
    ] {
        let found = of(option);
        assert_eq!((&found["value"], &found["origin"]), (&expected["value"], &expected["origin"]));
    }
    let text = run(&["config", "show", "--config", &file]).out;
    for section in ["server", "client", "compare"] {
        assert!(text.contains(&format!("[{section}] of ")), "{text}");
    }
    assert!(text.contains(&format!("file {file}:3")), "{text}");
}

#[test]
fn the_example_in_the_documentation_is_good() {
    let page = include_str!("../../docs/configuration.md");
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let configured = Configured::new(block.split("```").next().unwrap());
        let ended = run(&["config", "check", &configured.path("polyperf.toml")]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let said = ended.out.rsplit(": ").next().unwrap();
        assert!(page.contains(said), "{said} is not in the page");
    }
}

#[test]
fn the_documentation_names_what_is_taken_over_at_once() {
    let page = include_str!("../../docs/configuration.md");
    let source = include_str!("../../src/program/reload.rs");
    let list =
        source.split("const AT_ONCE").nth(1).and_then(|rest| rest.split('=').nth(1)).unwrap();
    for name in list.split(';').next().unwrap().split('"').skip(1).step_by(2) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
