use serde_json::{Value, json};

use super::*;
use crate::spec::{Direction, SpecFields};

/// As 3.12 sends it, with the library that writes -1 as 2^64 - 1.
const OF_3_12: &str = r#"{"cpu_util_total":20.7781683236695,"cpu_util_user":1.0187355778936213,"cpu_util_system":19.759336155695483,"sender_has_retransmits":18446744073709551615,"congestion_used":"bbr","streams":[{"id":1,"bytes":542375936,"retransmits":18446744073709551615,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1.035282},{"id":3,"bytes":5e3,"retransmits":-1,"jitter":1.5e-05,"errors":2,"packets":9,"start_time":0,"end_time":1}]}"#;

fn spec(direction: Direction, streams: u16) -> TestSpec {
    SpecFields { direction, streams, ..SpecFields::default() }.try_into().unwrap()
}

fn datagrams() -> Datagrams {
    Datagrams {
        packets: 90,
        lost: 3,
        out_of_order: None,
        jitter: Duration::from_micros(1500),
        omitted: Some(Omitted { packets: 10, lost: 1 }),
    }
}

fn results() -> Results {
    let stream = |flow, datagrams| StreamResult {
        flow: FlowId(flow),
        bytes: 1000,
        retransmits: Some(7),
        datagrams,
        duration: Duration::from_millis(2500),
    };
    let omitted = Some(Omitted::default());
    Results {
        cpu: CpuPercent { total: 3.5, user: 1.5, system: 2.0 },
        sender_has_retransmits: Some(true),
        congestion: Some("cubic".to_owned()),
        streams: vec![
            stream(1, datagrams()),
            stream(2, Datagrams { omitted, ..Datagrams::default() }),
        ],
        output: Some(Output::Text("as printed\n".to_owned())),
    }
}

#[test]
fn golden_text_of_results() {
    let text = String::from_utf8(results().encode()).unwrap();
    assert_eq!(
        text,
        r#"{"cpu_util_total":3.5,"cpu_util_user":1.5,"cpu_util_system":2.0,"sender_has_retransmits":1,"congestion_used":"cubic","server_output_text":"as printed\n","streams":[{"id":1,"bytes":1000,"retransmits":7,"jitter":0.0015,"errors":4,"omitted_errors":1,"packets":100,"omitted_packets":10,"start_time":0,"end_time":2.5},{"id":3,"bytes":1000,"retransmits":7,"jitter":0.0,"errors":0,"omitted_errors":0,"packets":0,"omitted_packets":0,"start_time":0,"end_time":2.5}]}"#
    );
    assert_eq!(Results::parse(text.as_bytes()), Ok(results()));
}

#[test]
fn what_3_12_sends_is_read() {
    let read = Results::parse(OF_3_12.as_bytes()).unwrap();
    assert_eq!(read.sender_has_retransmits, None);
    assert_eq!(read.streams[0].retransmits, None);
    assert_eq!(read.streams[0].duration, Duration::from_micros(1_035_282));
    let second = &read.streams[1];
    assert_eq!((second.flow, second.bytes), (FlowId(2), 5000));
    assert_eq!((second.datagrams.packets, second.datagrams.lost), (9, 2));
    assert_eq!(second.datagrams.jitter, Duration::from_micros(15));
    assert_eq!(second.datagrams.omitted, None);
}

#[test]
fn what_is_required_must_be_there() {
    let whole: Value = serde_json::from_slice(&results().encode()).unwrap();
    let without = |keys: &[&str], inside: bool| {
        let mut text = whole.clone();
        let object = if inside { &mut text["streams"][0] } else { &mut text };
        keys.iter().for_each(|key| drop(object.as_object_mut().unwrap().remove(*key)));
        Results::parse(text.to_string().as_bytes())
    };
    for key in
        ["cpu_util_total", "cpu_util_user", "cpu_util_system", "sender_has_retransmits", "streams"]
    {
        assert_eq!(without(&[key], false), Err(BadResults::Missing(key)));
    }
    for key in ["id", "bytes", "retransmits", "jitter", "errors", "packets"] {
        let missing = without(&[key], true).unwrap_err();
        assert_eq!(missing, BadResults::Missing(key));
        assert_eq!(missing.code().number(), 117);
    }
    assert!(without(&["congestion_used", "server_output_text"], false).is_ok());
    assert!(
        without(&["omitted_errors", "omitted_packets", "start_time", "end_time"], true).is_ok()
    );
}

#[test]
fn streams_that_cannot_be_are_refused() {
    let with = |id: i64| {
        let mut text: Value = serde_json::from_slice(&results().encode()).unwrap();
        text["streams"][0]["id"] = id.into();
        Results::parse(text.to_string().as_bytes())
    };
    for id in [0, 2, -1, 65_537, i64::MAX] {
        assert_eq!(with(id).unwrap_err().code().number(), 208, "{id}");
    }
    let beyond = with(5).unwrap().check(&spec(Direction::Forward, 2));
    assert_eq!(beyond, Err(BadResults::Stream(5)));
    assert_eq!(with(4).unwrap().check(&spec(Direction::Reverse, 3)), Ok(()));
    let many = json!({"streams": vec![json!({}); 300]}).to_string();
    assert!(matches!(Results::parse(many.as_bytes()), Err(BadResults::Text(_))));
}

#[test]
fn numbers_on_the_wire_skip_two() {
    let ids: Vec<_> = (1..=5).map(|flow| id_of(FlowId(flow))).collect();
    assert_eq!(ids, [1, 3, 4, 5, 6]);
}

#[test]
fn figures_beyond_measure_do_no_harm() {
    let stream = r#"{"id":1,"bytes":-5,"retransmits":1e300,"jitter":-1e300,"errors":1e300,"packets":-1e300,"omitted_errors":9e18,"omitted_packets":9e18,"end_time":1e300}"#;
    let text = format!(
        r#"{{"cpu_util_total":1e300,"cpu_util_user":1e300,"cpu_util_system":-1e300,"sender_has_retransmits":1,"streams":[{stream}]}}"#
    );
    let read = Results::parse(text.as_bytes()).unwrap();
    let summary = read.summary(&spec(Direction::Forward, 1), Side::Client);
    assert_eq!((summary.flows[0].bytes, summary.flows[0].retransmits), (0, None));
    assert!(Results::parse(&read.encode()).is_ok());
}

#[test]
fn a_document_is_carried_as_it_is() {
    let document = r#"{"start":{"version":"iperf 3.12"}, "x":[1.0,2]}"#.to_owned();
    let sent = Results { output: Some(Output::Json(document)), ..results() };
    assert_eq!(Results::parse(&sent.encode()), Ok(sent));
}

#[test]
fn figures_of_every_dialect_come_from_these_and_make_these() {
    let spec = spec(Direction::Bidirectional, 1);
    let summary = results().summary(&spec, Side::Server);
    let roles: Vec<_> = summary.flows.iter().map(|flow| flow.role).collect();
    assert_eq!(roles, [Role::Receiver, Role::Sender]);
    assert_eq!(summary.retransmits(), Some(7));
    assert_eq!(summary.cpu.unwrap().percent(), (1.5, 2.0));
    let again = Results::new(&summary, &BTreeMap::from([(FlowId(1), datagrams())]));
    assert_eq!(again.streams[0].datagrams, datagrams());
    assert_eq!((again.streams[0].retransmits, again.streams[1].retransmits), (None, Some(7)));
    assert_eq!(again.cpu, results().cpu);
}

#[test]
fn fewer_streams_than_the_test_has_are_accepted() {
    let spec = spec(Direction::Forward, 4);
    assert_eq!(results().check(&spec), Ok(()));
    assert_eq!(results().summary(&spec, Side::Client).flows.len(), 2);
}

#[test]
fn datagrams_that_are_told_with_the_omitted_ones_are_counted_by_their_bytes() {
    let omit = Duration::from_secs(1);
    let fields =
        SpecFields { transport: "udp".to_owned(), omit, block: 100, ..SpecFields::default() };
    let spec = TestSpec::try_from(fields).unwrap();
    let told = |lost| {
        let datagrams = Datagrams { packets: 25, lost, omitted: None, ..datagrams() };
        let stream = StreamResult { datagrams, ..results().streams[0].clone() };
        let results = Results { streams: vec![stream], ..results() };
        let flow = |side| results.summary(&spec, side).flows.remove(0);
        (flow(Side::Client).datagrams_sent, flow(Side::Server).datagrams.unwrap())
    };
    let (sent, received) = told(0);
    assert_eq!((sent, received.received, received.lost), (Some(10), 10, Some(0)));
    let (_, received) = told(3);
    assert_eq!((received.received, received.lost), (10, None), "some may be of the omitted time");
}
