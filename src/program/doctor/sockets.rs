//! What sockets are granted, found out by asking for it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
};

/// Bytes of socket buffer that a fast path wants: 10 Gbit/s over 3 ms.
pub(super) const WANTED_BUFFER: u64 = 4 << 20;

pub(super) fn try_tcp(port: u16) -> io::Result<()> {
    on_every_address(port, |addr| TcpListener::bind(addr).map(drop))
}

pub(super) fn try_udp(port: u16) -> io::Result<()> {
    on_every_address(port, |addr| UdpSocket::bind(addr).map(drop))
}

/// Binds IPv6, which takes IPv4 as well; without it, IPv4.
fn on_every_address(port: u16, bind: impl Fn(SocketAddr) -> io::Result<()>) -> io::Result<()> {
    match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if is_without_ipv6(&error) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        result => result,
    }
}

/// Returns whether this host has IPv6; `None` if that cannot be told.
pub(super) fn has_ipv6() -> Option<bool> {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Some(true),
        Err(error) if is_without_ipv6(&error) => Some(false),
        Err(_) => None,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Returns how much of the wanted buffers is granted, for receiving and for sending.
pub(super) fn buffers() -> (Option<u64>, Option<u64>) {
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return (None, None) };
    let wanted = libc::c_int::try_from(WANTED_BUFFER).unwrap_or(libc::c_int::MAX);
    let granted = |name| {
        set(&socket, libc::SOL_SOCKET, name, wanted).ok()?;
        // Linux says twice as much as it was asked for: the rest is for its own records.
        let bytes = u64::try_from(get(&socket, libc::SOL_SOCKET, name).ok()?).ok()?;
        Some(if cfg!(target_os = "linux") { bytes / 2 } else { bytes })
    };
    (granted(libc::SO_RCVBUF), granted(libc::SO_SNDBUF))
}

/// Returns whether the kernel cuts what is sent into datagrams.
pub(super) fn has_segmentation() -> Option<bool> {
    has(libc::UDP_SEGMENT, 1200)
}

/// Returns whether the kernel joins datagrams that arrive together.
pub(super) fn has_coalescing() -> Option<bool> {
    has(libc::UDP_GRO, 1)
}

fn has(name: libc::c_int, value: libc::c_int) -> Option<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    Some(set(&socket, libc::SOL_UDP, name, value).is_ok())
}

fn set(
    socket: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the value is there, and of the size that is told.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), SIZE)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get(socket: &UdpSocket, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let (mut value, mut size): (libc::c_int, _) = (0, SIZE);
    // SAFETY: there is room for a value of the size that is told.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut size)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// The size of a number, as the kernel is told it.
const SIZE: libc::socklen_t = 4;
