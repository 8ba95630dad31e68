//! Amounts with units, as people write them: `50 Mbit/s`, `20 ms`, `1 %`, `64 KB`, `100 packets`.
//!
//! Options take numbers as iperf3 does; here every amount says what it counts. `KB` is 1000 bytes
//! and `KiB` is 1024.

use std::time::Duration;

/// Reads a rate in bits per second.
pub(super) fn rate(text: &str) -> Option<u64> {
    scaled(text, &RATES)
}

/// Reads a time, to the microsecond.
pub(super) fn time(text: &str) -> Option<Duration> {
    scaled(text, &TIMES).map(Duration::from_micros)
}

/// Reads a size in bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    scaled(text, &SIZES)
}

/// Reads a number of packets.
pub(super) fn packets(text: &str) -> Option<u64> {
    scaled(text, &[("packets", 1), ("packet", 1)])
}

/// Reads a share in percent, and returns it as a number from 0.
pub(super) fn share(text: &str) -> Option<f64> {
    let (number, unit) = split(text)?;
    (unit == "%").then_some(number / 100.0)
}

/// Shows a rate in the largest unit of which it has one.
pub(super) fn show_rate(bits_per_second: u64) -> String {
    show(bits_per_second, &[(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1000, "kbit/s")])
        .unwrap_or_else(|| format!("{bits_per_second} bit/s"))
}

/// Shows two rates in the unit of the larger one: `2/0.5 Mbit/s`.
pub(super) fn show_rates(first: u64, second: u64) -> String {
    let larger = show_rate(first.max(second));
    let unit = larger.rsplit(' ').next().unwrap_or_default();
    let size = RATES.iter().find(|(name, _)| *name == unit).map_or(1, |(_, size)| *size);
    format!("{}/{} {unit}", decimal(first, size), decimal(second, size))
}

/// Shows a time, of which microseconds count.
pub(super) fn show_time(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    // Delays of tenths of a millisecond are more often compared with those of several.
    if (100..1000).contains(&micros) {
        return format!("{} ms", decimal(micros, 1000));
    }
    let units = [(1_000_000, "s"), (1000, "ms"), (1, "us")];
    show(micros, &units).unwrap_or_else(|| "0 ms".to_owned())
}

/// Shows a size in the largest unit of which it has one.
pub(super) fn show_bytes(bytes: u64) -> String {
    show(bytes, &[(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")])
        .unwrap_or_else(|| format!("{bytes} bytes"))
}

/// Shows a share in percent.
pub(super) fn show_share(share: f64) -> String {
    format!("{} %", rounded(share * 100.0))
}

/// Shows a number with the digits that matter.
pub(super) fn rounded(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    // Three digits, and no zeros behind them.
    let digits = (2.0 - number.abs().log10().floor()).clamp(0.0, 12.0);
    let scale = 10_f64.powf(digits);
    format!("{}", (number * scale).round() / scale)
}

fn show(amount: u64, units: &[(u64, &str)]) -> Option<String> {
    let (size, name) = units.iter().find(|(size, _)| amount >= *size)?;
    Some(format!("{} {name}", decimal(amount, *size)))
}

/// Returns `amount` in units of `size`, which is a power of ten, exactly.
fn decimal(amount: u64, size: u64) -> String {
    let (whole, rest) = (amount / size, amount % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    format!("{whole}.{rest:0width$}").trim_end_matches('0').to_owned()
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    #[allow(clippy::cast_precision_loss, reason = "factors are powers that a float holds")]
    let amount = number * *factor as f64;
    let whole = amount.round();
    // A fraction of the smallest unit is nothing that could be kept.
    let exact = (amount - whole).abs() <= whole.abs() * 1e-12;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (exact && whole < LIMIT).then_some(whole as u64)
}

/// Splits a text into a number, which is not negative, and a unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    // A number begins with a digit, and is none of thousands of them.
    let plain = number.len() <= 30 && number.starts_with(|c: char| c.is_ascii_digit());
    let number = plain.then(|| number.parse().ok()).flatten()?;
    Some((number, unit.trim_start()))
}

const RATES: [(&str, u64); 10] = [
    ("bit/s", 1),
    ("bps", 1),
    ("kbit/s", 1000),
    ("kbps", 1000),
    ("Kbit/s", 1000),
    ("Kbps", 1000),
    ("Mbit/s", 1_000_000),
    ("Mbps", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("Gbps", 1_000_000_000),
];
const TIMES: [(&str, u64); 5] =
    [("us", 1), ("µs", 1), ("ms", 1000), ("s", 1_000_000), ("min", 60_000_000)];
const SIZES: [(&str, u64); 10] = [
    ("bytes", 1),
    ("byte", 1),
    ("B", 1),
    ("KB", 1000),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];
/// Beyond this not every whole number is a float.
const LIMIT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(rate("50 Mbit/s"), Some(50_000_000));
        assert_eq!(rate(" 2.5Gbps "), Some(2_500_000_000));
        assert_eq!(rate("0.5 kbit/s"), Some(500));
        assert_eq!(time("20 ms"), Some(Duration::from_millis(20)));
        assert_eq!(time("0.25ms"), Some(Duration::from_micros(250)));
        assert_eq!(time("1.5 min"), Some(Duration::from_secs(90)));
        assert_eq!(bytes("64 KB"), Some(64_000));
        assert_eq!(bytes("64 KiB"), Some(65_536));
        assert_eq!(bytes("3.75 MB"), Some(3_750_000));
        assert_eq!((packets("100 packets"), packets("1 packet")), (Some(100), Some(1)));
        assert_eq!((share("1 %"), share("0.001%")), (Some(0.01), Some(0.00001)));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in [
            "",
            "ms",
            "20",
            "-1 ms",
            "+1 ms",
            "1e3 ms",
            "0x10 ms",
            ".5 ms",
            "1.2.3 ms",
            "nan ms",
            "inf s",
            "20 parsecs",
            "20 MS",
            "0.5 us",
            "99999999999999999999 s",
            "1,5 ms",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
        // Bytes, or bits? It says neither.
        for text in ["50 MB/s", "50 M", "50 mbit/s", "50 MBps"] {
            assert_eq!(rate(text), None, "{text}");
        }
        assert_eq!((share("1"), share("-1 %"), packets("1.5 packets")), (None, None, None));
        assert_eq!(time(&format!("{} s", "1".repeat(5000))), None);
    }

    #[test]
    fn what_is_shown_is_read_again_as_the_same() {
        for bits in [1, 999, 1000, 500_000, 10_000_000, 1_500_000_000, 1_234_567_891] {
            assert_eq!(rate(&show_rate(bits)), Some(bits), "{}", show_rate(bits));
        }
        for micros in [0, 1, 99, 100, 250, 1000, 6700, 15_000_000, 90_500_001] {
            let shown = show_time(Duration::from_micros(micros));
            assert_eq!(time(&shown), Some(Duration::from_micros(micros)), "{shown}");
        }
        for count in [0, 1, 999, 8000, 3_750_000, 18_750_000] {
            assert_eq!(bytes(&show_bytes(count)), Some(count), "{}", show_bytes(count));
        }
    }

    #[test]
    fn amounts_are_shown_short() {
        assert_eq!(show_time(Duration::from_micros(250)), "0.25 ms");
        assert_eq!(show_time(Duration::from_micros(6700)), "6.7 ms");
        assert_eq!(show_rate(500_000), "500 kbit/s");
        assert_eq!(show_rates(2_000_000, 500_000), "2/0.5 Mbit/s");
        assert_eq!(show_rates(500, 800), "500/800 bit/s");
        assert_eq!(show_bytes(3_750_000), "3.75 MB");
        assert_eq!((show_share(0.02), show_share(0.00001)), ("2 %".into(), "0.001 %".into()));
        assert_eq!(show_share(0.0033 / 0.3333), "0.99 %");
    }
}
