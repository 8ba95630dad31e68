//! What of the lab can be had on this machine, how good it is there, and what is in its way.

#[cfg(target_os = "linux")]
mod calibrating;
#[cfg(target_os = "linux")]
mod finding;
mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
pub use self::finding::run;
use super::{Lab, LabError, Obstacle, Spread, Tier};

/// How good the lab is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// What was calibrated.
    pub tier: Tier,
    /// Of a datagram there and back over a link that does nothing: the floor below which no delay
    /// can be emulated.
    pub round_trip: Spread,
    /// Bits per second, headers included, of one flow where each packet meets its own fate.
    pub exact: u64,
    /// Bits per second of one flow where packets that the kernel hands over together stay so.
    pub whole: u64,
    /// How much later than due packets come out of an idle link with a delay.
    pub lateness: Spread,
}

/// What `polyperf lab doctor` finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Every tier, in the order in which they are tried here.
    pub tiers: Vec<Tried>,
    /// The first of them that works.
    pub best: Tier,
    /// How good that one is; `None` if it emulates no link, or could not be calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Why it could not be calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_problem: Option<String>,
    /// Bytes that a socket of UDP may have to receive: the host's to say, also within the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_receive_buffer: Option<u64>,
    /// Bytes that a socket of UDP may have to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_send_buffer: Option<u64>,
    /// What TCP of the lab's programs may be told to go by; asked for one by one, also others that
    /// the kernel has can be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub congestion_controls: Vec<String>,
}

/// A tier that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    /// Which.
    pub tier: Tier,
    /// What is in its way; `None` if it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
}

/// Says that this system has no lab.
///
/// # Errors
///
/// Always [`LabError::NeedsLinux`].
#[cfg(not(target_os = "linux"))]
pub fn run() -> Result<Diagnosis, LabError> {
    Err(LabError::NeedsLinux)
}

/// Finds out how good a lab is on this machine, in about two seconds. Its link does nothing
/// afterwards.
///
/// # Errors
///
/// [`LabError::NoLink`] if the tier emulates none; [`LabError::System`] if sockets fail.
pub fn calibrate(lab: &Lab) -> Result<Calibration, LabError> {
    lab.calibrate()
}

impl Diagnosis {
    /// Returns whether the kernel's TCP crosses links here.
    #[must_use]
    pub fn carries_tcp(&self) -> bool {
        self.best.carries_tcp()
    }
}
