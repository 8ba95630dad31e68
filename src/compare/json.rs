//! A comparison for programs: one JSON document.

use super::Comparison;
use crate::report::safe;

/// Returns `comparison` as a JSON document that is safe to show on a terminal, too.
///
/// # Errors
///
/// Fails only where memory does: every figure of a [`Comparison`] is finite.
pub fn render(comparison: &Comparison) -> serde_json::Result<String> {
    Ok(safe::json(serde_json::to_string_pretty(comparison)?) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing;

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let comparison = testing::comparison();
        let json = render(&comparison).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), comparison);
    }

    #[test]
    fn nothing_is_null() {
        let json = render(&testing::comparison()).unwrap();
        assert!(!json.contains("null"), "{json}");
    }

    #[test]
    fn what_a_server_says_cannot_act_on_a_terminal() {
        let json = render(&testing::hostile()).unwrap();
        assert!(!json.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
    }
}
