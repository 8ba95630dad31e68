//! The identity that a server keeps, and what it says when there is none to keep.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::program::{Server, polyperf, run};

/// Returns the fingerprint that polyperf shows of the identity in a folder.
fn fingerprint(folder: &str) -> String {
    let ended = run(&["cert", "show", "-J", "--state-dir", folder]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    let document: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    document["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn a_server_has_the_same_identity_from_its_first_start_on() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let folder = folder.to_str().unwrap();
    let server = Server::start(&["--state-dir", folder]);
    let first = server.wait_for("this server's identity, made now");
    assert_eq!((&first["level"], &first["kept_in"]), (&"INFO".into(), &folder.into()));
    assert_eq!(first["fingerprint"], fingerprint(folder));
    let again = Server::start(&["--state-dir", folder]).wait_for("this server's identity");
    assert_eq!(again["message"], "this server's identity");
    assert_eq!(again["fingerprint"], first["fingerprint"]);
}

#[test]
fn a_server_serves_with_an_identity_from_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (folder, both) = (file("state"), file("both.pem"));
    assert_eq!(run(&["cert", "make", "--state-dir", &folder]).code, Some(0));
    let args = ["cert", "export", "--private-key", "-o", &both, "--state-dir", &folder];
    assert_eq!(run(&args).code, Some(0));
    let server = Server::start(&["--cert", &both, "--key", &both]);
    let line = server.wait_for("this server's identity");
    assert_eq!(
        (&line["fingerprint"], &line["kept_in"]),
        (&fingerprint(&folder).into(), &both.into())
    );
}

#[test]
fn an_identity_is_read_again_at_sighup_and_stays_where_its_file_is_bad() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (folder, both) = (file("state"), file("both.pem"));
    let make = || {
        assert_eq!(run(&["cert", "make", "--replace", "--state-dir", &folder]).code, Some(0));
        let args = ["cert", "export", "--private-key", "-o", &both, "--state-dir", &folder];
        assert_eq!(run(&args).code, Some(0));
        fingerprint(&folder)
    };
    let before = make();
    let server = Server::start(&["--cert", &both, "--key", &both]);
    let code = |fingerprint: &str| {
        let over = |args: &[&str]| {
            let known = ["-n", "1K", "--server-fingerprint", fingerprint];
            server.client(&[&known, args].concat()).code
        };
        (over(&["--tls"]), over(&["--transport", "quic"]))
    };
    assert_eq!(code(&before), (Some(0), Some(0)));
    // What has not changed is no change.
    server.signal(libc::SIGHUP);
    server.wait_for("the configuration was reloaded");
    let after = make();
    server.signal(libc::SIGHUP);
    let changed = server.wait_for("this server's identity has changed");
    assert_eq!(
        (&changed["from"], &changed["to"]),
        (&before.as_str().into(), &after.as_str().into())
    );
    server.wait_for_nth("the configuration was reloaded", 2);
    assert_eq!(code(&after), (Some(0), Some(0)));
    assert_eq!(code(&before), (Some(3), Some(3)));
    fs::write(&both, "no PEM").unwrap();
    server.signal(libc::SIGHUP);
    let told = server.wait_for("both.pem holds no PEM");
    assert_eq!(told["level"], "ERROR");
    server.wait_for("the configuration was not reloaded");
    assert_eq!(code(&after), (Some(0), Some(0)));
}

#[test]
fn an_identity_whose_folder_is_emptied_stays_and_no_other_is_made() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let path = folder.to_str().unwrap();
    let server = Server::start(&["--state-dir", path]);
    let known = fingerprint(path);
    fs::rename(&folder, home.path().join("elsewhere")).unwrap();
    server.signal(libc::SIGHUP);
    assert_eq!(server.wait_for("there is no identity in")["level"], "ERROR");
    assert!(!folder.exists());
    let ended = server.client(&["-n", "1K", "--tls", "--server-fingerprint", &known]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn without_a_home_the_identity_is_in_memory_and_that_is_warned_of() {
    for home in [None, Some("/proc/nowhere")] {
        let mut command = polyperf(&["server", "-p", "0", "--log-format", "json"]);
        command
            .env_remove("XDG_STATE_HOME")
            .env_remove("HOME")
            .envs(home.map(|home| ("HOME", home)));
        let server = Server::spawn(&mut command);
        let line = server.wait_for("in memory");
        assert_eq!(line["level"], "WARN");
        assert!(line["fingerprint"].as_str().unwrap().starts_with("sha256:"), "{line}");
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains(home.unwrap_or("HOME")), "{line}");
        assert_eq!(server.client(&["-n", "1K"]).code, Some(0));
    }
}

#[test]
fn an_identity_that_is_of_no_use_is_six_and_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let path = folder.to_str().unwrap();
    let refused = |args: &[&str], texts: &[&str]| {
        let ended = run(&[&["server", "-p", "0", "--log-level", "error"], args].concat());
        assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
        for text in texts {
            assert!(ended.err.contains(text), "{text:?} is not in {}", ended.err);
        }
    };
    let folder_alone = ["--state-dir", path];
    refused(&["--state-dir", "/proc/nowhere"], &["cannot write /proc/nowhere", "--state-dir"]);
    refused(&["--cert", "/none", "--key", "/none"], &["cannot read /none", "--cert and --key"]);
    refused(&["--qlog", "/proc/nowhere"], &["cannot write logs to /proc/nowhere", "--qlog"]);
    assert_eq!(run(&["cert", "make", "--state-dir", path]).code, Some(0));
    let key = folder.join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&folder_alone, &["key.pem", "644", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "no key").unwrap();
    refused(&folder_alone, &["key.pem holds", "cert make --replace"]);
    fs::remove_file(&key).unwrap();
    refused(&folder_alone, &["certificate.pem", "key.pem", "restore"]);
}

#[test]
fn a_folder_for_logs_is_made_before_the_test() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs/of/quic");
    let server = Server::start(&[]);
    let ended = server.client(&["-n", "1K", "--qlog", logs.to_str().unwrap()]);
    assert_eq!((ended.code, logs.is_dir()), (Some(0), true), "{}", ended.err);
    let ended = server.client(&["-n", "1K", "--qlog", "/proc/nowhere"]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.err.contains("cannot write logs to /proc/nowhere"), "{}", ended.err);
}

#[test]
fn authorities_that_are_of_no_use_are_told_before_anything_happens() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("ca.pem");
    fs::write(&empty, "").unwrap();
    for (file, text) in [(Path::new("/none"), "cannot read"), (&empty, "ca.pem holds")] {
        for mode in ["client", "compare"] {
            let ended = run(&[mode, "127.0.0.1", "-p", "1", "--ca", file.to_str().unwrap()]);
            assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
            assert!(ended.err.contains(text), "{}", ended.err);
        }
    }
}

#[test]
fn a_client_without_a_home_says_nothing_about_it() {
    let server = Server::start(&[]);
    let mut command = server.command(&["-n", "1K"]);
    command.env_remove("XDG_STATE_HOME").env_remove("HOME");
    let ended: crate::program::Ended = command.output().unwrap().into();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
