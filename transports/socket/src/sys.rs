//! System calls for which there is no safe wrapper.

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use socket2::SockRef;

use crate::message;

/// Waits for `events` on a socket, for up to `limit`.
pub(crate) fn wait(socket: &impl AsFd, events: libc::c_short, limit: Duration) -> io::Result<()> {
    let mut fd = libc::pollfd { fd: socket.as_fd().as_raw_fd(), events, revents: 0 };
    let millis = limit.as_nanos().div_ceil(1_000_000);
    let millis = libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX);
    // SAFETY: `fd` is one valid `pollfd`, as the count says.
    match unsafe { libc::poll(&raw mut fd, 1, millis) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// Sends `bytes` to the peer of a connected socket: as one datagram, or cut into datagrams of
/// `segment` bytes.
///
/// Unlike `quinn_udp` it names no address, so that the kernel looks up no route for each call, and
/// no type of service, which would override the one set on the socket. It never waits, also where
/// a call that reads from the socket does.
pub(crate) fn send(socket: &UdpSocket, bytes: &[u8], segment: Option<u16>) -> io::Result<usize> {
    let Some(segment) = segment else {
        let socket = SockRef::from(socket);
        return uninterrupted(|| socket.send_with_flags(bytes, libc::MSG_DONTWAIT));
    };
    message::send_segments(socket, bytes, segment)
}

/// Has the kernel give each datagram of a shared port that no connected socket claims to the
/// port's own socket, and never to one that is bound and not yet connected.
#[cfg(target_os = "linux")]
pub(crate) fn keep_strangers(socket: &UdpSocket) -> io::Result<()> {
    // "ret #0": the first socket of the group.
    let mut code = libc::sock_filter { code: RET_CONSTANT, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut code };
    // SAFETY: the kernel reads the program, which has as many instructions as it says.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program) }
}

/// Sets an option whose value is a number.
pub(crate) fn set_number(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads a number, and copies it.
    unsafe { set(socket, level, name, &value) }
}

/// Reads an option whose value is a number.
pub(crate) fn number(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    read(socket, level, name, std::slice::from_mut(&mut value))?;
    Ok(value)
}

/// Sets the rate at which the kernel paces, in bytes per second, and returns it as it then stands.
#[cfg(target_os = "linux")]
pub(crate) fn set_pacing(socket: &impl AsFd, bytes_per_second: u64) -> io::Result<u64> {
    // SAFETY: the kernel reads 4 or 8 bytes, as told, and copies them.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &bytes_per_second)? };
    let mut rate = [0_u64];
    read(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &mut rate)?;
    Ok(rate[0])
}

/// Returns how many packets the kernel has dropped for want of room in the socket.
#[cfg(target_os = "linux")]
pub(crate) fn drops(socket: &impl AsFd) -> Option<u64> {
    let mut figures = [0_u32; MEMINFO_FIGURES];
    let filled = read(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut figures).ok()?;
    figures[..filled].get(MEMINFO_DROPS).copied().map(u64::from)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn drops(_: &impl AsFd) -> Option<u64> {
    None
}

/// Reads an option into `values`, and returns how many the kernel filled.
fn read<T: Copy>(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    values: &mut [T],
) -> io::Result<usize> {
    let mut len = libc::socklen_t::try_from(size_of_val(values)).unwrap_or(0);
    // SAFETY: the kernel writes at most `len` bytes to `values`, which has that many; callers pass
    // integers, for which any bytes are valid.
    let result = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::getsockopt(fd, level, name, values.as_mut_ptr().cast(), &raw mut len)
    };
    match result {
        0 => Ok(usize::try_from(len).unwrap_or(0) / size_of::<T>()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
///
/// `T` is what the option takes.
unsafe fn set<T>(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: `value` is valid for as many bytes as `len` says; the caller vouches for their sense.
    let result = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), len)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls again for as long as a signal comes between.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// `BPF_RET | BPF_K` of linux/bpf_common.h.
#[cfg(target_os = "linux")]
const RET_CONSTANT: u16 = 0x06;

/// `SK_MEMINFO_DROPS` of linux/sock_diag.h.
#[cfg(target_os = "linux")]
const MEMINFO_DROPS: usize = 8;

/// `SK_MEMINFO_VARS` of linux/sock_diag.h.
#[cfg(target_os = "linux")]
const MEMINFO_FIGURES: usize = 9;
