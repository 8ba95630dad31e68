//! Users, keys and passwords, as the program takes them.

use std::{fs, path::PathBuf};

use polyperf::auth::{self, PrivateKey};

use crate::program::{Ended, Server, polyperf, run};

/// A folder with everything that both ends need; it is gone after the test.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let files =
            Self(std::env::temp_dir().join(format!("polyperf-{test}-{}", std::process::id())));
        fs::create_dir_all(&files.0).unwrap();
        let key = PrivateKey::generate().unwrap();
        fs::write(files.0.join("private.pem"), key.to_pem().as_bytes()).unwrap();
        fs::write(files.0.join("public.pem"), key.public().to_pem()).unwrap();
        fs::write(files.0.join("users"), auth::line("mario", "rossi")).unwrap();
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn server(&self, further: &[&str]) -> Server {
        let (key, users) = (self.path("private.pem"), self.path("users"));
        let args = ["--rsa-private-key-path", &key, "--authorized-users-path", &users];
        Server::start(&[&args, further].concat())
    }

    /// Runs a client as mario.
    fn client(&self, server: &Server, password: &str, further: &[&str]) -> Ended {
        let key = self.path("public.pem");
        let args = ["-n", "64K", "--username", "mario", "--rsa-public-key-path", &key];
        let mut command = server.command(&[&args, further].concat());
        command.env("IPERF3_PASSWORD", password).output().unwrap().into()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_known_user_is_let_in_and_nobody_else() {
    let files = Files::new("access");
    let server = files.server(&[]);
    let ended = files.client(&server, "rossi", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(server.wait_for("test started")["user"], "mario");
    for ended in [
        files.client(&server, "verdi", &[]),
        files.client(&server, "rossi", &["--use-pkcs1-padding"]),
        server.client(&["-n", "64K"]),
    ] {
        assert_eq!(ended.code, Some(4), "{}", ended.err);
        assert!(ended.err.contains("does not let this client in"), "{}", ended.err);
    }
    let refused = server.wait_for("no test was run");
    assert!(!refused.to_string().contains("verdi"), "{refused}");
}

#[test]
fn a_known_user_may_compare() {
    let files = Files::new("compare");
    let server = files.server(&[]);
    let (address, key) = (format!("127.0.0.1:{}", server.port), files.path("public.pem"));
    let args = ["compare", &address, "-t", "0.1", "--repeat", "1", "--rsa-public-key-path", &key];
    let mut command = polyperf(&[&args[..], &["--username", "mario"]].concat());
    let ended: Ended = command.env("IPERF3_PASSWORD", "rossi").output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn the_older_padding_is_warned_of() {
    let files = Files::new("padding");
    let server = files.server(&["--use-pkcs1-padding"]);
    let ended = files.client(&server, "rossi", &["--use-pkcs1-padding"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(server.wait_for("PKCS#1 v1.5")["level"], "WARN");
}

#[test]
fn files_that_are_of_no_use_are_told_before_anything_happens() {
    let files = Files::new("useless");
    let (private, public) = (files.path("private.pem"), files.path("public.pem"));
    let (users, missing) = (files.path("users"), files.path("missing"));
    for (key, users, text) in [
        (&public, &users, "public.pem is a public one, and the server needs the private one"),
        (&missing, &users, "cannot read the key"),
        (&private, &missing, "cannot read the users"),
        (&private, &private, "have wrong lines: [1, 2"),
    ] {
        let args = ["server", "-p", "0", "--rsa-private-key-path", key];
        let ended = run(&[&args[..], &["--authorized-users-path", users]].concat());
        assert_eq!(ended.code, Some(6), "{}", ended.err);
        assert!(ended.err.contains(text), "{}", ended.err);
    }
    let args = ["client", "127.0.0.1", "--username", "u", "--rsa-public-key-path", &private];
    let ended = run(&args);
    assert_eq!(ended.code, Some(6), "{}", ended.err);
    assert!(ended.err.contains("private.pem is a private one"), "{}", ended.err);
}

#[test]
fn a_password_that_cannot_be_asked_for_is_to_be_set() {
    let files = Files::new("password");
    let server = files.server(&[]);
    let ended = files.client(&server, "", &[]);
    assert_eq!(
        (ended.code, ended.err.trim()),
        (Some(6), "polyperf: cannot log in as mario: the password is empty")
    );
    let ended = files.client(&server, "two words", &[]);
    assert!(ended.err.contains("can hold white space"), "{}", ended.err);
}
