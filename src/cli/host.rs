//! The forms in which a server's address may be written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::values::{shown, whole};

/// A host as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A name or an address; IPv6 without brackets, with a zone if it is link-local.
    pub(super) name: String,
    /// The address, if it is not a name.
    pub(super) addr: Option<IpAddr>,
    /// The port behind the host.
    pub(super) port: Option<u16>,
    /// The device behind `%`, unless it is a zone.
    pub(super) device: Option<String>,
}

/// Parses `name`, `192.0.2.1`, `fe80::1%eth0`, `[::1]`, and the ones with a port behind them.
pub(super) fn host(text: &str) -> Result<Host, String> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("is not a host: leave out blanks and control characters".to_owned());
    }
    let (host, port) = split(text)?;
    let port = port.map(port_number).transpose()?;
    let (bare, device) = match host.split_once('%') {
        Some((bare, device)) => (bare, Some(self::device(device)?)),
        None => (host, None),
    };
    let addr: Option<IpAddr> = bare.parse().ok();
    let mut found = Host { name: bare.to_owned(), addr, port, device };
    match addr {
        Some(IpAddr::V6(addr)) if addr.is_unicast_link_local() => {
            let zone = found.device.take().ok_or_else(|| no_zone(addr))?;
            found.name = format!("{addr}%{zone}");
        }
        Some(_) => {}
        None => name(bare)?,
    }
    Ok(found)
}

/// Parses the same where no device can be chosen.
pub(super) fn without_device(text: &str) -> Result<Host, String> {
    let host = host(text)?;
    if host.device.is_some() {
        return Err("names a device: leave it out".to_owned());
    }
    Ok(host)
}

/// Parses a local address, with its device: `192.0.2.1%eth0`.
pub(super) fn local(text: &str) -> Result<(IpAddr, Option<String>), String> {
    let (bare, device) = match text.split_once('%') {
        Some((bare, device)) => (bare, Some(self::device(device)?)),
        None => (text, None),
    };
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    match bare.parse() {
        Ok(IpAddr::V6(addr)) if addr.is_unicast_link_local() && device.is_none() => {
            Err(no_zone(addr))
        }
        Ok(addr) => Ok((addr, device)),
        Err(_) => {
            Err("is not an IP address: write for instance 192.0.2.1 or 2001:db8::1".to_owned())
        }
    }
}

/// Parses the name of a network device.
pub(super) fn device(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '%' | ':');
    if (1..=MAX_DEVICE).contains(&text.len()) && !text.contains(bad) {
        return Ok(text.to_owned());
    }
    Err(format!("names no network device ({}): write one such as eth0", shown(text)))
}

/// Splits the port off.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(open) = text.strip_prefix('[') {
        let (host, rest) =
            open.split_once(']').ok_or("lacks the closing bracket: write [::1]:5201")?;
        if !is_v6(host) {
            return Err(
                "has brackets around what is not an IPv6 address: leave them out".to_owned()
            );
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("has more behind the bracket than a port: write [::1]:5201".to_owned()),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some(_) if is_v6(text) => Ok((text, None)),
        Some((_, rest)) if rest.starts_with("//") => {
            Err("is a URL: write the host alone, and choose with --transport".to_owned())
        }
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        Some(_) => {
            Err("is not an IPv6 address: write for instance 2001:db8::1 or [2001:db8::1]:5201"
                .to_owned())
        }
    }
}

fn is_v6(text: &str) -> bool {
    let bare = text.split_once('%').map_or(text, |(bare, _)| bare);
    bare.parse::<Ipv6Addr>().is_ok()
}

fn port_number(text: &str) -> Result<u16, String> {
    whole(1..=u16::MAX)(text).map_err(|problem| format!("has a port that {problem}"))
}

/// Checks a name. It stays lenient: only the resolver knows what it can find.
fn name(text: &str) -> Result<(), String> {
    let strange = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if text.is_empty()
        || text.len() > MAX_NAME
        || text.contains(strange)
        || text.starts_with(['-', '.'])
    {
        return Err("is not a host: write a name or an IP address".to_owned());
    }
    // The resolver would take 10.1 for 10.0.0.1, and a forgotten -p before a port for an address.
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.parse::<Ipv4Addr>().is_err()
    {
        return Err("is not an IPv4 address: write four numbers, as in 192.0.2.1".to_owned());
    }
    Ok(())
}

fn no_zone(addr: Ipv6Addr) -> String {
    format!("is link-local and lacks its zone: name the device, as in {addr}%eth0")
}

/// The longest name of a device on Linux.
const MAX_DEVICE: usize = 15;
/// The longest name in the domain name system.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_host_is_taken_apart() {
        for (text, name, port, device) in [
            ("example.net", "example.net", None, None),
            ("example.net:5202", "example.net", Some(5202), None),
            ("192.0.2.1", "192.0.2.1", None, None),
            ("192.0.2.1:1", "192.0.2.1", Some(1), None),
            ("192.0.2.1%eth0", "192.0.2.1", None, Some("eth0")),
            ("::1", "::1", None, None),
            ("[::1]", "::1", None, None),
            ("[::1]:5201", "::1", Some(5201), None),
            ("fe80::1%eth0", "fe80::1%eth0", None, None),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", Some(80), None),
            ("2001:db8::1%eth0", "2001:db8::1", None, Some("eth0")),
        ] {
            let found = host(text).unwrap();
            assert_eq!((found.name.as_str(), found.port), (name, port), "{text}");
            assert_eq!(found.device.as_deref(), device, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ":",
            ":5201",
            "a b",
            "a\n",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[::1]:0",
            "[example.net]",
            "1:2:3",
            "host:http",
            "host:65536",
            "10.1",
            "5201",
            "256.1.1.1",
            "tcp://host",
            "fe80::1",
            "[fe80::1]:1",
            "fe80::1%",
            "host%",
            "host/24",
            "-",
            ".host",
            "user@host",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn local_addresses_are_no_names() {
        assert_eq!(local("10.0.0.1%eth0").unwrap().1.as_deref(), Some("eth0"));
        assert!(local("[::1]").is_ok());
        for text in ["localhost", "fe80::1", "10.0.0.1%", "10.0.0.1:5201", "10.0.0.1%a b"] {
            assert!(local(text).is_err(), "{text}");
        }
    }
}
