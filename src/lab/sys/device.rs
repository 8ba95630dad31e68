//! A device through which the packets of one end come and go.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    checked,
    netlink::{Lost, Netlink},
    packet,
};

/// One end's device, as the link between the ends sees it.
#[derive(Debug)]
pub(in crate::lab) struct Device {
    packets: Packets,
    statistics: Netlink,
    index: u32,
}

#[derive(Debug)]
enum Packets {
    Tun(File),
    /// A socket at the other end of a pair of Ethernet links.
    Ethernet {
        socket: OwnedFd,
        lost: AtomicU64,
    },
}

impl Device {
    /// Takes a TUN device; `statistics` is of the network namespace in which it has this index.
    pub(in crate::lab) fn tun(tun: File, statistics: Netlink, index: u32) -> Self {
        Self { packets: Packets::Tun(tun), statistics, index }
    }

    /// Takes a socket at the far end of a pair of links, of which the one that the end uses has this
    /// index.
    pub(in crate::lab) fn ethernet(socket: OwnedFd, statistics: Netlink, index: u32) -> Self {
        let packets = Packets::Ethernet { socket, lost: AtomicU64::new(0) };
        Self { packets, statistics, index }
    }

    /// Returns how many bytes of a link's header precede each packet.
    pub(in crate::lab) fn link_header(&self) -> usize {
        match self.packets {
            Packets::Tun(_) => 0,
            Packets::Ethernet { .. } => ETHERNET,
        }
    }

    pub(in crate::lab) fn descriptor(&self) -> i32 {
        match &self.packets {
            Packets::Tun(tun) => tun.as_raw_fd(),
            Packets::Ethernet { socket, .. } => socket.as_raw_fd(),
        }
    }

    /// Reads a packet that the end sends, with its headers; `None` if there is none now.
    pub(in crate::lab) fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: it fills in at most as many bytes as there are.
        let read = unsafe { libc::read(self.descriptor(), into.as_mut_ptr().cast(), into.len()) };
        match usize::try_from(read) {
            Ok(len) => Ok(Some(len)),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                // A link that goes down for a moment says so once.
                error if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(None),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Hands a packet to the end, with its headers.
    pub(in crate::lab) fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let count = libc::c_int::try_from(parts.len()).map_err(io::Error::other)?;
        // SAFETY: a slice of `IoSlice` is one of `iovec`, and there are as many as it is told.
        let written = unsafe { libc::writev(self.descriptor(), parts.as_ptr().cast(), count) };
        checked(libc::c_int::try_from(written).unwrap_or(-1)).map(drop)
    }

    /// Returns how many packets were lost between the end and here, though no link lost them.
    pub(in crate::lab) fn lost(&self) -> io::Result<u64> {
        let Lost { sending, receiving } = self.statistics.lost(self.index)?;
        match &self.packets {
            Packets::Tun(_) => Ok(sending),
            Packets::Ethernet { socket, lost } => {
                // What the socket says is only what is new.
                let new = packet::take_lost(socket)?;
                Ok(lost.fetch_add(new, Ordering::Relaxed) + new + sending + receiving)
            }
        }
    }
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
