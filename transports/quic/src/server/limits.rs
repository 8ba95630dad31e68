use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use crate::tls::lock;

/// How many connections there are, in all and of each address.
#[derive(Debug, Default)]
pub(super) struct Limits {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_address: HashMap<IpAddr, usize>,
    connections: usize,
    /// Of those, the ones whose handshake is not over yet.
    handshakes: usize,
}

/// What to do about who wants to connect.
#[derive(Debug)]
pub(super) enum Answer {
    /// Begin the handshake.
    Accept(Place),
    /// Have it prove its address first, by a Retry packet (RFC 9000, section 8.1.2).
    Retry,
    /// There is no room.
    Refuse,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    limits: Arc<Limits>,
    address: IpAddr,
    shaking_hands: bool,
}

impl Limits {
    /// Decides about a client at `address`, which has `proved` that it receives there or not.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, proved: bool) -> Answer {
        let address = network(address);
        let mut state = lock(&self.state);
        if !proved && state.handshakes >= BUSY {
            return Answer::Retry;
        }
        let own = state.by_address.get(&address).copied().unwrap_or(0);
        if state.connections >= MOST || own >= MOST_OF_ONE || state.handshakes >= MOST_HANDSHAKES {
            return Answer::Refuse;
        }
        state.connections += 1;
        state.handshakes += 1;
        state.by_address.insert(address, own + 1);
        Answer::Accept(Place { limits: Arc::clone(self), address, shaking_hands: true })
    }
}

impl Place {
    /// Takes note that the handshake is over.
    pub(super) fn established(&mut self) {
        if std::mem::take(&mut self.shaking_hands) {
            lock(&self.limits.state).handshakes -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.established();
        let mut state = lock(&self.limits.state);
        state.connections -= 1;
        if let Some(own) = state.by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

/// Returns what counts as one client: an address of IPv4, a network of IPv6, of which everybody has
/// as many addresses as there are.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

/// Handshakes at a time beyond which who has not proved its address is asked to.
const BUSY: usize = 64;
/// Handshakes at a time: each costs a signature.
const MOST_HANDSHAKES: usize = 1024;
/// Connections at a time.
const MOST: usize = 8192;
/// Connections of one client at a time.
const MOST_OF_ONE: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn accept(limits: &Arc<Limits>, address: IpAddr, proved: bool) -> Place {
        match limits.admit(address, proved) {
            Answer::Accept(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_have_to_be_proved_when_there_is_much_to_do() {
        let limits = Arc::new(Limits::default());
        let mut places: Vec<_> = (0..BUSY).map(|_| accept(&limits, address(1), false)).collect();
        assert!(matches!(limits.admit(address(2), false), Answer::Retry));
        let proved = accept(&limits, address(2), true);
        places[0].established();
        assert!(matches!(limits.admit(address(2), false), Answer::Retry), "one has come meanwhile");
        drop(proved);
        accept(&limits, address(2), false);
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let limits = Arc::new(Limits::default());
        let hold = |address| {
            let mut place = accept(&limits, address, true);
            place.established();
            place
        };
        let held: Vec<_> = (0..MOST_OF_ONE).map(|_| hold(address(1))).collect();
        assert!(matches!(limits.admit(address(1), true), Answer::Refuse));
        hold(address(2));
        drop(held);
        hold(address(1));
        assert!(lock(&limits.state).by_address.is_empty(), "who has left is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let same = ["2001:db8::1", "2001:db8::ffff:1:2:3"].map(|text| text.parse().unwrap());
        assert_eq!(network(same[0]), network(same[1]));
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_ne!(network(same[0]), network(other));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network(mapped), address(1));
    }
}
