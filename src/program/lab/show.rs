use serde::Serialize;

use super::Refused;
use crate::{
    cli::exit,
    lab::{
        doctor,
        preset::{self, Preset},
    },
    program::print,
    report::safe,
};

/// Lists the links that there are.
pub(super) fn list(json: bool) -> Result<u8, Refused> {
    let presets: Vec<Preset> = preset::builtin().collect();
    let text = if json { document(&Presets { presets })? } else { preset::table(&presets) };
    Ok(print(&text, exit::SUCCESS))
}

#[derive(Debug, Serialize)]
struct Presets {
    presets: Vec<Preset>,
}

/// Shows a link.
pub(super) fn one(name: &str, json: bool) -> Result<u8, Refused> {
    let preset = preset::find(name)?;
    let text = if json { document(&preset)? } else { preset::show(&preset) };
    Ok(print(&text, exit::SUCCESS))
}

/// Tries what this machine permits, and measures how exact it is.
pub(super) fn doctor(json: bool) -> Result<u8, Refused> {
    let diagnosis = doctor::run()?;
    let text = if json { document(&diagnosis)? } else { diagnosis.to_string() };
    let code = if diagnosis.carries_tcp() { exit::SUCCESS } else { exit::FAILED };
    Ok(print(&text, code))
}

fn document(value: &impl Serialize) -> Result<String, Refused> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Refused::local(format!("cannot write JSON: {error}")))?;
    Ok(safe::json(text) + "\n")
}
