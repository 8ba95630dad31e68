use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a test asks to be set on its streams, at both ends.
///
/// `None` and `false` leave the transport's default. A transport that cannot honour a field says so
/// in a [`Setting`]; it never drops it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Socket buffers, or the stream's window, in bytes (`-w`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<NonZeroU32>,
    /// Largest segment payload in bytes (`-M`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<NonZeroU32>,
    /// Send small segments at once (`-N`).
    #[serde(skip_serializing_if = "is_false")]
    pub no_delay: bool,
    /// Congestion control by name (`-C`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
}

impl Tuning {
    /// Returns whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One setting: what was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The setting, as users know it: `window`, `mss`, `no_delay`, `congestion`.
    pub option: String,
    /// The value asked for.
    pub asked: String,
    /// The value in force now; `None` where it cannot be read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<String>,
    /// Why the value asked for is not the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Setting {
    /// Returns a setting that `transport` does not have.
    #[must_use]
    pub fn unsupported(option: &str, asked: impl ToString, transport: &str) -> Self {
        Self {
            option: option.to_owned(),
            asked: asked.to_string(),
            granted: None,
            refused: Some(format!("{transport} has no such setting")),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}
