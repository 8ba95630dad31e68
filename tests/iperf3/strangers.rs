//! Bytes as other programs send them, and answers to the byte.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, FailureCode, Side},
    protocol::iperf3::{Action, Decoder, Input, Message, State, encode},
    spec::Direction,
};

use crate::{
    pair::{SECOND, results, timed},
    peer::{Lone, client},
};

/// As 3.12 sends it for `-t 1`, and in one segment, which it does not.
const PARAMS: &[u8] = b"\0\0\0\x7b{\"tcp\":true,\"omit\":0,\"time\":1,\"num\":0,\"blockcount\":0,\"parallel\":1,\"len\":131072,\"pacing_timer\":1000,\"client_version\":\"3.12\"}";
const RESULTS: &[u8] = b"\0\0\x01\x1e{\"cpu_util_total\":14.666320824643893,\"cpu_util_user\":0.67836786546997763,\"cpu_util_system\":13.987952959173915,\"sender_has_retransmits\":1,\"congestion_used\":\"bbr\",\"streams\":[{\"id\":1,\"bytes\":547880960,\"retransmits\":15,\"jitter\":0,\"errors\":0,\"packets\":0,\"start_time\":0,\"end_time\":1.000383}]}";

fn one_stream() -> polyperf::spec::TestSpec {
    let mut fields = timed(Direction::Forward).into_fields();
    fields.streams = 1;
    fields.try_into().unwrap()
}

fn running() -> Lone {
    let mut server = Lone::server(&one_stream());
    server.hear(PARAMS);
    assert_eq!(server.said, [9, 10, 1, 2]);
    server
}

fn refused_with(server: &Lone, code: u8) {
    assert_eq!(
        server.said[server.said.len() - 9..],
        [0xfe, 0, 0, 0, code, 0, 0, 0, 0],
        "{server:?}"
    );
}

#[test]
fn a_whole_session_of_3_12_is_answered_to_the_byte() {
    let mut server = running();
    server.hear(&[4]);
    assert_eq!(server.said[4..], [13]);
    server.hear(RESULTS);
    let ours = encode(&Message::Results(results(&one_stream(), Side::Server, 7)));
    assert_eq!(server.said[5..], [&ours[..], &[14]].concat());
    server.hear(&[16]);
    assert_eq!(server.ended, Some(Ended::Complete));
}

#[test]
fn what_is_still_on_its_way_is_received_where_a_count_ends_a_test() {
    let params = b"\0\0\0\x14{\"time\":0,\"num\":100}";
    let mut server = Lone::server(&one_stream());
    server.hear(params).hear(&[4, 4]).tell(Input::Received(99));
    assert_eq!(server.said, [9, 10, 1, 2]);
    server.tell(Input::Received(100));
    assert_eq!(server.said, [9, 10, 1, 2, 13]);
    let mut server = Lone::server(&one_stream());
    server.hear(params).hear(&[4]).check(SECOND * 8 / 5);
    assert_eq!(server.said, [9, 10, 1, 2, 13]);
}

#[test]
fn a_server_passes_over_a_start_and_takes_an_early_goodbye() {
    for phase in 0..3 {
        let mut server = Lone::server(&one_stream());
        server.hear(&[1]);
        if phase > 0 {
            server.hear(PARAMS).hear(&[1, 1]);
        }
        if phase > 1 {
            server.hear(&[4, 4, 1]);
        }
        assert_eq!(server.ended, None);
        server.hear(&[16]);
        assert!(matches!(server.ended, Some(Ended::Stopped { by: Side::Client, .. })), "{phase}");
    }
}

#[test]
fn a_byte_that_no_client_may_send_is_told_with_110() {
    for byte in (0..=255_u8).filter(|byte| ![1, 4, 12, 16].contains(byte)) {
        let mut server = running();
        server.hear(&[byte]);
        refused_with(&server, 110);
        assert_eq!(server.failure().code, FailureCode::Protocol);
    }
    let mut early = Lone::server(&one_stream());
    early.hear(&[4]);
    refused_with(&early, 110);
}

#[test]
fn parameters_that_cannot_be_are_told_with_their_code() {
    let cases: [(&[u8], u8); 6] = [
        (b"\0\0\x20\x01", 114),
        (b"\0\0\0\0", 114),
        (b"\xff\xff\xff\xff", 114),
        (b"\0\0\0\x02[]", 114),
        (b"\0\0\0\x11{\"parallel\": 129}", 6),
        (b"\0\0\0\x0c{\"time\": -1}", 5),
    ];
    for (bytes, code) in cases {
        let mut server = Lone::server(&one_stream());
        server.hear(bytes);
        refused_with(&server, code);
    }
}

#[test]
fn results_that_cannot_be_are_told_with_117() {
    let cases: [&[u8]; 4] = [b"\0\x40\0\x01", b"\0\0\0\0", b"\0\0\0\x02{}", b"\0\0\0\x02nu"];
    for bytes in cases {
        let mut server = running();
        server.hear(&[4]).hear(bytes);
        refused_with(&server, 117);
    }
}

#[test]
fn results_of_a_stream_that_does_not_exist_are_told_with_208() {
    for id in [b"2", b"3"] {
        let at = RESULTS.windows(5).position(|text| text == b"\"id\":").unwrap() + 5;
        let strange = [&RESULTS[..at], id, &RESULTS[at + 1..]].concat();
        let mut server = running();
        server.hear(&[4]).hear(&strange);
        refused_with(&server, 208);
    }
}

#[test]
fn a_client_may_leave_where_its_results_were_due() {
    let mut server = running();
    server.hear(&[4, 12]);
    assert!(matches!(server.ended, Some(Ended::Stopped { by: Side::Client, .. })));
}

/// Returns what the client makes of a server that says just this.
fn client_hears(bytes: &[u8]) -> Ended {
    let mut client = client(&one_stream());
    let mut decoder = Decoder::new(Side::Server);
    decoder.feed(bytes);
    loop {
        let input = match decoder.next(client.expects()) {
            Ok(Some(message)) => Input::Message(message),
            Ok(None) => Input::Lost("closed".to_owned()),
            Err(error) => Input::Garbage(error),
        };
        client.handle(input, Duration::ZERO);
        while let Some(action) = client.poll() {
            match action {
                Action::Open => client.handle(Input::StreamsOpen, Duration::ZERO),
                Action::Conclude(ended, _) => return ended,
                _ => {}
            }
        }
    }
}

#[test]
fn a_client_understands_every_refusal() {
    let code = |bytes: &[u8]| match client_hears(bytes) {
        Ended::Failed(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&[0xff]), FailureCode::Busy);
    assert_eq!(code(&[9, 0xff]), FailureCode::Busy);
    assert_eq!(code(b"\x09\xfe\0\0\0\x8e\0\0\0\0"), FailureCode::Denied);
    assert_eq!(code(b"\x09\xfe\0\0\0\x1b\0\0\0\0"), FailureCode::Denied);
    assert_eq!(code(b"\x09\x0a\x01\x02\xfe\0\0\0\xa0\0\0\0\0"), FailureCode::Timeout);
    assert_eq!(code(&[11]), FailureCode::Draining);
    assert_eq!(code(&[]), FailureCode::PeerLost);
    assert_eq!(code(b"\x09\xfe\0\0\0"), FailureCode::PeerLost);
    for byte in [0, 3, 4, 5, 8, 12, 15, 17, 0x7f, 0x80, 0xfd] {
        assert_eq!(code(&[byte]), FailureCode::Protocol, "{byte}");
        assert_eq!(code(&[9, 10, 1, 2, byte]), FailureCode::Protocol, "{byte}");
    }
    let stopped = client_hears(&[9, 10, 1, 2, 11]);
    assert!(matches!(stopped, Ended::Stopped { by: Side::Server, .. }));
}

#[test]
fn a_step_out_of_turn_is_refused() {
    for state in State::ALL
        .into_iter()
        .filter(|state| State::from_byte(state.byte(), Side::Server).is_some())
    {
        let early = client_hears(&[9, 9, state.byte()]);
        assert!(matches!(early, Ended::Failed(_)), "{state:?}");
    }
}
