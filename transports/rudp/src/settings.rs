//! How a flow works, from what a test asks for.

use std::collections::BTreeMap;

use polyperf_fec::FecConfig;
use polyperf_transport::{Error, Setting, Tuning};

use crate::{Config, CongestionControl, MAX_MTU, MAX_WINDOW, MIN_MTU, MIN_WINDOW, NAME, Stats};

/// Returns how flows work that are asked for `tuning`.
///
/// # Errors
///
/// [`Error::Unsupported`] for the first thing that RUDP does not have, or not so.
pub(crate) fn config(tuning: &Tuning) -> Result<Config, Error> {
    tuning.without(&["ack_frequency", "connections", "resume", "zero_rtt"], NAME)?;
    tuning.without_kcp(NAME)?;
    let mut config = Config { no_delay: tuning.no_delay, ..Config::default() };
    if let Some(name) = &tuning.congestion {
        config.congestion = name
            .parse::<CongestionControl>()
            .map_err(|error| unsupported("congestion", name, &error.to_string()))?;
    }
    if let Some(mtu) = tuning.mtu {
        config.mtu = u16::try_from(mtu.get())
            .ok()
            .filter(|mtu| (MIN_MTU..=MAX_MTU).contains(mtu))
            .ok_or_else(|| unsupported("mtu", mtu, &format!("it has {MIN_MTU} to {MAX_MTU}")))?;
    }
    if let Some(window) = tuning.window {
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&window.get()) {
            let range = format!("it has {MIN_WINDOW} to {MAX_WINDOW}");
            return Err(unsupported("window", window, &range));
        }
        config.window = window.get();
    }
    if let Some(fec) = tuning.fec {
        let shape = FecConfig::new(fec.data, fec.parity)
            .map_err(|error| unsupported("fec", fec, &error.to_string()))?;
        config.fec = Some(shape);
    }
    Ok(config)
}

/// Returns what is in force, by the names of the options.
pub(crate) fn parameters(config: &Config, stats: &Stats) -> BTreeMap<String, String> {
    let fec = config.fec.map_or_else(|| "off".to_owned(), |fec| fec.to_string());
    [
        ("congestion", config.congestion.to_string()),
        ("mtu", stats.mtu.to_string()),
        ("window", config.window.to_string()),
        ("no_delay", config.no_delay.to_string()),
        ("fec", fec),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Returns an answer for each setting of RUDP's that `tuning` asks for. They are those from the
/// beginning of the flow: what is asked for later is answered with what is in force.
pub(crate) fn answers(config: &Config, stats: &Stats, tuning: &Tuning) -> Vec<Setting> {
    let force = parameters(config, stats);
    let asked = tuning.asked().into_iter();
    asked
        .filter_map(|(option, asked)| {
            // The same rate may be written in more than one way.
            let asked = match option {
                "congestion" => asked.parse::<CongestionControl>().map_or(asked, |c| c.to_string()),
                _ => asked,
            };
            Some((option, asked, force.get(option)?.clone()))
        })
        .map(|(option, asked, granted)| {
            let why = if option == "mtu" {
                "the other end, or the path, takes no longer datagrams"
            } else {
                "it is chosen before a flow is opened"
            };
            let refused = (granted != asked).then(|| why.to_owned());
            Setting { option: option.to_owned(), asked, granted: Some(granted), refused }
        })
        .collect()
}

fn unsupported(option: &str, value: impl ToString, reason: &str) -> Error {
    Error::Unsupported {
        transport: NAME,
        option: format!("{option} {}", value.to_string()),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn what_is_asked_for_is_what_a_flow_works_by() {
        let tuning = Tuning {
            congestion: Some("fixed:50M".to_owned()),
            mtu: NonZeroU32::new(1200),
            window: NonZeroU32::new(1 << 20),
            no_delay: true,
            ..Tuning::default()
        };
        let config = config(&tuning).unwrap();
        assert_eq!(config.congestion.to_string(), "fixed:50000000");
        assert_eq!((config.mtu, config.window, config.no_delay), (1200, 1 << 20, true));
    }

    #[test]
    fn what_it_does_not_have_is_refused_with_what_it_has() {
        let congestion = Tuning { congestion: Some("reno".to_owned()), ..Tuning::default() };
        let text = config(&congestion).unwrap_err().to_string();
        assert!(
            text.contains("reno") && text.contains("cubic, bbr, none, and fixed:RATE"),
            "{text}"
        );
        let mtu = Tuning { mtu: NonZeroU32::new(70_000), ..Tuning::default() };
        let text = config(&mtu).unwrap_err().to_string();
        assert!(text.contains("70000") && text.contains("100 to 65507"), "{text}");
        let window = Tuning { window: NonZeroU32::new(100), ..Tuning::default() };
        assert!(config(&window).unwrap_err().to_string().contains("4096 to 1073741824"));
        let kcp = Tuning { kcp_nc: Some(true), ..Tuning::default() };
        assert!(config(&kcp).unwrap_err().to_string().contains("kcp_nc"));
    }
}
