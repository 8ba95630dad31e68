use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{super::*, words};

#[test]
fn no_soup_of_arguments_goes_unanswered() {
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..ROUNDS {
        let soup: Vec<String> =
            (0..random.random_range(0..9)).map(|_| crumb(&mut random)).collect();
        let soup: Vec<&str> = soup.iter().map(String::as_str).collect();
        if let Err(exit) = words(&soup) {
            assert!(exit.text.ends_with('\n') && exit.text.trim().len() > 1, "{soup:?}");
            let told =
                exit.code == exit::SUCCESS || soup.is_empty() || exit.text.starts_with("error: ");
            assert!(told, "{soup:?}: {}", exit.text);
            assert!(
                exit.text.chars().all(|c| c == '\n' || !c.is_control()),
                "{soup:?}: {}",
                exit.text
            );
        }
    }
}

fn crumb(random: &mut StdRng) -> String {
    match random.random_range(0..6) {
        0 => [
            "client",
            "server",
            "compare",
            "diff",
            "cert",
            "config",
            "doctor",
            "man",
            "completions",
            "check",
            "show",
            "make",
            "forget",
            "-c",
            "-s",
            "-chost",
            "host",
        ]
        .choose(random),
        1 => OPTIONS.choose(random),
        2 => VALUES.choose(random),
        3 => return format!("{}{}", pick(random, OPTIONS), pick(random, VALUES)),
        4 => return format!("{}={}", pick(random, OPTIONS), pick(random, VALUES)),
        _ => return (0..random.random_range(0..6)).map(|_| pick(random, LETTERS)).collect(),
    }
    .map(|crumb| (*crumb).to_owned())
    .unwrap_or_default()
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.choose(random).copied().unwrap_or_default()
}

const SEED: u64 = 5201;
const ROUNDS: usize = 3000;
const OPTIONS: &[&str] = &[
    "-t",
    "-n",
    "-k",
    "-l",
    "-P",
    "-R",
    "--bidir",
    "--workload",
    "--request",
    "--in-flight",
    "--probe",
    "-b",
    "-i",
    "-O",
    "-w",
    "-C",
    "-M",
    "-N",
    "-B",
    "-4",
    "-6",
    "-p",
    "--cport",
    "-T",
    "--title",
    "-J",
    "--json-stream",
    "-f",
    "-o",
    "-d",
    "-1",
    "--max-rate",
    "-u",
    "-Z",
    "--transport",
    "--",
    "--unknown",
    "--ti",
    "--max-queue",
    "--mtu",
    "--perf-alpn",
    "--ca",
    "--cert",
    "--known-servers",
    "--replace",
    "--log-level",
    "--bind-dev",
    "-RJN",
    "--",
];
const VALUES: &[&str] = &[
    "0",
    "1",
    "10",
    "nan",
    "inf",
    "-1",
    "1.5M",
    "1e9",
    "",
    " ",
    "é",
    "\u{1b}[0m",
    "%",
    "::1",
    "[::1]:5201",
    "fe80::1",
    "fe80::1%eth0",
    "host:1",
    ":",
    "/",
    "1/2",
    "tcp",
    "tcp,udp",
    "18446744073709551616",
    "=",
    "-",
];
const LETTERS: &[&str] =
    &["-", "-", "a", "R", "t", "4", "=", "%", ":", ".", "\u{0}", "ß", "\u{202e}", "\n", " "];
