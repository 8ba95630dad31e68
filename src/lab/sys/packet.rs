//! Sockets that take all packets of a link.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use super::{checked, owned, set_number};

/// Returns a socket for all packets of a link in the calling thread's network namespace; each is
/// preceded by the same header as those of a TUN device, and by an Ethernet header.
pub(in crate::lab) fn open(index: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: it takes numbers alone. Without a protocol nothing arrives until it is bound.
    let socket = owned(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    let options = [libc::PACKET_VNET_HDR, libc::PACKET_IGNORE_OUTGOING, libc::PACKET_QDISC_BYPASS];
    for option in options {
        set_number(socket.as_fd(), libc::SOL_PACKET, option, 1)?;
    }
    set_buffer(&socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)?;
    set_buffer(&socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)?;
    // SAFETY: zeros are a valid value of this structure of numbers.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).unwrap_or(0);
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be();
    address.sll_ifindex = libc::c_int::try_from(index).map_err(io::Error::other)?;
    let len = libc::socklen_t::try_from(mem::size_of_val(&address)).unwrap_or(0);
    // SAFETY: the address is there, and as long as it is told.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(socket)
}

/// Returns how many packets the socket had no room for since this was last asked.
pub(in crate::lab) fn take_lost(socket: &OwnedFd) -> io::Result<u64> {
    let mut counts = [0_u32; 2];
    let mut len = libc::socklen_t::try_from(mem::size_of_val(&counts)).unwrap_or(0);
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    // SAFETY: it fills in as many bytes as it is told that there are.
    checked(unsafe {
        let counts = counts.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, counts, &raw mut len)
    })?;
    Ok(u64::from(counts[1]))
}

/// Asks for much room: beyond the host's limit if that is permitted, else up to it.
fn set_buffer(socket: &OwnedFd, forced: libc::c_int, plain: libc::c_int) -> io::Result<()> {
    set_number(socket.as_fd(), libc::SOL_SOCKET, forced, ROOM)
        .or_else(|_| set_number(socket.as_fd(), libc::SOL_SOCKET, plain, ROOM))
}

const ROOM: libc::c_int = 64 << 20;
