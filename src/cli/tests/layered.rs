//! Options that come from the environment and the file.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{super::*, TRANSPORTS, with};
use crate::config::{Origin, Sources};

const FILE: &str = "/etc/polyperf/polyperf.toml";

fn split(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[track_caller]
fn server(line: &str, variables: &[(&str, &str)], file: &str) -> (ServerArgs, Settings) {
    match with(&split(line), &Sources::of(variables, &[(FILE, file)])) {
        Ok(Invocation { command: Command::Server(args), settings }) => (args, settings),
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn client(line: &str, variables: &[(&str, &str)], file: &str) -> ClientArgs {
    match with(&split(line), &Sources::of(variables, &[(FILE, file)])) {
        Ok(Invocation { command: Command::Client(args), .. }) => args,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn compare(line: &str, variables: &[(&str, &str)], file: &str) -> CompareArgs {
    match with(&split(line), &Sources::of(variables, &[(FILE, file)])) {
        Ok(Invocation { command: Command::Compare(args), settings }) => {
            assert_eq!(settings.warnings, [""; 0]);
            args
        }
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn mistakes(line: &str, variables: &[(&str, &str)], file: &str) -> Vec<String> {
    let exit = with(&split(line), &Sources::of(variables, &[(FILE, file)])).expect_err(line);
    assert_eq!((exit.stream, exit.code), (Stream::Stderr, exit::USAGE), "{line}: {exit:?}");
    exit.text.lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect()
}

#[test]
fn what_is_typed_counts_before_the_environment_and_that_before_the_file() {
    let file = "[server]\nport = 1\nmax-queue = 1\nmax-sessions = 1\n";
    let variables = [("POLYPERF_PORT", "2"), ("POLYPERF_MAX_QUEUE", "2")];
    let (args, settings) = server("server -p 3", &variables, file);
    assert_eq!((args.port, args.max_queue, args.max_sessions), (3, 2, 1));
    let origin = |name: &str| {
        settings.all.iter().find(|setting| setting.option == name).map(|setting| &setting.origin)
    };
    assert_eq!(origin("port"), Some(&Origin::Flag));
    let variable = Origin::Environment { name: "POLYPERF_MAX_QUEUE".to_owned() };
    assert_eq!(origin("max-queue"), Some(&variable));
    assert_eq!(origin("max-sessions"), Some(&Origin::File { path: FILE.into(), line: 4 }));
    assert_eq!(origin("max-duration"), Some(&Origin::Default));
    assert_eq!(settings.value("max-duration"), Some("86400"));
    assert_eq!(settings.value("log-level"), Some("info"));
}

#[test]
fn client_and_server_have_sections_and_variables_of_their_own() {
    let file = "[server]\nport = 1\n[client]\nport = 2\nreverse = true\ntime = 0.5\n";
    let variables = [("POLYPERF_CLIENT_PARALLEL", "3"), ("POLYPERF_MAX_QUEUE", "7")];
    let args = client("client host", &variables, file);
    assert_eq!((args.target.port, args.spec.streams), (2, 3));
    assert_eq!(args.spec.direction, crate::spec::Direction::Reverse);
    let (args, settings) = server("-s", &variables, file);
    assert_eq!((args.port, args.max_queue), (1, 7));
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn a_comparison_has_a_section_of_its_own_of_which_a_server_is_left_out_where_none_is_named() {
    let file =
        "[compare]\nport = 7\npsk-file = \"keys\"\ntls = true\ngap = 2\n[client]\nport = 2\n";
    let variables = [("POLYPERF_COMPARE_REPEAT", "3"), ("POLYPERF_PORT", "1")];
    let args = compare("compare host", &variables, file);
    assert_eq!(args.target.map(|target| target.port), Some(7));
    assert!(matches!(args.proof, Some(Proof::Psk { identity: None, .. })) && args.control_tls);
    assert_eq!((args.blocks, args.gap.as_secs()), (Some(3), 2));
    let variables = [("POLYPERF_COMPARE_KEY_FILE", "key.pem")];
    let args = compare("compare host", &variables, file);
    assert!(matches!(args.proof, Some(Proof::Key(_))), "it replaces the pre-shared key");
    let args = compare("compare", &variables, file);
    assert_eq!((args.target, args.proof, args.control_tls), (None, None, false));
    assert_eq!(args.gap.as_secs(), 2);
    let told = mistakes("compare --tls", &variables, file);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("--tls is of no use without HOST"), "{told:?}");
}

#[test]
fn what_may_be_given_more_than_once_has_an_array_or_commas() {
    let names = |line: &str, variables: &[(&str, &str)]| {
        let file = "[server]\nweb = true\nweb-host = [\"a.example\", \"b.example\"]\n";
        let (args, settings) = server(line, variables, file);
        let hosts = args.web.expect("there is one").hosts;
        assert_eq!(settings.value("web-host"), Some(hosts.join(", ").as_str()));
        hosts
    };
    let variables = [("POLYPERF_WEB_HOST", "c.example,d.example,e.example")];
    assert_eq!(names("server", &[]), ["a.example", "b.example"]);
    assert_eq!(names("server", &variables), ["c.example", "d.example", "e.example"]);
    assert_eq!(names("server --web-host f.example", &variables), ["f.example"], "it replaces all");
    let told = mistakes("server", &[], "[server]\nport = [1, 2]\n");
    assert_eq!(
        told,
        [format!("port in {FILE}:2 is an array, and has one value: write that alone")]
    );
    let told = mistakes("server", &[], "[server]\nweb = true\nweb-peer = [\"a=b\", \"c\"]\n");
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.starts_with("--web-peer c has no name"), "{told}");
    assert!(told.ends_with(&format!("(there is web-peer = \"a=b, c\" in {FILE}:3)")), "{told}");
    let (args, _) = server("server", &[], "[server]\nweb = true\nweb-host = []\n");
    assert_eq!(args.web.expect("there is one").hosts, [""; 0]);
}

#[test]
fn a_flag_that_is_false_is_not_given() {
    let file = "[server]\none-off = false\n[client]\nprobe = true\njson = false\n";
    assert!(!server("server", &[], file).0.one_off);
    assert!(server("server", &[("POLYPERF_ONE_OFF", "1")], file).0.one_off);
    let on = "[server]\none-off = true\n";
    assert!(server("server", &[], on).0.one_off);
    assert!(!server("server", &[("POLYPERF_ONE_OFF", "false")], on).0.one_off);
    let args = client("client host", &[], file);
    assert_eq!(args.output.report, Report::Text);
    assert!(args.spec.probe.is_some());
}

#[test]
fn what_is_typed_replaces_what_it_excludes() {
    let file = "[client]\njson = true\nbidir = true\ntime = 3\nudp = true\nlog-level = \"error\"\n";
    let args = client("client host --csv -R -n 1M --transport tcp -d", &[], file);
    assert_eq!(args.output.report, Report::Csv);
    assert_eq!(args.spec.direction, crate::spec::Direction::Reverse);
    assert_eq!(args.spec.limit, crate::spec::Limit::Bytes(1 << 20));
    assert_eq!((args.spec.transport.as_str(), args.log.level), ("tcp", LogLevel::Debug));
    let (args, _) = server("server --state-dir d", &[], "[server]\ncert = \"c\"\nkey = \"k\"\n");
    assert_eq!(args.identity, Place::Folder(Some("d".into())));
    let variables = [("POLYPERF_CLIENT_CSV", "true")];
    assert_eq!(client("client host", &variables, file).output.report, Report::Csv);
}

#[test]
fn a_mistake_names_the_place_where_it_can_be_mended() {
    let file = "[server]\nmax-sessions = 0\njson = true\njson-stream = true\nprot = 1\nreverse = \
                true\nport = []\nbind = false\nversion4 = 1\n";
    let found = mistakes("server --max-queue x", &[("POLYPERF_MAX_DURATION", "-1")], file);
    let expected = [
        "prot in /etc/polyperf/polyperf.toml:5 is not an option: did you mean port?",
        "reverse in /etc/polyperf/polyperf.toml:6 belongs to polyperf client: write it in [client]",
        "port in /etc/polyperf/polyperf.toml:7 is an array, and has one value: write that alone",
        "bind = false in /etc/polyperf/polyperf.toml:8 is no value: write the value itself",
        "version4 = 1 in /etc/polyperf/polyperf.toml:9 is no flag: write true or false",
        "max-sessions = 0 in /etc/polyperf/polyperf.toml:2 is out of range: 1 to 10000",
        "--max-queue x is not a whole number: write digits alone",
        "POLYPERF_MAX_DURATION=-1 is not a time in seconds: it is negative",
        "-J and --json-stream exclude each other: keep one (there is json = true in \
         /etc/polyperf/polyperf.toml:3, and json-stream = true in /etc/polyperf/polyperf.toml:4)",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn a_key_is_the_long_name_in_full() {
    for (key, remedy) in [
        ("max_sessions", "did you mean max-sessions?"),
        ("max-sess", "did you mean max-sessions?"),
        ("p", "did you mean port?"),
        ("\"--port\"", "leave it out"),
        ("help", "leave it out"),
        ("config", "cannot name another file"),
    ] {
        let found = mistakes("server", &[], &format!("[server]\n{key} = 1\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(remedy), "{found:?}");
    }
}

#[test]
fn a_variable_that_nobody_knows_is_no_reason_to_serve_nobody() {
    let variables = [
        ("POLYPERF_PROT", "1"),
        ("POLYPERF_PORT", "tcp://10.0.0.1:5201"),
        ("POLYPERF_CLIENT_TIEM", "1"),
        ("POLYPERF_max_queue", "1"),
        ("POLYPERF_SERVICE_HOST", "10.0.0.1"),
        ("POLYPERF_BIND", ""),
    ];
    let (args, settings) = server("server", &variables, "");
    assert_eq!((args.port, args.max_queue, args.local.bind), (5201, 256, None));
    assert_eq!(settings.warnings.len(), 4, "{:#?}", settings.warnings);
    let says = |text: &str| settings.warnings.iter().any(|warning| warning.contains(text));
    assert!(says(
        "POLYPERF_PROT is no setting of polyperf server, and has no effect; did you mean"
    ));
    assert!(says("did you mean POLYPERF_MAX_QUEUE?") && says("POLYPERF_SERVICE_HOST"));
}

#[test]
fn a_file_is_the_named_one_or_the_first_that_is_there() {
    let files = [
        (FILE, "[server]\nport = 1\n"),
        ("/h/.config/polyperf/polyperf.toml", "[server]\nport = 2\n"),
        ("/named.toml", "[server]\nport = 3\n"),
        ("/typed.toml", "[server]\nport = 4\n"),
    ];
    for (line, variables, port) in [
        ("server", &[][..], 1),
        ("server", &[("HOME", "/h")], 2),
        ("server", &[("HOME", "/h"), ("POLYPERF_CONFIG", "/named.toml")], 3),
        ("server --config /typed.toml", &[("POLYPERF_CONFIG", "/named.toml")], 4),
        ("server --config none", &[("POLYPERF_CONFIG", "/named.toml")], 5201),
        ("server", &[("HOME", "/h"), ("POLYPERF_CONFIG", "none")], 5201),
    ] {
        match with(&split(line), &Sources::of(variables, &files)) {
            Ok(Invocation { command: Command::Server(args), .. }) => {
                assert_eq!(args.port, port, "{line}")
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    let found = mistakes("server --config /absent.toml -p x", &[], "");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("--config /absent.toml cannot be read: "), "{found:?}");
}

#[test]
fn the_file_is_only_read_where_it_counts() {
    let bad = Sources::of(&[], &[(FILE, "not toml")]);
    for line in ["diff a.json b.json", "cert show", "config show", "config check"] {
        with(&split(line), &bad).expect(line);
    }
    assert_eq!(with(&["--help"], &bad).unwrap_err().code, exit::SUCCESS);
    for line in ["client host", "compare"] {
        assert_eq!(mistakes(line, &[], "not toml").len(), 1, "{line}");
    }
}

#[test]
fn what_help_calls_the_default_is_the_default() {
    for (line, kind) in [("server", "server"), ("client host", "client")] {
        let plain = with(&split(line), &Sources::none()).unwrap();
        let mut stated = 0;
        for setting in &plain.settings.all {
            let Some(value) = setting.value.as_deref().filter(|value| !value.contains(' ')) else {
                continue;
            };
            if value == "false" {
                continue;
            }
            stated += 1;
            let file = format!("[{kind}]\n{} = {value:?}\n", setting.option);
            let set = with(&split(line), &Sources::of(&[], &[(FILE, &file)])).unwrap();
            assert_eq!(set.command, plain.command, "{file}");
        }
        assert!(stated >= 5, "{line}: {stated}");
    }
}

#[test]
fn no_servers_variable_could_be_a_clients() {
    let command = Raw::command();
    let options = Mode::Server.of(&command).unwrap().get_opts();
    for name in options.filter_map(clap::Arg::get_long) {
        assert!(!name.starts_with("client-") && !name.starts_with("compare-"), "{name}");
    }
}

#[test]
fn a_file_is_checked_in_every_section() {
    let path = std::path::Path::new("p.toml");
    assert_eq!(check_file(path, "[server]\nport = 1\n[client]\ntime = 3\n", &TRANSPORTS), Ok(2));
    let found = check_file(path, "[server]\nport = -1\n[client]\ntime = \"x\"\n", &TRANSPORTS);
    let found = found.unwrap_err();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("port = -1 in p.toml:2 is negative"), "{found:?}");
    assert!(found[0].starts_with("time = x in p.toml:4 is not"), "{found:?}");
    let found = check_file(path, "[compare]\nport = -1\nreverse = true\n", &TRANSPORTS);
    let found = found.unwrap_err();
    assert!(found.iter().any(|line| line.starts_with("port = -1 in p.toml:2")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("belongs to polyperf client")), "{found:?}");
    assert_eq!(check_file(path, "[", &TRANSPORTS).unwrap_err().len(), 1);
}

/// Mutates a good file at random: there is always an answer, and it can be shown.
#[test]
fn no_mutation_of_a_file_goes_unanswered() {
    let mut random = StdRng::seed_from_u64(5201);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..1500 {
        let text = mutated(&mut random, GOOD);
        let sources = Sources::of(&[], &[(FILE, &text)]);
        for line in [&["server"][..], &["client", "host"]] {
            match with(line, &sources) {
                Ok(_) => good += 1,
                Err(exit) => {
                    bad += 1;
                    assert!(exit.text.starts_with("error: "), "{text:?}: {}", exit.text);
                    let shows = |c: char| c == '\n' || !c.is_control();
                    assert!(exit.text.chars().all(shows), "{text:?}: {}", exit.text);
                }
            }
        }
        if let Err(lines) = check_file(std::path::Path::new(FILE), &text, &TRANSPORTS) {
            let told = |line: &String| !line.is_empty() && !line.contains(char::is_control);
            assert!(!lines.is_empty() && lines.iter().all(told), "{text:?}: {lines:?}");
        }
    }
    assert!(good > 100 && bad > 100, "{good} {bad}");
}

fn mutated(random: &mut StdRng, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..chars.len());
        let piece = CRUMBS[random.random_range(0..CRUMBS.len())];
        match random.random_range(0..4) {
            0 => drop(chars.remove(at)),
            1 => drop(chars.splice(at..at, piece.chars())),
            2 => chars[at] = char::from_u32(random.random_range(1..0x3000)).unwrap_or('x'),
            _ => {
                let end = (at + random.random_range(0..20)).min(chars.len());
                let copy: Vec<char> = chars[at..end].to_vec();
                chars.splice(at..at, copy);
            }
        }
    }
    chars.into_iter().collect()
}

const GOOD: &str = "# A comment\n[server]\nport = 5201\nmax-sessions = 64\nmax-rate = \"10G\"\n\
    one-off = false\nlog-level = \"info\"\n\n[client]\ntime = 2.5\nparallel = 4\nreverse = true\n\
    probe = 20\ntitle = 'a test'\n";
const CRUMBS: &[&str] = &[
    "=",
    "[",
    "]",
    "[[",
    "\"",
    "'",
    "'''",
    "\"\"\"",
    "\n",
    "\r",
    "#",
    ".",
    "{",
    "}",
    "true",
    "nan",
    "-1",
    "1e400",
    "[server]\n",
    "[client]\n",
    "port",
    "\u{1b}",
    "\u{0}",
    "\u{202e}",
    "é",
    "99999999999999999999",
    "1979-05-27",
    "json = true\n",
    "config = 'x'\n",
    "\\u0000",
];
