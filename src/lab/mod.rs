//! Emulated links within one process: real kernel TCP and every transport over the same link, packet
//! by packet, without root.
//!
//! Two ends have a network each, with a device in it, and this process is the link between them:
//!
//! ```text
//! near end ─ device ─ read ─> [cut] ─> link model ─> [join] ─ write ─> device ─ far end
//! ```
//!
//! [`prepare`] enters the namespaces that this takes, which has to be done before a second thread
//! starts; [`Lab::open`] makes the ends and the link. All of it is gone when the process is, however
//! it comes to its end.

#[cfg(target_os = "linux")]
mod carrier;
pub mod doctor;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod endpoint;
mod error;
#[cfg(target_os = "linux")]
mod frame;
#[cfg(target_os = "linux")]
#[allow(clippy::module_inception, reason = "the lab itself")]
mod lab;
#[cfg(target_os = "linux")]
mod lane;
mod passage;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod pool;
#[cfg(target_os = "linux")]
mod prepare;
pub mod preset;
#[cfg(target_os = "linux")]
mod relay;
#[cfg(target_os = "linux")]
mod remedy;
#[cfg(target_os = "linux")]
mod shuttle;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod tally;
mod tier;
mod truth;
#[cfg(target_os = "linux")]
mod way;

pub use polyperf_memory::link;

pub use self::{
    doctor::Calibration,
    error::{LabError, Obstacle},
    passage::{LinkReport, Passage},
    tier::Tier,
    truth::{Crossing, Direction, Drops, Flow, Heading, Spoilt, Spread, Truth},
};

#[cfg(not(target_os = "linux"))]
pub use self::elsewhere::{Endpoint, Lab, Prepared, prepare};
use self::link::LinkConfig;
#[cfg(target_os = "linux")]
use self::place::Place;
#[cfg(target_os = "linux")]
pub use self::{
    endpoint::Endpoint,
    lab::Lab,
    prepare::{Prepared, prepare},
};

/// What the link is like, in both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// From the near end, the client's, to the far one.
    pub to_far: LinkConfig,
    /// From the far end to the near one.
    pub to_near: LinkConfig,
}

impl Links {
    /// Returns a link that hands on every packet at once.
    #[must_use]
    pub const fn perfect() -> Self {
        Self { to_far: LinkConfig::perfect(), to_near: LinkConfig::perfect() }
    }

    /// Returns a link that is the same in both directions, but for what is left to chance.
    #[must_use]
    pub fn both(config: &LinkConfig) -> Self {
        // Else what is lost one way would be lost the other way, too.
        let other = config.clone().seed(config.seed ^ OTHER_DIRECTION);
        Self { to_far: config.clone(), to_near: other }
    }
}

/// Bytes of a packet at most, unless told otherwise: as on Ethernet.
pub const DEFAULT_MTU: u16 = 1500;

/// What IPv6 needs.
const LEAST_MTU: u16 = 1280;
/// As much as a jumbo frame of Ethernet carries.
const MOST_MTU: u16 = 9216;

const OTHER_DIRECTION: u64 = 0x9e37_79b9_7f4a_7c15;
