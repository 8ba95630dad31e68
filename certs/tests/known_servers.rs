//! Known servers, in memory and in a file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    thread,
};

use polyperf_certs::{Fingerprint, KnownServers, KnownServersError};

fn fingerprint(of: &str) -> Fingerprint {
    Fingerprint::of(of.as_bytes())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(known: &KnownServers) -> Vec<String> {
    known.iter().unwrap().map(|(server, _)| server.to_string()).collect()
}

/// Both kinds, and the folder of the second.
fn both() -> ([KnownServers; 2], tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = KnownServers::at(dir.path().join("known"));
    ([KnownServers::in_memory(), file], dir)
}

#[test]
fn a_server_is_found_however_its_host_is_written() {
    let (kinds, _dir) = both();
    for known in kinds {
        known.remember("Server.Test", 1, fingerprint("a")).unwrap();
        known.remember("[2001:DB8::0:1]", 1, fingerprint("b")).unwrap();
        assert_eq!(known.get("server.TEST", 1).unwrap(), Some(fingerprint("a")));
        assert_eq!(known.get("2001:db8::1", 1).unwrap(), Some(fingerprint("b")));
        assert_eq!(known.get("server.test", 2).unwrap(), None);
        assert_eq!(names(&known), ["server.test:1", "[2001:db8::1]:1"]);
    }
}

#[test]
fn a_known_server_is_not_replaced() {
    let (kinds, _dir) = both();
    for known in kinds {
        known.remember("a", 1, fingerprint("a")).unwrap();
        known.remember("a", 1, fingerprint("a")).unwrap();
        let error = known.remember("A", 1, fingerprint("b")).unwrap_err();
        assert!(matches!(error, KnownServersError::Changed { known, shown, .. }
            if known == fingerprint("a") && shown == fingerprint("b")));
        assert_eq!(known.get("a", 1).unwrap(), Some(fingerprint("a")));
    }
}

#[test]
fn a_host_is_forgotten_with_one_of_its_ports_or_all() {
    let (kinds, _dir) = both();
    for known in kinds {
        for (host, port) in [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("::1", 1)] {
            known.remember(host, port, fingerprint(host)).unwrap();
        }
        assert_eq!(known.forget("A", Some(2)).unwrap(), 1);
        assert_eq!(known.forget("a", Some(2)).unwrap(), 0);
        assert_eq!(known.forget("a", None).unwrap(), 2);
        assert_eq!(known.forget("[::1]", None).unwrap(), 1);
        assert_eq!(names(&known), ["b:1"]);
    }
}

#[test]
fn clones_share_what_is_known() {
    let known = KnownServers::in_memory();
    known.clone().remember("a", 1, fingerprint("a")).unwrap();
    assert_eq!(known.get("a", 1).unwrap(), Some(fingerprint("a")));
}

#[test]
fn a_file_is_made_for_its_owner_alone_when_the_first_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/polyperf/known");
    let known = KnownServers::at(&path);
    assert_eq!(known.get("a", 1).unwrap(), None);
    assert_eq!(known.forget("a", None).unwrap(), 0);
    assert!(!dir.path().join("state").exists());

    known.remember("a", 1, fingerprint("a")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("a:1 {}\n", fingerprint("a")));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&dir.path().join("state")), 0o700);
}

#[test]
fn comments_and_the_mode_of_a_file_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known");
    let text = format!("# the lab\na:1 {}\n\n# the rest", fingerprint("a"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let known = KnownServers::at(&path);
    known.remember("b", 2, fingerprint("b")).unwrap();
    known.forget("a", None).unwrap();
    let expected = format!("# the lab\n\n# the rest\nb:2 {}\n", fingerprint("b"));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn what_a_link_leads_to_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (link, file) = (dir.path().join("known"), dir.path().join("elsewhere"));
    fs::write(&file, "# mine\n").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    KnownServers::at(&link).remember("a", 1, fingerprint("a")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("# mine\na:1 {}\n", fingerprint("a")));
}

#[test]
fn programs_that_remember_and_forget_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = Arc::<PathBuf>::new(dir.path().join("known"));
    let start = Arc::new(Barrier::new(PROGRAMS));
    let programs: Vec<_> = (0..PROGRAMS)
        .map(|program| {
            let (path, start) = (path.clone(), start.clone());
            thread::spawn(move || {
                let known = KnownServers::at(&*path);
                start.wait();
                for port in 1..=PORTS {
                    let host = format!("host{program}");
                    known.remember(&host, port, fingerprint(&host)).unwrap();
                    known.remember("shared", port, fingerprint("shared")).unwrap();
                    assert_eq!(known.forget(&host, Some(port - 1)).unwrap(), usize::from(port > 1));
                }
            })
        })
        .collect();
    programs.into_iter().for_each(|program| program.join().unwrap());

    let mut left = names(&KnownServers::at(&*path));
    left.sort_unstable();
    let hosts = (0..PROGRAMS).map(|program| format!("host{program}:{PORTS}"));
    let shared = (1..=PORTS).map(|port| format!("shared:{port}"));
    let mut expected: Vec<_> = hosts.chain(shared).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known");
    let text = format!("a:1 {}\nb:2 md5:00\n", fingerprint("a"));
    fs::write(&path, &text).unwrap();
    let known = KnownServers::at(&path);
    let errors = [
        known.get("a", 1).unwrap_err(),
        known.iter().unwrap_err(),
        known.remember("c", 1, fingerprint("c")).unwrap_err(),
        known.forget("a", None).unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, KnownServersError::Line { line: 2, .. }), "{text}");
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let known = KnownServers::at(dir.path().join("file/known"));
    assert!(matches!(known.get("a", 1), Err(KnownServersError::Read { .. })));
    let remembered = known.remember("a", 1, fingerprint("a"));
    assert!(matches!(remembered, Err(KnownServersError::Write { .. })));
}

#[test]
fn what_is_no_host_is_neither_remembered_nor_looked_for() {
    let known = KnownServers::in_memory();
    for host in ["", "a b", "#a", "a\nb:1", &"a".repeat(254)] {
        assert!(matches!(known.get(host, 1), Err(KnownServersError::Host(_))), "{host}");
        assert!(known.remember(host, 1, fingerprint("a")).is_err(), "{host}");
        assert!(known.forget(host, None).is_err(), "{host}");
    }
}

#[test]
fn a_file_that_would_grow_too_long_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known");
    let text = format!("#{}\n", " ".repeat((1 << 20) - 2));
    fs::write(&path, &text).unwrap();
    let error = KnownServers::at(&path).remember("a", 1, fingerprint("a")).unwrap_err();
    assert!(matches!(error, KnownServersError::Write { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

const PROGRAMS: usize = 6;
const PORTS: u16 = 12;
