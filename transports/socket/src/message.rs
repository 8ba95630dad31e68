//! Messages that say more than their bytes: how to cut these, where from, and how to mark them.

use std::{io, net::UdpSocket};
#[cfg(target_os = "linux")]
use std::{net::IpAddr, os::fd::AsRawFd};

use quinn_udp::Transmit;

#[cfg(target_os = "linux")]
use crate::sys::uninterrupted;

/// Sends `bytes` to the peer of a connected socket, cut into datagrams of `segment` bytes.
#[cfg(target_os = "linux")]
pub(crate) fn send_segments(socket: &UdpSocket, bytes: &[u8], segment: u16) -> io::Result<usize> {
    let mut control = Control::default();
    control.push(libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    send(socket, None, bytes, &mut control)
}

/// Sends `bytes` to the peer of a connected socket as datagrams of `stride` bytes, of which there are no
/// more than [`SINGLES`], with one call; returns the bytes of those that there was room for.
#[cfg(target_os = "linux")]
pub(crate) fn send_each(socket: &UdpSocket, bytes: &[u8], stride: usize) -> io::Result<usize> {
    // SAFETY: all zeros are valid in both.
    let (mut parts, mut messages): ([libc::iovec; SINGLES], [libc::mmsghdr; SINGLES]) =
        unsafe { std::mem::zeroed() };
    let mut count = 0;
    for ((datagram, part), message) in bytes.chunks(stride).zip(&mut parts).zip(&mut messages) {
        part.iov_base = datagram.as_ptr().cast_mut().cast();
        part.iov_len = datagram.len();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    let sent = uninterrupted(|| {
        // SAFETY: there are so many messages, which point to `parts`, and these to `bytes`, to which the
        // kernel does not write; all outlive the call.
        let sent = unsafe {
            let messages = messages.as_mut_ptr();
            libc::sendmmsg(socket.as_raw_fd(), messages, count, libc::MSG_DONTWAIT as _)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    })?;
    Ok(bytes.len().min(sent * stride))
}

/// Sends what `transmit` says, and marks each datagram with the type of service `tos` as well, whose
/// two lowest bits are `transmit`'s to say.
///
/// `quinn_udp` sets these eight bits of each datagram, and takes no more than the two.
#[cfg(target_os = "linux")]
pub(crate) fn send_marked(
    socket: &UdpSocket,
    transmit: &Transmit<'_>,
    tos: u8,
) -> io::Result<usize> {
    let mut control = Control::default();
    let tos = libc::c_int::from(tos & !ECN) | transmit.ecn.map_or(0, |ecn| ecn as libc::c_int);
    if transmit.destination.ip().to_canonical().is_ipv4() {
        control.push(libc::IPPROTO_IP, libc::IP_TOS, tos);
    } else {
        control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, tos);
    }
    if let Some(segment) = transmit.segment_size.filter(|size| *size < transmit.contents.len()) {
        let segment = u16::try_from(segment).map_err(|_| io::ErrorKind::InvalidInput)?;
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    }
    match transmit.src_ip {
        Some(IpAddr::V4(source)) => {
            let source = libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) };
            let any = libc::in_addr { s_addr: 0 };
            let from = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: any };
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, from);
        }
        Some(IpAddr::V6(source)) => {
            let source = libc::in6_addr { s6_addr: source.octets() };
            let from = libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: 0 };
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, from);
        }
        None => {}
    }
    let destination = transmit.destination.into();
    send(socket, Some(&destination), transmit.contents, &mut control)
}

#[cfg(target_os = "linux")]
fn send(
    socket: &UdpSocket,
    destination: Option<&socket2::SockAddr>,
    bytes: &[u8],
    control: &mut Control,
) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    if let Some(destination) = destination {
        message.msg_name = destination.as_ptr().cast_mut().cast();
        message.msg_namelen = destination.len();
    }
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.room.as_mut_ptr().cast();
    message.msg_controllen = control.filled as _;
    uninterrupted(|| {
        // SAFETY: `message` points to `destination`, `part`, `bytes` and `control`, none of which
        // the kernel writes to, and which all outlive the call.
        let sent =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    })
}

/// The control messages of one send.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
struct Control {
    /// Aligned as their headers are.
    room: [u64; 16],
    /// How many bytes of it.
    filled: usize,
}

#[cfg(target_os = "linux")]
impl Control {
    /// Adds one whose value is a number, or a structure of the system's.
    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        let size = libc::c_uint::try_from(size_of::<T>()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: these compute lengths, and read no memory.
        let (space, len) = unsafe { (libc::CMSG_SPACE(size), libc::CMSG_LEN(size)) };
        assert!(self.filled + space as usize <= size_of_val(&self.room), "no room for {kind}");
        // SAFETY: the room has `space` bytes left from there on, which is aligned, since `space`
        // always is a whole number of alignments.
        unsafe {
            let header = self.room.as_mut_ptr().byte_add(self.filled).cast::<libc::cmsghdr>();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = len as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        self.filled += space as usize;
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn send_segments(_: &UdpSocket, _: &[u8], _: u16) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::EIO))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn send_each(socket: &UdpSocket, bytes: &[u8], stride: usize) -> io::Result<usize> {
    crate::sys::send(socket, &bytes[..bytes.len().min(stride)], None)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn send_marked(_: &UdpSocket, _: &Transmit<'_>, _: u8) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Datagrams that one call sends where the kernel does not cut: with twice as many, a call costs no less
/// for each.
pub(crate) const SINGLES: usize = 32;

/// The bits of the type of service that are for congestion (RFC 3168).
#[cfg(target_os = "linux")]
const ECN: u8 = 0b11;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::SocketAddr;

    use quinn_udp::EcnCodepoint;

    use super::*;
    use crate::sys;

    #[test]
    fn either_family_is_marked_with_both_parts_of_the_byte() {
        for (from, to, option) in [
            ("127.0.0.1:0", "127.0.0.1:0", (libc::IPPROTO_IP, libc::IP_RECVTOS)),
            ("[::1]:0", "[::1]:0", (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS)),
            ("[::]:0", "127.0.0.1:0", (libc::IPPROTO_IP, libc::IP_RECVTOS)),
        ] {
            let (from, to) = (UdpSocket::bind(from).unwrap(), UdpSocket::bind(to).unwrap());
            sys::set_number(&to, option.0, option.1, 1).unwrap();
            let destination = match to.local_addr().unwrap() {
                SocketAddr::V4(to) if from.local_addr().unwrap().is_ipv6() => {
                    SocketAddr::from((to.ip().to_ipv6_mapped(), to.port()))
                }
                to => to,
            };
            let transmit = Transmit {
                destination,
                ecn: Some(EcnCodepoint::Ect0),
                contents: b"marked",
                segment_size: None,
                src_ip: None,
            };
            assert_eq!(send_marked(&from, &transmit, 0xB8 | 0b01).unwrap(), 6);
            assert_eq!(mark(&to), 0xB8 | 0b10, "to {destination}");
        }
    }

    #[test]
    fn datagrams_that_go_with_one_call_come_one_by_one() {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (from, to) = (from.unwrap(), to.unwrap());
        from.connect(to.local_addr().unwrap()).unwrap();
        assert_eq!(send_each(&from, b"onetwothr4", 3).unwrap(), 10);
        let mut room = [0; 9];
        for expected in ["one", "two", "thr", "4"] {
            let len = to.recv(&mut room).unwrap();
            assert_eq!(room[..len], *expected.as_bytes());
        }
        let many = [7; SINGLES + 5];
        assert_eq!(send_each(&from, &many, 1).unwrap(), SINGLES);
    }

    /// Receives a datagram, and returns the first byte of its only control message.
    fn mark(socket: &UdpSocket) -> u8 {
        let mut control = Control::default();
        // SAFETY: all zeros is a valid `msghdr`.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_control = control.room.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control.room) as _;
        // SAFETY: the kernel writes no more to the room than it has, and has initialized the header
        // that it says is there.
        unsafe {
            assert_eq!(libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0), 0);
            *libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&raw const message))
        }
    }
}
