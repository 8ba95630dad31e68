//! Words that stand for values in documents, in databases and in labels.

use serde::Serialize;

/// Returns the word that serde has for a value without fields.
pub(crate) fn name_of(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
