//! What goes out is what other implementations send, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::time::Duration;

use polyperf_kcp::{Config, Conversation, First, Flushed, Mode, Output, segment::Segment};

const CONV: u32 = 0x1234_5678;

fn conversation(config: Config, fec: Option<&str>) -> Conversation {
    Conversation::new(CONV, config, fec.map(|fec| fec.parse().unwrap())).unwrap()
}

fn flushed(conversation: &mut Conversation, millis: u64) -> Vec<Vec<u8>> {
    let mut output = Output::default();
    let flushed = conversation.flush(Duration::from_millis(millis), &mut output);
    assert_eq!(flushed, Flushed::All);
    output.datagrams().map(<[u8]>::to_vec).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_first_segment_is_that_of_kcp_go() {
    // Captured from kcp-go: a window of 128, and 100 bytes.
    let config = Config { receive_window: 128.try_into().unwrap(), ..Config::default() };
    let mut conversation = conversation(config, None);
    assert_eq!(conversation.send(&[0xAB; 100]), Ok(100));
    let datagrams = flushed(&mut conversation, 0);
    let header = bytes("78563412 51 00 8000 00000000 00000000 00000000 64000000");
    assert_eq!(datagrams, [[&header[..], &[0xAB; 100]].concat()]);
}

#[test]
fn an_acknowledgement_bears_the_time_and_the_number_of_what_it_acknowledges() {
    let mut conversation = conversation(Config::default(), None);
    let data = bytes("78563412 51 00 8000 39300000 00000000 00000000 02000000 6869");
    conversation.input(&data, Duration::from_millis(7)).unwrap();
    let mut buf = [0; 10];
    assert_eq!(conversation.recv(&mut buf), Some(2));
    let ack = bytes("78563412 52 00 0004 39300000 00000000 01000000 00000000");
    assert_eq!(flushed(&mut conversation, 8), [ack]);
}

#[test]
fn what_came_out_of_order_is_acknowledged_in_the_order_of_its_arrival() {
    let mut conversation = conversation(Config::default(), None);
    for sn in [1, 2, 4, 3] {
        let mut data = bytes("78563412 51 00 8000 00000000 00000000 00000000 02000000 6869");
        data[12] = sn;
        conversation.input(&data, Duration::ZERO).unwrap();
    }
    let datagrams = flushed(&mut conversation, 0);
    let mut rest = &datagrams[0][..];
    let acknowledged = std::iter::from_fn(|| {
        let (segment, behind) = Segment::split(rest).ok()?;
        rest = behind;
        Some(segment.sn)
    });
    assert_eq!(acknowledged.collect::<Vec<_>>(), [1, 2, 4, 3]);
}

#[test]
fn a_question_for_the_window_is_answered_with_it() {
    let mut conversation = conversation(Config::default(), None);
    let ask = bytes("78563412 53 00 8000 00000000 00000000 00000000 00000000");
    conversation.input(&ask, Duration::ZERO).unwrap();
    let tell = bytes("78563412 54 00 0004 00000000 00000000 00000000 00000000");
    assert_eq!(flushed(&mut conversation, 0), [tell]);
}

#[test]
fn a_closed_window_is_asked_for() {
    let mut conversation = conversation(Config::default(), None);
    let closed = bytes("78563412 54 00 0000 00000000 00000000 00000000 00000000");
    conversation.input(&closed, Duration::ZERO).unwrap();
    conversation.send(b"waits").unwrap();
    assert!(flushed(&mut conversation, 0).is_empty());
    let ask = bytes("78563412 53 00 0004 00000000 00000000 00000000 00000000");
    assert_eq!(flushed(&mut conversation, 500), [ask]);
}

#[test]
fn fragments_count_down_to_the_last_of_a_message() {
    let config = Config { mode: Mode::Messages, ..Config::default() };
    let mut conversation = conversation(config, None);
    conversation.send(&[1; 3000]).unwrap();
    let datagrams = flushed(&mut conversation, 0);
    let split = |datagram| Segment::split(datagram).unwrap().0;
    let told: Vec<_> = datagrams
        .iter()
        .map(|datagram| (split(datagram).frg, split(datagram).sn, split(datagram).payload.len()))
        .collect();
    assert_eq!(told, [(2, 0, 1376), (1, 1, 1376), (0, 2, 248)]);
}

#[test]
fn error_correction_takes_eight_bytes_in_front_as_in_kcp_go() {
    // As captured: a datagram of 1400 bytes, whose length field says 1394, with a segment of 1368.
    let mut conversation = conversation(Config::default(), Some("10:3"));
    conversation.send(&vec![5; 1368 * 10]).unwrap();
    let datagrams = flushed(&mut conversation, 0);
    let lens: Vec<_> = datagrams.iter().map(Vec::len).collect();
    assert_eq!(lens, [1400; 13]);
    let head = bytes("00000000 F100 7205 78563412 51 00 0004 00000000 00000000 00000000 58050000");
    assert_eq!(datagrams[0][..32], head);
    assert_eq!(datagrams[9][..8], bytes("09000000 F100 7205"));
    assert_eq!(datagrams[10][..6], bytes("0A000000 F200"));
    assert_eq!(datagrams[12][..6], bytes("0C000000 F200"));
}

#[test]
fn numbers_and_times_begin_anew_on_the_wire() {
    let config = Config { first_sn: u32::MAX, ..Config::default() };
    let mut conversation = conversation(config, None);
    conversation.send(&[0; 1376 * 2]).unwrap();
    let datagrams = flushed(&mut conversation, (1 << 32) + 5);
    let split = |datagram| Segment::split(datagram).unwrap().0;
    let told: Vec<_> = datagrams.iter().map(|d| (split(d).sn, split(d).ts)).collect();
    assert_eq!(told, [(u32::MAX, 5), (0, 5)]);
}

#[test]
fn the_end_of_a_stream_is_a_segment_with_nothing_in_it() {
    let mut conversation = conversation(Config { ends: true, ..Config::default() }, None);
    conversation.send(b"bye").unwrap();
    conversation.finish();
    conversation.finish();
    assert_eq!(conversation.send(b"too late"), Ok(0));
    let datagrams = flushed(&mut conversation, 0);
    let bye = bytes("78563412 51 00 0004 00000000 00000000 00000000 03000000 627965");
    let end = bytes("78563412 51 00 0004 00000000 01000000 00000000 00000000");
    assert_eq!(datagrams, [[bye, end].concat()]);
}

#[test]
fn a_strangers_first_datagram_tells_what_it_begins() {
    let first = bytes("78563412 51 00 8000 00000000 00000000 00000000 02000000 6869");
    assert_eq!(First::of(&first), Some(First { conv: CONV, payload: b"hi" }));
    let framed = [bytes("00000000 F100 1C00"), first.clone()].concat();
    assert_eq!(First::of(&framed), Some(First { conv: CONV, payload: b"hi" }));
    let mut later = first.clone();
    later[12] = 1;
    let mut ack = first.clone();
    ack[4] = 0x52;
    for no in [&later[..], &ack, &first[..20], &bytes("00000000 F200 1C00"), b""] {
        assert_eq!(First::of(no), None, "{no:?}");
    }
}
