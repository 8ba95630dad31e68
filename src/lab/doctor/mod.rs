//! What of the lab can be had on this machine, how good it is there, and what is in its way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Spread, Tier};

/// How good the lab is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// What was calibrated.
    pub tier: Tier,
    /// Of a datagram there and back over a link that does nothing: the floor below which no delay
    /// can be emulated.
    pub round_trip: Spread,
    /// Bits per second of one TCP flow where each packet meets its own fate.
    pub exact: u64,
    /// Bits per second of one TCP flow where packets that the kernel hands over together stay so.
    pub whole: u64,
    /// How much later than due packets come out of an idle link with a delay.
    pub lateness: Spread,
}
