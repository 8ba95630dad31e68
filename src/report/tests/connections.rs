use std::sync::Arc;

use polyperf_transport::EarlyData;
use serde_json::{Value, json};

use super::{FORMATS, Format, of, testing};
use crate::{
    outcome::{Outcome, Side},
    report::testing::{
        HOSTILE,
        connections::{FINGERPRINT, held_back, over, with_paths, with_security},
    },
    spec::Direction,
};

fn shown(outcome: &Outcome) -> String {
    testing::report(of(Format::Text), &testing::events(outcome))
}

/// Returns the lines below the totals, down to that of the processor.
fn closing(outcome: &Outcome) -> String {
    let report = shown(outcome);
    let lines = report.lines().skip_while(|line| !line.contains("RTT min/mean/max"));
    lines.take_while(|line| !line.starts_with("CPU")).map(|line| line.to_owned() + "\n").collect()
}

fn document(outcome: &Outcome) -> Value {
    let report = testing::report(of(Format::Json), &testing::events(outcome));
    serde_json::from_str(&report).unwrap()
}

/// Returns each total of a table as name and content of each cell.
fn totals(outcome: &Outcome) -> Vec<csv::StringRecord> {
    let report = testing::report(of(Format::Csv), &testing::events(outcome));
    let mut reader = csv::Reader::from_reader(report.as_bytes());
    let mut records: Vec<_> = reader.records().map(Result::unwrap).collect();
    records.retain(|record| &record[0] == "total");
    records
}

/// Returns the cells of what a connection is, from its number on.
fn cells(record: &csv::StringRecord) -> Vec<&str> {
    record.iter().skip(25).take(17).collect()
}

#[test]
fn two_streams_on_one_connection_are_told_of_together() {
    assert_eq!(
        shown(&over(1, Direction::Forward, 2)),
        format!(
            "\
Connecting to host server.example, port 5201
Test a1b2c3: quic, 2 streams, blocks of 131072 bytes, 2 s; server runs polyperf 0.1.0
[  1] local 192.0.2.1 port 50001 connected to 192.0.2.2 port 5201
[  2] local 192.0.2.1 port 50002 connected to 192.0.2.2 port 5201
[ ID] Interval           Transfer     Goodput         Lost  Cwnd         RTT
[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec     0   767 KBytes   0.113 ms
[  2]   0.00-1.00   sec   191 MBytes  1.60 Gbits/sec     0   767 KBytes   0.226 ms
[SUM]   0.00-1.00   sec   286 MBytes  2.40 Gbits/sec     0
- - - - - - - - - - - - - - - - - - - - - - - - -
[  1]   1.00-2.00   sec   119 MBytes  1.00 Gbits/sec     5  1.50 MBytes   1.243 ms
[  2]   1.00-2.00   sec   215 MBytes  1.80 Gbits/sec     5  1.50 MBytes   1.356 ms
[SUM]   1.00-2.00   sec   334 MBytes  2.80 Gbits/sec     5
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Lost
[  1]   0.00-2.00   sec   215 MBytes   900 Mbits/sec        receiver
[  1]   0.00-2.00   sec   215 MBytes   901 Mbits/sec     5  sender
[  2]   0.00-2.00   sec   405 MBytes  1.70 Gbits/sec        receiver
[  2]   0.00-2.00   sec   406 MBytes  1.70 Gbits/sec     5  sender
[SUM]   0.00-2.00   sec   620 MBytes  2.60 Gbits/sec        receiver
[SUM]   0.00-2.00   sec   620 MBytes  2.60 Gbits/sec     5  sender
[1-2] RTT min/mean/max 0.047/1.080/12.11 ms, packets lost 5, congestion events 2, max Cwnd 1023 KBytes, congestion control cubic
[1-2] full handshake 1.234 ms, first reply after 2.345 ms, 0-RTT not attempted: there was nothing to resume
[1-2] TLS 1.3 with TLS13_AES_128_GCM_SHA256 and X25519 (ring), server verified by fingerprint {FINGERPRINT}
[1-2] packets sent 482857, 10.0 per send call, 6.2 per receive call, acknowledgements received 24142
[1-2] wire 645 MBytes sent for 620 MBytes received (overhead 4.00%), path MTU 1452 bytes
Streams on one connection share its losses, window and round-trip time; sums count them once.
CPU: local 81.0% (1.0% user, 80.0% system; data threads), remote 49.0% (1.0% user, 48.0% system; process)
"
        )
    );
}

#[test]
fn four_streams_on_two_connections_are_told_of_by_connection_in_either_direction() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let outcome = over(2, direction, 4);
        assert_eq!(
            closing(&outcome),
            format!(
                "\
[1,3] RTT min/mean/max 0.047/1.080/12.11 ms, packets lost 5, congestion events 2, max Cwnd 1023 KBytes, congestion control cubic
[2,4] RTT min/mean/max 0.047/1.080/12.11 ms, packets lost 7, congestion events 2, max Cwnd 1023 KBytes, congestion control cubic
[1,3] full handshake 1.234 ms, first reply after 2.345 ms, 0-RTT not attempted: there was nothing to resume
[2,4] full handshake 1.234 ms, first reply after 2.345 ms, 0-RTT not attempted: there was nothing to resume
[1-4] TLS 1.3 with TLS13_AES_128_GCM_SHA256 and X25519 (ring), server verified by fingerprint {FINGERPRINT}
[1,3] packets sent 631428, 10.0 per send call, 6.2 per receive call, acknowledgements received 31571
[1,3] wire 843 MBytes sent for 811 MBytes received (overhead 4.00%), path MTU 1452 bytes
[2,4] packets sent 928571, 10.0 per send call, 6.2 per receive call, acknowledgements received 46428
[2,4] wire 1.21 GBytes sent for 1.16 GBytes received (overhead 4.00%), path MTU 1452 bytes
Streams on one connection share its losses, window and round-trip time; sums count them once.
"
            )
        );
        let report = shown(&outcome);
        assert!(report.contains("sec  1.96 GBytes  8.40 Gbits/sec    12  sender\n"), "{report}");
        assert!(report.contains("sec  1.02 GBytes  8.80 Gbits/sec    11\n"), "{report}");
    }
}

#[test]
fn a_connection_that_carries_both_directions_has_one_handshake_and_two_losses() {
    let outcome = over(1, Direction::Bidirectional, 1);
    assert_eq!(
        closing(&outcome),
        format!(
            "\
[  1][TX-C] RTT min/mean/max 0.047/1.080/12.11 ms, packets lost 5, congestion events 2, max Cwnd 1023 KBytes, congestion control cubic
[  2][RX-C] RTT min/mean/max 0.047/1.080/12.11 ms, packets lost 5, congestion events 2, max Cwnd 1023 KBytes, congestion control cubic
[1-2] full handshake 1.234 ms, first reply after 2.345 ms, 0-RTT not attempted: there was nothing to resume
[1-2] TLS 1.3 with TLS13_AES_128_GCM_SHA256 and X25519 (ring), server verified by fingerprint {FINGERPRINT}
[  1][TX-C] packets sent 167142, 10.0 per send call, 6.2 per receive call, acknowledgements received 8357
[  1][TX-C] wire 223 MBytes sent for 215 MBytes received (overhead 4.00%), path MTU 1452 bytes
[  2][RX-C] packets sent 315714, 10.0 per send call, 6.2 per receive call, acknowledgements received 15785
[  2][RX-C] wire 422 MBytes sent for 405 MBytes received (overhead 4.00%), path MTU 1452 bytes
"
        )
    );
}

#[test]
fn the_server_tells_the_same_of_a_connection_as_the_client() {
    let client = over(2, Direction::Forward, 4);
    let server = testing::seen_by_server(&client);
    assert_eq!(closing(&server), closing(&client));
    let connections = |outcome| document(outcome)["polyperf"]["connections"].clone();
    assert_eq!(connections(&server), connections(&client));
}

#[test]
fn packets_that_go_one_by_one_are_said_to() {
    let alone = with_paths(over(1, Direction::Reverse, 1), Side::Server, |path| {
        path.gso_segments = Some(1);
        path.send_calls = path.packets_sent;
    });
    let both = with_paths(alone, Side::Client, |path| path.gro_segments = Some(1));
    let report = shown(&both);
    assert!(
        report.contains("1.0 per send call without segmentation offload, 6.2 per receive call without receive offload,"),
        "{report}"
    );
    assert!(!report.contains("one by one"), "that is said of datagrams: {report}");
}

#[test]
fn what_flow_control_has_limited_is_called_that() {
    let limit = "limited by flow control: the receiver's window held the sender back";
    let report = shown(&held_back(over(1, Direction::Forward, 2), 12));
    assert!(report.contains(&format!("\n[1-2] {limit} 12 times\n")), "{report}");
    let report = shown(&held_back(over(1, Direction::Forward, 1), 1));
    assert!(report.contains(&format!("\n[  1] {limit} 1 time\n")), "{report}");
    assert!(!shown(&over(1, Direction::Forward, 2)).contains(limit), "a zero is no limit");
}

#[test]
fn how_a_server_was_verified_is_said_in_plain_words() {
    for (how, words) in [
        ("not verified", "server NOT VERIFIED: it may be anybody, "),
        ("trust on first use", "server accepted by trust on first use, "),
        ("known server", "server verified as a known server, "),
        ("system roots", "server verified by system roots, "),
    ] {
        let outcome = with_security(over(1, Direction::Forward, 1), |security| {
            security.verified = Some(how.to_owned());
        });
        for outcome in [&outcome, &testing::seen_by_server(&outcome)] {
            let report = shown(outcome);
            assert!(report.contains(&format!("(ring), {words}{FINGERPRINT}\n")), "{report}");
        }
    }
}

#[test]
fn a_client_that_was_verified_is_told_beside_the_server() {
    let outcome = with_paths(over(1, Direction::Forward, 1), Side::Server, |path| {
        let security = path.security.as_mut().unwrap();
        security.verified = Some("certificate authority".to_owned());
    });
    let line = format!(
        "server verified by fingerprint {FINGERPRINT}, client verified by certificate authority\n"
    );
    assert!(shown(&outcome).contains(&line));
}

#[test]
fn a_connection_that_nothing_protects_is_called_that() {
    let bare = |outcome, side| with_paths(outcome, side, |path| path.security = None);
    let outcome = bare(bare(over(1, Direction::Forward, 1), Side::Client), Side::Server);
    assert!(shown(&outcome).contains("\n[  1] not encrypted\n"));
}

#[test]
fn a_connection_that_was_resumed_says_what_came_of_early_data() {
    for (early, words) in [
        (EarlyData::Accepted, "0-RTT accepted"),
        (EarlyData::Rejected, "0-RTT rejected, and sent again after the handshake"),
    ] {
        let outcome = with_security(over(1, Direction::Forward, 1), |security| {
            (security.resumed, security.early_data) = (Some(true), Some(early));
        });
        let line =
            format!("[  1] resumed handshake 1.234 ms, first reply after 2.345 ms, {words}\n");
        assert!(shown(&outcome).contains(&line), "{}", shown(&outcome));
        assert_eq!(
            cells(&totals(&outcome)[0])[15..],
            ["true", if early == EarlyData::Accepted { "accepted" } else { "rejected" }]
        );
    }
}

#[test]
fn what_a_silent_server_did_not_tell_is_left_out() {
    let outcome = testing::without_remote(over(1, Direction::Reverse, 1));
    assert_eq!(
        closing(&outcome),
        format!(
            "\
[  1] RTT min/mean/max -, retransmits -, max Cwnd -, congestion control -
[  1] full handshake 1.234 ms, first reply after 2.345 ms, 0-RTT not attempted: there was nothing to resume
[  1] TLS 1.3 with TLS13_AES_128_GCM_SHA256 and X25519 (ring), server verified by fingerprint {FINGERPRINT}
[  1] 6.2 per receive call
"
        )
    );
    assert!(shown(&outcome).contains("    Retr/Lost  Cwnd"), "{}", shown(&outcome));
    let reverse = &document(&outcome)["polyperf"]["connections"][0]["reverse"];
    assert_eq!(reverse, &json!({"received_bytes": 225_000_000, "packets_per_recv_call": 6.25}));
}

#[test]
fn sums_of_a_direction_whose_sender_is_silent_are_unknown() {
    let outcome = testing::without_remote(over(2, Direction::Reverse, 4));
    let sum = totals(&outcome).pop().unwrap();
    assert_eq!((&sum[4], cells(&sum).concat()), ("sum", String::new()));
}

#[test]
fn a_transport_that_shares_nothing_has_no_connections() {
    let outcome = testing::outcome(Direction::Bidirectional, 2);
    assert_eq!(document(&outcome)["polyperf"].get("connections"), None);
    assert!(!shown(&outcome).contains("encrypted"));
}

#[test]
fn a_document_has_what_the_text_says_of_each_connection() {
    let outcome = held_back(over(2, Direction::Forward, 4), 3);
    let document = document(&outcome);
    assert_eq!(
        document["polyperf"]["connections"][1],
        json!({
            "flows": [2, 4],
            "handshake_us": 1234,
            "first_reply_us": 2345,
            "forward": {
                "packets_lost": 7,
                "congestion_events": 2,
                "window_blocked": 3,
                "received_bytes": 1_250_000_000,
                "wire_bytes_sent": 1_300_000_000,
                "wire_overhead": 0.04,
                "packets_sent": 928_571,
                "acks_received": 46_428,
                "packets_per_send_call": 928_571.0 / 92_858.0,
                "packets_per_recv_call": 6.25,
            }
        })
    );
    let flow = &document["polyperf"]["local"]["flows"][0];
    assert_eq!((&flow["packets_lost"], &flow["window_blocked"]), (&json!(5), &json!(3)));
    assert_eq!(flow["path"]["security"]["cipher"], "TLS13_AES_128_GCM_SHA256");
    assert_eq!(document["end"]["sum_sent"]["retransmits"], Value::Null);
    let lost = &document["polyperf"]["intervals"][1]["local"]["flows"][3]["packets_lost"];
    assert_eq!(lost, &json!(6));
}

#[test]
fn what_streams_of_a_connection_sent_again_is_counted_once_in_iperf3s_sums() {
    let mut outcome = over(1, Direction::Forward, 2);
    outcome.local.flows.iter_mut().for_each(|flow| flow.retransmits = Some(4));
    for interval in &mut outcome.intervals {
        let flows = &mut Arc::make_mut(interval).local.flows;
        flows.iter_mut().for_each(|flow| flow.retransmits = Some(2));
    }
    let document = document(&outcome);
    assert_eq!(document["end"]["sum_sent"]["retransmits"], 4);
    assert_eq!(document["intervals"][0]["sum"]["retransmits"], 2);
    assert!(shown(&outcome).contains("Bitrate         Retr\n"), "{}", shown(&outcome));
}

#[test]
fn a_table_has_each_connections_figures_and_their_sum() {
    let totals = totals(&held_back(over(2, Direction::Forward, 4), 3));
    let streams: Vec<_> =
        totals.iter().map(|total| total.iter().skip(25).take(4).collect::<Vec<_>>()).collect();
    assert_eq!(
        streams,
        [
            ["0", "5", "2", "3"],
            ["1", "7", "2", "3"],
            ["0", "5", "2", "3"],
            ["1", "7", "2", "3"],
            ["", "12", "4", "6"]
        ]
    );
    assert_eq!(
        cells(&totals[1])[4..],
        [
            "1234",
            "2345",
            "1300000000",
            "0.0400",
            "10.0",
            "6.2",
            "1452",
            "TLS 1.3",
            "TLS13_AES_128_GCM_SHA256",
            "X25519",
            "fingerprint",
            "false",
            "not_attempted",
        ]
    );
    assert_eq!(cells(&totals[4])[4..8], ["", "", "2184000000", ""]);
}

#[test]
fn names_of_the_other_end_are_made_safe_and_end_somewhere() {
    let evil = HOSTILE.to_owned() + &"x".repeat(10_000);
    let outcome = with_security(over(1, Direction::Forward, 1), |security| {
        (security.protocol, security.provider) = (evil.clone(), evil.clone());
        let word = Some(evil.clone());
        (security.cipher, security.key_exchange) = (word.clone(), word.clone());
        (security.verified, security.peer) = (word.clone(), word);
    });
    let seen = testing::seen_by_server(&outcome);
    for (outcome, format) in
        [&outcome, &seen].into_iter().flat_map(|outcome| FORMATS.map(|format| (outcome, format)))
    {
        let report = testing::report(of(format), &testing::events(outcome));
        assert!(!report.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
        assert!(!report.lines().any(|line| line.starts_with("fake line")), "{report}");
        if matches!(format, Format::Text | Format::Csv) {
            assert!(report.lines().all(|line| line.len() < 2000), "{report}");
        }
    }
    let total = &totals(&outcome)[0];
    assert!(cells(total)[11..15].iter().all(|cell| cell.starts_with("'=cmd()")), "{total:?}");
}

#[test]
fn absurd_figures_of_a_connection_do_not_overflow() {
    let outcome = [Side::Client, Side::Server].into_iter().fold(
        over(1, Direction::Bidirectional, 2),
        |outcome, side| {
            with_paths(held_back(outcome, u64::MAX), side, |path| {
                (path.packets_sent, path.send_calls) = (Some(u64::MAX), Some(0));
                (path.packets_received, path.recv_calls) = (Some(u64::MAX), Some(1));
                path.wire_bytes_sent = Some(u64::MAX);
            })
        },
    );
    for format in FORMATS {
        assert!(!testing::report(of(format), &testing::events(&outcome)).is_empty());
    }
}

#[test]
fn a_long_list_of_streams_is_cut() {
    let report = shown(&over(2, Direction::Forward, 16));
    assert!(report.contains("\n[1,3,5,7,...] wire "), "{report}");
    assert!(report.contains("\n[1-16] TLS 1.3 with"), "{report}");
}
