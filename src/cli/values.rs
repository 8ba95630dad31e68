//! Single values: from text to a number, or to the reason why it is none.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::units::{self, ParseError};

/// Everything that is wrong with a command line, a line each.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<String>);

impl Mistakes {
    /// Adds a line: the offending text, what is wrong with it, and the remedy.
    pub(super) fn add(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// Parses the value of an option, if it was given.
    pub(super) fn value<T>(
        &mut self,
        option: &str,
        text: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        let result =
            if text.is_empty() { Err("is empty: give a value".to_owned()) } else { parse(text) };
        result.map_err(|problem| self.add(format!("{option} {} {problem}", shown(text)))).ok()
    }

    /// Takes the value of an option that may be any text but none.
    pub(super) fn text(&mut self, option: &str, text: Option<&String>) -> Option<String> {
        self.value(option, text, |text| Ok(text.to_owned()))
    }

    /// Takes one of `names`.
    pub(super) fn name(
        &mut self,
        option: &str,
        text: Option<&String>,
        names: &[&str],
    ) -> Option<String> {
        self.value(option, text, |text| one_of(text, names))
    }

    /// Complains if more than one of these options is given, and says what to do.
    pub(super) fn exclusive(&mut self, options: &[(&str, bool)], remedy: &str) {
        let given: Vec<_> =
            options.iter().filter(|(_, given)| *given).map(|(option, _)| *option).collect();
        if given.len() > 1 {
            self.add(format!("{} exclude each other: {remedy}", given.join(" and ")));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Returns a text as it can be shown: short, and without anything that a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    let quoted = format!("{short:?}");
    let plain = !short.is_empty()
        && !short.contains(char::is_whitespace)
        && quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) == Some(&short);
    if plain { short } else { quoted }
}

/// Returns the text if it is one of `names`.
pub(super) fn one_of(text: &str, names: &[&str]) -> Result<String, String> {
    if names.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("is not known: write {}", names.join(", ")))
}

/// Parses a size in bytes, or a count with a prefix of 1024, other than 0.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match units::parse_size(number(text)?).map_err(|error| problem(text, &error))? {
        0 => Err("is nothing: give 1 or more, or leave it out".to_owned()),
        size => Ok(size),
    }
}

/// Parses a rate in bits per second.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    units::parse_rate(number(text)?).map_err(|error| problem(text, &error))
}

/// Parses a rate in bits per second other than 0.
pub(super) fn positive_rate(text: &str) -> Result<u64, String> {
    match rate(text)? {
        0 => Err("is no rate: give 1 bit/s or more, or leave it out for no limit".to_owned()),
        rate => Ok(rate),
    }
}

/// Parses seconds, cut to whole microseconds, as they travel.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let time = units::parse_seconds(number(text)?).map_err(|error| problem(text, &error))?;
    let whole = Duration::new(time.as_secs(), time.subsec_micros() * 1000);
    if whole.is_zero() && !time.is_zero() {
        return Err("is too short: give 1 microsecond or more, or 0".to_owned());
    }
    Ok(whole)
}

/// Returns a parser of seconds up to `max`, which takes 0 if `zero` says so.
pub(super) fn seconds_up_to(max: u64, zero: bool) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let time = seconds(text)?;
        let low = if zero { "0" } else { "more than 0" };
        let fits = time <= Duration::from_secs(max) && (zero || !time.is_zero());
        if fits { Ok(time) } else { Err(format!("is out of range: {low} to {max} s")) }
    }
}

/// Returns a parser of whole numbers in `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |text| {
        let (low, high) = (range.start(), range.end());
        let number = T::try_from(natural(text)?).ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("is out of range: {low} to {high}"))
    }
}

/// Parses a whole number; one that is too large comes out as the largest.
pub(super) fn natural(text: &str) -> Result<u64, String> {
    let digits = number(text)?.trim();
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits(digits) {
        // Nothing but digits fails to parse only by its size.
        return Ok(digits.parse().unwrap_or(u64::MAX));
    }
    Err(match digits.strip_prefix('-') {
        Some(digits) if all_digits(digits) => "is negative: give a whole number".to_owned(),
        _ => "is not a whole number: write digits alone".to_owned(),
    })
}

/// Parses the path of a file.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    if text.ends_with('/') || text.contains('\0') {
        return Err("is no file: give the path of one".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Parses the path of a folder.
pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') {
        return Err("is no folder: give the path of one".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Refuses what is too long to be a number.
fn number(text: &str) -> Result<&str, String> {
    if text.len() <= MAX_NUMBER { Ok(text) } else { Err("is too long for a number".to_owned()) }
}

/// Returns what is wrong with `text`, which the error would repeat.
fn problem(text: &str, error: &ParseError) -> String {
    let line = error.to_string();
    line.strip_prefix(&format!("{text:?} ")).map(str::to_owned).unwrap_or(line)
}

const MAX_SHOWN: usize = 64;
const MAX_NUMBER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_move_the_cursor() {
        assert_eq!(shown("10"), "10");
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("a b"), "\"a b\"");
        assert_eq!(shown("\u{1b}[2J"), "\"\\u{1b}[2J\"");
        assert_eq!(shown("\u{202e}x"), "\"\\u{202e}x\"");
        assert!(shown(&"x".repeat(5000)).len() < 80);
    }

    #[test]
    fn whole_numbers_keep_to_their_range() {
        assert_eq!(whole(1..=128_u16)("128"), Ok(128));
        for text in
            ["0", "129", "-1", "nan", "inf", "1.5", "4K", "+4", "", "99999999999999999999999"]
        {
            assert!(whole(1..=128_u16)(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_whole_microseconds() {
        assert_eq!(seconds("0.0000015"), Ok(Duration::from_micros(1)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert!(seconds("0.0000001").is_err());
        assert!(seconds_up_to(10, false)("0").is_err());
        assert!(seconds_up_to(10, true)("10.1").is_err());
    }
}
