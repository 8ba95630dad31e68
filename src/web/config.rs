use std::{net::SocketAddr, time::Duration};

use super::auth::Admin;
use crate::registry::Registry;

/// The port of the web interface, unless another is named.
pub const DEFAULT_PORT: u16 = 5280;

/// Where the web interface is, and what it lets whom do.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub addr: SocketAddr,
    /// The servers that tests may be run against from the pages; there are no others.
    pub peers: Vec<Peer>,
    /// Who may cancel tests and run them; `None` lets nobody.
    pub admin: Option<Admin>,
    /// Whether who has not logged in may look on.
    pub public_read: bool,
    /// The names by which browsers may call this site, beside `localhost` and addresses.
    pub hosts: Vec<String>,
    /// The transports of tests that are run from the pages.
    pub transports: Registry,
    /// What keeps its cost small.
    pub limits: Limits,
}

/// A server that tests may be run against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What the pages call it.
    pub name: String,
    /// A host name or an address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How much the web interface may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// The same, of one address.
    pub connections_per_address: usize,
    /// How many may watch events at once.
    pub readers: usize,
    /// Tests that are run from the pages at once, of all peers together.
    pub runs: usize,
    /// How long the head of a request may take, from the end of the one before.
    pub head_time: Duration,
    /// How long the rest of a request may take, until its answer begins.
    pub request_time: Duration,
    /// How long a connection may take nothing of what it is sent.
    pub stall_time: Duration,
}

impl Config {
    /// Returns the configuration of a site that anybody can look at, and nobody can have do anything.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            peers: Vec::new(),
            admin: None,
            public_read: true,
            hosts: Vec::new(),
            transports: Registry::standard(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_address: 64,
            readers: 64,
            runs: 4,
            head_time: Duration::from_secs(30),
            request_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(15),
        }
    }
}
