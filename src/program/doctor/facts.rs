//! What there is on this host, as far as this user may see it.

use std::{fs, io, str::FromStr};

use super::{holder, sockets};

/// What a server's work depends on. What cannot be read is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) port: u16,
    pub(super) tcp: Port,
    pub(super) udp: Port,
    /// Bytes of socket buffer that were granted of [`sockets::WANTED_BUFFER`].
    pub(super) receive_buffer: Option<u64>,
    pub(super) send_buffer: Option<u64>,
    /// Whether the kernel cuts a long datagram into several, and joins several to one.
    pub(super) segmentation: Option<bool>,
    pub(super) coalescing: Option<bool>,
    pub(super) clock_source: Option<String>,
    pub(super) clock_resolution_ns: Option<u64>,
    pub(super) descriptors: Option<u64>,
    pub(super) threads: Option<u64>,
    /// The governors of all processors, each once.
    pub(super) governors: Vec<String>,
    pub(super) congestion_controls: Option<Vec<String>>,
    /// Connections that are tracked, and how many may be.
    pub(super) tracked: Option<(u64, u64)>,
    pub(super) ipv6: Option<bool>,
    pub(super) queueing: Option<String>,
}

/// Whether a port can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Port {
    #[default]
    Free,
    /// Somebody has it: a process by number and name, if that can be seen.
    Held(Option<(u32, String)>),
    /// It may not be had, and why.
    Refused(String),
}

impl Facts {
    pub(super) fn of_host(port: u16) -> Self {
        let (receive_buffer, send_buffer) = sockets::buffers();
        Self {
            port,
            tcp: of_port(sockets::try_tcp(port), || holder::of_tcp(port)),
            udp: of_port(sockets::try_udp(port), || holder::of_udp(port)),
            receive_buffer,
            send_buffer,
            segmentation: sockets::has_segmentation(),
            coalescing: sockets::has_coalescing(),
            clock_source: word("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            clock_resolution_ns: clock_resolution(),
            descriptors: limit(libc::RLIMIT_NOFILE),
            threads: threads(),
            governors: governors(),
            congestion_controls: word("/proc/sys/net/ipv4/tcp_available_congestion_control")
                .map(|names| names.split_whitespace().map(str::to_owned).collect()),
            tracked: number("/proc/sys/net/netfilter/nf_conntrack_count")
                .zip(number("/proc/sys/net/netfilter/nf_conntrack_max")),
            ipv6: sockets::has_ipv6(),
            queueing: word("/proc/sys/net/core/default_qdisc"),
        }
    }
}

fn of_port(tried: io::Result<()>, holder: impl FnOnce() -> Option<(u32, String)>) -> Port {
    match tried {
        Ok(()) => Port::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Port::Held(holder()),
        Err(error) => Port::Refused(error.to_string()),
    }
}

/// Returns how many threads this user may have, by whichever limit is the least.
fn threads() -> Option<u64> {
    let control_group = || {
        let own = word("/proc/self/cgroup")?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
        number(&format!("/sys/fs/cgroup{path}/pids.max"))
    };
    let limits =
        [limit(libc::RLIMIT_NPROC), number("/proc/sys/kernel/threads-max"), control_group()];
    limits.into_iter().flatten().min()
}

/// Returns how much of a resource this process may take.
fn limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it fills in the structure, which is there.
    let known = unsafe { libc::getrlimit(resource, &raw mut limit) } == 0;
    known.then_some(limit.rlim_max)
}

fn clock_resolution() -> Option<u64> {
    let mut resolution = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills in the structure, which is there.
    let known = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC, &raw mut resolution) } == 0;
    let seconds = u64::try_from(resolution.tv_sec).ok().filter(|_| known)?;
    Some(seconds * 1_000_000_000 + u64::try_from(resolution.tv_nsec).ok()?)
}

fn governors() -> Vec<String> {
    let processors = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        word(entry.path().join("cpufreq/scaling_governor").to_str().unwrap_or_default())
    };
    let mut governors: Vec<_> = processors.filter_map(of).collect();
    governors.sort();
    governors.dedup();
    governors
}

fn word(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    u64::from_str(&word(path)?).ok()
}
