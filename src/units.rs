//! Numbers as iperf3's users write and read them.
//!
//! Sizes (`-n -k -l -w`) count in powers of 1024, rates (`-b`) in powers of 1000; both take `K`,
//! `M`, `G` and `T` in either case, and fractions (`1.5M`).

use std::fmt;

/// Why a text is not a number of the kind that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}: {problem}; write for instance {example}")]
pub struct ParseError {
    text: String,
    wanted: &'static str,
    problem: &'static str,
    example: &'static str,
}

/// Parses a size in bytes: `64K` is 65,536.
///
/// # Errors
///
/// Refuses what is not a number, negative, not finite, or beyond 2^63 - 1.
pub fn parse_size(text: &str) -> Result<u64, ParseError> {
    scaled(text, 1024.0).map_err(|problem| ParseError {
        text: text.to_owned(),
        wanted: "a size in bytes",
        problem,
        example: "131072, 128K or 1.5M",
    })
}

/// Parses a rate in bits per second: `100M` is 100,000,000.
///
/// # Errors
///
/// As [`parse_size`].
pub fn parse_rate(text: &str) -> Result<u64, ParseError> {
    scaled(text, 1000.0).map_err(|problem| ParseError {
        text: text.to_owned(),
        wanted: "a rate in bits per second",
        problem,
        example: "1000000, 100M or 2.5G",
    })
}

/// Parses seconds, whole or with a fraction, bare (`10`, `0.5`) or with a unit (`90s`, `2m`).
///
/// # Errors
///
/// Refuses what is not a number, negative, or not finite.
pub fn parse_seconds(text: &str) -> Result<std::time::Duration, ParseError> {
    let fail = |problem| ParseError {
        text: text.to_owned(),
        wanted: "a time in seconds",
        problem,
        example: "10, 0.5 or 2m",
    };
    match text.trim().parse::<f64>() {
        Ok(seconds) if !seconds.is_finite() => Err(fail("it is not finite")),
        Ok(seconds) if seconds < 0.0 => Err(fail("it is negative")),
        Ok(seconds) => {
            std::time::Duration::try_from_secs_f64(seconds).map_err(|_| fail("too long"))
        }
        Err(_) => humantime::parse_duration(text).map_err(|_| fail("it is not a number")),
    }
}

fn scaled(text: &str, base: f64) -> Result<u64, &'static str> {
    let text = text.trim();
    let (number, power) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1),
        Some('m' | 'M') => (&text[..text.len() - 1], 2),
        Some('g' | 'G') => (&text[..text.len() - 1], 3),
        Some('t' | 'T') => (&text[..text.len() - 1], 4),
        _ => (text, 0),
    };
    if power == 0
        && let Ok(exact) = number.parse::<u64>()
    {
        return if exact > MAX { Err("it is beyond 2^63 - 1") } else { Ok(exact) };
    }
    let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    let value: f64 = number.parse().ok().filter(|_| plain).ok_or("it is not a number")?;
    let value = value * base.powi(power);
    if value < 0.0 {
        return Err("it is negative");
    }
    if value >= LIMIT {
        return Err("it is beyond 2^63 - 1");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(value as u64)
}

/// Bytes, shown in units of 1024 with three significant digits, as iperf3 does: `1.25 MBytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let (value, unit) =
            scale(self.0 as f64, 1024.0, &["Bytes", "KBytes", "MBytes", "GBytes", "TBytes"]);
        write!(f, "{} {unit}", three_digits(value))
    }
}

/// Bits per second, shown in units of 1000: `21.5 Gbits/sec`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BitRate(pub f64);

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = bits(self.0);
        write!(f, "{} {unit}", three_digits(value))
    }
}

/// Returns a rate in the unit in which it is shown, and the unit's name.
pub(crate) fn bits(per_second: f64) -> (f64, &'static str) {
    let units = ["bits/sec", "Kbits/sec", "Mbits/sec", "Gbits/sec", "Tbits/sec"];
    scale(per_second, 1000.0, &units)
}

fn scale(mut value: f64, base: f64, units: &[&'static str; 5]) -> (f64, &'static str) {
    let mut unit = 0;
    // 999.5 would print as "1000": it belongs to the next unit.
    while value >= if base > 1000.0 { 1023.5 } else { 999.5 } && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    (value, units[unit])
}

/// Returns `value` with the three leading digits that iperf3 shows, or all of its whole part.
pub(crate) fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

const MAX: u64 = i64::MAX as u64;
const LIMIT: f64 = 9_223_372_036_854_775_808.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024_and_rates_in_1000() {
        assert_eq!(parse_size("64K"), Ok(65_536));
        assert_eq!(parse_size("1.5m"), Ok(1_572_864));
        assert_eq!(parse_rate("100M"), Ok(100_000_000));
        assert_eq!(parse_rate("2.5g"), Ok(2_500_000_000));
    }

    #[test]
    fn whole_numbers_are_exact_up_to_the_limit() {
        assert_eq!(parse_size("9007199254740993"), Ok(9_007_199_254_740_993));
        assert_eq!(parse_size("9223372036854775807"), Ok(MAX));
        assert!(parse_size("9223372036854775808").is_err());
    }

    #[test]
    fn what_is_not_a_size_is_refused_by_name() {
        for text in ["", "K", "nan", "inf", "-1", "-1K", "1e9", "0x10", "ten", "1KB", "9e18", "1é"]
        {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
        assert!(parse_size("8388608T").is_err());
    }

    #[test]
    fn seconds_take_fractions_and_units() {
        use std::time::Duration;
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds("2m"), Ok(Duration::from_secs(120)));
        for text in ["nan", "inf", "-1", "1e300", "soon"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn units_switch_where_three_digits_end() {
        assert_eq!(Bytes(1_310_720).to_string(), "1.25 MBytes");
        assert_eq!(Bytes(1023).to_string(), "1023 Bytes");
        assert_eq!(BitRate(999_499.0).to_string(), "999 Kbits/sec");
        assert_eq!(BitRate(999_600.0).to_string(), "1.00 Mbits/sec");
        assert_eq!(BitRate(21_470_000_000.0).to_string(), "21.5 Gbits/sec");
    }
}
