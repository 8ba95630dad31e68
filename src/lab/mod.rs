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

mod carrier;
pub mod doctor;
mod endpoint;
mod error;
mod frame;
#[allow(clippy::module_inception, reason = "the lab itself")]
mod lab;
mod lane;
mod place;
mod pool;
mod prepare;
pub mod preset;
mod relay;
mod remedy;
mod shuttle;
mod sys;
mod tally;
mod tier;
mod truth;
mod way;

pub use polyperf_memory::link;

pub use self::{
    doctor::Calibration,
    endpoint::Endpoint,
    error::{LabError, Obstacle},
    lab::Lab,
    prepare::{Prepared, prepare},
    tier::Tier,
    truth::{Crossing, Direction, Drops, Flow, Heading, Spoilt, Spread, Truth},
};

use self::{link::LinkConfig, place::Place};

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
