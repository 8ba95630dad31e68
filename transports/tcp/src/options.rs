//! Options of a TCP socket that socket2 has no words for.

use std::{io, mem::size_of, os::fd::AsRawFd};

use socket2::Socket;

/// Asks for an IPv6 flow label before connecting; the address to connect to carries it as well.
pub(crate) fn lease_flow_label(
    socket: &Socket,
    peer: std::net::SocketAddrV6,
    label: u32,
) -> io::Result<()> {
    let request = FlowLabelRequest {
        destination: peer.ip().octets(),
        label: label.to_be(),
        action: FLOW_LABEL_GET,
        share: FLOW_LABEL_SHARE_ANY,
        flags: FLOW_LABEL_CREATE,
        expires: 0,
        linger: 0,
        reserved: 0,
    };
    set(socket, libc::IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &request)?;
    set(socket, libc::IPPROTO_IPV6, IPV6_FLOWINFO_SEND, &1_i32)
}

/// `struct in6_flowlabel_req` of `linux/in6.h`.
#[repr(C)]
struct FlowLabelRequest {
    destination: [u8; 16],
    label: u32,
    action: u8,
    share: u8,
    flags: u16,
    expires: u16,
    linger: u16,
    reserved: u32,
}

fn set<T>(socket: &Socket, level: i32, option: i32, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length describe `value`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// linux/in6.h; not in libc.
const IPV6_FLOWLABEL_MGR: i32 = 32;
const IPV6_FLOWINFO_SEND: i32 = 33;
const FLOW_LABEL_GET: u8 = 0;
const FLOW_LABEL_SHARE_ANY: u8 = 255;
const FLOW_LABEL_CREATE: u16 = 1;
