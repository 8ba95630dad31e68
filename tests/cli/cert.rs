//! Identities and known servers, shown and changed by `polyperf cert`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use polyperf_certs::{Fingerprint, Identity, KnownServers};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, polyperf, run};

/// A folder of a user's own, and commands that keep to it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Runs a command of `polyperf cert`.
    fn cert(&self, args: &[&str]) -> Ended {
        let mut command = polyperf(&[&["cert"], args].concat());
        command.env("XDG_STATE_HOME", self.0.path()).output().unwrap().into()
    }

    /// Runs one that does what it is told, and returns what it prints.
    fn done(&self, args: &[&str]) -> String {
        let ended = self.cert(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}: {}", ended.out);
        ended.out
    }

    /// Runs one that fails with this code, and returns what it says.
    fn refused(&self, args: &[&str], code: i32) -> String {
        let ended = self.cert(args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{args:?}: {}", ended.err);
        ended.err
    }

    fn json(&self, args: &[&str], code: i32) -> Value {
        let ended = self.cert(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(code), ""), "{args:?}: {}", ended.out);
        serde_json::from_str(&ended.out).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("polyperf").join(name)
    }

    fn fingerprint(&self) -> String {
        self.json(&["show", "-J"], 0)["fingerprint"].as_str().unwrap().to_owned()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_identity_is_made_shown_and_not_replaced_by_mistake() {
    let home = Home::new();
    let text = home.refused(&["show"], 1);
    assert!(text.contains("there is no identity in") && text.contains("cert make"), "{text}");
    let made = home.done(&["make"]);
    assert!(made.contains("polyperf, localhost, 127.0.0.1, ::1"), "{made}");
    assert_eq!(home.done(&["show"]), made);
    assert_eq!(mode(&home.file("key.pem")), 0o600);
    assert_eq!(mode(&home.file("certificate.pem")), 0o644);
    assert_eq!(mode(&home.file("")), 0o700);
    let before = home.fingerprint();
    let text = home.refused(&["make", "other.example"], 1);
    assert!(text.contains("already") && text.contains("--replace"), "{text}");
    assert_eq!(home.fingerprint(), before);
    let replaced = home.done(&["make", "--replace", "perf.example.net", "192.0.2.1"]);
    assert!(replaced.contains("perf.example.net, 192.0.2.1"), "{replaced}");
    assert_ne!(home.fingerprint(), before);
    assert_eq!(mode(&home.file("key.pem")), 0o600);
    let names = fs::read_dir(home.file("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_str().unwrap().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn half_of_an_identity_is_not_replaced_by_mistake_either() {
    let home = Home::new();
    home.done(&["make"]);
    fs::remove_file(home.file("key.pem")).unwrap();
    assert!(home.refused(&["make"], 1).contains("already"));
    assert!(home.refused(&["show"], 6).contains("key.pem"));
    home.done(&["make", "--replace"]);
    home.done(&["show"]);
}

#[test]
fn what_is_no_name_is_a_wrong_command_line() {
    let home = Home::new();
    let text = home.refused(&["make", "a/b"], 2);
    assert!(text.contains("\"a/b\""), "{text}");
    assert!(!home.file("").exists());
}

#[test]
fn the_document_of_an_identity_has_what_its_certificate_says() {
    let home = Home::new();
    home.done(&["make", "perf.example.net"]);
    let document = home.json(&["show", "--json"], 0);
    let expected = serde_json::json!({
        "fingerprint": home.fingerprint(),
        "certificates": 1,
        "subject": "CN=polyperf",
        "issuer": "CN=polyperf",
        "names": ["perf.example.net"],
        "not_before": "1970-01-01T00:00:00Z",
        "not_after": "9999-12-31T00:00:00Z",
        "key": "ECDSA P-256",
        "file": home.file("certificate.pem").to_str().unwrap(),
    });
    assert_eq!(document, expected);
}

#[test]
fn a_failure_is_a_document_where_one_was_asked_for() {
    let home = Home::new();
    let document = home.json(&["show", "-J"], 1);
    assert!(document["error"].as_str().unwrap().contains("there is no identity"), "{document}");
    fs::create_dir(home.file("")).unwrap();
    fs::write(home.file("known_servers"), "nonsense\n").unwrap();
    let document = home.json(&["known", "-J"], 6);
    assert!(document["error"].as_str().unwrap().contains("line 1"), "{document}");
}

#[test]
fn certificates_are_exported_and_the_key_only_if_asked_for() {
    let home = Home::new();
    home.done(&["make"]);
    let text = home.done(&["export"]);
    assert_eq!(text, fs::read_to_string(home.file("certificate.pem")).unwrap());
    let both = home.done(&["export", "--private-key"]);
    assert!(both.starts_with(&text) && both.contains("PRIVATE KEY"), "a key follows");
    let file = home.0.path().join("both.pem");
    fs::write(&file, "replaced").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(home.done(&["export", "--private-key", "--output", path]), "");
    assert_eq!((fs::read_to_string(&file).unwrap(), mode(&file)), (both, 0o600));
    let identity = Identity::from_pem_files(&file, &file).unwrap();
    assert_eq!(identity.fingerprint().to_string(), home.fingerprint());
    let shown = home.json(&["show", "-J", "--cert", path, "--key", path], 0);
    assert_eq!((&shown["fingerprint"], &shown["file"]), (&home.fingerprint().into(), &path.into()));
    let text = home.refused(&["export", "-o", "/no/such/folder/file"], 6);
    assert!(text.contains("cannot write /no/such/folder/file"), "{text}");
}

#[test]
fn known_servers_are_listed_and_forgotten() {
    let home = Home::new();
    assert_eq!(home.done(&["known"]), "");
    let servers = KnownServers::at(home.file("known_servers"));
    let fingerprint = Fingerprint::of(b"a certificate");
    for (host, port) in [("a.example", 5201), ("a.example", 5202), ("::1", 5201)] {
        servers.remember(host, port, fingerprint).unwrap();
    }
    assert_eq!(
        home.done(&["known"]),
        format!(
            "a.example:5201 {fingerprint}\na.example:5202 {fingerprint}\n[::1]:5201 {fingerprint}\n"
        )
    );
    let document = home.json(&["known", "-J"], 0);
    assert_eq!(document["file"], home.file("known_servers").to_str().unwrap());
    assert_eq!(
        document["servers"][2],
        serde_json::json!({"host": "::1", "port": 5201, "fingerprint": fingerprint.to_string()})
    );
    assert!(home.refused(&["forget", "a.example:1"], 1).contains("a.example at port 1"));
    assert!(home.refused(&["forget", "b.example"], 1).contains("polyperf cert known"));
    assert!(home.done(&["forget", "[::1]:5201"]).starts_with("forgot 1 server: ::1"));
    assert!(home.done(&["forget", "A.example"]).starts_with("forgot 2 servers"));
    assert_eq!(home.done(&["known"]), "");
}

#[test]
fn without_a_home_the_folder_is_to_be_named() {
    for (args, option) in
        [(["cert", "show"], "--state-dir"), (["cert", "known"], "--known-servers")]
    {
        let mut command = polyperf(&args);
        let ended: Ended =
            command.env_remove("XDG_STATE_HOME").env_remove("HOME").output().unwrap().into();
        assert_eq!(ended.code, Some(6), "{}", ended.err);
        assert!(ended.err.contains(option), "{}", ended.err);
    }
}

#[test]
fn help_is_an_answer_and_a_missing_command_is_a_mistake() {
    for command in ["show", "make", "export", "known", "forget"] {
        let ended = run(&["cert", command, "--help"]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(ended.out.contains(&format!("polyperf cert {command}")), "{}", ended.out);
    }
    let ended = run(&["cert"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.ends_with("see polyperf cert --help\n"), "{}", ended.err);
}
