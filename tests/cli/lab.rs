//! `polyperf lab`, and `polyperf compare --link`, as users run them.

use std::path::Path;

use serde_json::Value;

use crate::program::{Ended, run};

/// Runs what is to succeed, and returns what it prints; `None`, which it says, where this machine
/// permits no link that this could cross.
fn carried(args: &[&str]) -> Option<String> {
    let ended = run(args);
    if ended.code == Some(6) && ended.err.contains("polyperf lab doctor says what is in the way") {
        println!("{}", ended.err);
        return None;
    }
    assert_eq!(ended.code, Some(0), "{args:?}: {}{}", ended.out, ended.err);
    Some(ended.out)
}

/// Runs what is to succeed anywhere, and returns what it prints.
fn done(args: &[&str]) -> String {
    let ended = run(args);
    assert_eq!(ended.code, Some(0), "{args:?}: {}{}", ended.out, ended.err);
    ended.out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn links_are_listed_and_shown_and_what_is_none_is_told_from_what_it_is_like() {
    let table = done(&["lab", "list"]);
    for name in ["lossy-iid@1", "geo@1", "bufferbloat@1", "bufferbloat-codel-ecn@1"] {
        assert!(table.lines().any(|line| line.starts_with(name)), "{name}: {table}");
    }
    let listed = json(&done(&["lab", "list", "-J"]));
    assert_eq!(listed["presets"].as_array().unwrap().len(), table.lines().count() - 1);
    assert!(done(&["lab", "show", "geo"]).contains("300 ms one way"));
    assert_eq!(json(&done(&["lab", "show", "geo@1", "-J"]))["to_far"]["delay_us"], 300_000);
    let ended = run(&["lab", "show", "lossy-idd"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("lossy-iid@1"), "{}", ended.err);
}

#[test]
fn a_client_runs_over_a_link_and_the_result_says_what_the_link_saw() {
    let run = ["lab", "run", "lan", "--link-seed", "7", "--", "client", "-n", "256K", "-J"];
    if let Some(text) = carried(&run) {
        let document = json(&text);
        let link = &document["polyperf"]["link"];
        assert_eq!((&link["link"], &link["seed"]), (&Value::from("lan@1"), &Value::from(7)));
        assert_eq!(link["preset"]["to_far"]["delay_us"], 100);
        println!("{}", link["tier"]);
        let up = &link["truth"]["to_far"];
        assert!(up["bytes"].as_u64().unwrap() > 256 * 1024, "{up}");
        assert!(!up["flows"].as_array().unwrap().is_empty(), "{up}");
    }
    let text = done(&["lab", "run", "lan", "--", "client", "--transport", "quic", "-n", "64K"]);
    assert!(text.contains("\nLink: lan@1, seed 1: "), "{text}");
}

#[test]
fn two_commands_run_on_the_sides_of_a_link_and_the_far_ones_code_is_the_labs() {
    let near = format!("{POLYPERF} server -1 --log-level error");
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.json");
    let exec = |far: &str| -> Ended {
        let truth = truth.to_str().unwrap();
        run(&["lab", "exec", "lan", "--near", &near, "--far", far, "--truth", truth])
    };
    let ended = exec(&format!("{POLYPERF} client {{near}} -n 64K -J"));
    if ended.err.contains("polyperf lab doctor says what is in the way") {
        println!("{}", ended.err);
        return;
    }
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let report = json(&ended.out);
    let told = json(&std::fs::read_to_string(Path::new(&truth)).unwrap());
    assert_eq!(report["start"]["connecting_to"]["host"], "10.99.0.1");
    assert!(told["truth"]["to_near"]["bytes"].as_u64().unwrap() > 64 * 1024, "{told}");
    assert!(ended.err.contains("polyperf: Link: lan@1"), "{}", ended.err);
    assert_eq!(exec("exit 7").code, Some(7));
    let ended = run(&["lab", "exec", "lan", "--near", "exit 3", "--far", "true"]);
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("the near side has ended"), "{}", ended.err);
}

#[test]
fn a_comparison_runs_over_links_with_the_seeds_that_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.json");
    let text = done(&[
        "compare",
        "--link",
        "lan,broadband",
        "--transport",
        "quic,rudp",
        "--parts",
        "up",
        "--repeat",
        "2",
        "-t",
        "0.1",
        "-O",
        "0.05",
        "--gap",
        "0.05",
        "--link-seed",
        "3",
        "--seed",
        "5",
        "--no-progress",
        "--save",
        saved.to_str().unwrap(),
    ]);
    for link in ["Over lan@1: ", "Over broadband@1: "] {
        assert!(text.contains(link), "{text}");
    }
    assert!(text.contains("--link lan,broadband"), "{text}");
    assert!(text.contains("--link-seed 3"), "{text}");
    for link in ["lan@1", "broadband@1"] {
        let file = folder.path().join(format!("saved-{link}.json"));
        let document = json(&std::fs::read_to_string(file).unwrap());
        let plan = &document["plan"]["link"];
        assert_eq!((&plan["name"], &plan["seed"]), (&Value::from(link), &Value::from(3)));
        let runs = document["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 4);
        for run in runs {
            let of_run = &run["parts"][0]["result"]["outcome"]["link"];
            let seed = 2 + run["block"].as_u64().unwrap();
            assert_eq!(of_run["seed"], seed, "the arms of a block have the same dice");
            assert_eq!(of_run["link"], link);
        }
    }
}

#[test]
fn competitors_share_a_link_and_the_table_says_how() {
    let text = done(&[
        "compare",
        "--link",
        "broadband",
        "--transport",
        "rudp,quic",
        "--cross",
        "rudp:2",
        // How busy this machine is decides nothing here.
        "--link-late",
        "1",
        "--parts",
        "up",
        "--repeat",
        "1",
        "-t",
        "1",
        "-O",
        "0.2",
        "--no-progress",
    ]);
    let table: Vec<&str> =
        text.lines().skip_while(|line| !line.starts_with("On the link, up")).take(3).collect();
    assert!(table.first().is_some_and(|head| head.contains("Jain's index")), "{text}");
    assert!(table.iter().skip(1).all(|row| row.matches('%').count() >= 2), "{text}");
    assert!(text.contains("Beside bulk: 2 × rudp"), "{text}");
}

#[test]
fn what_cannot_be_run_over_a_link_is_said_before_anything_is_opened() {
    for (args, wanted) in [
        (&["lab"][..], "polyperf lab list, show, run, exec, shell or doctor"),
        (&["lab", "run"], "PRESET is missing: name a link"),
        (&["lab", "run", "lan"], "the client is missing"),
        (&["lab", "run", "lan", "--", "server"], "server cannot be run over a link"),
        (&["lab", "run", "lan", "--", "client", "--transport", "tpc"], "tpc"),
        (&["lab", "exec", "lan"], "--near is missing"),
        (&["lab", "show", "no-such.toml"], "no-such.toml"),
        (&["lab", "run", "lan", "--tier", "tin", "--", "client"], "--tier tin"),
        (&["compare", "--link", "nowhere"], "nowhere"),
        (&["compare", "host", "--link", "lan"], "cannot be behind an emulated link"),
        (&["compare", "--cross", "tcp:2"], "--cross is of no use without --link"),
        (&["compare", "--link-late", "1"], "--link-late is of no use without --link"),
        (&["lab", "run", "lan", "--link-late", "0", "--", "client"], "--link-late 0"),
        (&["compare", "--link", "lan", "--cross", "tcp:0"], "tcp:0"),
        (&["compare", "--link", "lan,"], "empty"),
    ] {
        let ended = run(args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(wanted), "{args:?}: {}", ended.err);
    }
}

const POLYPERF: &str = env!("CARGO_BIN_EXE_polyperf");
