//! Namespaces of users and of networks.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd},
    str::FromStr,
};

use super::checked;

/// Returns how many threads this process has.
pub(in crate::lab) fn threads() -> io::Result<usize> {
    fs::read_dir("/proc/self/task").map(Iterator::count)
}

/// Returns whether this process may make namespaces and devices as it is.
pub(in crate::lab) fn is_privileged() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let needed = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN | 1 << CAP_NET_RAW;
    effective(&status).is_some_and(|capabilities| capabilities & needed == needed)
}

/// Makes a namespace of users in which this process is root, and enters it.
///
/// The kernel refuses a process with several threads.
pub(in crate::lab) fn enter_users() -> io::Result<()> {
    // SAFETY: these take nothing and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: it takes flags alone.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    // Without it the kernel lets nobody map a group; where it cannot be written, the map says so.
    let _ = fs::write("/proc/self/setgroups", "deny");
    fs::write("/proc/self/uid_map", format!("0 {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1\n"))
}

/// Makes an empty network namespace, and moves the calling thread into it.
pub(in crate::lab) fn enter_network() -> io::Result<()> {
    // SAFETY: it takes flags alone.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Returns the network namespace of the calling thread.
pub(in crate::lab) fn network() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// Moves the calling thread into a network namespace.
pub(in crate::lab) fn join_network(network: &File) -> io::Result<()> {
    join(network, libc::CLONE_NEWNET)
}

/// Has the processes that the calling thread starts from now on live in a namespace of processes.
pub(in crate::lab) fn start_processes_in(processes: &File) -> io::Result<()> {
    join(processes, libc::CLONE_NEWPID)
}

/// Sets what the kernel of the calling thread's network namespace goes by.
pub(in crate::lab) fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value)
}

fn join(namespace: &File, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: it takes a descriptor, which is open, and flags.
    checked(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), kind) }).map(drop)
}

/// Returns the capabilities that are in effect, of the text of `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Returns a number that the kernel shows in a file.
pub(in crate::lab) fn number<N: FromStr>(path: &str) -> Option<N> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000203000\n";
        assert_eq!(effective(status), Some(0x0020_3000));
        assert_eq!(effective("Name:\tx\n"), None);
    }

    #[test]
    fn a_test_runs_beside_other_threads() {
        assert!(threads().unwrap() >= 2);
    }
}
