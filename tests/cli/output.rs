//! What is printed, where, and in which format.

use serde_json::Value;

use crate::program::{Server, run};

#[test]
fn text_shows_what_the_receiver_counted_and_leaves_standard_error_alone() {
    let server = Server::start(&[]);
    for direction in [&[][..], &["-R"], &["--bidir"], &["-P", "3"]] {
        let ended = server.client(&[&["-n", "256K"], direction].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{direction:?}: {}", ended.out);
        assert!(ended.out.contains("Goodput"), "{}", ended.out);
        assert!(ended.out.contains("receiver") && ended.out.contains("sender"), "{}", ended.out);
        assert!(!ended.out.contains('\u{1b}'), "no terminal, no colour: {:?}", ended.out);
    }
}

#[test]
fn json_is_one_document_with_iperf3s_keys_and_ours() {
    let server = Server::start(&[]);
    let ended = server.client(&["-n", "1M", "-J", "-T", "label", "--extra-data", "extra"]);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(document["end"]["sum_received"]["bytes"], 1 << 20);
    assert_eq!(document["end"]["sum_sent"]["bytes"], 1 << 20);
    assert_eq!(document["start"]["test_start"]["protocol"], "TCP");
    assert_eq!(document["title"], "label");
    assert_eq!(document["extra_data"], "extra");
    assert_eq!(document["polyperf"]["ended"]["how"], "complete");
}

#[test]
fn a_json_stream_is_one_event_a_line() {
    let server = Server::start(&[]);
    let ended = server.client(&["-t", "0.5", "-i", "0.1", "-b", "10M", "--json-stream"]);
    let events: Vec<Value> = ended.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"start"));
    assert_eq!(names.last(), Some(&"end"));
    assert!(names[1..names.len() - 1].iter().all(|name| *name == "interval"), "{names:?}");
    assert!(names.len() >= 6, "{names:?}");
}

#[test]
fn csv_has_a_header_and_as_many_cells_in_every_row() {
    let server = Server::start(&[]);
    let ended = server.client(&["-n", "1M", "-P", "2", "--csv"]);
    let mut reader = csv::Reader::from_reader(ended.out.as_bytes());
    assert!(reader.headers().unwrap().len() > 5);
    assert!(reader.records().map(Result::unwrap).count() >= 4);
}

#[test]
fn an_output_file_appears_when_it_is_complete() {
    let server = Server::start(&[]);
    let folder = std::env::temp_dir().join(format!("polyperf-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("result.json");
    let ended = server.client(&["-n", "64K", "-J", "-o", path.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(document["end"]["sum_received"]["bytes"], 64 << 10);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_output_file_that_cannot_be_written_is_known_before_the_test() {
    let ended = run(&["client", "127.0.0.1", "-p", "1", "-o", "/no/such/folder/file"]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.err.contains("/no/such/folder/file"), "{}", ended.err);
}

#[test]
fn the_servers_own_report_comes_with_the_result() {
    let server = Server::start(&[]);
    let ended = server.client(&["-n", "64K", "--get-server-output"]);
    assert!(ended.out.contains("Accepted connection from 127.0.0.1"), "{}", ended.out);
}

#[test]
fn a_server_reports_every_session_as_json() {
    let mut command = crate::program::polyperf(&["server", "-p", "0", "--log-format", "json"]);
    command.args(["--json-stream", "-1"]).stdout(std::process::Stdio::piped());
    let mut server = Server::spawn(&mut command);
    assert_eq!(server.client(&["-n", "64K", "-i", "0"]).code, Some(0));
    let out = server.stdout();
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "start", "{out}");
    assert_eq!(events.last().unwrap()["event"], "end", "{out}");
    assert!(events.iter().all(|event| event["session"].is_string()), "{out}");
}

#[test]
fn the_log_says_who_asked_for_what_and_how_it_ended() {
    let server = Server::start(&[]);
    server.client(&["-n", "64K", "-R"]);
    let line = server.wait_for("test ended");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert_eq!((&line["transport"], &line["ended"]), (&"tcp".into(), &"complete".into()));
    assert!(line["session"].is_string() && line["down_mbps"].is_string(), "{line}");
}
