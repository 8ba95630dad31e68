use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Endpoint, LEAST_MTU, LabError, Links, MOST_MTU, Obstacle, Place, Prepared, Tier, Truth,
    carrier::Carrier,
    place::loopback,
    relay::{self, RelayedSockets},
    remedy::{Failure, Host, Step, at},
    shuttle,
    sys::{init::Processes, wait::Bell},
};

/// Two ends with an emulated link between them.
///
/// When it is dropped, all that lives at its ends is gone.
#[derive(Debug)]
pub struct Lab {
    tier: Tier,
    carrier: Option<Carrier>,
    near: Endpoint,
    far: Endpoint,
    remarks: Vec<String>,
    refused: Vec<(Tier, Obstacle)>,
    /// Last, so that whatever still runs at an end goes with it.
    _processes: Option<Processes>,
}

impl Lab {
    /// Makes both ends, and between them a link that does nothing, for packets of up to `mtu` bytes.
    ///
    /// # Errors
    ///
    /// [`LabError::Mtu`] if it is impossible; [`LabError::Refused`] if the kernel refuses something.
    pub fn open(prepared: Prepared, mtu: u16) -> Result<Self, LabError> {
        if !(LEAST_MTU..=MOST_MTU).contains(&mtu) {
            return Err(LabError::Mtu { mtu });
        }
        let tier = prepared.tier;
        Self::assemble(prepared, mtu)
            .map_err(|failure| LabError::Refused { tier, obstacle: failure.explain(&Host::read()) })
    }

    pub(super) fn assemble(prepared: Prepared, mtu: u16) -> Result<Self, Failure> {
        let Prepared { tier, processes, refused } = prepared;
        let place = |name, number| Place::new(tier, name, number, mtu, processes.as_ref());
        let (near, near_found) = Endpoint::settle(place("near", 1)?)?;
        let (mut far, far_found) = Endpoint::settle(place("far", 2)?)?;
        let bell = Bell::new().map(Arc::new).map_err(at(Step::Thread))?;
        let carrier = match (near_found.device, far_found.device) {
            (Some(near), Some(far)) => {
                let work = |orders| shuttle::carry(near, far, Links::perfect(), orders);
                Some(Carrier::start(bell, work)?)
            }
            _ if tier == Tier::Relay => {
                let (sockets, opened) =
                    RelayedSockets::new(far.v4(), loopback(3), Arc::clone(&bell));
                far = far.with_sockets(Arc::new(sockets));
                let work = move |orders| relay::carry(opened, mtu, Links::perfect(), orders);
                Some(Carrier::start(bell, work)?)
            }
            _ => None,
        };
        // Both ends find the same.
        let remarks = near_found.remarks;
        Ok(Self { tier, carrier, near, far, remarks, refused, _processes: processes })
    }

    /// Has packets cross these links from now on, new and empty. What is on its way is lost, and the
    /// truth starts anew.
    ///
    /// # Errors
    ///
    /// [`LabError::NoLink`] if the tier emulates none; [`LabError::Ended`] if nothing is carried any
    /// more.
    pub fn set(&self, links: Links) -> Result<(), LabError> {
        self.carrier()?.set(links)
    }

    /// Returns what has crossed the link since it was set.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    pub fn truth(&self) -> Result<Truth, LabError> {
        self.carrier()?.truth()
    }

    /// Returns what the ends are made of.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Returns the client's end.
    #[must_use]
    pub fn near(&self) -> &Endpoint {
        &self.near
    }

    /// Returns the server's end.
    #[must_use]
    pub fn far(&self) -> &Endpoint {
        &self.far
    }

    /// Returns what could not be set at the ends, and what follows from it.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Returns the better tiers that cannot be had here, and what is in their way.
    #[must_use]
    pub fn refused(&self) -> &[(Tier, Obstacle)] {
        &self.refused
    }

    fn carrier(&self) -> Result<&Carrier, LabError> {
        self.carrier.as_ref().ok_or(LabError::NoLink { tier: self.tier })
    }

    /// Has a datagram go to the far end, and another come back.
    pub(super) fn knock(&self, patience: Duration) -> io::Result<()> {
        let far = self.far.sockets().udp(SocketAddr::from((self.far.v4(), 0)))?;
        let near = self.near.sockets().udp(SocketAddr::from((self.near.v4(), 0)))?;
        for socket in [&far, &near] {
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(patience))?;
        }
        let mut buffer = [0; 16];
        // Behind a relay its own address is another one.
        near.send_to(b"who is there?", (self.far.v4(), far.local_addr()?.port()))?;
        let (_, client) = far.recv_from(&mut buffer)?;
        far.send_to(b"it is me", client)?;
        near.recv_from(&mut buffer).map(drop)
    }
}
