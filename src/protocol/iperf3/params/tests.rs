use serde_json::{Value, json};

use super::*;
use crate::{protocol::iperf3::ErrorCode as Code, spec::SpecFields};

fn parse(text: &Value) -> Result<Params, BadParams> {
    Params::parse(text.to_string().as_bytes())
}

fn good(text: &Value) -> Params {
    parse(text).unwrap_or_else(|bad| panic!("{text}: {bad}"))
}

fn code(text: &Value) -> Option<Code> {
    parse(text).err().map(|bad| bad.code())
}

fn spec(fields: SpecFields) -> TestSpec {
    fields.try_into().unwrap()
}

#[test]
fn golden_text_of_the_smallest_parameters() {
    let params = Params::new(&spec(SpecFields::default()), Extras::of_client("3.12")).unwrap();
    let text = String::from_utf8(params.encode()).unwrap();
    assert_eq!(
        text,
        r#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":1,"len":131072,"pacing_timer":1000,"client_version":"3.12"}"#
    );
}

/// As 3.12 sends it for `-t 1 --bidir -P 2 -O 1 -N -M 1000 -w 100K -l 4K -b 1M/3 -S 0x20 -T title
/// --extra-data xx -C cubic --get-server-output --repeating-payload -Z`.
const FULL: &str = r#"{"tcp":true,"omit":1,"time":1,"num":0,"blockcount":0,"MSS":1000,"nodelay":true,"parallel":2,"bidirectional":true,"window":102400,"len":4096,"bandwidth":1000000,"pacing_timer":1000,"burst":3,"TOS":32,"title":"title","extra_data":"xx","congestion":"cubic","get_server_output":1,"repeating_payload":1,"zerocopy":1,"client_version":"3.12"}"#;

#[test]
fn golden_text_of_full_parameters_both_ways() {
    let params = Params::parse(FULL.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(params.encode()).unwrap(), FULL);
    assert_eq!(params.warnings, [""; 0]);
    assert_eq!(params.spec.direction, Direction::Bidirectional);
    assert_eq!(params.spec.rate, Some(Rate { bits_per_second: 1_000_000, burst: Some(3) }));
    assert_eq!(params.spec.limit, Limit::Time(Duration::from_secs(1)));
    let tuning = &params.spec.tuning;
    assert_eq!((tuning.tos, tuning.zero_copy), (Some(32), true));
}

#[test]
fn golden_text_of_what_is_udps_alone() {
    let text = r#"{"udp":true,"omit":0,"server_affinity":3,"time":0,"num":4096,"blockcount":0,"parallel":1,"reverse":true,"len":1460,"bandwidth":1048576,"fqrate":5000000000,"gso":1,"gso_dg_size":1460,"gso_bf_size":65507,"gro":0,"gro_bf_size":65507,"flowlabel":7,"udp_counters_64bit":1,"dont_fragment":1,"authtoken":"AA==","skip_rx_copy":1,"client_version":"3.21+"}"#;
    let params = Params::parse(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(params.encode()).unwrap(), text);
    assert_eq!(params.spec.limit, Limit::Bytes(4096));
}

#[test]
fn a_client_fills_in_what_iperf3_clients_do() {
    let udp = spec(SpecFields {
        transport: "udp".to_owned(),
        omit: Duration::from_millis(1500),
        limit: Limit::Time(Duration::from_millis(2500)),
        ..SpecFields::default()
    });
    let params = Params::new(&udp, Extras::default()).unwrap();
    assert_eq!((params.spec.block, params.spec.omit), (1460, Duration::from_secs(2)));
    assert_eq!(params.spec.rate.map(|rate| rate.bits_per_second), Some(1_048_576));
    assert_eq!(params.warnings, ["iperf3 omits whole seconds: 2 s"]);
    assert!(params.encode().starts_with(br#"{"udp":true,"omit":2,"time":3,"#));
}

#[test]
fn what_iperf3_has_no_words_for_is_refused_before_it_is_sent() {
    let quic = spec(SpecFields { transport: "quic".to_owned(), ..SpecFields::default() });
    let refused = Params::new(&quic, Extras::default()).unwrap_err();
    assert_eq!(refused.message, "the server speaks iperf3, which has no quic; it has tcp and udp");
    let long = Some("\u{1}".repeat(4096));
    let long = spec(SpecFields { title: long.clone(), extra_data: long, ..SpecFields::default() });
    assert!(Params::new(&long, Extras::default()).unwrap_err().message.contains("shorten"));
}

#[test]
fn what_is_missing_is_as_in_iperf3() {
    let params = good(&json!({}));
    let expected = SpecFields { block: 131_072, ..SpecFields::default() };
    assert_eq!(*params.spec, expected);
    assert_eq!((params.extras, params.warnings), (Extras::default(), Vec::new()));
    let udp = good(&json!({"udp": true, "len": 0}));
    assert_eq!((udp.spec.block, udp.spec.rate), (1460, None));
}

#[test]
fn keys_are_found_in_any_case_and_the_first_of_several_counts() {
    let text =
        br#"{"TIME":7,"time":8,"mss":1400,"Parallel":3,"unknown":{"time":[1]}}  {"trailing""#;
    let params = Params::parse(text).unwrap();
    assert_eq!(params.spec.limit, Limit::Time(Duration::from_secs(7)));
    assert_eq!((params.spec.streams, params.spec.tuning.mss.unwrap().get()), (3, 1400));
}

#[test]
fn false_is_off_and_any_number_is_on_where_presence_counts() {
    let params = good(&json!({"reverse": false, "nodelay": false, "get_server_output": 0}));
    assert_eq!(params.spec.direction, Direction::Forward);
    assert!(!params.spec.tuning.no_delay && params.spec.server_output);
    let params = good(&json!({"zerocopy": 0, "udp_counters_64bit": 0, "tcp": true, "udp": true}));
    assert!(!params.spec.tuning.zero_copy && params.spec.udp_counters_64bit);
    assert_eq!(params.spec.transport, "udp");
    assert_eq!(params.warnings.len(), 1);
}

#[test]
fn limits_are_taken_as_the_server_can_know_them() {
    let limit = |text: Value| good(&text).spec.limit;
    assert_eq!(limit(json!({"time": 0})), Limit::Endless);
    assert_eq!(limit(json!({"num": 5})), Limit::Bytes(5));
    assert_eq!(limit(json!({"blockcount": 5, "time": 0})), Limit::Blocks(5));
    assert_eq!(good(&json!({"num": 5, "time": 3})).warnings.len(), 1);
}

#[test]
fn ranges_are_iperf3s_with_its_codes() {
    let cases = [
        ("omit", 0, 600, Code::Omit),
        ("server_affinity", 0, 1024, Code::Affinity),
        ("time", 0, 86_400, Code::Duration),
        ("MSS", 88, 32_767, Code::SegmentSize),
        ("parallel", 1, 128, Code::Streams),
        ("window", 0, 512 << 20, Code::BufferSize),
        ("len", 1, 1 << 20, Code::BlockSize),
        ("burst", 1, 1000, Code::Burst),
        ("gro", 0, 1, Code::ReceiveParams),
        ("TOS", 0, 255, Code::Tos),
        ("flowlabel", 1, 0xf_ffff, Code::SetFlowLabel),
    ];
    for (key, least, most, expected) in cases {
        assert_eq!(code(&json!({key: least})), None, "{key}");
        assert_eq!(code(&json!({key: most})), None, "{key}");
        assert_eq!(code(&json!({key: least - 1})), Some(expected), "{key}");
        assert_eq!(code(&json!({key: most + 1})), Some(expected), "{key}");
    }
    for key in ["num", "blockcount", "bandwidth", "fqrate", "pacing_timer", "gso", "gro_bf_size"] {
        assert_eq!(code(&json!({key: -1})), Some(Code::ReceiveParams), "{key}");
        assert_eq!(code(&json!({key: i64::MAX})), None, "{key}");
    }
}

#[test]
fn datagrams_have_a_range_of_their_own() {
    let udp = |len: i64| code(&json!({"udp": true, "len": len}));
    assert_eq!([udp(0), udp(16), udp(65_507)], [None; 3]);
    assert_eq!([udp(-1), udp(15), udp(65_508)], [Some(Code::UdpBlockSize); 3]);
}

#[test]
fn all_violations_are_known_and_the_last_is_told() {
    let bad = parse(&json!({"TOS": 256, "time": -1, "parallel": 129})).unwrap_err();
    assert_eq!(bad.code(), Code::Tos);
    let BadParams::Values(list) = &bad else { panic!("{bad}") };
    let keys: Vec<_> = list.iter().map(|violation| violation.key).collect();
    assert_eq!(keys, ["time", "parallel", "TOS"]);
    assert!(bad.to_string().contains("parallel of 129 is out of range: 1 to 128"), "{bad}");
}

#[test]
fn numbers_beyond_measure_are_clamped() {
    let params = Params::parse(
        br#"{"num":1.8446744073709552e19,"bandwidth":18446744073709551615,"time":2.9}"#,
    );
    let params = params.unwrap();
    assert_eq!(params.spec.limit, Limit::Bytes(1 << 62));
    assert_eq!(params.spec.rate.map(|rate| rate.bits_per_second), Some(1 << 50));
    assert_eq!(params.warnings.len(), 3);
}

#[test]
fn every_parameter_of_any_type_is_taken_passed_over_or_refused() {
    let values = [
        ("null", "null"),
        ("bool", "true"),
        ("string", r#""x""#),
        ("array", "[1,[2]]"),
        ("object", r#"{"a":{}}"#),
        ("negative", "-1"),
        ("float", "1.5"),
        ("huge", "1e300"),
    ];
    for key in super::read::KEYS {
        for (kind, value) in values {
            let text = format!("{{\"{key}\":{value}}}");
            let result = Params::parse(text.as_bytes());
            let taken = match wanted(key) {
                "bool" => kind == "bool",
                "string" => kind == "string",
                _ => matches!(kind, "negative" | "float" | "huge"),
            };
            match result {
                Ok(params) if !taken => {
                    assert_eq!(params.warnings.len(), 1, "{text}: {:?}", params.warnings);
                    assert_eq!(params.spec, good(&json!({})).spec, "{text}");
                }
                Ok(_) => {}
                Err(bad) => assert!(taken, "{text}: {bad}"),
            }
        }
    }
}

#[test]
fn every_parameter_is_described() {
    let description = include_str!("../../../../docs/iperf3.md");
    for key in super::read::KEYS {
        assert!(description.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    let deep = [b"{\"title\":".as_slice(), &b"[".repeat(8000)].concat();
    let texts: [&[u8]; 11] = [
        b"",
        b"5",
        b"[]",
        b"null",
        b"{",
        b"{\"time\":}",
        b"{\"title\":\"\xff\"}",
        br#"{"title":"\ud800"}"#,
        br#"{"time":1e999}"#,
        b"\0\0\0",
        &deep,
    ];
    for text in texts {
        let bad = Params::parse(text).unwrap_err();
        assert_eq!(bad.code(), Code::ReceiveParams, "{text:.20?}");
        assert!(matches!(bad, BadParams::Text(_)));
    }
}

fn wanted(key: &str) -> &'static str {
    match key {
        "tcp" | "udp" | "sctp" | "nodelay" | "reverse" | "bidirectional" | "mptcp" => "bool",
        "title" | "extra_data" | "congestion" | "authtoken" | "client_version" => "string",
        _ => "number",
    }
}
