//! How an end works.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use polyperf_fec::FecConfig;

use crate::congestion::{Bbr, Controller, Cubic, Fixed, Unlimited};

/// How one end of a flow works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the longest datagram, above UDP, [`MIN_MTU`] to [`MAX_MTU`]. The peer may have a
    /// shorter one, which then holds for both.
    pub mtu: u16,
    /// Bytes that are held for the reader, and as many that wait or are under way; [`MIN_WINDOW`] to
    /// [`MAX_WINDOW`].
    pub window: u32,
    /// What says how much may be under way, and how fast it goes.
    pub congestion: CongestionControl,
    /// Whether a datagram that is not full leaves while another such one is under way.
    pub no_delay: bool,
    /// For how long a silent peer is waited for; three probe timeouts if that is more.
    pub idle_timeout: Duration,
    /// Forward error correction of what this end sends.
    pub fec: Option<FecConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mtu: 1452,
            window: 4 << 20,
            congestion: CongestionControl::Cubic,
            no_delay: false,
            idle_timeout: Duration::from_secs(10),
            fec: None,
        }
    }
}

impl Config {
    /// Says what is wrong with it.
    ///
    /// # Errors
    ///
    /// Returns the first mistake if no flow can work like this.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(MIN_MTU..=MAX_MTU).contains(&self.mtu) {
            return Err(ConfigError::Mtu(self.mtu));
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            return Err(ConfigError::Window(self.window));
        }
        Ok(())
    }
}

/// Why no flow can work like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The longest datagram is too short or too long.
    #[error("{0} bytes of the longest datagram are not {MIN_MTU} to {MAX_MTU}")]
    Mtu(u16),
    /// The window is too small or too large.
    #[error("{0} bytes of window are not {MIN_WINDOW} to {MAX_WINDOW}")]
    Window(u32),
}

/// A congestion control by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CongestionControl {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    Cubic,
    /// BBR (draft-ietf-ccwg-bbr).
    Bbr,
    /// So many bits per second, whatever happens.
    Fixed(NonZeroU64),
    /// None: the peer's window alone limits what is under way.
    None,
}

impl CongestionControl {
    /// Returns one to which nothing has happened yet, for packets of so many bytes.
    pub(crate) fn start(self, packet: u64, seed: u64) -> Box<dyn Controller> {
        match self {
            Self::Cubic => Box::new(Cubic::new(packet)),
            Self::Bbr => Box::new(Bbr::new(packet, seed)),
            Self::Fixed(rate) => Box::new(Fixed::new(rate.get().div_ceil(8), packet)),
            Self::None => Box::new(Unlimited),
        }
    }
}

impl fmt::Display for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cubic => f.write_str("cubic"),
            Self::Bbr => f.write_str("bbr"),
            Self::Fixed(rate) => write!(f, "fixed:{rate}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// It is not the name of a congestion control.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has cubic, bbr, none, and fixed:RATE with bits per second, such as fixed:50M")]
pub struct UnknownControl;

impl FromStr for CongestionControl {
    type Err = UnknownControl;

    /// A rate may have a unit, K, M, G or T, of thousands.
    fn from_str(text: &str) -> Result<Self, UnknownControl> {
        match text {
            "cubic" => Ok(Self::Cubic),
            "bbr" => Ok(Self::Bbr),
            "none" => Ok(Self::None),
            other => {
                let rate = other.strip_prefix("fixed:").and_then(rate).ok_or(UnknownControl)?;
                Ok(Self::Fixed(rate))
            }
        }
    }
}

/// Returns the bits per second that `text` says, up to [`MAX_RATE`].
fn rate(text: &str) -> Option<NonZeroU64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'm' | 'M') => (&text[..at], 1e6),
        (at, 'g' | 'G') => (&text[..at], 1e9),
        (at, 't' | 'T') => (&text[..at], 1e12),
        _ => (text, 1.0),
    };
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let rate = (number.parse::<f64>().ok()? * unit).round();
    if !(1.0..=MAX_RATE).contains(&rate) {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, and in range"
    )]
    NonZeroU64::new(rate as u64)
}

/// Bytes of the shortest longest datagram: some data besides the headers.
pub const MIN_MTU: u16 = 100;
/// Bytes of the longest datagram that UDP carries over IPv4.
pub const MAX_MTU: u16 = 65_507;
/// Bytes of the smallest window.
pub const MIN_WINDOW: u32 = 4 << 10;
/// Bytes of the largest window.
pub const MAX_WINDOW: u32 = 1 << 30;

/// Bits per second of the highest rate.
const MAX_RATE: f64 = 1e13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_read_as_they_are_written() {
        for text in ["cubic", "bbr", "none", "fixed:50000000", "fixed:1"] {
            assert_eq!(text.parse::<CongestionControl>().unwrap().to_string(), text);
        }
        let fixed = |text: &str| text.parse::<CongestionControl>().unwrap().to_string();
        assert_eq!(fixed("fixed:50M"), "fixed:50000000");
        assert_eq!(fixed("fixed:1.5g"), "fixed:1500000000");
        for text in [
            "",
            "reno",
            "fixed",
            "fixed:",
            "fixed:0",
            "fixed:x",
            "fixed:-1",
            "fixed:1e9",
            "fixed:99999T",
            "Cubic",
        ] {
            assert_eq!(text.parse::<CongestionControl>(), Err(UnknownControl), "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(Config { mtu: 99, ..config }.check(), Err(ConfigError::Mtu(99)));
        assert_eq!(Config { window: 1, ..config }.check(), Err(ConfigError::Window(1)));
        let error = Config { window: 1, ..config }.check().unwrap_err();
        assert_eq!(error.to_string(), "1 bytes of window are not 4096 to 1073741824");
    }
}
