//! Trying the tiers, one after the other.

use std::{fs, io::Write, time::Duration};

use super::{Calibration, Diagnosis, Tried, calibrate};
use crate::lab::{
    DEFAULT_MTU, Lab, LabError, Tier, prepare,
    prepare::{in_order, refuse_threads, try_tier},
    sys::{namespace::number, trial::in_a_copy},
};

/// Tries every tier, and calibrates the best; each in a copy of this process, which stays as it is.
///
/// # Errors
///
/// [`LabError::Threads`] if a second thread has been started.
pub fn run() -> Result<Diagnosis, LabError> {
    refuse_threads()?;
    let attempt = |tier| Tried { tier, obstacle: try_tier(tier).err() };
    let tiers: Vec<_> = in_order().into_iter().map(attempt).collect();
    let works = |tried: &&Tried| tried.obstacle.is_none();
    let best = tiers.iter().find(works).map_or(Tier::Loopback, |tried| tried.tier);
    let calibrated = best.emulates().then(|| calibrated(best)).transpose();
    let controls = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
    Ok(Diagnosis {
        tiers,
        best,
        calibration_problem: calibrated.as_ref().err().cloned(),
        calibration: calibrated.ok().flatten(),
        most_receive_buffer: number("/proc/sys/net/core/rmem_max"),
        most_send_buffer: number("/proc/sys/net/core/wmem_max"),
        congestion_controls: controls
            .map(|names| names.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}

/// Calibrates a tier in a copy of this process.
fn calibrated(tier: Tier) -> Result<Calibration, String> {
    let attempt = |output: &mut fs::File| {
        let outcome = prepare(Some(tier))
            .and_then(|prepared| Lab::open(prepared, DEFAULT_MTU))
            .and_then(|lab| calibrate(&lab))
            .map_err(|error| error.to_string());
        // Who asked finds nothing if this fails, and says so.
        let _ = serde_json::to_writer(&mut *output, &outcome);
        let _ = output.flush();
    };
    let answer = in_a_copy(attempt, PATIENCE).map_err(|error| error.to_string())?;
    let ended = |_| "the attempt ended without an answer".to_owned();
    serde_json::from_slice::<Result<Calibration, String>>(&answer).map_err(ended)?
}

const PATIENCE: Duration = Duration::from_secs(30);
