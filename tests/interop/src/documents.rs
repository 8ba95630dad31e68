//! Two documents of the same kind, key by key.

use serde_json::Value;

/// Lists where `ours` lacks a key of `theirs`, or has a value of another type for it.
#[must_use]
pub fn differences(theirs: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(theirs, Some(ours), "", &mut found);
    found
}

fn walk(theirs: &Value, ours: Option<&Value>, path: &str, found: &mut Vec<String>) {
    let Some(ours) = ours else { return found.push(format!("{path} is missing")) };
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                walk(value, ours.get(key), &format!("{path}.{key}"), found);
            }
        }
        // There may be more intervals; all are of the same kind.
        (Value::Array(theirs), Value::Array(ours)) => {
            for (index, ours) in ours.iter().enumerate() {
                if let Some(theirs) = theirs.get(index).or(theirs.last()) {
                    walk(theirs, Some(ours), &format!("{path}[{index}]"), found);
                }
            }
            if ours.is_empty() && !theirs.is_empty() {
                found.push(format!("{path} is empty"));
            }
        }
        (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Null, _) => {}
        _ => found.push(format!("{path} is {ours}, not as {theirs}")),
    }
}
