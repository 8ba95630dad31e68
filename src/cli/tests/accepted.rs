use std::time::Duration;

use clap::CommandFactory;
use polyperf_certs::Provider;

use super::{super::*, client, line, server, words};
use crate::{
    compare::experiment::{Arm, PartKind},
    spec::{Direction, Exchange, Limit, Probe, Rate, Workload},
};

#[test]
fn what_is_not_given_has_its_default() {
    let args = client("client example.net");
    assert_eq!(args.target, Target { host: "example.net".to_owned(), port: 5201 });
    assert_eq!(args.spec.clone().into_fields(), crate::spec::SpecFields::default());
    assert_eq!((args.connect_timeout, args.queue_timeout), (None, Duration::from_secs(600)));
    assert_eq!((args.control, args.local), (None, Local::default()));
    assert_eq!((args.output.report, args.output.progress), (Report::Text, true));
    let args = server("server");
    assert_eq!((args.port, args.max_sessions, args.max_queue), (5201, 64, 256));
    assert_eq!((args.max_duration, args.max_rate), (Duration::from_secs(86_400), None));
    assert_eq!(args.log, Log { level: LogLevel::Info, format: LogFormat::Text });
}

#[test]
fn lines_of_iperf3_mean_what_they_mean_there() {
    for text in [
        "-s",
        "-s -p 5202",
        "-s -1",
        "-s1",
        "--server --one-off",
        "-s -B 127.0.0.1 -J",
        "-s -4",
        "-s -d",
        "-s --idle-timeout 30",
        "-p 5202 -s",
        "-c host",
        "--client host",
        "--client=host",
        "-chost",
        "-Rc host",
        "-RNc host",
        "-c host -R",
        "-R -c host",
        "-c host -t 30 -P 4",
        "-c host -t30 -P4",
        "-c host --time 30 --parallel 4",
        "-c host --time=30",
        "-c host -n 1G",
        "-c host -k 100K",
        "-c host -l 128K",
        "-c host -b 100M",
        "-c host -b 1G/10",
        "-c host -b 0",
        "-c host -i 0.5",
        "-c host -i 0",
        "-c host -O 2 -t 20",
        "-c host -w 4M",
        "-c host -C bbr",
        "-c host -M 1400 -N",
        "-c host -B 192.0.2.9 --cport 5000",
        "-c host -B 192.0.2.9%eth0",
        "-c host%eth0",
        "-c host --bind-dev eth0",
        "-c ::1 -6",
        "-c 127.0.0.1 -4",
        "-c fe80::1%eth0",
        "-c host -J",
        "-c host --json-stream",
        "-c host -f M",
        "-c host -fm",
        "-c host -T label",
        "-c host --bidir",
        "-c host --extra-data x",
        "-c host --get-server-output",
        "-c host --connect-timeout 500",
        "-c host -t 0",
        "-c host --bandwidth 10M",
        "-c host --rev",
        "-t 5 -c host",
        "-c host -t 5 -t 10",
        "-c host --username mario --rsa-public-key-path public.pem",
        "-c host --username mario --rsa-public-key-path public.pem --use-pkcs1-padding",
        "-s --rsa-private-key-path private.pem --authorized-users-path users.csv",
        "-s --rsa-private-key-path private.pem --authorized-users-path users.csv --time-skew-threshold 5 --use-pkcs1-padding",
        "-c host -u -b 100M -l 1448",
        "-uc host --udp-counters-64bit --dont-fragment",
        "-uc host --gsro",
        "-c host -S 0x10",
        "-c host --dscp ef -L 7",
        "-c host -Z --skip-rx-copy",
        "-c host -A 0,1",
        "-c host -A 0/1",
        "-c host -F file --repeating-payload",
        "-c host --fq-rate 1G -m",
        "-c host --rcv-timeout 500 --snd-timeout 500",
        "-c host --cntl-ka",
        "-c host --cntl-ka=10/2/3",
        "--cntl-ka -c host",
    ] {
        assert!(line(text).is_ok(), "{text}: {:?}", line(text));
    }
}

#[test]
fn both_ways_of_calling_are_one() {
    for options in
        ["", "-R", "-t 30 -P 4 -J", "-n 1G -b 10M/5", "--bidir -O 1", "-4 -p 80 --title x"]
    {
        let named = line(&format!("client host {options}")).unwrap();
        for text in [
            format!("-c host {options}"),
            format!("{options} -c host"),
            format!("--client=host {options}"),
            format!("{options} client host"),
            format!("client {options} -- host"),
        ] {
            assert_eq!(line(&text).unwrap(), named, "{text}");
        }
    }
    assert_eq!(line("-s -p 80").unwrap(), line("server -p 80").unwrap());
}

#[test]
fn who_a_client_is_and_whom_a_server_lets_in() {
    assert_eq!((client("client host").login, server("server").access), (None, None));
    let text = "client host --username mario --rsa-public-key-path keys/public.pem";
    let login = client(text).login.unwrap();
    assert_eq!((login.user.as_str(), login.pkcs1), ("mario", false));
    assert_eq!(login.public_key.to_str(), Some("keys/public.pem"));
    assert!(client(&format!("{text} --use-pkcs1-padding")).login.unwrap().pkcs1);
    let text = "server --rsa-private-key-path private.pem --authorized-users-path users.csv";
    let access = server(text).access.unwrap();
    assert_eq!((access.skew, access.pkcs1), (Duration::from_secs(10), false));
    assert_eq!(access.private_key.to_str(), Some("private.pem"));
    assert_eq!(access.users.to_str(), Some("users.csv"));
    let access = server(&format!("{text} --time-skew-threshold 3 --use-pkcs1-padding")).access;
    let access = access.unwrap();
    assert_eq!((access.skew, access.pkcs1), (Duration::from_secs(3), true));
}

#[test]
fn the_test_is_the_one_that_was_asked_for() {
    let spec =
        client("client host --transport udp -P 4 -R -n 1.5M -b 100M/10 -l 1K -i 0 -O 0.5").spec;
    assert_eq!((spec.transport.as_str(), spec.streams, spec.block), ("udp", 4, 1024));
    assert_eq!((spec.direction, spec.limit), (Direction::Reverse, Limit::Bytes(1_572_864)));
    assert_eq!(spec.rate, Some(Rate { bits_per_second: 100_000_000, burst: Some(10) }));
    assert_eq!((spec.interval, spec.omit), (None, Duration::from_millis(500)));
    let tuning = client("client host -w 1M -M 1400 -N -C bbr").spec.tuning.clone();
    assert_eq!(tuning.window.map(u32::from), Some(1 << 20));
    assert_eq!((tuning.mss.map(u32::from), tuning.no_delay), (Some(1400), true));
    assert_eq!(tuning.congestion.as_deref(), Some("bbr"));
    assert_eq!(client("client host -t 0").spec.limit, Limit::Endless);
    assert_eq!(client("client host -k 10").spec.limit, Limit::Blocks(10));
    assert_eq!(client("client host -t 1 -t 2").spec.limit, Limit::Time(Duration::from_secs(2)));
    assert_eq!(client("client host -b 0").spec.rate, None);
}

#[test]
fn a_text_may_look_like_anything_if_it_is_attached() {
    let Ok(Command::Client(args)) = words(&["client", "host", "--title=-J", "--extra-data", "a b"])
    else {
        panic!("a title of -J is a title");
    };
    assert_eq!(args.spec.title.as_deref(), Some("-J"));
    assert_eq!(args.spec.extra_data.as_deref(), Some("a b"));
}

#[test]
fn the_port_may_stand_behind_the_host() {
    assert_eq!(client("client [::1]:80").target, Target { host: "::1".to_owned(), port: 80 });
    assert_eq!(client("client host:80 -p 80").target.port, 80);
    assert_eq!(client("client fe80::1%eth0").target.host, "fe80::1%eth0");
    assert_eq!(client("client fe80::1%eth0").local.device, None);
    assert_eq!(client("client host%eth0 --bind-dev eth0").local.device.as_deref(), Some("eth0"));
    let local = client("client host -B fe80::2%eth1").local;
    assert_eq!((local.bind, local.device.as_deref()), ("fe80::2".parse().ok(), Some("eth1")));
}

#[test]
fn reports_and_logs_are_chosen() {
    let args = client("client host --csv -o out.csv -f M --no-progress -d --log-format json");
    assert_eq!(args.output.report, Report::Csv);
    assert_eq!(args.output.unit, Some(Unit { bytes: true, prefix: Prefix::Mega }));
    assert_eq!(args.output.file.as_deref(), Some(std::path::Path::new("out.csv")));
    assert!(!args.output.progress);
    assert_eq!(args.log, Log { level: LogLevel::Debug, format: LogFormat::Json });
    assert_eq!(server("server --log-level trace").log.level, LogLevel::Trace);
}

#[test]
fn a_server_is_limited_as_asked() {
    let args = server(
        "server -p 0 -B ::1 -6 --max-sessions 1 --max-queue 0 -1 --idle-timeout 90 --max-rate 1G --max-duration 1h",
    );
    assert_eq!((args.port, args.max_sessions, args.max_queue), (0, 1, 0));
    assert_eq!((args.local.family, args.local.bind), (Some(Family::V6), "::1".parse().ok()));
    assert_eq!((args.one_off, args.idle_timeout), (true, Some(Duration::from_secs(90))));
    assert_eq!(
        (args.max_rate, args.max_duration),
        (Some(1_000_000_000), Duration::from_secs(3600))
    );
}

#[test]
fn a_comparison_takes_all_transports_unless_told() {
    let Ok(Command::Compare(args)) = line("compare") else { panic!("HOST may be left out") };
    let usual = Limit::Time(Duration::from_millis(400));
    assert_eq!((args.target, args.test.limit, args.test.streams), (None, usual, 1));
    assert_eq!((args.arms, args.blocks, args.seed), (Vec::new(), None, None));
    assert_eq!(args.parts, PartKind::ALL);
    let Ok(Command::Compare(args)) =
        line("compare host -p 80 -t 5 -P 2 --transport quic,tcp-bbr -J")
    else {
        panic!("each option is one of compare");
    };
    assert_eq!(args.target, Some(Target { host: "host".to_owned(), port: 80 }));
    let arms: Vec<_> = ["quic", "tcp-bbr"].map(|name| Arm::named(name, &super::TRANSPORTS)).into();
    assert_eq!(
        (args.arms.into_iter().map(Some).collect::<Vec<_>>(), args.report),
        (arms, Report::Json)
    );
    let all = "compare --repeat 20 --baseline tcp --seed 7 --gap 0 --aa --parts down,up \
               --threshold-goodput 10 --threshold-latency 2.5% -O 1 -l 8K -w 1M";
    let Ok(Command::Compare(args)) = line(all) else { panic!("each option is one of compare") };
    assert_eq!((args.blocks, args.seed, args.negative_control), (Some(20), Some(7), true));
    assert_eq!((args.baseline.as_deref(), args.gap), (Some("tcp"), Duration::ZERO));
    assert_eq!(args.parts, [PartKind::Up, PartKind::Down], "in the order in which they run");
    assert_eq!((args.thresholds.goodput, args.thresholds.latency), (0.1, 0.025));
    assert_eq!((args.test.omit, args.test.block), (Duration::from_secs(1), 8192));
    let again = args.again.join(" ");
    assert!(again.contains("--baseline tcp") && again.ends_with("--aa"), "{again}");
}

#[test]
fn the_defaults_in_the_help_are_the_ones_in_force() {
    let command = raw::Raw::command();
    let mut seen = 0;
    for (mode, plain) in
        [("client", "client host"), ("server", "server"), ("compare", "compare host")]
    {
        for arg in command.find_subcommand(mode).unwrap().get_opts() {
            let help = arg.get_help().unwrap().to_string();
            let default =
                help.split_once("[default: ").and_then(|(_, rest)| rest.strip_suffix(']'));
            let Some(default) = default.filter(|text| !text.contains(' ') && *text != "all") else {
                continue;
            };
            let given = format!("{plain} --{} {default}", arg.get_long().unwrap());
            assert_eq!(without_words(&given), without_words(plain), "{given}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}

/// Parses a line, and forgets the words by which a comparison can be repeated.
fn without_words(text: &str) -> Result<Command, Exit> {
    let mut parsed = line(text);
    if let Ok(Command::Compare(args)) = &mut parsed {
        args.again.clear();
    }
    parsed
}

#[test]
fn help_and_version_are_answers() {
    for (text, part) in [
        ("--help", "polyperf compare [HOST]"),
        ("-h", "Exit codes:"),
        ("help", "Exit codes:"),
        ("help client", "--bidir"),
        ("client --help", "--bidir"),
        ("client -P 0 -h", "-c HOST -P 4 -J"),
        ("-c host --help", "--get-server-output"),
        ("server --help", "--max-sessions"),
        ("-sh", "--max-sessions"),
        ("compare --help", "130  interrupted"),
        ("cert --help", "polyperf cert forget perf.example.net"),
        ("help cert", "--help"),
        ("cert make a b --help", "--replace"),
        ("help cert forget", "there is no such identity or server"),
        ("cert show -v", "polyperf"),
        ("--version", env!("CARGO_PKG_VERSION")),
        ("-v", "polyperf"),
    ] {
        let exit = line(text).unwrap_err();
        assert_eq!((exit.stream, exit.code), (Stream::Stdout, exit::SUCCESS), "{text}");
        assert!(exit.text.contains(part) && exit.text.ends_with('\n'), "{text}: {}", exit.text);
    }
    let exit = words(&[]).unwrap_err();
    assert_eq!((exit.stream, exit.code), (Stream::Stderr, exit::USAGE));
}

#[test]
fn what_is_asked_of_connections_reaches_both_ends() {
    let text = "client host --transport quic -P 8 --mtu 9000 --ack-frequency 10 --connections 8";
    let tuning = client(&format!("{text} --resume --zero-rtt")).spec.tuning.clone();
    assert_eq!(tuning.mtu.map(u32::from), Some(9000));
    assert_eq!(tuning.ack_frequency.map(u32::from), Some(10));
    assert_eq!(tuning.connections.map(u32::from), Some(8));
    assert!(tuning.resume && tuning.zero_rtt);
    let args = client("client host --tls-provider aws-lc-rs --qlog logs/");
    assert_eq!(args.tls.provider, Provider::AwsLcRs);
    assert_eq!(args.tls.qlog.as_deref(), Some(std::path::Path::new("logs/")));
    assert_eq!(server("server --tls-provider aws-lc-rs --qlog logs/").tls, args.tls);
    assert!(!args.perf_alpn);
}

#[test]
fn what_is_asked_of_kcp_reaches_both_ends() {
    let text = "client host --transport kcp --kcp-mode fast2 --kcp-nodelay 2 --kcp-interval 15 \
                --kcp-resend 0 --kcp-nc 0 --kcp-sndwnd 16384 --kcp-rcvwnd 1 --kcp-mtu 65507 \
                --kcp-flush interval --fec 10:3";
    let expected = [
        ("kcp_mode", "fast2"),
        ("kcp_nodelay", "2"),
        ("kcp_interval_ms", "15"),
        ("kcp_resend", "0"),
        ("kcp_nc", "false"),
        ("kcp_sndwnd", "16384"),
        ("kcp_rcvwnd", "1"),
        ("kcp_mtu", "65507"),
        ("kcp_flush", "interval"),
        ("fec", "10:3"),
    ];
    let asked = client(text).spec.tuning.asked();
    let asked: Vec<_> = asked.iter().map(|(option, value)| (*option, value.as_str())).collect();
    assert_eq!(asked, expected);
    assert_eq!(client("client host --kcp-nc 1").spec.tuning.kcp_nc, Some(true));
}

#[test]
fn a_foreign_server_is_asked_for_what_it_can_do() {
    let text = "client host --transport quic --perf-alpn";
    for further in ["", "-R -t 5", "--bidir -n 1G", "-P 4 -l 64K -b 100M", "-T x -J -A 1"] {
        assert!(client(&format!("{text} {further}")).perf_alpn, "{further}");
    }
}

#[test]
fn what_is_asked_of_packets_reaches_both_ends() {
    let args =
        client("client host -u -S 0x10 --fq-rate 1G -Z --no-gso --rcv-timeout 500 -A 2,3 -F data");
    assert_eq!((args.spec.transport.as_str(), args.rate_given), ("udp", false));
    let tuning = &args.spec.tuning;
    assert_eq!((tuning.tos, tuning.fq_rate.map(Into::into)), (Some(16), Some(1_000_000_000_u64)));
    assert!(tuning.zero_copy && tuning.no_gso && !tuning.mptcp);
    assert_eq!(args.spec.receive_timeout, Some(Duration::from_millis(500)));
    assert_eq!((args.affinity, args.spec.server_affinity), (Some(2), Some(3)));
    assert_eq!(args.file.as_deref(), Some(std::path::Path::new("data")));
    assert!(client("client host -u -b 0").rate_given);
    let asked =
        client("client host --cntl-ka=10").keep_alive.map(|asked| (asked.idle, asked.count));
    assert_eq!(asked, Some((10, 0)));
}

#[test]
fn requests_and_probes_have_defaults_that_fit_each_other() {
    let workload = |text: &str| client(text).spec.workload;
    assert_eq!(workload("client host --workload bulk"), Workload::Bulk);
    assert_eq!(workload("client host --workload rr"), Workload::Rr(Exchange::default()));
    let typed = "client host --workload rr --request 1K --response 1M --in-flight 16 -P 2 -k 100";
    let exchange = Exchange { request: 1024, response: 1 << 20, in_flight: 16, per_second: None };
    assert_eq!(workload(typed), Workload::Rr(exchange));
    let exchange = Exchange { in_flight: 1024, per_second: Some(500), ..Exchange::default() };
    let typed = "client host --workload rr --requests-per-second 500";
    assert_eq!(workload(typed), Workload::Rr(exchange), "what is under way holds nothing up");
    let probe = |text: &str| client(text).spec.probe;
    assert_eq!(probe("client host"), None);
    for text in ["client host --probe", "client --probe host", "client host --probe -R"] {
        assert_eq!(probe(text), Some(Probe::default()), "{text}");
    }
    let every = Duration::from_millis(25);
    assert_eq!(probe("client host --probe=25"), Some(Probe { every, ..Probe::default() }));
}

#[test]
fn a_web_interface_is_on_loopback_unless_told() {
    assert_eq!(server("server").web, None);
    let plain = server("server --web").web.unwrap();
    assert_eq!(plain.addr.to_string(), "127.0.0.1:5280");
    assert_eq!((plain.peers, plain.password_file, plain.private), (vec![], None, false));
    for (text, addr) in [
        ("8080", "127.0.0.1:8080"),
        ("0", "127.0.0.1:0"),
        ("192.0.2.1", "192.0.2.1:5280"),
        ("::1", "[::1]:5280"),
        ("[::]", "[::]:5280"),
        ("[::]:80", "[::]:80"),
    ] {
        let web = server(&format!("server --web={text}")).web.unwrap();
        assert_eq!(web.addr.to_string(), addr, "{text}");
    }
}

#[test]
fn a_web_interface_knows_peers_and_names_as_many_as_are_given() {
    let text = "server --web --web-peer lab=192.0.2.1 --web-peer far=[2001:db8::1]:80 \
        --web-host perf.example.net --web-host perf --web-password-file hash --web-private";
    let web = server(text).web.unwrap();
    let peers: Vec<_> =
        web.peers.iter().map(|(name, at)| (name.as_str(), at.host.as_str(), at.port)).collect();
    assert_eq!(peers, [("lab", "192.0.2.1", 5201), ("far", "2001:db8::1", 80)]);
    assert_eq!(web.hosts, ["perf.example.net", "perf"]);
    assert!(web.private && web.password_file.is_some() && web.token_file.is_none());
    assert_eq!(line("web-password").unwrap(), Command::WebPassword);
}
