//! How it ends: exit codes, signals, and what is shown all the same.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::program::{Ended, Server, kill, polyperf, run};

/// Waits until a client that prints JSON lines has told of an interval.
fn running(client: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(r#""event":"interval""#) {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the client ended early");
    }
    lines
}

/// Returns the last event of a client that prints JSON lines, and its exit code.
fn last(mut client: Child, mut lines: impl std::io::Read) -> (Value, Option<i32>) {
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let line = rest.lines().last().unwrap_or_default();
    let event = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    (event, client.wait().unwrap().code())
}

const ENDLESS: &[&str] = &["-t", "0", "-i", "0.1", "-b", "8M", "--json-stream"];

#[test]
fn a_wrong_command_line_is_two_and_names_every_mistake() {
    let ended = run(&["client", "127.0.0.1", "-t", "soon", "-P", "0", "--no-such"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    for mistake in ["soon", "-P", "--no-such"] {
        assert!(ended.err.contains(mistake), "{mistake} is not in {}", ended.err);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["client", "--help"], &["server", "--help"], &["--version"]] {
        let ended = run(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(ended.out.contains("polyperf"), "{}", ended.out);
    }
}

#[test]
fn nobody_there_is_three_and_says_what_to_look_at() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let ended = run(&["client", "127.0.0.1", "-p", &free]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""));
    assert!(ended.err.contains(&free) && ended.err.contains("firewall"), "{}", ended.err);
    let ended = run(&["client", "127.0.0.1", "-p", &free, "-J"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(3), ""));
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert!(document["error"].is_string(), "{document}");
    assert_eq!(document["polyperf"]["error"]["code"], "connect", "{document}");
}

#[test]
fn a_refusal_is_four() {
    let server = Server::start(&["--max-duration", "5", "--max-sessions", "1"]);
    let denied = server.client(&["-t", "6"]);
    assert_eq!(denied.code, Some(4));
    assert!(denied.err.contains("5 s"), "{}", denied.err);
    let mut other = server.start_client(ENDLESS);
    let _lines = running(&mut other);
    let busy = server.client(&["-n", "1K", "--queue-timeout", "0"]);
    assert_eq!(busy.code, Some(4));
    assert!(busy.err.contains("busy"), "{}", busy.err);
    kill(&other, libc::SIGKILL);
    other.wait().unwrap();
}

#[test]
fn an_iperf3_server_is_told_apart_and_spoken_to_in_its_own_words() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        let mut cookie = [0; 37];
        stream.read_exact(&mut cookie).unwrap();
        stream.write_all(&[9]).unwrap();
        assert_eq!(cookie[36], 0);
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut params = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
        stream.read_exact(&mut params).unwrap();
        stream.write_all(&[0xff]).unwrap();
        serde_json::from_slice::<Value>(&params).unwrap()
    });
    let ended = run(&["client", "127.0.0.1", "-p", &port, "-P", "3"]);
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.err.contains("busy"), "{}", ended.err);
    let params = server.join().unwrap();
    assert_eq!((&params["tcp"], &params["parallel"]), (&Value::Bool(true), &Value::from(3)));
}

#[test]
fn ctrl_c_shows_what_there_is_on_both_sides() {
    let server = Server::start(&[]);
    let mut client = server.start_client(ENDLESS);
    let lines = running(&mut client);
    kill(&client, libc::SIGINT);
    let (event, code) = last(client, lines);
    assert_eq!(code, Some(130));
    assert_eq!(event["event"], "end");
    assert!(event["data"]["sum_received"]["bytes"].as_u64().unwrap() > 0, "{event}");
    let line = server.wait_for("test ended");
    assert!(line["ended"].as_str().unwrap().contains("stopped by the client"), "{line}");
    assert!(line["up_mbps"].is_string(), "{line}");
}

#[test]
fn a_server_that_is_killed_leaves_the_client_its_figures() {
    let server = Server::start(&[]);
    let mut client = server.start_client(ENDLESS);
    let lines = running(&mut client);
    server.signal(libc::SIGKILL);
    let (event, code) = last(client, lines);
    assert_eq!(code, Some(1));
    let text = event.to_string();
    assert!(text.contains("lost") || text.contains("failed"), "{text}");
}

#[test]
fn a_client_that_is_killed_costs_its_own_session_only() {
    let server = Server::start(&["--max-sessions", "1"]);
    let mut client = server.start_client(ENDLESS);
    let _lines = running(&mut client);
    kill(&client, libc::SIGKILL);
    client.wait().unwrap();
    server.wait_for("test ended");
    assert_eq!(server.client(&["-n", "1K"]).code, Some(0));
}

#[test]
fn sigterm_lets_the_running_test_finish_and_takes_no_new_one() {
    let server = Server::start(&[]);
    let mut client = server.start_client(&["-t", "2", "-i", "0.1", "-b", "8M", "--json-stream"]);
    let lines = running(&mut client);
    server.signal(libc::SIGTERM);
    server.wait_for("no new tests");
    assert_eq!(server.client(&["-n", "1K"]).code, Some(4));
    let (event, code) = last(client, lines);
    assert_eq!((code, &event["event"]), (Some(0), &"end".into()));
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_sigterm_cuts_it_short_with_results_on_both_sides() {
    let server = Server::start(&[]);
    let mut client = server.start_client(ENDLESS);
    let lines = running(&mut client);
    server.signal(libc::SIGTERM);
    server.wait_for("no new tests");
    server.signal(libc::SIGTERM);
    let (event, code) = last(client, lines);
    assert_eq!(code, Some(1));
    assert!(event["data"]["sum_received"]["bytes"].as_u64().unwrap() > 0, "{event}");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0));
    let ended = log.iter().find(|line| line["message"] == "test ended").unwrap();
    assert!(ended["ended"].as_str().unwrap().contains("stopped by the server"), "{ended}");
}

#[test]
fn a_port_that_is_taken_is_six_and_says_who_may_hold_it() {
    let server = Server::start(&[]);
    let port = server.port.to_string();
    let ended = run(&["server", "-p", &port]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.err.contains(&port) && ended.err.contains("iperf3"), "{}", ended.err);
}

#[test]
fn one_test_ends_a_server_that_is_to_serve_one() {
    let server = Server::start(&["--one-off"]);
    assert_eq!(server.client(&["-n", "1K"]).code, Some(0));
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_server_that_nobody_wants_ends_after_its_idle_time() {
    let server = Server::start(&["--idle-timeout", "0.2"]);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let server = Server::start(&[]);
    let mut command = server.command(&["-t", "0", "-i", "0.1", "-b", "8M"]);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended: Ended = client.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "after {first:?}");
}

#[test]
fn who_waits_in_the_queue_sees_the_place_and_then_runs() {
    let server = Server::start(&["--max-sessions", "1"]);
    let mut first = server.start_client(&["-t", "1", "-i", "0.1", "-b", "8M", "--json-stream"]);
    let lines = running(&mut first);
    let second = server.client(&["-n", "64K"]);
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert!(second.out.contains("place 1"), "{}", second.out);
    assert_eq!(last(first, lines).1, Some(0));
}

#[test]
fn a_name_that_nobody_has_is_three() {
    let ended = polyperf(&["client", "no-such-host.invalid"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
}
