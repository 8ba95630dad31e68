//! Which peers are there, and how those come that are not.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{kcp_tool::kcp_peer, scenario::Scenario, support::Result};

/// The programs of the peers, by name.
#[derive(Debug)]
pub(crate) struct Peers {
    found: BTreeMap<&'static str, PathBuf>,
    missing: Vec<String>,
}

impl Peers {
    /// Finds the peers of these scenarios, of those tools if any are named, and installs what is
    /// missing if it `may`.
    pub(crate) fn find(scenarios: &[&Scenario], tools: &[String], may: bool) -> Self {
        let mut peers = Self { found: BTreeMap::new(), missing: Vec::new() };
        let mut names: Vec<_> = scenarios.iter().flat_map(|one| one.peers).copied().collect();
        names.retain(|name| tools.is_empty() || tools.iter().any(|tool| tool == name));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let found = find(name).or_else(|missing| {
                if !may {
                    return Err(missing);
                }
                eprintln!("{name}: {missing}; installing it");
                install(name)?;
                find(name)
            });
            match found {
                Ok(program) => drop(peers.found.insert(name, program)),
                Err(error) => peers.missing.push(format!("{name}: {error}")),
            }
        }
        peers
    }

    pub(crate) fn program(&self, name: &str) -> Option<&Path> {
        self.found.get(name).map(PathBuf::as_path)
    }

    /// Returns those that are not there, with the reason.
    pub(crate) fn missing(&self) -> &[String] {
        &self.missing
    }
}

fn find(name: &str) -> Result<PathBuf> {
    match name {
        // It is a part of this program.
        "quinn" => Ok(std::env::current_exe()?),
        "kcp-go" => kcp_peer(),
        name => {
            let own = Path::new(ROOT).join("target/peers/bin").join(name);
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut places = std::env::split_paths(&path).map(|place| place.join(name));
            let found = if own.exists() { Some(own) } else { places.find(|place| place.exists()) };
            found.ok_or_else(|| "it is neither in target/peers nor on PATH".into())
        }
    }
}

fn install(name: &str) -> Result<()> {
    let peers = format!("{ROOT}/target/peers");
    match name {
        "riperf3" => run(&[
            "cargo",
            "install",
            "riperf3-cli",
            "--version",
            "^0.8",
            "--locked",
            "--root",
            &peers,
        ]),
        "xfr" => {
            run(&["cargo", "install", "xfr", "--version", "^0.14", "--locked", "--root", &peers])
        }
        "kcp-go" => {
            run(&["apt-get", "install", "-y", "-qq", "golang-go", "golang-github-xtaci-kcp-dev"])?;
            let program = format!("{peers}/kcp-peer");
            let source = format!("{ROOT}/tests/interop/peers/kcp-go");
            let environment = ["env", "GO111MODULE=off", "GOPATH=/usr/share/gocode"];
            run(&[&environment[..], &["go", "build", "-o", &program, &source]].concat())
        }
        name => run(&["apt-get", "install", "-y", "-qq", name]),
    }
}

fn run(words: &[&str]) -> Result<()> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).env("DEBIAN_FRONTEND", "noninteractive");
    let output = command.output().map_err(|error| format!("{}: {error}", words.join(" ")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or_default().to_owned();
    Err(format!("{} failed: {last}", words.join(" ")).into())
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
