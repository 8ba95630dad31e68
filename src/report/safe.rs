//! Strings of the other end, made safe for where they are shown.
//!
//! A version, a title or an error text comes over the network. Shown as it is, it could move the
//! cursor, recolour or rewrite a terminal, turn lines around, or be run by a spreadsheet.

use std::{borrow::Cow, fmt::Write as _};

/// Returns `text` on one line, with everything escaped that a terminal would act on.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::new(), |mut out, c| {
        if acts(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    }))
}

/// Returns the beginning of `text` on one line, made safe: a name is no place for a page.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_NAME) {
        None => line(text).into_owned(),
        Some((end, _)) => format!("{}...", line(&text[..end])),
    }
}

/// Returns each line of `text`, made safe. Tabs stay: they can only move to the right.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|one| one.split('\t').map(line).collect::<Vec<_>>().join("\t"))
}

/// Returns `text` as the cell of a table that a spreadsheet may open: never a formula.
pub(crate) fn cell(text: &str) -> String {
    let text = line(text);
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{text}") } else { text.into_owned() }
}

/// Returns a JSON text of the same value, without the characters on which a terminal would act and
/// which JSON would let pass.
pub(crate) fn json(text: String) -> String {
    let unsafe_here = |c: char| acts(c) && c != '\n';
    if !text.contains(unsafe_here) {
        return text;
    }
    // Outside of strings JSON is ASCII without control characters other than the line feed, so each
    // hit is inside a string, where an escape means the same.
    text.chars().fold(String::new(), |mut out, c| {
        if unsafe_here(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
        out
    })
}

/// Whether a terminal may act on `c`, or show what surrounds it in another order or not at all.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// In characters: more than any name or fingerprint has.
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        assert_eq!(
            line("polyperf 0.1.0 – größer, 速い, \\n"),
            "polyperf 0.1.0 – größer, 速い, \\n"
        );
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        assert_eq!(line("a\u{1b}[31mb\r\n\u{9b}0m\u{7f}"), "a\\u{1b}[31mb\\r\\n\\u{9b}0m\\u{7f}");
        assert_eq!(line("\u{202e}gpj.exe\u{2066}"), "\\u{202e}gpj.exe\\u{2066}");
    }

    #[test]
    fn line_feeds_and_tabs_are_kept_only_where_there_may_be_several_lines() {
        let shown: Vec<_> = lines("one\r\ntwo\t\u{1b}2J\nthree").collect();
        assert_eq!(shown, ["one", "two\t\\u{1b}2J", "three"]);
    }

    #[test]
    fn a_name_is_cut_where_it_becomes_a_page() {
        assert_eq!(short("TLS_AES_128_GCM_SHA256"), "TLS_AES_128_GCM_SHA256");
        assert_eq!(short(&"é\u{1b}".repeat(1000)), "é\\u{1b}".repeat(64) + "...");
    }

    #[test]
    fn a_cell_is_never_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("\t=1"), "\\t=1");
        assert_eq!(cell("a=1"), "a=1");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let text = "\u{9b}2J \u{202e} \u{7f} \u{e0041} é \\";
        let plain = serde_json::to_string(text).unwrap();
        let safe = json(plain);
        assert!(!safe.contains(acts), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
    }
}
