//! Clients that send garbage, too little, too late, or out of turn.

use std::{net::SocketAddr, time::Duration};

use polyperf::{
    measure::{FlowId, FlowSample, Role, Sample, SideSummary},
    outcome::FailureCode,
    protocol::native::{HELLO_LEN, Hello, Message, Results, Sent, Token},
    spec::SpecFields,
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::{
    raw::{Raw, attach, brief, control_hello, frame, propose},
    support::{Serving, short, soon, tcp_client, tcp_server},
};

async fn server() -> Serving {
    tcp_server(|s| s.deadlines(short()).max_sessions(4)).await
}

fn failed_with(message: Option<Message>, code: FailureCode) {
    match message {
        Some(Message::Fail(failure)) => assert_eq!(failure.code, code, "{failure}"),
        other => panic!("{other:?} where {code:?} was due"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_stalls_at_any_byte_is_dropped_at_its_deadline() {
    let mut server = server().await;
    let mut stalled = JoinSet::new();
    for length in 0..HELLO_LEN {
        let addr = server.addr;
        stalled.spawn(async move {
            let mut raw = Raw::connect(addr).await;
            raw.bytes(&control_hello()[..length]).await;
            assert_eq!(raw.rest().await, b"", "{length}");
        });
    }
    server.proves_itself(tcp_client(&server)).await;
    while let Some(ended) = stalled.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_drips_does_not_outlast_its_deadline() {
    let mut server = server().await;
    let mut raw = Raw::connect(server.addr).await;
    let drip = async {
        for byte in control_hello() {
            raw.bytes(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        raw.rest().await
    };
    assert_eq!(soon(drip).await, b"");
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_told_off_in_iperf3s_terms() {
    let mut server = server().await;
    let strangers: [&[u8; HELLO_LEN]; 3] =
        [b"GET / HTTP/1.1 and then some more..\r\n", &[0xff; HELLO_LEN], &[0; HELLO_LEN]];
    for hello in strangers {
        let mut raw = Raw::connect(server.addr).await;
        raw.bytes(hello).await;
        assert_eq!(raw.rest().await, [0xfe, 0, 0, 0, 13, 0, 0, 0, 0]);
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_refused_in_ours() {
    let mut server = server().await;
    let mut hello = control_hello();
    hello[8] = b'b';
    let mut raw = Raw::connect(server.addr).await;
    raw.bytes(&hello).await;
    failed_with(raw.last_word().await, FailureCode::Unsupported);
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_frame_end_the_connection() {
    let mut server = server().await;
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let deep_message =
        [br#"{"type":"propose","data":"#.to_vec(), deep.clone(), b"}".to_vec()].concat();
    let mut cases: Vec<Vec<u8>> = [0u32, 65_537, 1 << 31, u32::MAX]
        .into_iter()
        .map(|length| [length.to_be_bytes(), [0; 4]].concat())
        .collect();
    let bodies: [&[u8]; 10] = [
        &deep,
        &deep_message,
        b"\xff\xfe{}",
        br#"{"type":"\ud800"}"#,
        b"{\"type\":\"start\xff\"}",
        br#"{"type":"ping","data":{"received":1e999}}"#,
        br#"{"type":"ping","type":"ping","data":{"received":1}}"#,
        br#"{"type":"no such"}"#,
        b"null",
        b" ",
    ];
    cases.extend(bodies.iter().map(|body| frame(0, body)));
    cases.push(frame(7, br#"{"type":"bye"}"#));
    for case in cases {
        let mut raw = Raw::greeted(server.addr).await;
        raw.bytes(&case).await;
        failed_with(raw.last_word().await, FailureCode::Protocol);
    }
    server.proves_itself(tcp_client(&server)).await;
}

/// Returns a pointer to each value within `value`, itself included.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    let below =
        children.into_iter().flat_map(|(key, value)| pointers(value, &format!("{at}/{key}")));
    std::iter::once(at.to_owned()).chain(below).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_field_of_a_proposal_may_be_of_any_type() {
    let mut server = server().await;
    let fields = SpecFields {
        rate: Some(polyperf::spec::Rate { bits_per_second: 1000, burst: Some(1) }),
        title: Some("title".to_owned()),
        ..brief()
    };
    let good = serde_json::to_value(propose(fields)).unwrap();
    let bad = [
        json!(null),
        json!(true),
        json!("text"),
        json!([1]),
        json!({"a": 1}),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(1_000_000_000),
        json!(1u64 << 63),
    ];
    let mut asked = 0;
    for pointer in pointers(&good, "") {
        for bad in &bad {
            let mut value = good.clone();
            *value.pointer_mut(&pointer).unwrap() = bad.clone();
            let mut raw = Raw::greeted(server.addr).await;
            raw.bytes(&frame(0, value.to_string().as_bytes())).await;
            // Some of these are proposals as good as any other: an answer is all that is due.
            match raw.hear().await {
                Some(Message::Fail(failure)) => assert!(matches!(
                    failure.code,
                    FailureCode::Protocol | FailureCode::Unsupported | FailureCode::Denied
                )),
                Some(Message::Agree(_) | Message::Busy(_)) => {}
                other => panic!("{pointer} = {bad}: {other:?}"),
            }
            asked += 1;
        }
    }
    assert!(asked > 200, "{asked}");
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_out_of_turn_end_the_connection() {
    let mut server = server().await;
    let results = || Message::Results(Box::new(Results::new(SideSummary::default())));
    let early = [Message::Start, Message::Bye, results(), Message::Sent(Vec::new())];
    for message in early {
        let mut raw = Raw::greeted(server.addr).await;
        raw.send(&message).await;
        failed_with(raw.last_word().await, FailureCode::Protocol);
        let (mut raw, _) = Raw::agreed(server.addr, brief()).await;
        raw.send(&message).await;
        failed_with(raw.last_word().await, FailureCode::Protocol);
    }
    let (mut raw, _) = Raw::agreed(server.addr, brief()).await;
    raw.send(&propose(brief())).await;
    failed_with(raw.last_word().await, FailureCode::Protocol);
    server.proves_itself(tcp_client(&server)).await;
}

/// Comes as far as a running test of one stream.
async fn started(addr: SocketAddr, fields: SpecFields) -> (Raw, TcpStream) {
    let (mut raw, agree) = Raw::agreed(addr, fields).await;
    let stream = attach(addr, &agree, 1).await;
    assert_eq!(raw.hear().await, Some(Message::Start));
    (raw, stream)
}

fn sample(flows: &[(u16, Role)]) -> Message {
    let flows = flows.iter().map(|&(flow, role)| FlowSample {
        flow: FlowId(flow),
        role,
        bytes: 1,
        retransmits: None,
        packets_lost: None,
        path: None,
        datagrams_sent: None,
        datagrams: None,
    });
    let (start, end) = (Duration::ZERO, Duration::from_millis(100));
    Message::Progress(Sample { index: 0, start, end, omitted: false, flows: flows.collect() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_streams_that_are_not_the_clients_are_refused() {
    let mut server = server().await;
    let sent = |flows: &[u16]| {
        Message::Sent(
            flows
                .iter()
                .map(|&flow| Sent { flow: FlowId(flow), bytes: 1, datagrams: None })
                .collect(),
        )
    };
    let lies = [
        sample(&[]),
        sample(&[(2, Role::Sender)]),
        sample(&[(1, Role::Receiver)]),
        sample(&[(1, Role::Sender), (1, Role::Sender)]),
        sample(&[(1, Role::Sender), (9, Role::Sender)]),
        sent(&[]),
        sent(&[1, 1]),
        sent(&[7]),
        Message::Results(Box::new(Results::new(SideSummary::default()))),
    ];
    for lie in lies {
        let (mut raw, _stream) = started(server.addr, brief()).await;
        raw.send(&lie).await;
        failed_with(raw.last_word().await, FailureCode::Protocol);
        server.outcome().await;
    }
    let (mut raw, _stream) = started(server.addr, brief()).await;
    raw.send(&sample(&[(1, Role::Sender)])).await;
    raw.send(&Message::Ping { received: 0 }).await;
    assert!(raw.hear().await.is_some(), "true figures are taken");
    drop(raw);
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_expects_are_dropped() {
    let mut server = server().await;
    let (mut raw, agree) = Raw::agreed(server.addr, SpecFields { streams: 2, ..brief() }).await;
    let mut unknown = TcpStream::connect(server.addr).await.unwrap();
    let hello = Hello::Attach(Token::from_bits(99), FlowId(1)).encode();
    tokio::io::AsyncWriteExt::write_all(&mut unknown, &hello).await.unwrap();
    assert!(matches!(soon(unknown.read(&mut [0])).await, Ok(0) | Err(_)));
    for flow in [0, 3, 999] {
        let mut wrong = attach(server.addr, &agree, flow).await;
        assert!(matches!(soon(wrong.read(&mut [0])).await, Ok(0) | Err(_)), "{flow}");
    }
    let _first = attach(server.addr, &agree, 1).await;
    let mut second = attach(server.addr, &agree, 1).await;
    // One of the two is kept, whichever came first.
    let _ = tokio::time::timeout(Duration::from_millis(50), second.read(&mut [0])).await;
    failed_with(raw.last_word().await, FailureCode::Timeout);
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stall_at_any_state_are_given_up() {
    let mut server = server().await;
    // Welcomed, and silent.
    let mut raw = Raw::greeted(server.addr).await;
    failed_with(raw.last_word().await, FailureCode::Timeout);
    // Half a frame.
    let mut raw = Raw::greeted(server.addr).await;
    raw.bytes(&[0, 0, 0, 99, 0, 0]).await;
    failed_with(raw.last_word().await, FailureCode::Timeout);
    // No stream, or not all.
    let (mut raw, _) = Raw::agreed(server.addr, brief()).await;
    failed_with(raw.last_word().await, FailureCode::Timeout);
    let (mut raw, agree) = Raw::agreed(server.addr, SpecFields { streams: 2, ..brief() }).await;
    let _stream = attach(server.addr, &agree, 2).await;
    failed_with(raw.last_word().await, FailureCode::Timeout);
    // Everything open, and then nothing.
    let (mut raw, _stream) = started(server.addr, brief()).await;
    failed_with(raw.last_word().await, FailureCode::PeerLost);
    // Signs of life, and no data.
    let (mut raw, _stream) = started(server.addr, SpecFields::default()).await;
    let mut stopped = None;
    for _ in 0..40 {
        raw.send(&Message::Ping { received: 0 }).await;
        match tokio::time::timeout(Duration::from_millis(50), raw.hear()).await {
            Ok(Some(Message::Stop(ended))) => {
                stopped = Some(ended);
                break;
            }
            Ok(None) => break,
            Ok(Some(_)) | Err(_) => {}
        }
    }
    let stalled = |ended| matches!(ended, polyperf::outcome::Ended::Failed(f) if f.code == FailureCode::Stalled);
    assert!(stopped.is_some_and(stalled));
    drop(raw);
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_at_any_state_leave_nothing() {
    let mut server = server().await;
    for _ in 0..3 {
        drop(Raw::connect(server.addr).await);
        drop(Raw::greeted(server.addr).await);
        drop(Raw::agreed(server.addr, brief()).await);
        let (raw, agree) = Raw::agreed(server.addr, SpecFields { streams: 2, ..brief() }).await;
        let stream = attach(server.addr, &agree, 1).await;
        drop((raw, stream));
        drop(started(server.addr, brief()).await);
        drop(
            started(
                server.addr,
                SpecFields { direction: polyperf::spec::Direction::Reverse, ..brief() },
            )
            .await,
        );
        server.proves_itself(tcp_client(&server)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_faster_than_agreed_is_stopped() {
    let mut server = tcp_server(|s| s.max_rate(1_000_000)).await;
    let (mut raw, mut stream) = started(server.addr, SpecFields::default()).await;
    let flood = tokio::spawn(async move {
        let block = vec![0; 100_000];
        while tokio::io::AsyncWriteExt::write_all(&mut stream, &block).await.is_ok() {}
    });
    loop {
        match raw.hear().await {
            Some(Message::Stop(polyperf::outcome::Ended::Failed(failure))) => {
                assert_eq!(failure.code, FailureCode::Denied, "{failure}");
                break;
            }
            Some(_) => {}
            None => panic!("it was not stopped"),
        }
    }
    drop(raw);
    server.proves_itself(tcp_client(&server).rate(1_000_000)).await;
    soon(flood).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_leaves_room_for_a_test() {
    let mut server = server().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(server.addr).await.unwrap());
    }
    server.proves_itself(tcp_client(&server)).await;
}
