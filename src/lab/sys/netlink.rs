//! Links and addresses, by messages to the kernel: it refuses some of the older calls to those who
//! are root in a namespace of users alone.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use super::{checked, owned, wait};

/// A connection to the kernel of the network namespace in which it was opened.
#[derive(Debug)]
pub(in crate::lab) struct Netlink(OwnedFd);

/// What a link is to be like.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::lab) struct LinkSettings {
    pub(in crate::lab) mtu: Option<u32>,
    /// Packets that wait for whoever reads from the device.
    pub(in crate::lab) queue: Option<u32>,
    pub(in crate::lab) address: Option<[u8; 6]>,
    /// Whether neighbours are not to be asked for their addresses.
    pub(in crate::lab) no_arp: bool,
}

/// Packets that a device has lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lab) struct Lost {
    pub(in crate::lab) sending: u64,
    pub(in crate::lab) receiving: u64,
}

impl Netlink {
    pub(in crate::lab) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: it takes numbers alone.
        owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }).map(Self)
    }

    /// Changes a link, and brings it up.
    pub(in crate::lab) fn bring_up(&self, index: u32, settings: LinkSettings) -> io::Result<()> {
        let no_arp = if settings.no_arp { libc::IFF_NOARP } else { 0 };
        let flags = u32::try_from(libc::IFF_UP | no_arp).unwrap_or(0);
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.link(index, flags);
        if let Some(mtu) = settings.mtu {
            request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
        if let Some(queue) = settings.queue {
            request.attribute(libc::IFLA_TXQLEN, &queue.to_ne_bytes());
        }
        if let Some(address) = settings.address {
            request.attribute(libc::IFLA_ADDRESS, &address);
        }
        self.ask(request).map(drop)
    }

    /// Gives a link an address, which is usable at once.
    pub(in crate::lab) fn add_address(
        &self,
        index: u32,
        address: IpAddr,
        prefix: u8,
    ) -> io::Result<()> {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let mut request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // Nobody else is there who could have the same address.
        let flags = libc::IFA_F_NODAD | libc::IFA_F_PERMANENT;
        let family = u8::try_from(family).unwrap_or(0);
        request.bytes.extend_from_slice(&[family, prefix, 0, 0]);
        request.bytes.extend_from_slice(&index.to_ne_bytes());
        request.attribute(libc::IFA_FLAGS, &flags.to_ne_bytes());
        match address {
            IpAddr::V4(v4) => {
                request.attribute(libc::IFA_LOCAL, &v4.octets());
                request.attribute(libc::IFA_ADDRESS, &v4.octets());
            }
            IpAddr::V6(v6) => request.attribute(libc::IFA_ADDRESS, &v6.octets()),
        }
        self.ask(request).map(drop)
    }

    /// Waits until packets to an address of this network are taken as its own: with IPv6 that comes
    /// a moment after the address itself.
    pub(in crate::lab) fn wait_for(&self, address: Ipv6Addr) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.is_local(address)? {
            if Instant::now() > until {
                let problem = format!("{address} does not become an address of the device");
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn is_local(&self, address: Ipv6Addr) -> io::Result<bool> {
        let mut request = Request::new(libc::RTM_GETROUTE, 0);
        let family = u8::try_from(libc::AF_INET6).unwrap_or(0);
        request.bytes.extend_from_slice(&[family, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        request.attribute(libc::RTA_DST, &address.octets());
        let kind = |answer: Vec<u8>| answer.get(ROUTE_KIND).copied() == Some(libc::RTN_LOCAL);
        match self.ask(request) {
            Err(error) if error.raw_os_error() == Some(libc::ENETUNREACH) => Ok(false),
            answer => answer.map(kind),
        }
    }

    /// Makes a pair of Ethernet links: `name` here, and `peer` in another network namespace.
    pub(in crate::lab) fn add_pair(
        &self,
        name: &str,
        peer: &str,
        network: &impl AsRawFd,
    ) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.link(0, 0);
        request.text(libc::IFLA_IFNAME, name);
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |other| {
                    other.link_header(0, 0);
                    other.text(libc::IFLA_IFNAME, peer);
                    other.attribute(libc::IFLA_NET_NS_FD, &network.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.ask(request).map(drop)
    }

    /// Returns how many packets a link has lost.
    pub(in crate::lab) fn lost(&self, index: u32) -> io::Result<Lost> {
        let mut request = Request::new(libc::RTM_GETLINK, 0);
        request.link(index, 0);
        let answer = self.ask(request)?;
        let attributes = answer.get(LINK_HEADER..).unwrap_or_default();
        let statistics = attribute(attributes, libc::IFLA_STATS64)
            .ok_or_else(|| malformed("no statistics of the link"))?;
        let number = |place: usize| {
            let bytes = statistics.get(place * 8..place * 8 + 8)?;
            bytes.try_into().ok().map(u64::from_ne_bytes)
        };
        // Third and fourth pair of `rtnl_link_stats64`: packets, bytes, errors, lost; each received
        // and sent.
        match (number(6), number(7)) {
            (Some(receiving), Some(sending)) => Ok(Lost { sending, receiving }),
            _ => Err(malformed("statistics of the link that end early")),
        }
    }

    /// Sends a request, and returns the body of the answer; empty if the kernel only agreed.
    fn ask(&self, mut request: Request) -> io::Result<Vec<u8>> {
        let len = u32::try_from(request.bytes.len()).map_err(io::Error::other)?;
        request.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        let (bytes, socket) = (&request.bytes, self.0.as_raw_fd());
        // SAFETY: it reads as many bytes as there are.
        let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), 0) };
        checked(libc::c_int::try_from(sent).unwrap_or(-1))?;
        let mut body = Vec::new();
        loop {
            if !wait::readable(&self.0, Some(PATIENCE))? {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer"));
            }
            let mut answer = vec![0; LONGEST_ANSWER];
            // SAFETY: it fills in at most as many bytes as there are.
            let read = unsafe { libc::recv(socket, answer.as_mut_ptr().cast(), answer.len(), 0) };
            let read = usize::try_from(checked(libc::c_int::try_from(read).unwrap_or(-1))?);
            answer.truncate(read.unwrap_or(0));
            if take(&answer, &mut body)? {
                return Ok(body);
            }
        }
    }
}

/// Returns the number of the link of this name in the calling thread's network namespace.
pub(in crate::lab) fn index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: the name ends with a zero.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Takes the messages of an answer; returns whether it was the last.
fn take(mut answer: &[u8], body: &mut Vec<u8>) -> io::Result<bool> {
    while let Some((header, rest)) = answer.split_at_checked(HEADER) {
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let len = usize::try_from(word(0)).unwrap_or(0);
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let Some(content) = len.checked_sub(HEADER).and_then(|len| rest.get(..len)) else {
            return Err(malformed("an answer that ends early"));
        };
        if libc::c_int::from(kind) == libc::NLMSG_ERROR {
            let code = content.first_chunk().map(|code| i32::from_ne_bytes(*code));
            return match code {
                Some(0) => Ok(true),
                Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                None => Err(malformed("an error without a number")),
            };
        }
        body.extend_from_slice(content);
        answer = rest.get(padded(content.len())..).unwrap_or_default();
    }
    Ok(false)
}

/// Returns the content of an attribute among others.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let header: &[u8; 4] = attributes.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let content = attributes.get(4..len)?;
        if u16::from_ne_bytes([header[2], header[3]]) == wanted {
            return Some(content);
        }
        attributes = attributes.get(padded(len)..)?;
    }
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel sent {what}"))
}

/// A message to the kernel; its length is filled in when it is sent.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: libc::c_int) -> Self {
        let flags = flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(flags).unwrap_or(0).to_ne_bytes());
        Self { bytes }
    }

    /// Names the link that is meant, and the flags that it is to have.
    fn link(&mut self, index: u32, flags: u32) {
        self.link_header(index, flags);
    }

    fn link_header(&mut self, index: u32, flags: u32) {
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&index.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, content: &[u8]) {
        self.nest(kind, |inner| inner.bytes.extend_from_slice(content));
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.nest(kind, |inner| {
            inner.bytes.extend_from_slice(text.as_bytes());
            inner.bytes.push(0);
        });
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        let len = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.bytes.resize(padded(self.bytes.len()), 0);
    }
}

const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const VETH_INFO_PEER: u16 = 1;
const LONGEST_ANSWER: usize = 1 << 16;
/// Where the answer about a route says what kind it is of.
const ROUTE_KIND: usize = 7;
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_lost_nothing_or_something_but_is_known() {
        let index = index("lo").unwrap();
        Netlink::open().unwrap().lost(index).unwrap();
        assert!(super::index("no such link").is_err());
    }

    #[test]
    fn the_loopbacks_address_is_local_and_no_others_is() {
        let links = Netlink::open().unwrap();
        if std::net::UdpSocket::bind("[::1]:0").is_ok() {
            assert!(links.is_local(Ipv6Addr::LOCALHOST).unwrap());
        }
        assert!(!links.is_local("2001:db8::1".parse().unwrap()).unwrap());
    }

    #[test]
    fn a_refusal_is_the_kernels_own() {
        let error = Netlink::open().unwrap().lost(u32::from(u16::MAX)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn answers_that_end_early_are_errors_and_never_panics() {
        let mut whole = [0; 40];
        whole[..4].copy_from_slice(&40_u32.to_ne_bytes());
        whole[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
        for len in 0..=40 {
            let outcome = take(&whole[..len], &mut Vec::new());
            assert_eq!(outcome.is_err(), (16..40).contains(&len), "{len}");
        }
        for len in 0..8 {
            assert_eq!(attribute(&[8, 0, 1, 0, 5, 6, 7, 8][..len], 1), None, "{len}");
        }
        assert_eq!(attribute(&[8, 0, 1, 0, 5, 6, 7, 8], 1), Some(&[5, 6, 7, 8][..]));
        assert_eq!(attribute(&[0; 8], 1), None);
    }
}
