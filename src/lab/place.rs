//! What an end of the link finds where it lives: its own network, with one device in it.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    Tier,
    remedy::{Failure, Step, at},
    sys::{
        device::Device,
        init::Processes,
        namespace,
        netlink::{self, LinkSettings, Netlink},
        packet, tun,
    },
};

/// Where an end is to live.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) tier: Tier,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    pub(super) mtu: u16,
    /// Where its processes are to live.
    pub(super) processes: Option<File>,
}

/// What it found there.
#[derive(Debug)]
pub(super) struct Settled {
    /// `None` where the host's own network is used.
    pub(super) device: Option<Device>,
    /// What could not be set, and what follows from it.
    pub(super) remarks: Vec<String>,
}

impl Place {
    /// Returns the place of the end with this number; its processes live in `processes`.
    pub(super) fn new(
        tier: Tier,
        name: &'static str,
        number: u8,
        mtu: u16,
        processes: Option<&Processes>,
    ) -> Result<Self, Failure> {
        let processes = processes.map(|processes| processes.namespace().try_clone()).transpose();
        let v4 =
            if tier.has_namespaces() { Ipv4Addr::new(10, 99, 0, number) } else { loopback(number) };
        let v6 = if tier.has_namespaces() {
            Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, number.into())
        } else {
            Ipv6Addr::LOCALHOST
        };
        let processes = processes.map_err(at(Step::Processes))?;
        Ok(Self { name, tier, v4, v6, mtu, processes })
    }

    /// Moves the calling thread there.
    pub(super) fn settle(&self) -> Result<Settled, Failure> {
        if let Some(processes) = &self.processes {
            namespace::start_processes_in(processes).map_err(at(Step::Processes))?;
        }
        if !self.tier.has_namespaces() {
            return Ok(Settled { device: None, remarks: Vec::new() });
        }
        // Where the far ends of pairs are; nothing else is there.
        let outside = (!self.tier.has_tun()).then(enter).transpose()?;
        let inside = enter()?;
        let mut remarks = prepare();
        let links = Netlink::open().map_err(at(Step::BringUp))?;
        let lo = netlink::index("lo").map_err(at(Step::BringUp))?;
        links.bring_up(lo, LinkSettings::default()).map_err(at(Step::BringUp))?;
        let device = match outside {
            None => self.tun()?,
            Some(outside) => self.pair(&inside, &outside)?,
        };
        self.bring_up(&links, &mut remarks).map_err(at(Step::BringUp))?;
        Ok(Settled { device: Some(device), remarks })
    }

    fn tun(&self) -> Result<Device, Failure> {
        let tun = tun::open().map_err(at(Step::OpenTun))?;
        tun::create(&tun, DEVICE).map_err(at(Step::MakeTun))?;
        let (links, index) = here(DEVICE).map_err(at(Step::BringUp))?;
        Ok(Device::tun(tun, links, index))
    }

    fn pair(&self, inside: &File, outside: &File) -> Result<Device, Failure> {
        let (links, _) = here("lo").map_err(at(Step::MakePair))?;
        links.add_pair(DEVICE, DEVICE, outside).map_err(at(Step::MakePair))?;
        let index = netlink::index(DEVICE).map_err(at(Step::MakePair))?;
        namespace::join_network(outside).map_err(at(Step::Network))?;
        let socket = self.outside();
        namespace::join_network(inside).map_err(at(Step::Network))?;
        Ok(Device::ethernet(socket?, links, index))
    }

    /// Opens the far end of a pair, in whose network the calling thread is.
    fn outside(&self) -> Result<std::os::fd::OwnedFd, Failure> {
        quieten(&mut Vec::new());
        let (links, index) = here(DEVICE).map_err(at(Step::OpenPackets))?;
        let settings = LinkSettings { no_arp: true, ..self.settings() };
        links.bring_up(index, settings).map_err(at(Step::BringUp))?;
        packet::open(index).map_err(at(Step::OpenPackets))
    }

    fn bring_up(&self, links: &Netlink, remarks: &mut Vec<String>) -> io::Result<()> {
        let index = netlink::index(DEVICE)?;
        // Both ends have the same address, so that a frame is right for either, and nobody asks.
        let pair = !self.tier.has_tun();
        let address = pair.then_some(ADDRESS);
        links.bring_up(index, LinkSettings { address, no_arp: pair, ..self.settings() })?;
        links.add_address(index, self.v4.into(), V4_PREFIX)?;
        let v6 = links.add_address(index, self.v6.into(), V6_PREFIX);
        if let Err(error) = v6.and_then(|()| links.wait_for(self.v6)) {
            remarks.push(format!("there is no IPv6 in the lab: {error}"));
        }
        Ok(())
    }

    fn settings(&self) -> LinkSettings {
        LinkSettings { mtu: Some(self.mtu.into()), queue: Some(QUEUE), ..LinkSettings::default() }
    }
}

/// Returns an address of this host's loopback, which has all of 127.0.0.0/8. The first is the one
/// from which everybody sends; others are this process's own, so that several labs do not meet.
pub(super) fn loopback(number: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    match number {
        1 => Ipv4Addr::LOCALHOST,
        number => Ipv4Addr::new(127, 64 | high, low, number),
    }
}

/// Enters a new network; returns it.
fn enter() -> Result<File, Failure> {
    namespace::enter_network().and_then(|()| namespace::network()).map_err(at(Step::Network))
}

/// Returns the kernel's door to the calling thread's network, and a link's index in it.
fn here(name: &str) -> io::Result<(Netlink, u32)> {
    Ok((Netlink::open()?, netlink::index(name)?))
}

/// Sets what a new network goes by; returns what could not be set, and what follows.
fn prepare() -> Vec<String> {
    let mut remarks = Vec::new();
    quieten(&mut remarks);
    set(&SETTINGS, &mut remarks);
    remarks
}

/// Has the kernel look neither for neighbours nor for routers.
fn quieten(remarks: &mut Vec<String>) {
    set(&QUIET, remarks);
}

fn set(settings: &[(&str, &str, &str)], remarks: &mut Vec<String>) {
    for (name, value, otherwise) in settings {
        if let Err(error) = namespace::set_sysctl(name, value)
            && !otherwise.is_empty()
        {
            remarks.push(format!("cannot set {name} to {value} ({error}): {otherwise}"));
        }
    }
}

/// Name, value, and what is so without it; nothing is said where nothing follows.
const QUIET: [(&str, &str, &str); 6] = [
    ("net.ipv6.conf.all.disable_ipv6", "0", ""),
    ("net.ipv6.conf.default.disable_ipv6", "0", ""),
    ("net.ipv6.conf.default.accept_ra", "0", ""),
    ("net.ipv6.conf.default.accept_dad", "0", ""),
    ("net.ipv6.conf.default.router_solicitations", "0", ""),
    // Without one, none is made of the link's own address.
    ("net.ipv6.conf.default.addr_gen_mode", "1", ""),
];

const SETTINGS: [(&str, &str, &str); 4] = [
    (
        "net.ipv4.tcp_no_metrics_save",
        "1",
        "what the kernel learnt in one test still holds in the next",
    ),
    ("net.ipv4.tcp_ecn", "1", "TCP takes no marks of congestion"),
    (
        "net.ipv4.tcp_rmem",
        "4096 131072 67108864",
        "TCP's window may be too small for long links that are fast",
    ),
    (
        "net.ipv4.tcp_wmem",
        "4096 65536 67108864",
        "TCP's buffer may be too small for long links that are fast",
    ),
];

/// The device's name within its own network.
const DEVICE: &str = "lab0";

/// Packets that wait for the link to take them: enough for a burst, and few enough to hide no queue.
const QUEUE: u32 = 1000;

/// Of those that anybody may give out.
const ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

const V4_PREFIX: u8 = 24;
const V6_PREFIX: u8 = 64;
