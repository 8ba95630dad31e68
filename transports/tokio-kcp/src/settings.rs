//! How a flow works, from what a test asks for.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32},
    ops::RangeInclusive,
};

use polyperf_transport::{Error, Setting, Tuning};
use tokio_kcp::{KcpConfig, KcpNoDelayConfig};

use crate::NAME;

/// What the crate is set to, by the names of [`Tuning`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    mode: String,
    nodelay: bool,
    interval: u16,
    resend: u8,
    nc: bool,
    sndwnd: u16,
    rcvwnd: u16,
    mtu: u16,
    /// Whether data leaves when it is written, which is usual here though not for the crate: there and
    /// back on loopback, 64 bytes take 20 µs so, and 10 ms where they wait for the clock.
    /// Acknowledgements wait for it in any case.
    batch: bool,
}

impl Settings {
    /// Returns what `tuning` asks for; what it does not is as in the mode that it asks for, or else
    /// `fast3`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first thing that the crate does not have, or not so.
    pub(crate) fn new(tuning: &Tuning) -> Result<Self, Error> {
        let mode = tuning.kcp_mode.as_deref().unwrap_or("fast3");
        let (nodelay, interval) = match mode {
            "normal" => (false, 40),
            "fast" => (false, 30),
            "fast2" => (true, 20),
            "fast3" => (true, 10),
            other => {
                return Err(refused("kcp_mode", other, "it has normal, fast, fast2 and fast3"));
            }
        };
        if let Some(fec) = tuning.fec {
            let reason = "the crate has no error correction; take --transport kcp for that";
            return Err(refused("fec", fec, reason));
        }
        let nodelay = match tuning.kcp_nodelay {
            None => nodelay,
            Some(0) => false,
            Some(1) => true,
            Some(other) => return Err(refused("kcp_nodelay", other, "the crate has 0 and 1")),
        };
        let interval = match tuning.kcp_interval_ms.map(NonZeroU32::get) {
            None => interval,
            Some(asked) => within("kcp_interval_ms", asked, INTERVALS)?,
        };
        let number = |option, asked: Option<NonZeroU16>, usual, possible| match asked {
            None => Ok(usual),
            Some(asked) => within(option, asked.get().into(), possible),
        };
        let batch = match tuning.kcp_flush.as_deref() {
            None | Some("batch") => true,
            Some("interval") => false,
            Some(other) => return Err(refused("kcp_flush", other, "it has batch and interval")),
        };
        Ok(Self {
            mode: mode.to_owned(),
            nodelay,
            interval,
            resend: tuning.kcp_resend.unwrap_or(2),
            nc: tuning.kcp_nc.unwrap_or(true),
            sndwnd: number("kcp_sndwnd", tuning.kcp_sndwnd, WINDOW, 1..=MAX_WINDOW)?,
            rcvwnd: number("kcp_rcvwnd", tuning.kcp_rcvwnd, WINDOW, MIN_RECEIVE..=MAX_WINDOW)?,
            mtu: number("kcp_mtu", tuning.kcp_mtu, 1400, MTUS)?,
            batch,
        })
    }

    /// Returns how flows work that nobody has asked anything for.
    pub(crate) fn unasked() -> Self {
        match Self::new(&Tuning::default()) {
            Ok(settings) => settings,
            Err(_) => unreachable!("nothing was asked for"),
        }
    }

    /// Returns the crate's form of it.
    pub(crate) fn config(&self) -> KcpConfig {
        KcpConfig {
            mtu: self.mtu.into(),
            nodelay: KcpNoDelayConfig {
                nodelay: self.nodelay,
                interval: self.interval.into(),
                resend: self.resend.into(),
                nc: self.nc,
            },
            wnd_size: (self.sndwnd, self.rcvwnd),
            flush_write: self.batch,
            stream: true,
            ..KcpConfig::default()
        }
    }

    /// Returns the longest write: of more segments, the crate takes a part and then refuses the
    /// rest.
    pub(crate) fn longest_write(&self) -> usize {
        MOST_SEGMENTS * usize::from(self.mtu - HEADER)
    }

    /// Returns the segments that are held for the reader.
    pub(crate) fn receive_window(&self) -> u16 {
        self.rcvwnd
    }

    /// Returns what is in force, by the names that KCP's users know.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        let flush = if self.batch { "batch" } else { "interval" };
        [
            ("nodelay", u8::from(self.nodelay).to_string()),
            ("interval", self.interval.to_string()),
            ("resend", self.resend.to_string()),
            ("nc", u8::from(self.nc).to_string()),
            ("sndwnd", self.sndwnd.to_string()),
            ("rcvwnd", self.rcvwnd.to_string()),
            ("mtu", self.mtu.to_string()),
            ("flush", flush.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Returns an answer for each setting of the crate's that `tuning` asks for.
    pub(crate) fn answers(&self, tuning: &Tuning) -> Vec<Setting> {
        let answer = |(option, asked): (&'static str, String)| {
            let granted = self.value(option)?;
            let refused = (granted != asked).then(|| "it is chosen before a flow is opened".into());
            Some(Setting { option: option.to_owned(), asked, granted: Some(granted), refused })
        };
        tuning.asked().into_iter().filter_map(answer).collect()
    }

    fn value(&self, option: &str) -> Option<String> {
        Some(match option {
            "kcp_mode" => self.mode.clone(),
            "kcp_nodelay" => u8::from(self.nodelay).to_string(),
            "kcp_interval_ms" => self.interval.to_string(),
            "kcp_resend" => self.resend.to_string(),
            "kcp_nc" => self.nc.to_string(),
            "kcp_sndwnd" => self.sndwnd.to_string(),
            "kcp_rcvwnd" => self.rcvwnd.to_string(),
            "kcp_mtu" => self.mtu.to_string(),
            "kcp_flush" => if self.batch { "batch" } else { "interval" }.to_owned(),
            _ => return None,
        })
    }
}

fn within(option: &str, asked: u32, possible: RangeInclusive<u16>) -> Result<u16, Error> {
    let reason = || format!("it takes {} to {}", possible.start(), possible.end());
    let number = u16::try_from(asked).ok().filter(|number| possible.contains(number));
    number.ok_or_else(|| refused(option, asked, &reason()))
}

fn refused(option: &str, value: impl ToString, reason: &str) -> Error {
    Error::Unsupported {
        transport: NAME,
        option: format!("{option} {}", value.to_string()),
        reason: reason.to_owned(),
    }
}

const WINDOW: u16 = 1024;
const MAX_WINDOW: u16 = 16_384;
/// The crate holds no fewer.
const MIN_RECEIVE: u16 = 128;
/// The crate's own, in milliseconds.
const INTERVALS: RangeInclusive<u16> = 10..=5000;
/// A segment needs a header of 24 bytes, and the crate 50; what is received is at most 65,535.
const MTUS: RangeInclusive<u16> = 50..=65_507;
const HEADER: u16 = 24;
const MOST_SEGMENTS: usize = 100;
