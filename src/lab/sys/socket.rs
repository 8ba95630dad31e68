//! What the kernel says of a socket.

use std::{io, mem, net::UdpSocket, os::fd::AsRawFd};

use super::checked;

/// Returns how many datagrams a socket has had no room for.
pub(in crate::lab) fn lost(socket: &UdpSocket) -> io::Result<u64> {
    let mut numbers = [0_u32; NUMBERS];
    let mut len = libc::socklen_t::try_from(mem::size_of_val(&numbers)).unwrap_or(0);
    let (level, name) = (libc::SOL_SOCKET, SO_MEMINFO);
    // SAFETY: it fills in as many bytes as it is told that there are.
    checked(unsafe {
        let numbers = numbers.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, numbers, &raw mut len)
    })?;
    Ok(u64::from(numbers[DROPS]))
}

const SO_MEMINFO: libc::c_int = 55;
/// `SK_MEMINFO_VARS`.
const NUMBERS: usize = 9;
/// `SK_MEMINFO_DROPS`.
const DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_without_room_are_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(lost(&socket).unwrap(), 0);
        let address = socket.local_addr().unwrap();
        let room = socket2::SockRef::from(&socket);
        room.set_recv_buffer_size(4096).unwrap();
        for _ in 0..100 {
            socket.send_to(&[0; 1000], address).unwrap();
        }
        let lost = lost(&socket).unwrap();
        assert!(lost > 50 && lost < 100, "{lost}");
    }
}
