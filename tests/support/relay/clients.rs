//! The clients of a relay, and their sockets towards the server.

use std::{
    collections::HashMap,
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{MAX_CLIENTS, port::Port};

/// A table of address translations.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) server: SocketAddr,
    pub(super) list: Vec<Client>,
    places: HashMap<SocketAddr, usize>,
    pub(super) refused: u64,
    /// What was dropped at sockets that have been replaced.
    dropped_before: u64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) addr: SocketAddr,
    /// Connected to the server.
    pub(super) upstream: Port,
}

impl Clients {
    pub(super) fn of(server: SocketAddr) -> Self {
        let (list, places) = (Vec::new(), HashMap::new());
        Self { server, list, places, refused: 0, dropped_before: 0 }
    }

    /// Returns the place of the client at `addr`, which may be a new one.
    pub(super) fn find(&mut self, addr: SocketAddr) -> Option<usize> {
        if let Some(place) = self.places.get(&addr) {
            return Some(*place);
        }
        let port = (self.list.len() < MAX_CLIENTS).then(|| self.upstream());
        let Some(Ok(upstream)) = port else {
            self.refused += 1;
            return None;
        };
        let place = self.list.len();
        self.list.push(Client { addr, upstream });
        self.places.insert(addr, place);
        Some(place)
    }

    /// Replaces all sockets. The new one is bound before the old one is closed, so that the port
    /// is another.
    pub(super) fn rebind(&mut self) -> io::Result<()> {
        for place in 0..self.list.len() {
            let upstream = self.upstream()?;
            let old = mem::replace(&mut self.list[place].upstream, upstream);
            self.dropped_before += old.drops();
        }
        Ok(())
    }

    /// Returns how many datagrams of the server the kernel has dropped.
    pub(super) fn drops(&self) -> u64 {
        let now: u64 = self.list.iter().map(|client| client.upstream.drops()).sum();
        self.dropped_before + now
    }

    fn upstream(&self) -> io::Result<Port> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Port::open(SocketAddr::new(any, 0), Some(self.server))
    }
}
