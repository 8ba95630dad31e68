//! What the lab asks of the kernel: the only place of it with `unsafe`.

pub(super) mod device;
pub(super) mod init;
pub(super) mod namespace;
pub(super) mod netlink;
pub(super) mod packet;
pub(super) mod socket;
pub(super) mod trial;
pub(super) mod tun;
pub(super) mod wait;

use std::{
    ffi::{c_int, c_void},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Returns what a system call returned, or why it failed.
fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Returns the descriptor that a system call has just made, or why it made none.
fn owned(result: c_int) -> io::Result<OwnedFd> {
    let descriptor = checked(result)?;
    // SAFETY: the call has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sets an option of a socket to a number.
fn set_number(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let len = libc::socklen_t::try_from(mem::size_of::<c_int>()).unwrap_or(0);
    let value = (&raw const value).cast::<c_void>();
    // SAFETY: the kernel reads as many bytes as an integer has, and copies them.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, len) }).map(drop)
}
