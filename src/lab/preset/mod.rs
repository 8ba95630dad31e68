//! Named links: those that ship, and files of one's own. docs/lab-links.md has the format.

mod amounts;
mod bounded;
mod error;
mod link;
mod parse;
mod reader;
mod shipped;
mod shown;
mod summary;
mod synthetic;
#[cfg(test)]
mod tests;
mod traces;

use std::path::Path;

use polyperf_memory::link::LinkConfig;
use schemars::JsonSchema;
use serde::Serialize;

use self::shipped::SHIPPED;
pub use self::{
    error::{Mistake, PresetError},
    link::{
        AqmFile, BlackoutFile, LinkFile, LossFile, PolicerFile, QueueFile, RateFile, ReorderFile,
        StepsFile, TraceFile,
    },
    shown::{show, table},
};

/// A named link, both directions of it.
///
/// What a label stands for never changes: other figures are another version.
///
/// ```
/// let geo = polyperf::lab::preset::find("geo")?;
/// assert_eq!(geo.label(), "geo@1");
/// let (to_server, to_client) = geo.links(7);
/// assert_eq!(to_server.delay, to_client.delay);
/// # Ok::<(), polyperf::lab::preset::PresetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Preset {
    /// What it is called.
    pub name: String,
    /// Which version of it this is.
    pub version: u32,
    /// What it is like, in a line; may be empty for one's own.
    pub about: String,
    /// Where its figures come from; may be empty for one's own.
    pub source: String,
    /// The largest packet; absent: 1500 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The link to the far side, where the server is: up.
    pub to_far: LinkFile,
    /// The link to the near side, where the client is: down.
    pub to_near: LinkFile,
}

impl Preset {
    /// The largest packet where a preset does not say it.
    pub const MTU: u16 = 1500;

    /// Returns the links to the far side and to the near side. Each has a seed of its own, made
    /// from this one.
    #[must_use]
    pub fn links(&self, seed: u64) -> (LinkConfig, LinkConfig) {
        (self.to_far.config(seed), self.to_near.config(seed.wrapping_add(OTHER_WAY)))
    }

    /// Returns the name with the version: `wifi-bad@1`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// Returns every preset that ships, in the order in which they are listed.
pub fn builtin() -> impl Iterator<Item = Preset> {
    SHIPPED.iter().map(|(label, text)| shipped(label, text))
}

/// Returns the newest shipped preset of a name, the one with exactly this label (`wifi-bad@1`), or
/// that of a file of one's own, whose name has a `/` or ends in `.toml`.
///
/// # Errors
///
/// Says what was looked for, why it is no preset, and what is allowed.
pub fn find(name: &str) -> Result<Preset, PresetError> {
    if name.contains('/') || name.ends_with(".toml") {
        return load(Path::new(name));
    }
    let found = SHIPPED.iter().filter(|(label, _)| *label == name || versions(label, name));
    let newest = found.max_by_key(|(label, _)| split(label).1);
    newest
        .map(|(label, text)| shipped(label, text))
        .ok_or_else(|| PresetError::Unknown { name: name.to_owned(), near: near(name) })
}

/// Reads a preset of one's own.
///
/// # Errors
///
/// What cannot be read, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Preset, PresetError> {
    let read = bounded::read(path, MAX_LEN);
    let text = read.map_err(|source| PresetError::Read { path: path.to_owned(), source })?;
    let invalid = |mistakes| PresetError::Invalid { path: path.to_owned(), mistakes };
    let preset = parse::preset(path, &text).map_err(invalid)?;
    let label = preset.label();
    if SHIPPED.iter().any(|(shipped, _)| *shipped == label) {
        let problem = format!("{label} ships with the program; give it another name or version");
        return Err(invalid(vec![Mistake { line: 1, problem }]));
    }
    Ok(preset)
}

fn shipped(label: &str, text: &str) -> Preset {
    // Each is read by a test.
    parse::preset(Path::new(label), text).expect("what ships is without mistakes")
}

fn versions(label: &str, name: &str) -> bool {
    split(label).0 == name
}

/// Splits a label into the name and the version.
fn split(label: &str) -> (&str, u32) {
    let (name, version) = label.split_once('@').unwrap_or((label, "0"));
    (name, version.parse().unwrap_or(0))
}

/// Returns the labels that look most like a name, the nearest first.
fn near(name: &str) -> Vec<String> {
    let likeness = |label: &str| {
        let whole = strsim::jaro_winkler(split(label).0, split(name).0);
        // Bounded above, and never not a number: the order of the bits is that of the values.
        (whole > ALIKE).then(|| whole.to_bits())
    };
    let mut near: Vec<_> =
        SHIPPED.iter().filter_map(|(label, _)| Some((likeness(label)?, *label))).collect();
    near.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, label)| label.to_owned()).collect()
}

/// What the other direction's seed is away. Not the constant by which seeds are spread into
/// generators, or streams would overlap.
const OTHER_WAY: u64 = 0xD134_2543_DE82_EF95;
/// The longest file of a preset, in bytes.
const MAX_LEN: usize = 64 << 10;
/// From here on a name may have been meant.
const ALIKE: f64 = 0.8;
