//! Processors for the threads that move bytes, and others for the rest.

use std::collections::BTreeMap;

use polyperf_transport::Processors;
use serde_json::Value;

use crate::program::{Server, run};

/// Returns the processors of each thread of a process, by its name.
fn threads(process: u32) -> BTreeMap<String, String> {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |thread: std::fs::DirEntry| {
        let status = read(thread.path().join("status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().to_owned()
        };
        (field("Name:"), field("Cpus_allowed_list:"))
    };
    threads.map(|thread| of(thread.unwrap())).collect()
}

/// Returns what the server's end of each flow says of its processors.
fn told(document: &Value) -> Vec<&Value> {
    let flows = document["polyperf"]["remote"]["flows"].as_array().unwrap();
    let settings = flows.iter().map(|flow| flow["settings"].as_array().unwrap());
    let of_processors = |setting: &&Value| setting["option"] == "data_processors";
    settings.map(|settings| settings.iter().find(of_processors).unwrap()).collect()
}

#[test]
fn threads_that_move_bytes_keep_to_their_processors_and_the_rest_keeps_off_them() {
    let ours = Processors::of_thread().unwrap();
    let numbers = ours.to_string();
    let last = numbers.rsplit([',', '-']).next().unwrap();
    let data: Processors = last.parse().unwrap();
    let rest = ours.without(&data).unwrap_or_else(|| data.clone()).to_string();
    let server = Server::start(&["--data-processors", last]);
    for transport in ["tcp", "udp", "rudp", "kcp", "quic"] {
        let ended = server.client(&["--transport", transport, "-n", "64K", "-P", "2", "-J"]);
        assert_eq!(ended.code, Some(0), "{transport}: {}{}", ended.out, ended.err);
        let document: Value = serde_json::from_str(&ended.out).unwrap();
        let told = told(&document);
        assert_eq!(told.len(), 2, "{transport}: {document}");
        for setting in told {
            assert_eq!((&setting["asked"], &setting["granted"]), (&last.into(), &last.into()));
        }
    }
    let threads = threads(server.id());
    assert_eq!(threads["polyperf"], rest, "{threads:?}");
    assert_eq!(threads["quic-0"], last, "{threads:?}");
    for (name, on) in &threads {
        let moves_bytes = ["flow-", "kcp", "quic", "rudp"].iter().any(|of| name.starts_with(of));
        assert_eq!(on, if moves_bytes { last } else { &rest }, "{name}: {threads:?}");
    }
}

#[test]
fn processors_that_cannot_be_had_are_said_before_anything_is_served() {
    for (list, code, wanted) in [
        ("1023", 6, "1023 cannot be had, this process may run on "),
        ("2-1", 2, "the ends of a range the wrong way round"),
        ("all", 2, "numbers of processors, from 0 to 1023: write numbers and ranges, as in 2-7,9"),
    ] {
        let ended = run(&["server", "-p", "0", "--data-processors", list]);
        assert_eq!(ended.code, Some(code), "{list}: {}", ended.err);
        assert!(ended.err.contains(wanted), "{}", ended.err);
    }
}
