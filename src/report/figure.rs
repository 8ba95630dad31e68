//! Figures as cells of a table: what is unknown is `-`, and no figure is wider than its column.

use std::{str::FromStr, time::Duration};

use crate::units::{BitRate, Bytes, three_digits};

/// The one unit that every rate is shown in, by iperf3's letters (`-f`).
///
/// Lower case counts bits in powers of 1000, upper case bytes in powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    letter: char,
}

/// A letter that names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a unit of rates: write one of k m g t (bits) or K M G T (bytes)")]
pub struct UnitError(String);

impl Unit {
    fn show(self, bits_per_second: f64) -> (f64, String) {
        let power = match self.letter.to_ascii_lowercase() {
            'k' => 1,
            'm' => 2,
            'g' => 3,
            _ => 4,
        };
        let letter = self.letter.to_ascii_uppercase();
        if self.letter.is_ascii_lowercase() {
            (bits_per_second / 1000f64.powi(power), format!("{letter}bits/sec"))
        } else {
            (bits_per_second / 8.0 / 1024f64.powi(power), format!("{letter}Bytes/sec"))
        }
    }
}

impl FromStr for Unit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter @ ('k' | 'm' | 'g' | 't' | 'K' | 'M' | 'G' | 'T')), None) => {
                Ok(Self { letter })
            }
            _ => Err(UnitError(text.to_owned())),
        }
    }
}

/// Width of a number of bytes.
pub(super) const BYTES: usize = 11;
/// Width of a round-trip time.
pub(super) const RTT: usize = 9;
/// What stands for a figure that is not known.
pub(crate) const UNKNOWN: &str = "-";

/// Returns the width of a rate. A chosen unit may be far too small for the rate, and needs room.
pub(super) fn rate_width(unit: Option<Unit>) -> usize {
    if unit.is_some() { 20 } else { 14 }
}

pub(crate) fn rate(bits_per_second: Option<f64>, unit: Option<Unit>) -> String {
    let Some(rate) = bits_per_second else { return UNKNOWN.to_owned() };
    let width = rate_width(unit);
    match unit.map(|unit| unit.show(rate)) {
        Some((value, name)) => {
            fit(format!("{} {name}", three_digits(value)), width, || format!("{value:.0e} {name}"))
        }
        None => fit(BitRate(rate).to_string(), width, || format!("{:.0e} Tbits/sec", rate / 1e12)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
pub(super) fn bytes(count: Option<u64>) -> String {
    let Some(count) = count else { return UNKNOWN.to_owned() };
    let tera = || format!("{:.0e} TBytes", count as f64 / 1024f64.powi(4));
    fit(Bytes(count).to_string(), BYTES, tera)
}

/// Returns a count in at most five characters.
#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn count(count: Option<u64>) -> String {
    count.map_or(UNKNOWN.to_owned(), |n| fit(n.to_string(), 5, || format!("{:.0e}", n as f64)))
}

pub(crate) fn rtt(rtt: Option<Duration>) -> String {
    rtt.map_or(UNKNOWN.to_owned(), |rtt| format!("{} ms", millis(rtt)))
}

/// Returns a share, from 0 to 1, as percent. What is not none is never shown as 0.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".to_owned(),
        ..0.01 => "<0.01%".to_owned(),
        percent @ ..9.995 => format!("{percent:.2}%"),
        percent => format!("{percent:.1}%"),
    }
}

/// Returns a time in milliseconds in at most six characters.
pub(crate) fn millis(time: Duration) -> String {
    let value = time.as_secs_f64() * 1e3;
    match value {
        ..9.9995 => format!("{value:.3}"),
        ..99.995 => format!("{value:.2}"),
        ..999.95 => format!("{value:.1}"),
        ..999_999.5 => format!("{value:.0}"),
        _ => format!("{value:.0e}"),
    }
}

/// Returns a time in seconds in at most six characters.
pub(super) fn seconds(time: Duration) -> String {
    let value = time.as_secs_f64();
    match value {
        ..999.995 => format!("{value:.2}"),
        ..9999.95 => format!("{value:.1}"),
        ..999_999.5 => format!("{value:.0}"),
        _ => format!("{value:.0e}"),
    }
}

fn fit(text: String, width: usize, short: impl FnOnce() -> String) -> String {
    if text.len() <= width { text } else { short() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [u64; 12] = [
        0,
        1,
        999,
        1023,
        1024,
        99_999,
        100_000,
        1 << 30,
        999_999_999_999,
        1 << 50,
        u64::MAX - 1,
        u64::MAX,
    ];

    #[test]
    fn no_figure_is_wider_than_its_column() {
        for n in SIZES {
            let time = Duration::from_micros(n);
            assert!(bytes(Some(n)).len() <= BYTES, "{}", bytes(Some(n)));
            assert!(count(Some(n)).len() <= 5, "{}", count(Some(n)));
            assert!(rtt(Some(time)).len() <= RTT, "{}", rtt(Some(time)));
            assert!(seconds(time).len() <= 6, "{}", seconds(time));
            for unit in ["k", "m", "g", "t", "K", "M", "G", "T", ""] {
                let unit = unit.parse().ok();
                #[allow(clippy::cast_precision_loss, reason = "any number will do")]
                let shown = rate(Some(n as f64 * 8e6), unit);
                assert!(shown.len() <= rate_width(unit), "{shown}");
            }
        }
    }

    #[test]
    fn a_chosen_unit_counts_bits_in_1000_and_bytes_in_1024() {
        let shown = |letter: &str| rate(Some(8_589_934_592.0), letter.parse().ok());
        assert_eq!(shown("m"), "8590 Mbits/sec");
        assert_eq!(shown("M"), "1024 MBytes/sec");
        assert_eq!(shown("t"), "0.01 Tbits/sec");
        assert_eq!(shown("G"), "1.00 GBytes/sec");
    }

    #[test]
    fn a_share_that_is_not_none_is_not_shown_as_none() {
        let shown = [0.0, 1e-9, 0.0123, 0.5, 1.0].map(percent);
        assert_eq!(shown, ["0%", "<0.01%", "1.23%", "50.0%", "100.0%"]);
    }

    #[test]
    fn what_is_no_unit_is_refused_by_name() {
        for text in ["", "x", "kk", "Kbits"] {
            let error = text.parse::<Unit>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn unknown_is_a_dash_and_zero_is_a_figure() {
        assert_eq!(
            (rate(None, None), rate(Some(0.0), None)),
            ("-".to_owned(), "0.00 bits/sec".to_owned())
        );
        assert_eq!((count(None), count(Some(0))), ("-".to_owned(), "0".to_owned()));
        assert_eq!((bytes(None), bytes(Some(0))), ("-".to_owned(), "0.00 Bytes".to_owned()));
    }
}
