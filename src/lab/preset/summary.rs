//! Presets for results: in a line, and in full.

use super::{Preset, shown};

impl Preset {
    /// Returns what it is like, in a line: `50/10 Mbit/s, 300 ms one way, jitter 5 ms, loss 0.1 %`.
    #[must_use]
    pub fn summary(&self) -> String {
        shown::facts_of(self).join(", ")
    }

    /// Returns all of it, as results have it.
    #[must_use]
    pub fn resolved(&self) -> serde_json::Value {
        // It has no keys but text.
        serde_json::to_value(self).unwrap_or_default()
    }
}
