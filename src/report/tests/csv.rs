use super::{Format, Options, of, testing};
use crate::{
    outcome::{Ended, Outcome, Side},
    spec::Direction,
};

fn shown(outcome: &Outcome) -> String {
    testing::report(of(Format::Csv), &testing::events(outcome))
}

#[test]
fn a_test_is_a_table_of_intervals_and_totals_below_one_header() {
    assert_eq!(
        shown(&testing::outcome(Direction::Forward, 2)),
        "\
kind,session,title,transport,flow,direction,start_s,end_s,omitted,received_bytes,goodput_bps,sent_bytes,sent_bps,retransmits,cwnd_bytes,rtt_us,ended,message,datagrams_sent,datagrams_received,datagrams_lost,datagrams_reordered,datagrams_duplicated,datagrams_late,jitter_us,connection,packets_lost,congestion_events,window_blocked,handshake_us,first_reply_us,wire_bytes_sent,wire_overhead,packets_per_send_call,packets_per_recv_call,mtu_bytes,security,cipher,key_exchange,verified,resumed,early_data,timeout_retransmits,fast_retransmits,early_retransmits,spurious_retransmits,duplicates,parity_bytes_sent,recovered,unrecoverable,requests,replies,requests_lost,latency_p50_ns,latency_p90_ns,latency_p99_ns,latency_p999_ns,latency_max_ns,idle_p50_ns,idle_p99_ns,forward_p50_ns,forward_p99_ns,backward_p50_ns,backward_p99_ns,one_way_uncertainty_ns
interval,a1b2c3,,tcp,1,forward,0.000000,1.000000,false,100000000,800000000,100131072,801048576,0,785408,113,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
interval,a1b2c3,,tcp,2,forward,0.000000,1.000000,false,200000000,1600000000,200131072,1601048576,0,785408,226,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
interval,a1b2c3,,tcp,sum,forward,0.000000,1.000000,false,300000000,2400000000,300262144,2402097152,0,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
interval,a1b2c3,,tcp,1,forward,1.000000,2.000000,false,125000000,1000000000,125131072,1001048576,3,1570816,1243,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
interval,a1b2c3,,tcp,2,forward,1.000000,2.000000,false,225000000,1800000000,225131072,1801048576,3,1570816,1356,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
interval,a1b2c3,,tcp,sum,forward,1.000000,2.000000,false,350000000,2800000000,350262144,2802097152,6,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
total,a1b2c3,,tcp,1,forward,0.000000,2.001000,,225000000,899550225,225262144,901048576,3,1047552,1080,complete,,,,,,,,,,,,,,,,,,,1500,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
total,a1b2c3,,tcp,2,forward,0.000000,2.001000,,425000000,1699150425,425262144,1701048576,3,1047552,1080,complete,,,,,,,,,,,,,,,,,,,1500,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
total,a1b2c3,,tcp,sum,forward,0.000000,2.001000,,650000000,2598700650,650524288,2602097152,6,,,complete,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
"
    );
}

#[test]
fn datagrams_stand_in_columns_of_their_own() {
    let report = shown(&testing::of_datagrams(Direction::Forward, 1));
    let lines: Vec<_> = report.lines().collect();
    assert!(lines[1].contains(",,,100131,100000,131,3,2,0,14,"), "{}", lines[1]);
    assert!(lines[3].contains(",complete,,225262,225000,131,3,2,0,14,"), "{}", lines[3]);
}

#[test]
fn what_is_unknown_is_an_empty_cell() {
    let report = shown(&testing::without_remote(testing::outcome(Direction::Reverse, 1)));
    let lines: Vec<_> = report.lines().collect();
    let empty = ",".repeat(40);
    assert_eq!(
        lines[1],
        format!(
            "interval,a1b2c3,,tcp,1,reverse,0.000000,1.000000,false,100000000,800000000,,,,,,,,,,,,,,{empty}"
        )
    );
    assert_eq!(
        lines[3],
        format!(
            "total,a1b2c3,,tcp,1,reverse,0.000000,2.001000,,225000000,899550225,,,,,,complete,,,,,,,,{empty}"
        )
    );
}

#[test]
fn each_line_has_every_column_whatever_its_strings_hold() {
    let mut outcome = testing::hostile();
    outcome.ended = Ended::Stopped { by: Side::Client, reason: "a \"quoted\", word".to_owned() };
    let mut events = testing::events(&outcome);
    events.push(testing::turned_away());
    let report = testing::report(of(Format::Csv), &events);
    let mut reader = csv::Reader::from_reader(report.as_bytes());
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record.len() == 65));
    assert!(records[0][1].starts_with("'=cmd()"), "{:?}", records[0]);
    assert_eq!(&records[2][17], "a \"quoted\", word");
    assert_eq!((&records[3][0], &records[3][16]), ("error", "failed"));
}

#[test]
fn a_summary_has_no_intervals() {
    let options = Options { summary_only: true, ..of(Format::Csv) };
    let report =
        testing::report(options, &testing::events(&testing::outcome(Direction::Forward, 1)));
    assert_eq!(report.lines().count(), 2, "{report}");
}
