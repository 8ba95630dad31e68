use std::{sync::Arc, time::Duration};

use super::{Format, Options, of, testing};
use crate::{
    event::{Event, Queued},
    measure::Interval,
    outcome::{Ended, Failure, FailureCode, Outcome, Side},
    report::text,
    spec::Direction,
};

fn shown(outcome: &Outcome) -> String {
    testing::report(of(Format::Text), &testing::events(outcome))
}

/// Returns the lines from the first that begins with `start`.
fn from<'a>(report: &'a str, start: &str) -> &'a str {
    let at =
        report.find(&format!("\n{start}")).unwrap_or_else(|| panic!("no {start:?} in\n{report}"));
    &report[at + 1..]
}

#[test]
fn a_forward_test_of_two_streams_shows_each_and_their_sum() {
    assert_eq!(
        shown(&testing::outcome(Direction::Forward, 2)),
        "\
Connecting to host server.example, port 5201
Test a1b2c3: tcp, 2 streams, blocks of 131072 bytes, 2 s; server runs polyperf 0.1.0
[  1] local 192.0.2.1 port 50001 connected to 192.0.2.2 port 5201
[  2] local 192.0.2.1 port 50002 connected to 192.0.2.2 port 5201
[ ID] Interval           Transfer     Goodput         Retr  Cwnd         RTT
[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec     0   767 KBytes   0.113 ms
[  2]   0.00-1.00   sec   191 MBytes  1.60 Gbits/sec     0   767 KBytes   0.226 ms
[SUM]   0.00-1.00   sec   286 MBytes  2.40 Gbits/sec     0
- - - - - - - - - - - - - - - - - - - - - - - - -
[  1]   1.00-2.00   sec   119 MBytes  1.00 Gbits/sec     3  1.50 MBytes   1.243 ms
[  2]   1.00-2.00   sec   215 MBytes  1.80 Gbits/sec     3  1.50 MBytes   1.356 ms
[SUM]   1.00-2.00   sec   334 MBytes  2.80 Gbits/sec     6
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Retr
[  1]   0.00-2.00   sec   215 MBytes   900 Mbits/sec        receiver
[  1]   0.00-2.00   sec   215 MBytes   901 Mbits/sec     3  sender
[  2]   0.00-2.00   sec   405 MBytes  1.70 Gbits/sec        receiver
[  2]   0.00-2.00   sec   406 MBytes  1.70 Gbits/sec     3  sender
[SUM]   0.00-2.00   sec   620 MBytes  2.60 Gbits/sec        receiver
[SUM]   0.00-2.00   sec   620 MBytes  2.60 Gbits/sec     6  sender
[  1] RTT min/mean/max 0.047/1.080/12.11 ms, retransmits 3, max Cwnd 1023 KBytes, congestion control cubic
[  2] RTT min/mean/max 0.047/1.080/12.11 ms, retransmits 3, max Cwnd 1023 KBytes, congestion control cubic
CPU: local 81.0% (1.0% user, 80.0% system; data threads), remote 49.0% (1.0% user, 48.0% system; process)
"
    );
}

#[test]
fn a_reverse_test_shows_the_figures_of_the_remote_sender() {
    assert_eq!(
        shown(&testing::outcome(Direction::Reverse, 1)),
        "\
Connecting to host server.example, port 5201
Reverse mode, remote host server.example is sending
Test a1b2c3: tcp, 1 stream, blocks of 131072 bytes, 2 s; server runs polyperf 0.1.0
[  1] local 192.0.2.1 port 50001 connected to 192.0.2.2 port 5201
[ ID] Interval           Transfer     Goodput         Retr  Cwnd         RTT
[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec     0   767 KBytes   0.113 ms
[  1]   1.00-2.00   sec   119 MBytes  1.00 Gbits/sec     3  1.50 MBytes   1.243 ms
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Retr
[  1]   0.00-2.00   sec   215 MBytes   900 Mbits/sec        receiver
[  1]   0.00-2.00   sec   215 MBytes   901 Mbits/sec     3  sender
[  1] RTT min/mean/max 0.047/1.080/12.11 ms, retransmits 3, max Cwnd 1023 KBytes, congestion control cubic
CPU: local 81.0% (1.0% user, 80.0% system; data threads), remote 49.0% (1.0% user, 48.0% system; process)
"
    );
}

#[test]
fn rows_of_a_bidirectional_test_say_what_this_end_does() {
    let client = testing::outcome(Direction::Bidirectional, 1);
    let report = shown(&client);
    assert!(report.contains("\n[ ID][Role] Interval           Transfer     Goodput"), "{report}");
    assert!(
        report.contains("\n[  1][TX-C]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec"),
        "{report}"
    );
    assert!(
        report.contains("\n[  2][RX-C]   0.00-1.00   sec   191 MBytes  1.60 Gbits/sec"),
        "{report}"
    );
    assert!(!report.contains("[SUM]"), "one stream in each direction has no sum: {report}");
    let report = shown(&testing::seen_by_server(&client));
    assert!(report.starts_with("Accepted connection from 192.0.2.1, port 50000\n"), "{report}");
    assert!(
        report.contains("\n[  1][RX-S]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec"),
        "{report}"
    );
    assert!(
        report.contains("\n[  2][TX-S]   0.00-1.00   sec   191 MBytes  1.60 Gbits/sec"),
        "{report}"
    );
}

#[test]
fn a_test_of_datagrams_shows_their_losses() {
    let report = shown(&testing::of_datagrams(Direction::Forward, 2));
    assert_eq!(
        from(&report, "[ ID] Interval           Transfer     Goodput"),
        "\
[ ID] Interval           Transfer     Goodput         Jitter     Lost/Total Datagrams
[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec   0.014 ms  131/100131 (0.13%)
[  2]   0.00-1.00   sec   191 MBytes  1.60 Gbits/sec   0.014 ms  131/200131 (0.07%)
[SUM]   0.00-1.00   sec   286 MBytes  2.40 Gbits/sec   0.014 ms  262/300262 (0.09%)
- - - - - - - - - - - - - - - - - - - - - - - - -
[  1]   1.00-2.00   sec   119 MBytes  1.00 Gbits/sec   0.014 ms  131/125131 (0.10%)
[  2]   1.00-2.00   sec   215 MBytes  1.80 Gbits/sec   0.014 ms  131/225131 (0.06%)
[SUM]   1.00-2.00   sec   334 MBytes  2.80 Gbits/sec   0.014 ms  262/350262 (0.07%)
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Jitter     Lost/Total Datagrams
[  1]   0.00-2.00   sec   215 MBytes   900 Mbits/sec   0.014 ms  131/225131 (0.06%)  receiver
[  1]   0.00-2.00   sec   215 MBytes   901 Mbits/sec             225262  sender
[  2]   0.00-2.00   sec   405 MBytes  1.70 Gbits/sec   0.014 ms  131/425131 (0.03%)  receiver
[  2]   0.00-2.00   sec   406 MBytes  1.70 Gbits/sec             425262  sender
[SUM]   0.00-2.00   sec   620 MBytes  2.60 Gbits/sec   0.014 ms  262/650262 (0.04%)  receiver
[SUM]   0.00-2.00   sec   620 MBytes  2.60 Gbits/sec             650524  sender
[  1] datagrams reordered 3, duplicated 2, late 0, loss runs 7 (longest 40); delay variation p50/p99 0.012/0.095 ms
[  2] datagrams reordered 3, duplicated 2, late 0, loss runs 7 (longest 40); delay variation p50/p99 0.012/0.095 ms
[  1] pacing lateness p50/p99 0.052/0.110 ms
[  2] pacing lateness p50/p99 0.052/0.110 ms
[  1] pacing token error -200 bytes (largest 52000), bursts p50/p99/max 32/32/64 datagrams, slips 1 (1.500 ms)
[  2] pacing token error -200 bytes (largest 52000), bursts p50/p99/max 32/32/64 datagrams, slips 1 (1.500 ms)
CPU: local 81.0% (1.0% user, 80.0% system; data threads), remote 49.0% (1.0% user, 48.0% system; process)
"
    );
}

#[test]
fn losses_that_the_receiver_did_not_tell_are_unknown() {
    let outcome = testing::without_remote(testing::of_datagrams(Direction::Forward, 1));
    let report = shown(&outcome);
    assert!(
        report.contains("95.5 MBytes   801 Mbits/sec             100131  (sent)\n"),
        "{report}"
    );
    assert!(report.contains("            -          -  -  receiver\n"), "{report}");
}

#[test]
fn a_sum_never_mixes_directions() {
    let report = shown(&testing::outcome(Direction::Bidirectional, 2));
    let sums: Vec<_> = report.lines().filter(|line| line.starts_with("[SUM]")).take(2).collect();
    assert_eq!(
        sums,
        [
            "[SUM][TX-C]   0.00-1.00   sec   286 MBytes  2.40 Gbits/sec     0",
            "[SUM][RX-C]   0.00-1.00   sec   668 MBytes  5.60 Gbits/sec     0",
        ]
    );
}

#[test]
fn omitted_intervals_are_marked_and_the_clock_starts_anew_after_them() {
    let report = shown(&testing::with_omitted_second());
    assert!(report.contains(
        "\
[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec     0   767 KBytes   0.113 ms  (omitted)
[  1]   0.00-1.00   sec   119 MBytes  1.00 Gbits/sec     3  1.50 MBytes   1.243 ms
[  1]   1.00-2.00   sec   143 MBytes  1.20 Gbits/sec     6  2.25 MBytes   2.373 ms
"
    ));
}

#[test]
fn what_only_the_sender_counted_is_marked_and_is_no_goodput() {
    let report = shown(&testing::without_remote(testing::outcome(Direction::Forward, 1)));
    assert!(report.contains(
        "[  1]   0.00-1.00   sec  95.5 MBytes   801 Mbits/sec     0   767 KBytes   0.113 ms  (sent)\n"
    ));
    assert_eq!(
        from(&report, "[ ID] Interval           Transfer     Bitrate"),
        "\
[ ID] Interval           Transfer     Bitrate         Retr
[  1]      -       sec            -               -        receiver
[  1]   0.00-2.00   sec   215 MBytes   901 Mbits/sec     3  sender
[  1] RTT min/mean/max 0.047/1.080/12.11 ms, retransmits 3, max Cwnd 1023 KBytes, congestion control cubic
CPU: local 81.0% (1.0% user, 80.0% system; data threads), remote -
"
    );
}

#[test]
fn a_receiver_does_not_invent_the_figures_of_a_silent_sender() {
    let report = shown(&testing::without_remote(testing::outcome(Direction::Reverse, 1)));
    assert!(report.contains(
        "[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec     -            -          -\n"
    ));
    assert!(report.contains("[  1]      -       sec            -               -     -  sender\n"));
    assert!(
        report.contains(
            "[  1] RTT min/mean/max -, retransmits -, max Cwnd -, congestion control -\n"
        )
    );
}

#[test]
fn no_time_at_all_has_no_rate() {
    let report = shown(&testing::of_no_time());
    assert!(
        report.contains(
            "[  1][TX-C]   0.00-0.00   sec   215 MBytes               -        receiver\n"
        )
    );
    assert!(report.contains("\nCPU: local -, remote -\n"));
}

#[test]
fn a_chosen_unit_keeps_the_columns() {
    let options = Options { unit: "k".parse().ok(), ..of(Format::Text) };
    let report =
        testing::report(options, &testing::events(&testing::outcome(Direction::Forward, 1)));
    assert!(report.contains(
        "\
[ ID] Interval           Transfer     Goodput               Retr  Cwnd         RTT
[  1]   0.00-1.00   sec  95.4 MBytes      800000 Kbits/sec     0   767 KBytes   0.113 ms
[  1]   1.00-2.00   sec   119 MBytes     1000000 Kbits/sec     3  1.50 MBytes   1.243 ms
"
    ));
}

#[test]
fn columns_keep_their_place_for_any_number() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    let interval = Arc::make_mut(&mut outcome.intervals[1]);
    let day = Duration::from_secs(86_399);
    (interval.local.start, interval.local.end) = (day, day + Duration::from_secs(1));
    interval.remote.as_mut().unwrap().flows[0].bytes = u64::MAX;
    let flow = &mut interval.local.flows[0];
    flow.retransmits = Some(1 << 40);
    let path = flow.path.as_mut().unwrap();
    (path.rtt, path.cwnd) = (Some(Duration::from_secs(120)), Some(u64::MAX));
    let report = shown(&outcome);
    assert!(
        report.contains(
            "\
[  1]   0.00-1.00   sec  95.4 MBytes   800 Mbits/sec     0   767 KBytes   0.113 ms
[  1]  86399-86400  sec   2e7 TBytes   1e8 Tbits/sec  1e12   2e7 TBytes  120000 ms
"
        ),
        "{report}"
    );
}

#[test]
fn settings_that_came_out_otherwise_are_told_once_and_others_not_at_all() {
    let report = shown(&testing::with_settings(testing::outcome(Direction::Forward, 2)));
    assert_eq!(
        from(&report, "Setting"),
        "\
Setting window at the client: asked 4194304 -> granted 425984: the system's limit
Setting no_delay at the client: asked true -> granted -: quic has no such setting
Changed by the server: the rate was limited to 1 Gbit/s
"
    );
}

#[test]
fn an_early_end_says_who_and_why() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.ended = Ended::Stopped { by: Side::Server, reason: "it is shutting down".to_owned() };
    assert!(shown(&outcome).ends_with("\nStopped by the server: it is shutting down\n"));
    outcome.ended = Ended::Failed(Failure::new(FailureCode::PeerLost, "the server fell silent"));
    assert!(shown(&outcome).ends_with("\nFailed before its end: the server fell silent\n"));
    outcome.server_output = Some("one\r\n\ttwo\u{1b}[2J\n".to_owned());
    assert!(shown(&outcome).ends_with("\nServer output:\none\n\ttwo\\u{1b}[2J\n"));
}

#[test]
fn a_refusal_says_when_to_try_again() {
    assert_eq!(
        testing::report(of(Format::Text), &[testing::turned_away()]),
        "Test with 192.0.2.2, port 5201, failed: the server is busy running a test; try again in 3 s\n"
    );
    let place = Queued { position: 2, retry_after: Some(Duration::from_millis(11_200)) };
    assert_eq!(
        testing::report(of(Format::Text), &[Event::Queued(place)]),
        "The server is busy: this test has place 2 in its queue; it expects to have room in 12 s\n"
    );
}

#[test]
fn each_line_begins_with_the_session_where_asked_for_and_with_the_title() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.info = Arc::new(testing::changed(testing::info(Direction::Forward, 1), |fields| {
        fields.title = Some("uplink".to_owned());
    }));
    assert!(shown(&outcome).lines().all(|line| line.starts_with("uplink:  ")));
    let options = Options { sessions: true, ..of(Format::Text) };
    let report = testing::report(options, &testing::events(&outcome));
    assert!(report.lines().all(|line| line.starts_with("[a1b2c3] uplink:  ")), "{report}");
}

#[test]
fn a_whole_outcome_reads_as_its_events_did() {
    let outcome = testing::outcome(Direction::Bidirectional, 2);
    assert_eq!(text::render(&outcome), shown(&outcome));
}

#[test]
fn an_outcome_that_kept_no_intervals_has_no_table_of_them() {
    let mut outcome = testing::outcome(Direction::Forward, 1);
    outcome.intervals = Vec::<Arc<Interval>>::new();
    let report = text::render(&outcome);
    assert!(!report.contains("Goodput"), "{report}");
    let options = Options { summary_only: true, ..of(Format::Text) };
    assert_eq!(
        testing::report(options, &testing::events(&testing::outcome(Direction::Forward, 1))),
        report
    );
}

#[test]
fn an_ipv4_address_is_shown_as_one_also_from_an_ipv6_socket() {
    let mut outcome = testing::seen_by_server(&testing::outcome(Direction::Forward, 1));
    Arc::make_mut(&mut outcome.info).peer = "[::ffff:192.0.2.1]:50000".parse().unwrap();
    assert!(shown(&outcome).starts_with("Accepted connection from 192.0.2.1, port 50000\n"));
}
