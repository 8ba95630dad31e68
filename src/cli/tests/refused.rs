use super::{super::*, TRANSPORTS, line, mistakes, words};

/// Asserts that a line has exactly these mistakes, each told by how it starts.
#[track_caller]
pub(super) fn assert_mistakes(text: &str, starts: &[&str]) {
    let found = mistakes(text);
    let fits = found.len() == starts.len()
        && starts.iter().all(|start| found.iter().any(|line| line.starts_with(start)));
    assert!(fits, "{text}:\n{found:#?}");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    assert_mistakes(
        "client -P 0 -t nan -R --bidir --frob --one-off -V -J --csv -p 70000 -i",
        &[
            "-P 0 is out of range: 1 to 128",
            "-t nan is not a time in seconds: it is not finite",
            "-R and --bidir exclude",
            "--frob is not an option",
            "--one-off belongs to polyperf server",
            "-V is an option of iperf3 that polyperf does not have",
            "-J and --csv exclude",
            "-p 70000 is out of range: 1 to 65535",
            "-i lacks its value",
            "HOST is missing",
        ],
    );
}

#[test]
fn numbers_that_are_none_are_refused_by_name() {
    for option in [
        "-t",
        "-n",
        "-k",
        "-l",
        "-P",
        "-b",
        "-i",
        "-O",
        "-w",
        "-M",
        "-p",
        "--cport",
        "--connect-timeout",
        "--queue-timeout",
        "--mtu",
        "--ack-frequency",
        "--connections",
    ] {
        for value in ["nan", "inf", "-1", "ten", "1e999", "99999999999999999999999999"] {
            assert_mistakes(
                &format!("client host {option} {value}"),
                &[&format!("{option} {value} ")],
            );
        }
        let exit = words(&["client", "host", option, ""]).unwrap_err();
        assert!(exit.text.starts_with(&format!("error: {option} \"\" is empty")), "{}", exit.text);
    }
    for option in [
        "-n",
        "-k",
        "-l",
        "-P",
        "-w",
        "-M",
        "-p",
        "--cport",
        "--connect-timeout",
        "--mtu",
        "--ack-frequency",
        "--connections",
    ] {
        assert_mistakes(&format!("client host {option} 0"), &[&format!("{option} 0 ")]);
    }
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    assert_mistakes("client host -P 129", &["-P 129 is out of range: 1 to 128"]);
    assert_mistakes("client host -P 70000", &["-P 70000 is out of range: 1 to 128"]);
    assert_mistakes("client host -l 2M", &["-l 2M is out of range: 1 byte to 1 MiB"]);
    assert_mistakes("client host -i 0.001", &["-i 0.001 is out of range: 0.01 to 3600 s"]);
    assert_mistakes("client host -t 90000", &["-t 90000 is out of range"]);
    assert_mistakes("client host -O 601", &["-O 601 is out of range: 0 to 600 s"]);
    assert_mistakes("client host -w 1T", &["-w 1T is out of range"]);
    assert_mistakes("client host -M 10", &["-M 10 is out of range: 88 to"]);
    assert_mistakes("client host -b 1/1001", &["-b 1/1001 is out of range: 1 to 1000 blocks"]);
    assert_mistakes("client host -b 0/10", &["-b 0/10 has a burst without a rate"]);
    assert_mistakes("client host -C cubic+", &["-C cubic+ is out of range: 1 to 32 of a-z"]);
    assert_mistakes(
        "client host -P 10 --cport 65530",
        &["--cport 65530 leaves too few ports for 10"],
    );
    assert_mistakes(
        "server --max-sessions 0 --max-rate 0",
        &["--max-sessions 0 ", "--max-rate 0 "],
    );
    assert_mistakes(
        "server --idle-timeout 0 --max-duration 0",
        &["--idle-timeout 0 ", "--max-duration 0 "],
    );
    assert_mistakes("compare -t 0 -P 0", &["-t 0 ", "-P 0 "]);
    for (option, values) in [
        ("--mtu", ["99", "65508"]),
        ("--ack-frequency", ["1001", "99999999999"]),
        ("--connections", ["2", "129"]),
    ] {
        for value in values {
            let start = format!("{option} {value} is out of range: 1");
            assert_mistakes(&format!("client host {option} {value}"), &[&start]);
        }
    }
    assert_mistakes(
        "client host --kcp-mode turbo --kcp-nc 2 --kcp-mtu 49 --fec 250:6",
        &[
            "--kcp-mtu 49 is out of range: 50 to 65507",
            "--kcp-mode turbo is not known: write normal, fast, fast2, fast3",
            "--kcp-nc 2 is out of range: 0 to 1",
            "--fec 250:6 makes groups of more than 255 datagrams",
        ],
    );
    for (option, values) in [
        ("--kcp-nodelay", ["3", "-1"]),
        ("--kcp-interval", ["0", "5001"]),
        ("--kcp-resend", ["256", "two"]),
        ("--kcp-nc", ["2", "yes"]),
        ("--kcp-sndwnd", ["0", "16385"]),
        ("--kcp-rcvwnd", ["0", "16385"]),
        ("--kcp-mtu", ["49", "65508"]),
        ("--kcp-mode", ["turbo", "FAST"]),
        ("--kcp-flush", ["never", "10"]),
        ("--fec", ["10", "0:3"]),
        ("--fec", ["255:1", "10:3:1"]),
    ] {
        for value in values {
            assert_mistakes(
                &format!("client host {option}={value}"),
                &[&format!("{option} {value} ")],
            );
        }
    }
    assert_mistakes("client host -P 4 --connections 5", &["--connections 5 is out of range: 1 to"]);
    assert_mistakes("client host -P 0 --connections 1", &["-P 0 is out of range"]);
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    assert_mistakes("client host -t 1 -n 1K", &["-t and -n exclude"]);
    assert_mistakes("client host -t 1 -n 1 -k 1", &["-t and -n and -k exclude"]);
    assert_mistakes("client host -J --json-stream", &["-J and --json-stream exclude"]);
    assert_mistakes("client host -4 -6", &["-4 and -6 exclude"]);
    assert_mistakes("client host -46", &["-4 and -6 exclude"]);
    assert_mistakes("client host -d --log-level info", &["-d and --log-level info exclude"]);
    assert_mistakes("server -J --json-stream", &["-J and --json-stream exclude"]);
    assert_mistakes("-s -c host", &["-c and -s exclude", "host is too much"]);
}

#[test]
fn half_of_a_login_is_refused_with_the_other_half() {
    for (text, missing) in [
        ("client host --username u", "--username needs --rsa-public-key-path as well"),
        ("client host --rsa-public-key-path k", "--rsa-public-key-path needs --username as well"),
        ("server --rsa-private-key-path k", "--rsa-private-key-path needs --authorized-users-path"),
        (
            "server --authorized-users-path u",
            "--authorized-users-path needs --rsa-private-key-path as well",
        ),
    ] {
        assert_mistakes(text, &[missing]);
    }
    assert_mistakes(
        "server --time-skew-threshold 5",
        &[
            "--time-skew-threshold needs --rsa-private-key-path as well",
            "--time-skew-threshold needs --authorized-users-path as well",
        ],
    );
    assert_mistakes(
        "client host --use-pkcs1-padding",
        &[
            "--use-pkcs1-padding needs --username as well",
            "--use-pkcs1-padding needs --rsa-public-key-path as well",
        ],
    );
    let key = "--rsa-private-key-path k --authorized-users-path u";
    assert_mistakes(
        &format!("server {key} --time-skew-threshold 0"),
        &["--time-skew-threshold 0 is out of range: 1 to 3600"],
    );
    assert_mistakes(
        "client host --username a,b --rsa-public-key-path k/",
        &["--username a,b is no user", "--rsa-public-key-path k/ is no file"],
    );
    assert_mistakes(
        "server --username u",
        &["--username belongs to polyperf client and polyperf compare"],
    );
    assert_mistakes(
        "compare --username u --rsa-public-key-path k",
        &["--username u is of no use without HOST"],
    );
}

#[test]
fn addresses_that_cannot_work_are_refused() {
    assert_mistakes("client ::1 -4", &["HOST ::1 is an IPv6 address, but -4"]);
    assert_mistakes("client 127.0.0.1 -6", &["HOST 127.0.0.1 is an IPv4 address, but -6"]);
    assert_mistakes(
        "client fe80::1",
        &["HOST fe80::1 is link-local and lacks its zone: name the device"],
    );
    assert_mistakes("client host -B fe80::1", &["-B fe80::1 is link-local and lacks its zone"]);
    assert_mistakes("client ::1 -B 127.0.0.1", &["-B 127.0.0.1 cannot reach ::1"]);
    assert_mistakes("client host -B 127.0.0.1 -6", &["-B 127.0.0.1 is an IPv4 address, but -6"]);
    assert_mistakes("client host -B lo%", &["-B lo% names no network device"]);
    assert_mistakes("client host%eth0 --bind-dev eth1", &["eth1 and eth0 are two devices"]);
    assert_mistakes("client host:80 -p 81", &["-p 81 is not the port 80 behind host"]);
    assert_mistakes("client http://host", &["HOST http://host is a URL"]);
    assert_mistakes("compare host%eth0", &["HOST host%eth0 names a device"]);
    assert_mistakes("compare -p 80", &["-p 80 is of no use without HOST"]);
}

#[test]
fn an_option_of_another_subcommand_is_shown_its_place() {
    assert_mistakes(
        "client host --one-off",
        &["--one-off belongs to polyperf server: leave it out"],
    );
    assert_mistakes("-c host -1", &["-1 belongs to polyperf server"]);
    assert_mistakes(
        "server -R -t 5",
        &["-R belongs to polyperf client", "-t belongs to polyperf client and polyperf compare"],
    );
    assert_mistakes(
        "-s -i 1",
        &["-i belongs to polyperf client: intervals are the client's choice"],
    );
    assert_mistakes("compare --bidir", &["--bidir belongs to polyperf client"]);
    assert_mistakes("client -c host", &["-c is of no use here: write polyperf client HOST"]);
    assert_mistakes("server -s", &["-s is of no use here: write polyperf server"]);
}

#[test]
fn options_of_iperf3_alone_are_never_ignored() {
    for option in ["-V", "-D", "--sctp", "--logfile f", "--pacing-timer 1000"] {
        let name = option.split(' ').next().unwrap();
        let start = format!("{name} is an option of iperf3 that polyperf does not have: ");
        assert_mistakes(&format!("-c host {option}"), &[&start]);
    }
    assert_mistakes("-c host --timestamps=%T", &["--timestamps is an option of iperf3"]);
    assert_mistakes("-sD", &["-D is an option of iperf3"]);
    assert_mistakes(
        "-s --server-bitrate-limit 1G",
        &["--server-bitrate-limit is an option of iperf3"],
    );
}

#[test]
fn unknown_names_are_refused_with_what_is_known() {
    assert_mistakes("client host --tiem 5", &["--tiem is not an option: did you mean --time?"]);
    assert_mistakes("client host -x", &["-x is not an option"]);
    assert_mistakes("client host -Rx -J", &["-Rx is not an option"]);
    assert_mistakes("client host --t 5", &["--t is the start of several options"]);
    assert_mistakes(
        "client host --transport sctp",
        &["--transport sctp is not known: write tcp, udp, kcp, quic"],
    );
    assert_mistakes("client host --control sctp", &["--control sctp is not known"]);
    assert_mistakes(
        "server --tls-provider openssl",
        &["--tls-provider openssl is not known: write ring, aws-lc-rs"],
    );
    assert_mistakes(
        "compare --transport tcp,sctp",
        &["--transport tcp,sctp has a name, sctp, that is not known"],
    );
    for (options, mistake) in [
        ("--repeat 0", "--repeat 0 is out of range: 1 to 10000"),
        ("--seed x", "--seed x is not a whole number"),
        ("--baseline sctp", "--baseline sctp is not known"),
        ("--transport tcp,udp --baseline quic", "--baseline quic is not known: write tcp, udp"),
        ("--parts up,sideways", "--parts up,sideways has a part, sideways, that is not known"),
        ("--threshold-goodput -1", "--threshold-goodput -1 is out of range: 0 to 1000"),
        ("--threshold-latency nan", "--threshold-latency nan is out of range"),
        ("-t 0.01", "-t 0.01 is too short: 0.05 s or more"),
        ("-l 2M", "-l 2M is out of range"),
        ("-J --csv", "-J and --csv exclude each other"),
    ] {
        assert_mistakes(&format!("compare {options}"), &[mistake]);
    }
    assert_mistakes("compare --transport tcp,tcp", &["--transport tcp,tcp has tcp twice"]);
    assert_mistakes(
        "server --log-level loud",
        &["--log-level loud is not known: write error, warn"],
    );
    assert_mistakes("client host -f x", &["-f x is no unit"]);
    assert_mistakes("client host -o -", &["-o - is no file"]);
    assert_mistakes("clinet host", &["clinet is no command: write polyperf client HOST"]);
    assert_mistakes("-t 5", &["a command is missing"]);
}

#[test]
fn words_and_values_in_excess_or_missing_are_named() {
    assert_mistakes("client", &["HOST is missing"]);
    assert_mistakes("-c", &["HOST is missing"]);
    assert_mistakes("-c -R", &["HOST is missing"]);
    assert_mistakes("client one two", &["two is too much: name one HOST"]);
    assert_mistakes("-c one -c two", &["two is too much"]);
    assert_mistakes("server here", &["here is too much"]);
    assert_mistakes("client host --reverse=yes", &["--reverse=yes is too much"]);
    assert_mistakes("client host -T -J", &["-T lacks its value: write -T-J if -J is the value"]);
    assert_mistakes(
        "client host --title --json",
        &["--title lacks its value: write --title=--json"],
    );
}

#[test]
fn control_characters_are_shown_escaped() {
    for (args, part) in [
        (vec!["client", "a\u{1b}[2Jb"], "HOST \"a\\u{1b}[2Jb\" is not a host"),
        (vec!["client", "host", "-t", "\u{7}"], "-t \"\\u{7}\" is not a time"),
        (vec!["client", "host", "--\u{1b}c"], "\"--\\u{1b}c\" is not an option"),
        (vec!["client", "host", "--json=\n"], "--json=\"\\n\" is too much"),
    ] {
        let exit = words(&args).unwrap_err();
        assert!(exit.text.contains(part), "{}", exit.text);
        assert!(!exit.text.contains(['\u{1b}', '\u{7}']));
    }
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_text_are_refused() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    let args = ["polyperf", "client", "host"].map(OsString::from).into_iter();
    let exit =
        parse(args.chain([OsString::from_vec(vec![b'x', 0xff])]), &TRANSPORTS, &Sources::none())
            .unwrap_err();
    assert!(exit.text.contains("is not valid UTF-8"), "{}", exit.text);
}

#[test]
fn every_complaint_ends_with_where_to_read_on() {
    for (text, hint) in [
        ("-c host -P 0", "see polyperf client --help\n"),
        ("-s -p x", "see polyperf server --help\n"),
        ("compare -t x", "see polyperf compare --help\n"),
        ("cert", "see polyperf cert --help\n"),
        ("cert show x", "see polyperf cert show --help\n"),
        ("nonsense", "see polyperf --help\n"),
    ] {
        assert!(line(text).unwrap_err().text.ends_with(hint), "{text}");
    }
}

#[test]
fn what_makes_no_sense_with_requests_is_refused_with_a_reason() {
    assert_mistakes(
        "client host --workload rr -R -l 1K -b 1M -F file",
        &[
            "-R is of no use with --workload rr",
            "-l is of no use with --workload rr",
            "-b is of no use with --workload rr",
            "-F is of no use with --workload rr",
        ],
    );
    assert_mistakes(
        "client host --workload rr --perf-alpn --transport quic",
        &["--perf-alpn is of no use with --workload rr"],
    );
    assert_mistakes(
        "client host --request 1 --response 2 --in-flight 3 --requests-per-second 4",
        &[
            "--request is of no use without requests: add --workload rr",
            "--response is of no use",
            "--in-flight is of no use",
            "--requests-per-second is of no use",
        ],
    );
    assert_mistakes(
        "client host --workload rr --request 2M --response x --in-flight 0 --requests-per-second 0",
        &[
            "--request 2M is out of range: 1 byte to 1 MiB",
            "--response x ",
            "--in-flight 0 is out of range",
            "--requests-per-second 0 is out of range",
        ],
    );
    assert_mistakes(
        "client host --workload rr --request 2M --in-flight 0 --requests-per-second 2000000",
        &[
            "--request 2M is out of range: 1 byte to 1 MiB",
            "--in-flight 0 is out of range: 1 to 1024",
            "--requests-per-second 2000000 is out of range: 1 to 1000000",
        ],
    );
    assert_mistakes("client host --workload ping", &["--workload ping is not known: write bulk"]);
    assert_mistakes("client host --workload ping --request 5", &["--workload ping is not known"]);
}

#[test]
fn a_probe_is_refused_where_there_is_no_load_of_its_kind() {
    assert_mistakes(
        "client host --workload rr --probe",
        &["--probe is of no use with --workload rr"],
    );
    assert_mistakes("client host --probe=0", &["--probe 0 is out of range: 1 ms to 10 s"]);
    assert_mistakes("client host --probe=10001", &["--probe 10001 is out of range: 1 ms to 10 s"]);
    assert_mistakes("client host --probe=soon", &["--probe soon "]);
    assert_mistakes(
        "client host --probe --perf-alpn --transport quic",
        &["--probe is of no use with --perf-alpn"],
    );
}

#[test]
fn a_web_interface_is_asked_for_what_it_can_be() {
    assert_mistakes("server --web=example.net", &["--web example.net is no address"]);
    assert_mistakes("server --web=70000", &["--web 70000 is out of range"]);
    assert_mistakes("server --web-peer lab=host", &["--web-peer needs --web"]);
    assert_mistakes("server --web --web-peer host", &["--web-peer host has no name"]);
    assert_mistakes("server --web --web-peer lab=a:b:c", &["--web-peer lab=a:b:c is not an IPv6"]);
    assert_mistakes("server --web --web-peer =host", &["--web-peer =host has no name"]);
    assert_mistakes("server --web --web-peer a=b --web-peer a=c", &["--web-peer names a twice"]);
    assert_mistakes("server --web --web-host a:80", &["--web-host a:80 has a port"]);
    assert_mistakes("server --web --web-private", &["--web-private needs --web-password-file or"]);
    assert_mistakes("client host --web", &["--web belongs to polyperf server"]);
}
