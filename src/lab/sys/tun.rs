//! TUN devices.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
};

use super::checked;

/// Where TUN devices come from.
pub(in crate::lab) const TUN: &str = "/dev/net/tun";

/// Opens what devices are made of.
pub(in crate::lab) fn open() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    options.open(TUN)
}

/// Makes a device in the calling thread's network namespace; its packets are then read from any
/// thread. Each is preceded by a header of [`virtio_net_hdr`](crate::lab::frame::HEADER), and may
/// be one that has yet to be cut into several.
pub(in crate::lab) fn create(tun: &File, name: &str) -> io::Result<()> {
    // SAFETY: zeros are a valid value of this structure of numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap_or(0);
    let (tun, header) = (tun.as_raw_fd(), HEADER_LEN);
    // SAFETY: the first reads the structure, and the second a number; both are there.
    unsafe {
        checked(libc::ioctl(tun, libc::TUNSETIFF, &raw const request))?;
        checked(libc::ioctl(tun, libc::TUNSETVNETHDRSZ, &raw const header))?;
    }
    set_offload(tun)
}

/// Takes packets of TCP and UDP that have yet to be cut: of UDP since Linux 6.2.
fn set_offload(tun: i32) -> io::Result<()> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    // SAFETY: it takes a number as its argument.
    let set = |offload: libc::c_uint| unsafe {
        checked(libc::ioctl(tun, libc::TUNSETOFFLOAD, libc::c_ulong::from(offload)))
    };
    set(tcp | udp).or_else(|_| set(tcp)).map(drop)
}

const HEADER_LEN: libc::c_int = 10;
