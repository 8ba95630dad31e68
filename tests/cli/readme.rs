//! Every command that the README shows does what it says.

use crate::program::{Ended, Server, polyperf, run};

/// Returns the commands of the README's console blocks.
fn commands() -> Vec<Vec<String>> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in include_str!("../../README.md").lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            commands.push(command.split_whitespace().map(str::to_owned).collect());
        }
    }
    commands
}

fn of_polyperf() -> Vec<Vec<String>> {
    let own = commands().into_iter().filter(|command| command[0] == "polyperf");
    own.map(|command| command[1..].to_vec()).collect()
}

#[test]
fn every_client_command_runs_as_it_stands() {
    let server = Server::start(&[]);
    let port = server.port.to_string();
    let clients: Vec<_> = of_polyperf()
        .into_iter()
        .filter(|args| args[0] == "client" || args[0] == "-c")
        .filter(|args| args.last().is_none_or(|last| last != "--help"))
        .collect();
    assert!(clients.len() >= 6, "{clients:?}");
    for args in clients {
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["-p", &port]).collect();
        let ended = run(&args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn every_server_command_serves() {
    let servers: Vec<_> =
        of_polyperf().into_iter().filter(|args| args[0] == "server" || args[0] == "-s").collect();
    assert!(servers.len() >= 3, "{servers:?}");
    for args in servers {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = polyperf(&args);
        command.args(["-p", "0", "--log-format", "json"]).stdout(std::process::Stdio::null());
        let server = Server::spawn(&mut command);
        let ended = server.client(&["-n", "64K"]);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.err);
    }
}

#[test]
fn every_command_about_identities_works_once_a_server_has_one() {
    let server = Server::start(&[]);
    let about: Vec<_> = of_polyperf().into_iter().filter(|args| args[0] == "cert").collect();
    assert!(!about.is_empty());
    for args in about {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ended = run(&args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
    }
    drop(server);
}

#[test]
fn every_command_about_a_history_works_once_a_test_is_kept() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[]);
    let mut client = server.command(&["-n", "64K", "--history"]);
    let kept: Ended = client.env("XDG_STATE_HOME", home.path()).output().expect("it runs").into();
    assert_eq!((kept.code, kept.err.as_str()), (Some(0), ""));
    let about: Vec<_> = of_polyperf().into_iter().filter(|args| args[0] == "history").collect();
    assert!(about.len() >= 2);
    for args in about {
        let mut command = polyperf(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("XDG_STATE_HOME", home.path());
        let ended: Ended = command.output().expect("it runs").into();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(ended.out.contains("127.0.0.1"), "{}", ended.out);
    }
}

#[test]
fn every_comparison_runs_and_what_it_saves_can_be_compared() {
    let server = Server::start(&[]);
    let (port, folder) = (server.port.to_string(), tempfile::tempdir().expect("a folder"));
    let about = |name: &'static str| of_polyperf().into_iter().filter(move |args| args[0] == name);
    assert!(about("compare").count() >= 2 && about("diff").count() >= 1);
    for args in about("compare").chain(about("diff")) {
        let mut command = polyperf(&args.iter().map(String::as_str).collect::<Vec<_>>());
        if args[0] == "compare" {
            command.args(["-p", &port]);
        }
        let ended: Ended = command.current_dir(folder.path()).output().expect("it runs").into();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(ended.out.contains("tcp"), "{}", ended.out);
    }
    let html = std::fs::read_to_string(folder.path().join("monday.html")).expect("it was written");
    assert!(html.starts_with("<!DOCTYPE html>"), "{}", &html[..100]);
}

#[test]
fn every_command_of_the_lab_does_what_it_says() {
    let about: Vec<_> = of_polyperf().into_iter().filter(|args| args[0] == "lab").collect();
    assert!(about.len() >= 3);
    for args in about {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ended = run(&args);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.err);
        assert!(!ended.out.is_empty(), "{args:?}");
    }
}

#[test]
fn the_main_command_compares_every_transport() {
    let main = commands().into_iter().find(|command| command.contains(&"compare".to_owned()));
    let main = main.expect("the README shows the main command");
    let at = main.iter().position(|word| word == "--").expect("its arguments follow --");
    let args: Vec<&str> =
        main[at + 1..].iter().map(String::as_str).chain(["-t", "0.1", "--repeat", "1"]).collect();
    let ended = run(&args);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for name in polyperf::Registry::standard().usual().names() {
        assert!(ended.out.contains(name), "{name} is missing in {}", ended.out);
    }
}

#[test]
fn the_commands_of_development_are_those_that_a_change_must_pass() {
    let ci = include_str!("../../.ci/run");
    for command in commands().iter().map(|command| command.join(" ")) {
        let word = |n: usize| command.split(' ').nth(n).unwrap_or_default();
        if word(0) == "cargo" && matches!(word(1), "fmt" | "clippy" | "test") {
            assert!(ci.contains(&format!("cargo {}", word(1))), "{command} is not in .ci/run");
        }
        if word(1) == "bench" {
            let bench = format!("benches/{}.rs", word(3));
            assert!(
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&bench).exists(),
                "{bench}"
            );
        }
    }
}
