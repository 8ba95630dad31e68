//! Who a server is, and how a client knows.

use std::path::{Path, PathBuf};

use polyperf_certs::Fingerprint;

use super::{super::*, cert, client, line, refused::assert_mistakes, server};

fn path(text: &str) -> PathBuf {
    Path::new(text).to_owned()
}

#[test]
fn a_server_is_known_by_what_it_showed_at_first_unless_told() {
    let fingerprint = Fingerprint::of(b"a certificate");
    let given = format!("--server-fingerprint {fingerprint}");
    for (text, trust) in [
        ("", Trust::Known(None)),
        ("--known-servers file", Trust::Known(Some(path("file")))),
        (given.as_str(), Trust::Fingerprint(fingerprint)),
        ("--ca ca.pem", Trust::Authorities(path("ca.pem"))),
        ("--system-roots", Trust::System),
        ("--insecure-skip-verify", Trust::Nobody),
    ] {
        assert_eq!(client(&format!("client host {text}")).trust, trust);
        let Ok(Command::Compare(args)) = line(&format!("compare host {text}")) else {
            panic!("{text}")
        };
        assert_eq!(args.trust, trust);
    }
}

#[test]
fn a_server_is_known_in_one_way() {
    assert_mistakes(
        "client host --ca ca.pem --system-roots --insecure-skip-verify --known-servers k",
        &["--ca and --system-roots and --insecure-skip-verify and --known-servers exclude"],
    );
    assert_mistakes(
        "compare host --server-fingerprint 00 --ca x/",
        &[
            "--server-fingerprint and --ca exclude",
            "--server-fingerprint 00 is no fingerprint: a fingerprint has 64",
            "--ca x/ is no file",
        ],
    );
    assert_mistakes(
        "compare --system-roots",
        &["--system-roots is of no use without HOST: name the host"],
    );
    assert_mistakes(
        "server --ca x",
        &["--ca belongs to polyperf client and polyperf compare: leave it out"],
    );
}

#[test]
fn an_identity_is_in_a_folder_or_in_two_files() {
    assert_eq!(server("server").identity, Place::Folder(None));
    assert_eq!(server("server --state-dir d/").identity, Place::Folder(Some(path("d/"))));
    let files = Place::Files { certificate: path("c"), key: path("k") };
    assert_eq!(server("-s --cert c --key k").identity, files);
    assert_eq!(cert("cert show --cert c --key k"), CertArgs::Show { identity: files, json: false });
    for mode in ["server", "cert show"] {
        assert_mistakes(&format!("{mode} --cert c"), &["--cert needs --key as well"]);
        assert_mistakes(&format!("{mode} --key k"), &["--key needs --cert as well"]);
        assert_mistakes(
            &format!("{mode} --cert c --key k --state-dir d"),
            &["--state-dir and --cert exclude each other: a server has one identity"],
        );
    }
}

#[test]
fn each_command_of_cert_has_its_own_options() {
    let identity = Place::Folder(Some(path("d")));
    assert_eq!(cert("cert show -J --state-dir d"), CertArgs::Show { identity, json: true });
    let names = vec!["a".to_owned(), "192.0.2.1".to_owned()];
    let make = CertArgs::Make { folder: None, names, replace: true };
    assert_eq!(cert("cert make a 192.0.2.1 --replace"), make);
    assert_eq!(cert("cert --replace make a -- 192.0.2.1"), make);
    let export = CertArgs::Export { folder: None, private_key: true, output: Some(path("f")) };
    assert_eq!(cert("cert export --private-key -o f"), export);
    assert_eq!(cert("cert known --json"), CertArgs::Known { file: None, json: true });
    for (text, host, port) in
        [("a:1", "a", Some(1)), ("[::1]:2", "::1", Some(2)), ("::1", "::1", None)]
    {
        let forget = CertArgs::Forget { file: Some(path("k")), host: host.to_owned(), port };
        assert_eq!(cert(&format!("cert forget {text} --known-servers k")), forget);
    }
}

#[test]
fn a_command_of_cert_that_is_none_is_refused_with_those_there_are() {
    let commands = "write polyperf cert show, make, export, known or forget";
    assert_mistakes("cert", &[&format!("a command is missing: {commands}")]);
    assert_mistakes("cert -J", &[&format!("a command is missing: {commands}")]);
    assert_mistakes("cert shwo", &[&format!("shwo is no command: {commands}")]);
    assert_mistakes("show", &["show is no command: write polyperf client HOST"]);
    assert_mistakes("cert known here", &["here is too much: polyperf cert known takes options"]);
    assert_mistakes(
        "cert forget",
        &["HOST is missing: name the server, as in polyperf cert forget"],
    );
    assert_mistakes("cert forget a b", &["b is too much: name one HOST"]);
    assert_mistakes("cert forget a%eth0", &["HOST a%eth0 names a device"]);
    assert_mistakes("cert forget a:0", &["HOST a:0 has a port that is out of range"]);
    assert_mistakes("cert export -o -", &["-o - is no file: leave out -o"]);
    assert_mistakes(
        "cert show --replac",
        &["--replac belongs to polyperf cert make: leave it out"],
    );
    assert_mistakes("cert make --cret x", &["--cret is not an option"]);
    assert_mistakes("cert known -c", &["-c is of no use here: write polyperf cert known"]);
    assert_mistakes(
        "client host --state-dir d",
        &["--state-dir belongs to polyperf server, polyperf cert show, polyperf cert make and"],
    );
}

#[test]
fn a_foreign_server_is_not_asked_for_what_it_cannot_do() {
    let text = "client host --transport quic --perf-alpn";
    for option in [
        "-O 1",
        "--get-server-output",
        "--control tcp",
        "--cntl-ka",
        "--queue-timeout 1",
        "-b 1M -R",
        "-b 1M --bidir",
        "--repeating-payload -R",
    ] {
        let name = option.split(' ').next().unwrap();
        let start = format!("{name} is of no use with --perf-alpn: it");
        assert_mistakes(&format!("{text} {option}"), &[&start]);
    }
    assert_mistakes(&format!("{text} -A 1,2"), &["-A N,M is of no use with --perf-alpn: its"]);
    assert_mistakes(
        &format!("{text} --username u --rsa-public-key-path k --use-pkcs1-padding"),
        &[
            "--username is of no use with --perf-alpn: its servers know no users",
            "--rsa-public-key-path is of no use",
            "--use-pkcs1-padding is of no use",
        ],
    );
    for transport in ["", "--transport tcp", "-u"] {
        assert_mistakes(
            &format!("client host --perf-alpn {transport}"),
            &["--perf-alpn needs --transport quic"],
        );
    }
}
