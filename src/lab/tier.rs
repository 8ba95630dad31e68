use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the ends of an emulated link are made of, the best first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// TUN devices in a namespace of users: needs no rights.
    TunUser,
    /// Pairs of Ethernet links in a namespace of users: needs no rights, and no `/dev/net/tun`.
    PacketUser,
    /// TUN devices, by the rights of root.
    TunRoot,
    /// Pairs of Ethernet links, by the rights of root.
    PacketRoot,
    /// Sockets of this host with a relay between them, for transports over UDP alone.
    Relay,
    /// The loopback of this host, as it is: no link is emulated.
    Loopback,
}

impl Tier {
    /// All of them, the best first.
    pub const ALL: [Self; 6] = [
        Self::TunUser,
        Self::PacketUser,
        Self::TunRoot,
        Self::PacketRoot,
        Self::Relay,
        Self::Loopback,
    ];

    /// Returns the name by which it is asked for, and under which it stands in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TunUser => "tun-user",
            Self::PacketUser => "packet-user",
            Self::TunRoot => "tun-root",
            Self::PacketRoot => "packet-root",
            Self::Relay => "relay",
            Self::Loopback => "loopback",
        }
    }

    /// Returns what it is, in words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::TunUser => "TUN devices in a user namespace",
            Self::PacketUser => "veth and packet sockets in a user namespace",
            Self::TunRoot => "TUN devices, as root",
            Self::PacketRoot => "veth and packet sockets, as root",
            Self::Relay => "a UDP relay: transports over UDP alone, no kernel TCP",
            Self::Loopback => "plain loopback: no link is emulated",
        }
    }

    /// Returns whether the kernel's TCP crosses the link, and with it everything else.
    #[must_use]
    pub const fn carries_tcp(self) -> bool {
        self.has_namespaces()
    }

    /// Returns whether packets cross the link at all.
    #[must_use]
    pub const fn emulates(self) -> bool {
        !matches!(self, Self::Loopback)
    }

    /// Returns whether each end has a network of its own.
    #[must_use]
    pub const fn has_namespaces(self) -> bool {
        !matches!(self, Self::Relay | Self::Loopback)
    }

    #[cfg(target_os = "linux")]
    pub(super) const fn has_user_namespace(self) -> bool {
        matches!(self, Self::TunUser | Self::PacketUser)
    }

    #[cfg(target_os = "linux")]
    pub(super) const fn has_tun(self) -> bool {
        matches!(self, Self::TunUser | Self::TunRoot)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tier| tier.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("\"{text}\" is no tier of the lab: it is one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_read_as_it_is_shown_and_written() {
        for tier in Tier::ALL {
            assert_eq!(tier.to_string().parse(), Ok(tier));
            assert_eq!(serde_json::to_value(tier).unwrap(), tier.name());
        }
        let error = "tun".parse::<Tier>().unwrap_err();
        assert!(error.starts_with("\"tun\" is no tier of the lab: it is one of tun-user, "));
    }

    #[test]
    fn the_kernels_tcp_crosses_what_has_networks_of_its_own() {
        let with = Tier::ALL.map(Tier::carries_tcp);
        assert_eq!(with, [true, true, true, true, false, false]);
        assert_eq!(Tier::ALL.map(Tier::emulates), [true, true, true, true, true, false]);
    }
}
