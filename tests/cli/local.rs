//! What one end brings of its own: files, processors, descriptors.

use std::process::Command;

use serde_json::Value;

use crate::program::{Server, polyperf, run};

fn json(server: &Server, args: &[&str]) -> Value {
    let ended = server.client(&[&["-J", "-i", "0"], args].concat());
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn a_file_is_sent_to_its_end_and_the_test_is_over() {
    let server = Server::start(&[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 3_000_001]).unwrap();
    let path = file.path().to_str().unwrap();
    for (streams, bytes) in [("1", 3_000_001), ("2", 6_000_002)] {
        let document = json(&server, &["-F", path, "-P", streams]);
        assert_eq!(document["end"]["sum_sent"]["bytes"], bytes);
        assert_eq!(document["end"]["sum_received"]["bytes"], bytes);
    }
}

#[test]
fn what_is_received_is_written_to_a_file() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("received");
    let args = ["-R", "-n", "1M", "--repeating-payload", "-l", "64K", "-F", file.to_str().unwrap()];
    let document = json(&server, &args);
    let written = std::fs::read(&file).unwrap();
    assert_eq!(document["end"]["sum_received"]["bytes"], written.len());
    assert!(written.starts_with(b"01234567890123456789"));
}

#[test]
fn a_file_that_cannot_be_read_or_shared_is_refused_before_the_test() {
    let cases = [
        (vec!["-F", "/no/such/file"], 6, "cannot open /no/such/file"),
        (vec!["-F", "/dev/null", "--bidir"], 4, "in both directions"),
        (vec!["-F", "/dev/null", "-R", "-P", "2"], 4, "2 streams would write"),
        (vec!["-F", "/dev/null", "-u"], 4, "udp carries datagrams"),
    ];
    for (args, code, text) in cases {
        let ended = run(&[&["client", "127.0.0.1"], &args[..]].concat());
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(text), "{args:?}: {}", ended.err);
    }
}

#[test]
fn a_file_keeps_what_is_in_it_until_a_test_begins_and_nothing_after() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 5000]).unwrap();
    let path = file.path().to_str().unwrap();
    let nobody = run(&["client", "127.0.0.1", "-p", "1", "-R", "-F", path]);
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);
    assert_eq!(std::fs::read(file.path()).unwrap().len(), 5000);
    let server = Server::start(&[]);
    json(&server, &["-R", "-n", "2000", "-l", "1000", "-F", path]);
    assert_eq!(std::fs::read(file.path()).unwrap().len(), 2000);
}

#[test]
fn processors_are_kept_to_at_either_end_or_it_is_said_why_not() {
    let server = Server::start(&[]);
    let settings = |document: &Value, end: &str| {
        let settings = &document["polyperf"][end]["flows"][0]["settings"];
        settings.as_array().and_then(|settings| settings.last().cloned()).unwrap_or_default()
    };
    let document = json(&server, &["-n", "64K", "-A", "0,0"]);
    for end in ["local", "remote"] {
        assert_eq!(settings(&document, end)["granted"], "0", "{end}: {document}");
    }
    let document = json(&server, &["-n", "64K", "-A", "1000"]);
    assert!(settings(&document, "local")["refused"].is_string(), "{document}");
}

#[test]
fn marks_show_at_both_ends() {
    let server = Server::start(&[]);
    let document = json(&server, &["-n", "64K", "-S", "0x20", "--fq-rate", "1G"]);
    for end in ["local", "remote"] {
        let settings = &document["polyperf"][end]["flows"][0]["settings"];
        let granted = |option: &str| {
            let all = settings.as_array().unwrap();
            all.iter().find(|setting| setting["option"] == option).unwrap()["granted"].clone()
        };
        assert_eq!((granted("tos"), granted("fq_rate")), ("32".into(), "1000000000".into()));
    }
}

#[test]
fn a_server_has_as_many_descriptors_as_it_may() {
    let program = polyperf(&["server", "-p", "0", "--log-format", "json"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 256 && exec \"$0\" \"$@\""]);
    limited.arg(program.get_program()).args(program.get_args());
    limited.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    let server = Server::spawn(&mut limited);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [.., soft, hard, _] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    assert_eq!(soft, hard);
}
