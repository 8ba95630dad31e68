//! Which tests there are.

use std::fmt;

use crate::Peer;

/// One test: with whom, where, and with which options, which all programs have in common.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The other program.
    pub peer: Peer,
    /// The server's address.
    pub host: &'static str,
    /// The options of the client.
    pub args: Vec<&'static str>,
}

impl Cell {
    /// Returns whether the client is given this option.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.args.contains(&option)
    }

    /// Returns the option's value.
    #[must_use]
    pub fn value(&self, option: &str) -> Option<&'static str> {
        self.args.iter().skip_while(|arg| **arg != option).nth(1).copied()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.peer, self.host, self.args.join(" "))
    }
}

/// Returns every transport, direction, count of streams and family, with each of the peers.
#[must_use]
pub fn matrix() -> Vec<Cell> {
    let mut cells = Vec::new();
    for peer in Peer::ALL {
        for transport in [&["-b", "50M"][..], &["-u", "-b", "20M", "-l", "1400"]] {
            for direction in DIRECTIONS {
                for streams in ["1", "4"] {
                    for host in ["127.0.0.1", "::1"] {
                        let end = ["-t", "1", "-P", streams];
                        let args = [&end[..], transport, direction].concat();
                        cells.push(Cell { peer, host, args });
                    }
                }
            }
        }
    }
    cells
}

/// Returns every option, with each of the peers, where the client sends and where it receives.
#[must_use]
pub fn options() -> Vec<Cell> {
    let mut cells = Vec::new();
    for peer in Peer::ALL {
        for options in TCP_OPTIONS.iter().chain(UDP_OPTIONS) {
            for direction in &DIRECTIONS[..2] {
                let args = [options, *direction].concat();
                cells.push(Cell { peer, host: "127.0.0.1", args });
            }
        }
    }
    cells
}

/// Returns ten tests of two seconds for one server at once, of each transport and direction, with
/// these peers in turn.
#[must_use]
pub fn mixed(peers: &[Peer]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (number, peer) in (0..10).zip(peers.iter().cycle()) {
        let transport = if number % 2 == 0 { &UDP_10M[..] } else { &["-b", "20M", "-l", "16K"] };
        let args = [&["-t", "2"], transport, DIRECTIONS[number % 3]].concat();
        cells.push(Cell { peer: *peer, host: "127.0.0.1", args });
    }
    cells
}

const UDP_10M: [&str; 5] = ["-u", "-b", "10M", "-l", "1400"];
const DIRECTIONS: [&[&str]; 3] = [&[], &["-R"], &["--bidir"]];
const TCP_OPTIONS: &[&[&str]] = &[
    &["-n", "20M"],
    &["-k", "100"],
    &["-t", "1", "-b", "100M", "-O", "1"],
    &["-t", "1", "-b", "100M", "-w", "128K", "-M", "1400", "-N"],
    &["-t", "1", "-b", "100M", "-l", "16K", "--get-server-output"],
    &["-t", "1", "-b", "100M", "-S", "0x10", "--repeating-payload"],
    &["-t", "1", "-b", "100M", "-Z"],
    &["-t", "1", "-b", "100M", "-C", "reno", "-T", "a title", "--extra-data", "more"],
];
const UDP_OPTIONS: &[&[&str]] = &[
    &["-u", "-b", "50M", "-n", "2M"],
    &["-u", "-b", "50M", "-k", "500", "-l", "1000"],
    &["-u", "-t", "1", "-b", "50M", "-O", "1"],
    &["-u", "-t", "1", "-b", "100M", "-w", "256K"],
    &["-u", "-t", "1", "-b", "20M", "-l", "500", "--udp-counters-64bit", "--get-server-output"],
    &["-u", "-t", "1", "-b", "20M", "--repeating-payload", "--dont-fragment", "-S", "0x10"],
];
