//! Policies and keys, as the program takes them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::program::{Ended, Server, polyperf, run};

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn psk(identity: &str) -> String {
    let made = run(&["psk", "make", identity]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(made.out.starts_with(&format!("{identity}:")) && made.out.ends_with('\n'));
    made.out
}

#[test]
fn keys_that_are_made_let_clients_in_and_nobody_else() {
    let (files, line) = (Files::new(), psk("alice"));
    assert_ne!(line, psk("alice"), "each key is new");
    let keys = files.write("keys", &format!("{line}{}", psk("bob")), 0o600);
    let server = Server::start(&["--psk-file", &keys]);
    let client = |further: &[&str]| server.client(&[&["-n", "64K"], further].concat());
    let ended = client(&["--psk-file", &keys, "--psk-identity", "alice"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(server.wait_for("test started")["user"], "alice");
    let ended = client(&["--psk-file", &keys, "--psk-identity", "alice", "--tls"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let other = files.write("other", &psk("alice"), 0o600);
    for (arguments, code, word) in [
        (&[][..], 4, "--psk-file"),
        (&["--psk-file", &other], 4, "another key"),
        (&["--psk-file", &keys], 6, "--psk-identity"),
        (&["--psk-file", "credential:polyperf.psk"], 6, "CREDENTIALS_DIRECTORY"),
        (&["--psk-identity", "alice"], 2, "--psk-file"),
    ] {
        let ended = client(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(word), "{arguments:?}: {}", ended.err);
    }
    let open = files.write("open", &line, 0o644);
    let ended = client(&["--psk-file", &open]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.err.contains("chmod 600"), "{}", ended.err);
}

/// A client's own key, made as users make it.
struct Key {
    file: String,
    fingerprint: String,
}

impl Key {
    fn make(files: &Files, name: &str) -> Self {
        let folder = files.0.path().join(format!("{name}.state"));
        let (folder, file) = (folder.to_str().unwrap(), files.0.path().join(format!("{name}.pem")));
        let file = file.to_str().unwrap().to_owned();
        for arguments in [
            &["cert", "make", "--state-dir", folder][..],
            &["cert", "export", "--state-dir", folder, "--private-key", "-o", &file],
        ] {
            let ended = run(arguments);
            assert_eq!(ended.code, Some(0), "{}", ended.err);
        }
        let shown = run(&["cert", "show", "-J", "--state-dir", folder]);
        let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
        Self { file, fingerprint: shown["fingerprint"].as_str().unwrap().to_owned() }
    }

    fn line(&self, name: &str) -> String {
        format!("{} {name}\n", self.fingerprint)
    }
}

#[test]
fn a_key_that_is_made_lets_its_client_in_once_the_server_knows_its_fingerprint() {
    let files = Files::new();
    let (alice, bob) = (Key::make(&files, "alice"), Key::make(&files, "bob"));
    let known = files.write("known", &format!("# clients\n{}", alice.line("alice")), 0o644);
    let server = Server::start(&["--authorized-keys", &known]);
    let client = |further: &[&str]| server.client(&[&["-n", "64K"], further].concat());
    for further in [&[][..], &["--tls"], &["--transport", "quic"]] {
        let ended = client(&[&["--key-file", &alice.file], further].concat());
        assert_eq!(ended.code, Some(0), "{further:?}: {}", ended.err);
    }
    assert_eq!(server.wait_for_nth("test started", 3)["user"], "alice");
    let psk = files.write("psk", &psk("alice"), 0o600);
    for (arguments, code, word) in [
        (&[][..], 4, "--key-file"),
        (&["--key-file", &bob.file], 4, "--authorized-keys"),
        (&["--psk-file", &psk], 4, "takes no pre-shared keys"),
        (&["--psk-file", &psk, "--key-file", &bob.file], 2, "exclude each other"),
        (&["--key-file", "/nowhere"], 6, "/nowhere"),
        (&["--key-file", &psk], 6, "polyperf cert export --private-key"),
        (&["--key-file", "credential:alice.pem"], 6, "CREDENTIALS_DIRECTORY"),
    ] {
        let ended = client(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(word), "{arguments:?}: {}", ended.err);
    }
    fs::set_permissions(&alice.file, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = client(&["--key-file", &alice.file]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.err.contains("chmod 600"), "{}", ended.err);
    fs::set_permissions(&alice.file, fs::Permissions::from_mode(0o440)).unwrap();
    let mut command = server.command(&["-n", "64K", "--key-file", "credential:alice.pem"]);
    let ended = command.env("CREDENTIALS_DIRECTORY", files.0.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn keys_are_read_again_at_sighup_and_stay_where_a_line_is_wrong() {
    let files = Files::new();
    let (alice, bob) = (Key::make(&files, "alice"), Key::make(&files, "bob"));
    let known = files.write("known", &alice.line("alice"), 0o644);
    let server = Server::start(&["--authorized-keys", &known]);
    let code = |key: &Key| server.client(&["-n", "64K", "--key-file", &key.file]).code;
    assert_eq!((code(&alice), code(&bob)), (Some(0), Some(4)));
    files.write("known", &bob.line("bob"), 0o644);
    server.signal(libc::SIGHUP);
    server.wait_for("the configuration was reloaded");
    assert_eq!((code(&alice), code(&bob)), (Some(4), Some(0)));
    files.write("known", &format!("{}{}bob\n", alice.line("alice"), bob.line("bob")), 0o644);
    server.signal(libc::SIGHUP);
    let told = server.wait_for("wrong lines");
    assert_eq!(told["level"], "ERROR");
    assert!(told["message"].as_str().unwrap().contains("3 (it has one word)"), "{told}");
    assert_eq!((code(&alice), code(&bob)), (Some(4), Some(0)));
}

#[test]
fn a_comparison_proves_who_it_is_by_either_kind_of_key_and_is_controlled_inside_tls() {
    let files = Files::new();
    let alice = Key::make(&files, "alice");
    let known = files.write("known", &alice.line("alice"), 0o644);
    let psk = files.write("psk", &psk("bob"), 0o600);
    let server = Server::start(&["--authorized-keys", &known, "--psk-file", &psk]);
    let port = server.port.to_string();
    let brief = "--transport tcp --parts up --repeat 1 -t 0.05 -O 0 --gap 0 --no-progress";
    let compare = |further: &[&str], variables: &[(&str, &str)]| -> Ended {
        let args = [&["compare", "127.0.0.1", "-p", &port], further].concat();
        let mut command = polyperf(&args);
        command.args(brief.split(' ')).envs(variables.iter().copied()).output().unwrap().into()
    };
    let ended = compare(&["--key-file", &alice.file, "--tls"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(server.wait_for("test started")["user"], "alice");
    let ended = compare(&[], &[("POLYPERF_COMPARE_PSK_FILE", &psk)]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    assert_eq!(server.wait_for_nth("test started", 2)["user"], "bob");
    let ended = compare(&[], &[("POLYPERF_COMPARE_PSK", &psk)]);
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.err.contains("did you mean POLYPERF_COMPARE_PSK_FILE?"), "{}", ended.err);
    assert_eq!(compare(&["--key-file", "/nowhere"], &[]).code, Some(6));
}

#[test]
fn authorized_keys_that_others_may_write_to_let_nobody_serve() {
    let files = Files::new();
    let known = files.write("known", "", 0o666);
    let ended = run(&["server", "-p", "0", "--authorized-keys", &known]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.err.contains("chmod 644"), "{}", ended.err);
}

#[test]
fn a_credential_of_the_service_is_a_key_as_well() {
    let files = Files::new();
    let keys = files.write("polyperf.psk", &psk("alice"), 0o440);
    let server = Server::start(&[
        "--psk-file",
        &files.write("same", &fs::read_to_string(&keys).unwrap(), 0o600),
    ]);
    let mut client = server.command(&["-n", "64K", "--psk-file", "credential:polyperf.psk"]);
    client.env("CREDENTIALS_DIRECTORY", files.0.path());
    let ended = client.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_file_of_policies_is_read_and_every_mistake_in_it_is_told_with_its_line() {
    let files = Files::new();
    let text = "[[policy]]\nname = \"all\"\nmax_streams = 2\n";
    let server = Server::start(&["--policies", &files.write("good", text, 0o644)]);
    let ended = server.client(&["-n", "64K", "-P", "3"]);
    assert_eq!(ended.code, Some(4));
    assert!(ended.err.contains("2 streams, not 3"), "{}", ended.err);
    let bad = files.write("bad", "publik = true\n[[policy]]\nmax_streams = 0\n", 0o644);
    let ended = run(&["server", "-p", "0", "--policies", &bad]);
    assert_eq!(ended.code, Some(6));
    for word in ["bad:1: \"publik\"", "bad:2: a policy has no name", "bad:3: max_streams"] {
        assert!(ended.err.contains(word), "{}", ended.err);
    }
    let ended = run(&["server", "-p", "0", "--policies", "/nowhere"]);
    assert_eq!(ended.code, Some(6));
    let server = Server::start(&["--public"]);
    let ended = server.client(&["-t", "31"]);
    assert!(ended.err.contains("\"public\" permits 30 s"), "{}", ended.err);
}

#[test]
fn whoever_names_no_identity_is_told_what_to_write() {
    for (arguments, word) in [
        (&["psk", "make"][..], "name whom it is for"),
        (&["psk", "make", "a b"], "no identity"),
        (&["psk", "make", "a:b"], "no identity"),
        (&["psk"], "polyperf psk make"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.err.contains(word), "{}", ended.err);
    }
}
