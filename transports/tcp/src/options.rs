//! Options of a TCP socket that socket2 has no words for, or of which each family has its own.

use std::{io, mem::size_of, os::fd::AsRawFd};

use socket2::{Domain, Socket};

/// Sets the byte for type of service, in either family, and returns what is in force.
pub(crate) fn set_tos(socket: &Socket, tos: u8) -> io::Result<u8> {
    let tos = u32::from(tos);
    let granted = if socket.domain()? == Domain::IPV6 {
        socket.set_tclass_v6(tos)?;
        // What goes to a mapped address leaves as IPv4; a socket that is IPv6 only has no such
        // byte.
        let _ = socket.set_tos_v4(tos);
        socket.tclass_v6()?
    } else {
        socket.set_tos_v4(tos)?;
        socket.tos_v4()?
    };
    u8::try_from(granted).map_err(io::Error::other)
}

/// Has the kernel pace at so many bits per second, and returns the rate in force.
pub(crate) fn set_pacing_rate(socket: &Socket, bits_per_second: u64) -> io::Result<u64> {
    set(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &(bits_per_second / 8).max(1))?;
    Ok(get::<u64>(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE)?.saturating_mul(8))
}

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

fn get<T: Default>(socket: &Socket, level: i32, option: i32) -> io::Result<T> {
    let mut value = T::default();
    let mut len = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes no more than `len` bytes into `value`, an integer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

// linux/in6.h; not in libc.
const IPV6_FLOWLABEL_MGR: i32 = 32;
const IPV6_FLOWINFO_SEND: i32 = 33;
const FLOW_LABEL_GET: u8 = 0;
const FLOW_LABEL_SHARE_ANY: u8 = 255;
const FLOW_LABEL_CREATE: u16 = 1;

#[cfg(test)]
mod tests {
    use socket2::Type;

    use super::*;

    fn socket(domain: Domain) -> Socket {
        Socket::new(domain, Type::STREAM, None).unwrap()
    }

    #[test]
    fn either_family_takes_the_byte_for_type_of_service() {
        for domain in [Domain::IPV4, Domain::IPV6] {
            assert_eq!(set_tos(&socket(domain), 0x10).unwrap(), 0x10, "{domain:?}");
        }
    }

    #[test]
    fn a_pacing_rate_is_in_whole_bytes() {
        let socket = socket(Domain::IPV4);
        assert_eq!(set_pacing_rate(&socket, 8_000_005).unwrap(), 8_000_000);
        assert_eq!(set_pacing_rate(&socket, 80_000_000_000).unwrap(), 80_000_000_000);
    }
}
