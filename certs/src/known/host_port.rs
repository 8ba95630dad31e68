use std::{fmt, net::Ipv6Addr, str::FromStr};

/// A server as clients know it: the host as the user named it, and a port.
///
/// Names are in lower case, IPv6 addresses in their canonical form; as text, the latter are in
/// brackets: `example.org:5201`, `[2001:db8::1]:5201`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text does not name a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHostPort {
    /// It is no host.
    #[error("{0:?} is neither a host name of up to 253 characters nor an address")]
    Host(String),
    /// The host has no port.
    #[error("{0:?} is not HOST:PORT, with an IPv6 address in brackets")]
    Port(String),
}

impl HostPort {
    /// Returns the server at this host name or address, in brackets or not, and port.
    ///
    /// # Errors
    ///
    /// [`BadHostPort::Host`].
    pub fn new(host: &str, port: u16) -> Result<Self, BadHostPort> {
        Ok(Self { host: normal(host)?, port })
    }

    /// Returns the host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for HostPort {
    type Err = BadHostPort;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadHostPort::Port(shown(text));
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(bad());
        }
        Self::new(host, port.parse().map_err(|_| bad())?)
    }
}

/// The one form of a host by which it is compared.
pub(super) fn normal(host: &str) -> Result<String, BadHostPort> {
    let bad = || BadHostPort::Host(shown(host));
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bare = bracketed.unwrap_or(host);
    if let Some((address, zone)) = v6(bare) {
        return Ok(zone.map_or_else(|| address.to_string(), |zone| format!("{address}%{zone}")));
    }
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = (1..=MAX_NAME).contains(&bare.len()) && bare.chars().all(is_in_name);
    if bracketed.is_some() || !is_name { Err(bad()) } else { Ok(bare.to_ascii_lowercase()) }
}

/// An IPv6 address, and the zone (RFC 4007) in which it is if it says so.
fn v6(host: &str) -> Option<(Ipv6Addr, Option<&str>)> {
    let Some((address, zone)) = host.split_once('%') else {
        return Some((host.parse().ok()?, None));
    };
    let is_in_zone = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_zone = (1..=MAX_ZONE).contains(&zone.len()) && zone.chars().all(is_in_zone);
    is_zone.then_some((address.parse().ok()?, Some(zone)))
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

/// Characters (RFC 1035, 2.3.4, less the lengths of the first and the last label).
const MAX_NAME: usize = 253;
/// Characters of the name of an interface, with some room.
const MAX_ZONE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        text.parse::<HostPort>().ok().map(|server| server.to_string())
    }

    #[test]
    fn names_are_compared_in_lower_case() {
        assert_eq!(parse("Example.ORG:5201"), Some("example.org:5201".into()));
        assert_eq!(HostPort::new("A", 1), HostPort::new("a", 1));
    }

    #[test]
    fn addresses_have_one_form() {
        assert_eq!(parse("[2001:DB8:0:0::1]:1"), Some("[2001:db8::1]:1".into()));
        assert_eq!(HostPort::new("::1", 1), HostPort::new("[0::0:1]", 1));
        assert_eq!(parse("[fe80::1%eth0]:1"), Some("[fe80::1%eth0]:1".into()));
        assert_eq!(parse("192.0.2.1:65535"), Some("192.0.2.1:65535".into()));
    }

    #[test]
    fn what_names_no_server_is_refused() {
        let long = format!("{}:1", "a".repeat(MAX_NAME + 1));
        let wrong = ["", ":1", "a", "a:", "a:65536", "a:-1", "::1:1", "[::1]", "[a]:1", "a b:1"];
        for text in wrong.into_iter().chain(["#a:1", "ä:1", "[fe80::1%]:1", &long]) {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
