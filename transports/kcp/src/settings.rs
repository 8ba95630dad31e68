//! How a flow works, from what a test asks for.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use polyperf_transport::{Error, Setting, Tuning};

use crate::{Config, FecConfig, FlushPolicy, NAME, Nodelay, Profile};

/// How a flow works: KCP's numbers, and forward error correction around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) fec: Option<FecConfig>,
    profile: Profile,
}

impl Settings {
    /// Returns what `tuning` asks for; what it does not is as in the mode that it asks for, or else
    /// `fast3`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first thing that KCP does not have, or not so.
    pub(crate) fn new(tuning: &Tuning) -> Result<Self, Error> {
        let profile = match tuning.kcp_mode.as_deref() {
            None => Profile::Fast3,
            Some(name) => Profile::named(name).ok_or_else(|| {
                unsupported("kcp_mode", name, "it has normal, fast, fast2 and fast3")
            })?,
        };
        let mut config = Config::new(profile);
        if let Some(number) = tuning.kcp_nodelay {
            config.nodelay = Nodelay::from_number(number)
                .ok_or_else(|| unsupported("kcp_nodelay", number, "it has 0, 1 and 2"))?;
        }
        if let Some(millis) = tuning.kcp_interval_ms.map(NonZeroU32::get) {
            config.interval = Duration::from_millis(millis.into());
        }
        config.resend = tuning.kcp_resend.unwrap_or(config.resend);
        config.congestion_control = tuning.kcp_nc.map_or(config.congestion_control, |nc| !nc);
        config.send_window = tuning.kcp_sndwnd.unwrap_or(config.send_window);
        config.receive_window = tuning.kcp_rcvwnd.unwrap_or(config.receive_window);
        config.mtu = tuning.kcp_mtu.map_or(config.mtu, NonZeroU16::get);
        config.flush = match tuning.kcp_flush.as_deref() {
            None | Some("batch") => FlushPolicy::Batch,
            Some("interval") => FlushPolicy::Interval,
            Some(other) => {
                return Err(unsupported("kcp_flush", other, "it has batch and interval"));
            }
        };
        let fec = match tuning.fec {
            None => None,
            Some(fec) => Some(
                FecConfig::new(fec.data, fec.parity)
                    .map_err(|error| unsupported("fec", fec, &error.to_string()))?,
            ),
        };
        let settings = Self { config, fec, profile };
        settings.check()?;
        Ok(settings)
    }

    /// Returns how flows work that nobody has asked anything for.
    pub(crate) fn unasked() -> Self {
        let profile = Profile::Fast3;
        Self { config: Config::new(profile), fec: None, profile }
    }

    /// Returns the settings for a peer that is of this project: both ends know each other's windows,
    /// and how a stream ends.
    pub(crate) fn among_ourselves(mut self) -> Self {
        self.config.ends = true;
        self.config.repeat_acks = true;
        self.config.peer_window = self.config.receive_window;
        self
    }

    /// Returns the settings for a peer that may be kcp-go, whose window is the smallest of all
    /// before it is told.
    pub(crate) fn with_strangers(mut self) -> Self {
        self.config.ends = false;
        self.config.repeat_acks = false;
        self.config.peer_window = STRANGERS_WINDOW;
        self
    }

    /// Returns what is in force, by the names that KCP's users know.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters: BTreeMap<_, _> = [
            ("nodelay", self.nodelay().to_string()),
            ("interval", self.config.interval.as_millis().to_string()),
            ("resend", self.config.resend.to_string()),
            ("nc", u8::from(!self.config.congestion_control).to_string()),
            ("sndwnd", self.config.send_window.to_string()),
            ("rcvwnd", self.config.receive_window.to_string()),
            ("mtu", self.config.mtu.to_string()),
            ("flush", self.flush().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let fec = self.fec.map_or_else(|| "off".to_owned(), |fec| fec.to_string());
        parameters.insert("fec".to_owned(), fec);
        parameters
    }

    /// Returns an answer for each setting of KCP's that `tuning` asks for. They are those from the
    /// beginning of the flow: what is asked for later is answered with what is in force.
    pub(crate) fn answers(&self, tuning: &Tuning) -> Vec<Setting> {
        let asked = tuning.asked().into_iter();
        asked
            .filter_map(|(option, asked)| Some((option, asked, self.value(option)?)))
            .map(answer)
            .collect()
    }

    fn value(&self, option: &str) -> Option<String> {
        Some(match option {
            "kcp_mode" => self.profile.name().to_owned(),
            "kcp_nodelay" => self.nodelay().to_string(),
            "kcp_interval_ms" => self.config.interval.as_millis().to_string(),
            "kcp_resend" => self.config.resend.to_string(),
            "kcp_nc" => (!self.config.congestion_control).to_string(),
            "kcp_sndwnd" => self.config.send_window.to_string(),
            "kcp_rcvwnd" => self.config.receive_window.to_string(),
            "kcp_mtu" => self.config.mtu.to_string(),
            "kcp_flush" => self.flush().to_owned(),
            "fec" => self.fec.map_or_else(|| "off".to_owned(), |fec| fec.to_string()),
            _ => return None,
        })
    }

    fn nodelay(&self) -> u8 {
        self.config.nodelay.number()
    }

    fn flush(&self) -> &'static str {
        match self.config.flush {
            FlushPolicy::Batch => "batch",
            FlushPolicy::Interval => "interval",
        }
    }

    fn check(&self) -> Result<(), Error> {
        match crate::Conversation::check(&self.config, self.fec) {
            Ok(()) => Ok(()),
            Err(mistakes) => {
                let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                Err(Error::Unsupported {
                    transport: NAME,
                    option: "these settings".to_owned(),
                    reason: mistakes.join("; "),
                })
            }
        }
    }
}

fn answer((option, asked, granted): (&'static str, String, String)) -> Setting {
    let refused = (granted != asked).then(|| "it is chosen before a flow is opened".to_owned());
    Setting { option: option.to_owned(), asked, granted: Some(granted), refused }
}

fn unsupported(option: &str, value: impl ToString, reason: &str) -> Error {
    Error::Unsupported {
        transport: NAME,
        option: format!("{option} {}", value.to_string()),
        reason: reason.to_owned(),
    }
}

const STRANGERS_WINDOW: NonZeroU16 = NonZeroU16::new(32).expect("not zero");
