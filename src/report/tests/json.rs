use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{Format, Options, of, testing};
use crate::{
    event::{Event, Queued},
    outcome::{Ended, Failure, FailureCode, Outcome, Side},
    report::{Polyperf, SCHEMA},
    spec::Direction,
};

fn document(outcome: &Outcome) -> Value {
    let report = testing::report(of(Format::Json), &testing::events(outcome));
    serde_json::from_str(&report).unwrap()
}

fn stream(options: Options, events: &[Event]) -> Vec<Value> {
    let report = testing::report(options, events);
    report.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lists where `ours` lacks a key of `theirs` or has a value of another type for it.
fn differences(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                differences(
                    value,
                    ours.get(key).unwrap_or(&MISSING),
                    &format!("{path}.{key}"),
                    found,
                );
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() <= ours.len() => {
            for (index, (value, our)) in theirs.iter().zip(ours).enumerate() {
                differences(value, our, &format!("{path}[{index}]"), found);
            }
        }
        (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => {}
        _ => found.push(path.to_owned()),
    }
}

const MISSING: Value = Value::Null;

#[test]
fn every_key_of_iperf3_is_there_with_its_type() {
    let forward = testing::outcome(Direction::Forward, 1);
    for (theirs, ours) in [
        (include_str!("../../../tests/fixtures/iperf3/forward.json"), &forward),
        (
            include_str!("../../../tests/fixtures/iperf3/server.json"),
            &testing::seen_by_server(&forward),
        ),
        (
            include_str!("../../../tests/fixtures/iperf3/reverse.json"),
            &testing::outcome(Direction::Reverse, 1),
        ),
        (
            include_str!("../../../tests/fixtures/iperf3/bidir.json"),
            &testing::outcome(Direction::Bidirectional, 1),
        ),
        (
            include_str!("../../../tests/fixtures/iperf3/parallel.json"),
            &testing::outcome(Direction::Forward, 2),
        ),
    ] {
        let mut found = Vec::new();
        differences(&serde_json::from_str(theirs).unwrap(), &document(ours), "", &mut found);
        assert_eq!(found, [""; 0]);
    }
}

#[test]
fn every_key_of_iperf3_about_datagrams_is_there_with_its_type() {
    let forward = testing::of_datagrams(Direction::Forward, 1);
    for (theirs, ours) in [
        (include_str!("../../../tests/fixtures/iperf3/udp-forward.json"), &forward),
        (
            include_str!("../../../tests/fixtures/iperf3/udp-server.json"),
            &testing::seen_by_server(&forward),
        ),
        (
            include_str!("../../../tests/fixtures/iperf3/udp-reverse.json"),
            &testing::of_datagrams(Direction::Reverse, 1),
        ),
        (
            include_str!("../../../tests/fixtures/iperf3/udp-bidir.json"),
            &testing::of_datagrams(Direction::Bidirectional, 1),
        ),
    ] {
        let (theirs, ours) = (serde_json::from_str(theirs).unwrap(), document(ours));
        let mut found = Vec::new();
        differences(&theirs, &ours, "", &mut found);
        assert_eq!(found, [""; 0]);
        let mut beyond = Vec::new();
        differences(&ours["intervals"][0], &theirs["intervals"][0], "", &mut beyond);
        differences(&ours["end"], &theirs["end"], "", &mut beyond);
        assert_eq!(beyond, [""; 0], "keys that iperf3 does not have");
    }
}

#[test]
fn what_was_asked_for_is_told_with_its_value() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    let info = Arc::make_mut(&mut outcome.info);
    let mut fields = info.spec.clone().into_fields();
    fields.tuning.tos = Some(16);
    fields.tuning.fq_rate = NonZeroU64::new(1_000_000);
    fields.tuning.window = NonZeroU32::new(65_536);
    info.spec = fields.try_into().unwrap();
    let start = &document(&outcome)["start"];
    assert_eq!((&start["fq_rate"], &start["sock_bufsize"]), (&json!(1_000_000), &json!(65_536)));
    assert_eq!(start["test_start"]["tos"], 16);
    assert_eq!(start["test_start"]["fqrate"], 1_000_000);
    assert_eq!(start["sndbuf_actual"], 2_626_560);
}

#[test]
fn losses_stand_with_the_receiver_and_the_total_with_the_sender() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let document = document(&testing::of_datagrams(direction, 2));
        let end = &document["end"];
        let udp = &end["streams"][1]["udp"];
        assert_eq!((&udp["packets"], &udp["lost_packets"]), (&json!(425_262), &json!(131)));
        assert_eq!((&udp["out_of_order"], &udp["jitter_ms"]), (&json!(3), &json!(0.014)));
        assert_eq!(udp["sender"], direction == Direction::Forward);
        assert_eq!(
            (&end["sum"]["packets"], &end["sum"]["lost_packets"]),
            (&json!(650_524), &json!(262))
        );
        assert_eq!(
            (&end["sum_sent"]["packets"], &end["sum_sent"]["sender"]),
            (&json!(650_524), &json!(true))
        );
        assert_eq!(
            (&end["sum_received"]["packets"], &end["sum_received"]["sender"]),
            (&json!(650_262), &json!(false))
        );
        assert_eq!(document["intervals"][0]["sum"]["packets"], 300_262);
    }
}

#[test]
fn losses_that_the_receiver_did_not_tell_are_null() {
    let outcome = testing::without_remote(testing::of_datagrams(Direction::Forward, 1));
    let document = document(&outcome);
    let udp = &document["end"]["streams"][0]["udp"];
    assert_eq!((&udp["lost_packets"], &udp["lost_percent"]), (&Value::Null, &Value::Null));
    assert_eq!(udp["packets"], 225_262);
    assert_eq!(document["end"]["sum_received"]["packets"], Value::Null);
}

#[test]
fn a_refusal_is_a_document_with_an_error_and_every_key_of_iperf3() {
    let ours: Value =
        serde_json::from_str(&testing::report(of(Format::Json), &[testing::turned_away()]))
            .unwrap();
    let theirs = include_str!("../../../tests/fixtures/iperf3/refused.json");
    let mut found = Vec::new();
    differences(&serde_json::from_str(theirs).unwrap(), &ours, "", &mut found);
    assert_eq!(found, [".start.system_info"], "there was no test to tell of its hosts");
    assert_eq!(ours["error"], "the server is busy running a test");
    assert_eq!(
        ours["polyperf"]["error"],
        json!({"code": "busy", "message": "the server is busy running a test", "retry_after_us": 2_500_000})
    );
}

#[test]
fn a_sender_holds_the_senders_bytes_and_a_receiver_the_receivers() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let document = document(&testing::outcome(direction, 2));
        let end = &document["end"];
        let stream = &end["streams"][1];
        assert_eq!(stream["sender"]["bytes"], 425_262_144);
        assert_eq!(stream["receiver"]["bytes"], 425_000_000);
        assert_eq!(stream["sender"]["sender"], direction == Direction::Forward);
        assert_eq!(end["sum_sent"]["bytes"], 650_524_288);
        assert_eq!(end["sum_sent"]["retransmits"], 6);
        assert_eq!(end["sum_received"]["bytes"], 650_000_000);
    }
}

#[test]
fn the_headline_is_what_the_receiver_counted() {
    let outcome = testing::outcome(Direction::Bidirectional, 1);
    let document = document(&outcome);
    let rate = |key: &str| document["end"][key]["bits_per_second"].as_f64();
    assert_eq!(rate("sum_received"), outcome.goodput(Side::Server));
    assert_eq!(rate("sum_received_bidir_reverse"), outcome.goodput(Side::Client));
    assert_eq!(document["polyperf"]["goodput_bps"]["forward"].as_f64(), rate("sum_received"));
    assert_eq!(
        document["polyperf"]["goodput_bps"]["reverse"].as_f64(),
        rate("sum_received_bidir_reverse")
    );
    assert_eq!(document["start"]["cookie"], "a1b2c3");
}

#[test]
fn a_bidirectional_test_counts_the_retransmits_of_each_direction_once() {
    let document = document(&testing::outcome(Direction::Bidirectional, 1));
    assert_eq!(document["end"]["sum_sent"]["retransmits"], 3);
    assert_eq!(document["end"]["sum_sent_bidir_reverse"]["retransmits"], 3);
    let interval = &document["intervals"][1];
    assert_eq!(interval["sum"]["retransmits"], 3);
    assert_eq!(interval["sum_bidir_reverse"].get("retransmits"), None, "a receiver has none");
}

#[test]
fn what_is_unknown_is_null_in_iperf3s_part_and_left_out_of_ours() {
    let document = document(&testing::without_remote(testing::outcome(Direction::Forward, 1)));
    let end = &document["end"];
    for key in ["bytes", "bits_per_second", "seconds", "end"] {
        assert_eq!(end["sum_received"].get(key), Some(&Value::Null), "{key}");
        assert_eq!(end["streams"][0]["receiver"].get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(end["cpu_utilization_percent"].get("remote_total"), Some(&Value::Null));
    assert_eq!(end.get("receiver_tcp_congestion"), None);
    assert_eq!(document["polyperf"].get("remote"), None);
    assert_eq!(document["polyperf"].get("goodput_bps"), None);
}

#[test]
fn no_time_at_all_has_no_rate_and_is_still_json() {
    let document = document(&testing::of_no_time());
    for total in
        ["sum_sent", "sum_received", "sum_sent_bidir_reverse", "sum_received_bidir_reverse"]
    {
        assert_eq!(document["end"][total]["bits_per_second"], Value::Null);
        assert_eq!(document["end"][total]["seconds"], 0.0);
    }
    assert_eq!(document["intervals"][0]["sum"]["bits_per_second"], Value::Null);
    assert_eq!(document["end"]["cpu_utilization_percent"]["host_total"], Value::Null);
}

#[test]
fn a_test_that_failed_carries_its_figures_and_its_error() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.ended = Ended::Failed(Failure::new(FailureCode::PeerLost, "the server fell silent"));
    let document = document(&outcome);
    assert_eq!(document["error"], "the server fell silent");
    assert_eq!(document["polyperf"]["error"]["code"], "peer_lost");
    assert_eq!(document["polyperf"]["ended"]["how"], "failed");
    assert_eq!(document["end"]["sum_sent"]["bytes"], 225_262_144);
}

#[test]
fn a_test_that_was_stopped_is_no_error() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.ended = Ended::Stopped { by: Side::Client, reason: "interrupted".to_owned() };
    let document = document(&outcome);
    assert_eq!(document.get("error"), None);
    assert_eq!(
        document["polyperf"]["ended"],
        json!({"how": "stopped", "by": "client", "reason": "interrupted"})
    );
}

#[test]
fn omitted_intervals_say_so_and_the_clock_starts_anew_after_them() {
    let document = document(&testing::with_omitted_second());
    let intervals = document["intervals"].as_array().unwrap();
    let told =
        |interval: &Value| (interval["sum"]["omitted"] == true, interval["sum"]["start"].as_f64());
    let told: Vec<_> = intervals.iter().map(told).collect();
    assert_eq!(told, [(true, Some(0.0)), (false, Some(0.0)), (false, Some(1.0))]);
    assert_eq!(document["start"]["test_start"]["omit"], 1);
}

#[test]
fn the_servers_own_report_is_text_or_a_document() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.server_output = Some("plain\ttext".to_owned());
    assert_eq!(document(&outcome)["server_output_text"], "plain\ttext");
    outcome.server_output = Some("{\"start\": {}}".to_owned());
    assert_eq!(document(&outcome)["server_output_json"], json!({"start": {}}));
}

#[test]
fn strings_mean_the_same_when_they_are_read_back() {
    let document = document(&testing::hostile());
    for value in [&document["title"], &document["extra_data"], &document["error"]] {
        assert_eq!(value, testing::HOSTILE);
    }
}

#[test]
fn the_polyperf_object_reads_back_as_it_was() {
    let outcome = testing::with_settings(testing::outcome(Direction::Bidirectional, 2));
    let read: Polyperf = serde_json::from_value(document(&outcome)["polyperf"].clone()).unwrap();
    assert_eq!(read.schema, SCHEMA);
    assert_eq!(read.test, Some(Arc::clone(&outcome.info)));
    assert_eq!(read.intervals, outcome.intervals);
    assert_eq!((read.local, read.remote), (Some(outcome.local), outcome.remote));
    assert_eq!(read.ended, Some(outcome.ended));
}

#[test]
fn a_stream_is_one_event_a_line_and_the_end_is_the_last() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.ended = Ended::Failed(Failure::new(FailureCode::Stalled, "no data arrived"));
    outcome.server_output = Some("two\nlines".to_owned());
    let lines = stream(of(Format::JsonStream), &testing::events(&outcome));
    let told: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["start", "interval", "interval", "error", "server_output_text", "end"]);
    assert_eq!(lines[1]["data"]["sum"]["bytes"], 100_131_072);
    assert_eq!(lines[1]["polyperf"]["intervals"][0]["remote"]["flows"][0]["bytes"], 100_000_000);
    assert_eq!(lines[3]["data"], "no data arrived");
    assert_eq!(lines[4]["data"], "two\nlines");
    assert_eq!(lines[5]["polyperf"].get("intervals"), None, "each was told at its time");
    assert!(lines.iter().all(|line| line.get("session").is_none()));
}

#[test]
fn a_servers_stream_says_to_which_session_each_line_belongs() {
    let options = Options { sessions: true, ..of(Format::JsonStream) };
    let lines = stream(options, &testing::events(&testing::outcome(Direction::Forward, 1)));
    assert!(lines.iter().all(|line| line["session"] == "a1b2c3"));
}

#[test]
fn a_stream_tells_of_the_queue_and_of_a_refusal() {
    let place = Event::Queued(Queued { position: 2, retry_after: None });
    let lines = stream(of(Format::JsonStream), &[place, testing::turned_away()]);
    assert_eq!(lines[0], json!({"event": "queued", "data": {"position": 2}}));
    assert_eq!(
        (&lines[1]["event"], &lines[1]["polyperf"]["error"]["code"]),
        (&json!("error"), &json!("busy"))
    );
}
