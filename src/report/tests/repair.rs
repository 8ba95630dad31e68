use std::time::Duration;

use polyperf_transport::Arq;
use serde_json::{Value, json};

use super::{Format, of, testing};
use crate::{
    measure::Role,
    outcome::{Outcome, Side},
    report::testing::{HOSTILE, connections::with_paths},
    spec::Direction,
};

/// Returns a test over KCP whose ends say what they did; with error correction, `parity` tells how
/// much it took.
fn over_kcp(streams: u16, parity: Option<u64>) -> Outcome {
    let mut outcome = testing::over("kcp", Direction::Forward, streams);
    for side in [Side::Client, Side::Server] {
        let sends = side == Side::Client;
        outcome = with_paths(outcome, side, |path| {
            let arq = Arq {
                segments_sent: Some(if sends { 1000 } else { 20 }),
                segments_received: Some(if sends { 20 } else { 990 }),
                timeout_retransmits: Some(1),
                fast_retransmits: Some(5),
                early_retransmits: Some(2),
                spurious_retransmits: Some(3),
                duplicates: Some(if sends { 0 } else { 4 }),
                rejected: Some(0),
                window_limited: Some(Duration::from_millis(1500)),
                srtt: Some(Duration::from_millis(10)),
                srttvar: Some(Duration::from_millis(2)),
                rto: Some(Duration::from_millis(30)),
                parity_sent: parity,
                parity_bytes_sent: parity.map(|count| count * 1400),
                recovered: parity.map(|count| count / 10),
                unrecoverable: parity.map(|_| 1),
                ..Arq::default()
            };
            path.arq = Some(arq);
            path.parameters =
                [("interval", "10"), ("sndwnd", "1024")].map(|(a, b)| (a.into(), b.into())).into();
        });
    }
    outcome
}

fn shown(outcome: &Outcome) -> String {
    testing::report(of(Format::Text), &testing::events(outcome))
}

#[test]
fn what_was_sent_again_is_told_by_cause_and_beside_what_the_receiver_saw() {
    let report = shown(&over_kcp(1, None));
    for line in [
        "[  1] kcp: interval 10, sndwnd 1024\n",
        "[  1] segments sent 1000, again by timeout 1, fast 5, early 2 (spurious 3), duplicates \
         received 4; limited by windows for 1500 ms; protocol's own srtt 10.00 ms, rto 30.00 ms \
         beside a mean RTT of 1.080 ms\n",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert!(!report.contains("error correction") && !report.contains("rejected"), "{report}");
}

#[test]
fn what_congestion_control_made_of_the_path_is_told_by_the_end_that_sends() {
    let mut outcome = over_kcp(1, None);
    for side in [Side::Client, Side::Server] {
        outcome = with_paths(outcome, side, |path| {
            path.congestion_state = Some("cruising".to_owned());
            path.packets_lost = Some(12);
            path.spurious_losses = Some(2);
            path.ce_marks = Some(if side == Side::Client { 3 } else { 7 });
            path.pacing_rate = Some(101_000_000);
            path.delivery_rate = Some(97_500_000);
        });
    }
    let report = shown(&outcome);
    let told = "; lost 12 (2 spurious), marked 3, paced at 101 Mbits/sec, delivered at \
                97.5 Mbits/sec, at last in cruising; ";
    assert!(report.contains(told), "{report}");
    let quiet = with_paths(outcome, Side::Client, |path| {
        (path.ce_marks, path.spurious_losses, path.pacing_rate) = (Some(0), None, None);
    });
    let report = shown(&quiet);
    assert!(report.contains("; delivered at 97.5 Mbits/sec, at last in cruising; "), "{report}");
}

#[test]
fn what_error_correction_cost_stands_beside_what_it_brought() {
    let report = shown(&over_kcp(1, Some(300)));
    let told = "; error correction: parity sent 300 datagrams, 410 KBytes, recovered 30, \
                unrecoverable 1\n";
    assert!(report.contains(told), "{report}");
}

#[test]
fn each_flow_has_one_line_and_their_settings_another() {
    let report = shown(&over_kcp(4, Some(300)));
    let told = |line: &&str| line.contains("segments sent") || line.contains("sndwnd");
    let lines: Vec<_> = report.lines().filter(told).collect();
    let names: Vec<_> = lines.iter().map(|line| &line[..5]).collect();
    assert_eq!(names, ["[1-4]", "[  1]", "[  2]", "[  3]", "[  4]"], "{report}");
}

#[test]
fn what_is_unknown_is_left_out_and_the_rest_still_reads() {
    let mut outcome = over_kcp(1, None);
    for side in [Side::Client, Side::Server] {
        outcome = with_paths(outcome, side, |path| {
            path.arq = Some(Arq {
                fast_retransmits: Some(5),
                rto: Some(Duration::from_millis(30)),
                ..Arq::default()
            });
        });
    }
    let report = shown(&outcome);
    let told = "[  1] again by fast 5; protocol's own rto 30.00 ms\n";
    assert!(report.contains(told), "{report}");
}

#[test]
fn flows_that_work_alike_are_told_of_once_and_ends_that_do_not_apart() {
    let report = shown(&over_kcp(3, None));
    assert_eq!(report.matches("interval 10").count(), 1, "{report}");
    assert!(report.contains("[1-3] kcp: interval 10, sndwnd 1024\n"), "{report}");
    let outcome = with_paths(over_kcp(1, None), Side::Server, |path| {
        path.parameters.insert("interval".to_owned(), "20".to_owned());
    });
    let report = shown(&outcome);
    let told = "[  1] kcp: client interval 10, sndwnd 1024; server interval 20, sndwnd 1024\n";
    assert!(report.contains(told), "{report}");
}

#[test]
fn what_a_peer_says_of_its_settings_is_no_part_of_the_report() {
    let outcome = with_paths(over_kcp(1, None), Side::Server, |path| {
        path.parameters = (0..1000).map(|at| (format!("{HOSTILE}{at}"), HOSTILE.into())).collect();
    });
    let report = shown(&outcome);
    let line = report.lines().find(|line| line.contains("kcp: client")).unwrap();
    assert!(line.len() < 8000 && !line.contains(char::is_control), "{line}");
}

#[test]
fn what_either_end_rejected_or_dropped_is_told_if_there_is_any() {
    let mut outcome = over_kcp(1, None);
    for (side, rejected, drops) in [(Side::Client, 7, 8), (Side::Server, 9, 10)] {
        outcome = with_paths(outcome, side, |path| {
            path.arq.as_mut().unwrap().rejected = Some(rejected);
            path.local_drops = Some(drops);
        });
    }
    let told = "; rejected by the receiver 9, rejected by the sender 7, \
                dropped by the receiver's host 10, dropped by the sender's host 8\n";
    let report = shown(&outcome);
    assert!(report.contains(told), "{report}");
}

#[test]
fn drops_are_told_of_a_protocol_that_counts_nothing_else() {
    let mut outcome = over_kcp(1, None);
    for side in [Side::Client, Side::Server] {
        outcome = with_paths(outcome, side, |path| {
            path.arq = None;
            path.local_drops = Some(if side == Side::Server { 3 } else { 0 });
        });
    }
    let report = shown(&outcome);
    assert!(report.contains("[  1] dropped by the receiver's host 3\n"), "{report}");
    assert!(!report.contains("segments") && !report.contains("protocol's own"), "{report}");
}

#[test]
fn what_went_over_the_wire_is_told_also_without_a_handshake() {
    let outcome = with_paths(over_kcp(1, None), Side::Client, |path| {
        path.handshake = None;
        path.packets_sent = Some(900);
        path.send_calls = Some(30);
        path.wire_bytes_sent = Some(1 << 40);
    });
    let report = shown(&outcome);
    for part in
        ["[  1] not encrypted\n", "[  1] packets sent 900, 30.0 per send call", "[  1] wire "]
    {
        assert!(report.contains(part), "{part}\n{report}");
    }
}

#[test]
fn a_protocol_that_tells_its_settings_alone_is_said_not_to_encrypt() {
    let mut outcome = over_kcp(1, None);
    for side in [Side::Client, Side::Server] {
        outcome = with_paths(outcome, side, |path| {
            path.arq = None;
            path.handshake = None;
        });
    }
    let report = shown(&outcome);
    assert!(report.contains("[  1] not encrypted\n"), "{report}");
}

#[test]
fn a_document_has_what_the_protocol_counted_and_worked_with_at_the_end() {
    let outcome = over_kcp(1, Some(300));
    let report = testing::report(of(Format::Json), &testing::events(&outcome));
    let document: Value = serde_json::from_str(&report).unwrap();
    let path = &document["polyperf"]["local"]["flows"][0]["path"];
    assert_eq!(path["parameters"], json!({"interval": "10", "sndwnd": "1024"}));
    for (key, value) in
        [("fast_retransmits", 5), ("window_limited_us", 1_500_000), ("recovered", 30)]
    {
        assert_eq!(path["arq"][key], value, "{key}");
    }
    assert!(path["arq"].get("window_probes").is_none(), "{path}");
}

#[test]
fn a_table_has_what_was_sent_again_and_rebuilt() {
    let outcome = over_kcp(1, Some(300));
    let report = testing::report(of(Format::Csv), &testing::events(&outcome));
    let total = report.lines().find(|line| line.starts_with("total,")).unwrap();
    assert!(total.contains(",1,5,2,3,4,420000,30,1,"), "{total}");
    assert!(outcome.flow(outcome.info.flows[0].flow, Role::Sender).is_some());
}
