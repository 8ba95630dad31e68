//! What client and server have in common: addresses and the log.

use std::net::IpAddr;

use super::{
    args::{Family, Local, Log, LogFormat, LogLevel},
    host,
    raw::{RawLocal, RawLog},
    values::{Mistakes, one_of, shown},
};

/// Checks where the sockets sit. `behind_host` is the device that was named with the host.
pub(super) fn local(raw: &RawLocal, behind_host: Option<&str>, mistakes: &mut Mistakes) -> Local {
    if raw.version4 && raw.version6 {
        mistakes.add("-4 and -6 exclude each other: leave out both to use either");
    }
    let family = match (raw.version4, raw.version6) {
        (true, false) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        _ => None,
    };
    let bind = mistakes.value("-B", raw.bind.as_ref(), host::local);
    let (bind, behind_bind) = bind.map_or((None, None), |(addr, device)| (Some(addr), device));
    if let Some(addr) = bind {
        fits_family("-B", addr, family, mistakes);
    }
    let device = mistakes.value("--bind-dev", raw.bind_dev.as_ref(), host::device);
    let named = [device.as_deref(), behind_bind.as_deref(), behind_host];
    let device = one_device(&named, mistakes);
    Local { family, bind, device }
}

/// Complains about an address that `-4` or `-6` rules out.
pub(super) fn fits_family(
    what: &str,
    addr: IpAddr,
    family: Option<Family>,
    mistakes: &mut Mistakes,
) {
    match (family, addr) {
        (Some(Family::V4), IpAddr::V6(addr)) => {
            mistakes
                .add(format!("{what} {addr} is an IPv6 address, but -4 was given: leave out one"));
        }
        (Some(Family::V6), IpAddr::V4(addr)) => {
            mistakes
                .add(format!("{what} {addr} is an IPv4 address, but -6 was given: leave out one"));
        }
        _ => {}
    }
}

/// Checks what is logged.
pub(super) fn log(raw: &RawLog, default: LogLevel, mistakes: &mut Mistakes) -> Log {
    let level = mistakes.value("--log-level", raw.log_level.as_ref(), level);
    let format = mistakes.value("--log-format", raw.log_format.as_ref(), |text| {
        one_of(text, &["text", "json"]).map(|name| match name.as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        })
    });
    let level = match (raw.debug, level) {
        (true, Some(level)) if level != LogLevel::Debug => {
            mistakes.add(format!(
                "-d and --log-level {} exclude each other: leave out one",
                level.name()
            ));
            level
        }
        (true, _) => LogLevel::Debug,
        (false, level) => level.unwrap_or(default),
    };
    Log { level, format: format.unwrap_or(LogFormat::Text) }
}

fn level(text: &str) -> Result<LogLevel, String> {
    let names = LEVELS.map(LogLevel::name);
    let found = LEVELS.into_iter().find(|level| level.name() == text);
    found.ok_or_else(|| format!("is not known: write {}", names.join(", ")))
}

/// Returns the device, if all that name one agree.
fn one_device(named: &[Option<&str>], mistakes: &mut Mistakes) -> Option<String> {
    let mut devices = named.iter().copied().flatten();
    let first = devices.next()?;
    if let Some(other) = devices.find(|device| *device != first) {
        mistakes.add(format!("{} and {} are two devices: name one", shown(first), shown(other)));
    }
    Some(first.to_owned())
}

const LEVELS: [LogLevel; 5] =
    [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
