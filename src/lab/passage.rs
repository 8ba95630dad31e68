use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Calibration, Lab, LabError, Links, Spoilt, Tier, Truth, preset::Preset};

/// A link as a test crosses it: a preset, with the dice of a seed, in a lab.
#[derive(Debug, Clone)]
pub struct Passage {
    lab: Arc<Lab>,
    preset: Preset,
    seed: u64,
    calibration: Option<Calibration>,
    latest: Option<Duration>,
    begun: bool,
}

/// The link that a test crossed, and what it saw of the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkReport {
    /// The link's name and version: `wifi-bad@1`.
    pub link: String,
    /// What it is like, in a line.
    pub about: String,
    /// All of what it is like.
    #[schemars(with = "Preset")]
    pub preset: serde_json::Value,
    /// What its dice follow from: the same seed loses the same packets.
    pub seed: u64,
    /// What it is made of.
    pub tier: Tier,
    /// How good this machine is at it; `None` if that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What crossed it; `None` where no link is emulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Truth>,
    /// What the emulator itself did to the test: if there is anything, its figures are not the
    /// link's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spoilt: Vec<Spoilt>,
}

impl Passage {
    /// Returns a link in `lab`, not set yet.
    #[must_use]
    pub fn new(lab: Arc<Lab>, preset: Preset, seed: u64) -> Self {
        Self { lab, preset, seed, calibration: None, latest: None, begun: false }
    }

    /// Sets how good this machine is at it, by which runs are judged.
    #[must_use]
    pub fn calibrated(self, calibration: Option<Calibration>) -> Self {
        Self { calibration, ..self }
    }

    /// Sets how late packets may come out of it at p99, as [`Truth::spoilt`] takes it.
    #[must_use]
    pub fn tolerating(self, latest: Option<Duration>) -> Self {
        Self { latest, ..self }
    }

    /// Returns the same link with other dice.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    /// Returns what the link is like.
    #[must_use]
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// Returns the same link as it is already set: who crosses it does not begin anew.
    #[must_use]
    pub fn begun(self) -> Self {
        Self { begun: true, ..self }
    }

    /// Sets the link, new and empty, with its dice as they were. Where none is emulated there is
    /// nothing to set.
    ///
    /// # Errors
    ///
    /// That the lab carries packets no more.
    pub fn begin(&self) -> Result<(), LabError> {
        if self.begun || !self.lab.tier().emulates() {
            return Ok(());
        }
        let (to_far, to_near) = self.preset.links(self.seed);
        self.lab.set(Links { to_far, to_near })
    }

    /// Returns what crossed the link since it was set.
    #[must_use]
    pub fn report(&self) -> LinkReport {
        // Of a lab that carries nothing any more nothing is known.
        let truth = self.lab.truth().ok();
        let spoilt =
            truth.as_ref().map(|truth| truth.spoilt(self.calibration.as_ref(), self.latest));
        LinkReport {
            link: self.preset.label(),
            about: self.preset.summary(),
            preset: self.preset.resolved(),
            seed: self.seed,
            tier: self.lab.tier(),
            calibration: self.calibration.clone(),
            truth,
            spoilt: spoilt.unwrap_or_default(),
        }
    }
}
