//! The lab where it cannot be had: everything is there to be named, and nothing to be opened.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    process::{Child, Command},
    sync::Arc,
};

use polyperf_transport::Sockets;

use super::{Calibration, LabError, Links, Obstacle, Tier, Truth};

/// The right to open a lab, which nobody has on this system.
#[derive(Debug)]
pub struct Prepared(Infallible);

/// Two ends with an emulated link between them, which this system does not have.
#[derive(Debug)]
pub struct Lab(Infallible);

/// One end of an emulated link, which this system does not have.
#[derive(Debug)]
pub struct Endpoint(Infallible);

/// Says that this system has no lab.
///
/// # Errors
///
/// Always [`LabError::NeedsLinux`].
pub fn prepare(_: Option<Tier>) -> Result<Prepared, LabError> {
    Err(LabError::NeedsLinux)
}

impl Prepared {
    /// Returns the tier that was found.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.0 {}
    }

    /// Returns the better tiers that cannot be had here, and what is in their way.
    #[must_use]
    pub fn refused(&self) -> &[(Tier, Obstacle)] {
        match self.0 {}
    }
}

impl Lab {
    /// Makes both ends.
    ///
    /// # Errors
    ///
    /// None: nobody can ask for it.
    pub fn open(prepared: Prepared, _: u16) -> Result<Self, LabError> {
        match prepared.0 {}
    }

    /// Has packets cross these links from now on.
    ///
    /// # Errors
    ///
    /// None: nobody can ask for it.
    pub fn set(&self, _: Links) -> Result<(), LabError> {
        match self.0 {}
    }

    /// Returns what has crossed the link since it was set.
    ///
    /// # Errors
    ///
    /// None: nobody can ask for it.
    pub fn truth(&self) -> Result<Truth, LabError> {
        match self.0 {}
    }

    /// Returns what the ends are made of.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.0 {}
    }

    /// Returns the client's end.
    #[must_use]
    pub fn near(&self) -> &Endpoint {
        match self.0 {}
    }

    /// Returns the server's end.
    #[must_use]
    pub fn far(&self) -> &Endpoint {
        match self.0 {}
    }

    /// Returns what could not be set at the ends.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        match self.0 {}
    }

    /// Returns the better tiers that cannot be had here, and what is in their way.
    #[must_use]
    pub fn refused(&self) -> &[(Tier, Obstacle)] {
        match self.0 {}
    }

    pub(super) fn calibrate(&self) -> Result<Calibration, LabError> {
        match self.0 {}
    }
}

impl Endpoint {
    /// Returns where this end's sockets come from.
    #[must_use]
    pub fn sockets(&self) -> Arc<dyn Sockets> {
        match self.0 {}
    }

    /// Returns this end's address.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        match self.0 {}
    }

    /// Returns this end's address of IPv6.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        match self.0 {}
    }

    /// Starts a program in this end's network.
    ///
    /// # Errors
    ///
    /// None: nobody can ask for it.
    pub fn spawn(&self, _: Command) -> io::Result<Child> {
        match self.0 {}
    }

    /// Does something in this end's network.
    ///
    /// # Errors
    ///
    /// None: nobody can ask for it.
    pub fn run<T: Send + 'static>(&self, _: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self.0 {}
    }
}
