//! What to do about a kernel that refuses something.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use super::{
    Obstacle,
    sys::{namespace::number, tun::TUN},
};

/// What a tier has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Has the rights that namespaces and devices take.
    Rights,
    /// Makes a namespace of users.
    Users,
    /// Makes a namespace of processes.
    Processes,
    /// Makes a network namespace.
    Network,
    /// Opens `/dev/net/tun`.
    OpenTun,
    /// Makes a TUN device.
    MakeTun,
    /// Makes a pair of Ethernet links.
    MakePair,
    /// Opens a socket for all packets of a link.
    OpenPackets,
    /// Gives a link its addresses, and brings it up.
    BringUp,
    /// Starts a thread.
    Thread,
    /// Sends a packet across.
    Cross,
}

/// A step that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) error: io::Error,
}

impl Failure {
    /// Says what failed, and what to do about it on this host.
    pub(super) fn explain(&self, host: &Host) -> Obstacle {
        Obstacle {
            tried: self.step.words().to_owned(),
            problem: self.error.to_string(),
            remedy: remedy(self.step, self.error.raw_os_error(), host),
        }
    }
}

/// Makes failures of what a step needs.
pub(super) fn at(step: Step) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure { step, error }
}

/// What decides on namespaces and devices. What cannot be read is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// Whether AppArmor takes all rights from a namespace of users that it does not know.
    restricts_users: Option<u8>,
    /// Whether Debian's kernel lets users make namespaces of them.
    users_by_all: Option<u8>,
    most_users: Option<u64>,
    most_networks: Option<u64>,
    most_processes: Option<u64>,
    /// Whether a filter of system calls is at work, as in containers.
    is_filtered: bool,
    is_container: bool,
    /// Permissions of `/dev/net/tun`.
    tun: Option<u32>,
}

impl Host {
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let filter = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            restricts_users: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            users_by_all: number("/proc/sys/kernel/unprivileged_userns_clone"),
            most_users: number("/proc/sys/user/max_user_namespaces"),
            most_networks: number("/proc/sys/user/max_net_namespaces"),
            most_processes: number("/proc/sys/user/max_pid_namespaces"),
            is_filtered: filter.is_some_and(|mode| mode.trim() == "2"),
            is_container: ["/.dockerenv", "/run/.containerenv"]
                .iter()
                .any(|p| Path::new(p).exists()),
            tun: fs::metadata(TUN).ok().map(|found| found.permissions().mode() & 0o777),
        }
    }
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Rights => "needs the rights to make namespaces, devices and packet sockets",
            Self::Users => "makes a user namespace",
            Self::Processes => "makes a namespace of processes",
            Self::Network => "makes a network namespace",
            Self::OpenTun => "opens /dev/net/tun",
            Self::MakeTun => "makes a TUN device",
            Self::MakePair => "makes a veth pair",
            Self::OpenPackets => "opens a packet socket",
            Self::BringUp => "brings up a network device",
            Self::Thread => "starts a thread",
            Self::Cross => "sends a packet across the link",
        }
    }
}

/// Returns what to do about a step that failed with this number.
fn remedy(step: Step, code: Option<i32>, host: &Host) -> String {
    let refused = matches!(code, Some(libc::EPERM | libc::EACCES));
    match step {
        Step::Rights => "run as root, or take a tier with a user namespace".to_owned(),
        Step::Users | Step::Network | Step::Processes | Step::BringUp if refused => users(host),
        Step::Users if code == Some(libc::ENOSPC) => more("max_user_namespaces", host.most_users),
        Step::Network if code == Some(libc::ENOSPC) => {
            more("max_net_namespaces", host.most_networks)
        }
        Step::Processes if code == Some(libc::ENOSPC) => {
            more("max_pid_namespaces", host.most_processes)
        }
        Step::Users | Step::Network | Step::Processes => {
            "take a kernel with CONFIG_USER_NS, CONFIG_NET_NS and CONFIG_PID_NS".to_owned()
        }
        Step::OpenTun => open_tun(code, host),
        Step::MakeTun if code == Some(libc::EBUSY) => {
            "try again: another process is taking it down".to_owned()
        }
        Step::MakeTun | Step::OpenPackets | Step::MakePair if refused => users(host),
        Step::MakePair => "sudo modprobe veth".to_owned(),
        Step::MakeTun => "take Linux 4.8 or newer, with CONFIG_TUN".to_owned(),
        Step::OpenPackets => "sudo modprobe af_packet".to_owned(),
        Step::BringUp => "look at dmesg for what the kernel says of it".to_owned(),
        Step::Thread => {
            "raise the limit of threads: ulimit -u, or TasksMax= of the unit".to_owned()
        }
        Step::Cross => "polyperf lab doctor tries every tier".to_owned(),
    }
}

/// What to do where a namespace of users, or rights in it, are refused.
fn users(host: &Host) -> String {
    if host.restricts_users == Some(1) {
        return format!(
            "AppArmor takes the rights from user namespaces: sudo sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0, or give polyperf a profile \
             ({APPARMOR}), or run as root"
        );
    }
    if host.users_by_all == Some(0) {
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1, or run as root".to_owned();
    }
    if host.most_users == Some(0) {
        return more("max_user_namespaces", host.most_users);
    }
    if host.is_filtered || host.is_container {
        return format!("a container's filter of system calls forbids it: {CONTAINER}");
    }
    "run as root".to_owned()
}

fn open_tun(code: Option<i32>, host: &Host) -> String {
    let (missing, denied) = (code == Some(libc::ENOENT), code == Some(libc::EACCES));
    match host.tun {
        _ if (missing || denied) && host.is_container => {
            format!("start the container with {CONTAINER}")
        }
        _ if missing => "sudo modprobe tun".to_owned(),
        Some(mode) if denied => {
            format!("its mode is {mode:04o}: sudo chmod 0666 {TUN}")
        }
        _ if code == Some(libc::ENODEV) || code == Some(libc::ENXIO) => {
            "sudo modprobe tun".to_owned()
        }
        // The devices of a control group.
        _ => format!("the kernel keeps it from this process: {CONTAINER}"),
    }
}

fn more(name: &str, now: Option<u64>) -> String {
    let now = now.map_or("unknown".to_owned(), |now| now.to_string());
    format!("user.{name} is {now}: sudo sysctl -w user.{name}=15000")
}

const APPARMOR: &str =
    "profile polyperf /path/to/polyperf flags=(unconfined) { userns, } in /etc/apparmor.d/polyperf";

const CONTAINER: &str = "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun \
                         --security-opt apparmor=unconfined";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(step: Step, code: i32, host: Host) -> String {
        let error = io::Error::from_raw_os_error(code);
        Failure { step, error }.explain(&host).remedy
    }

    #[test]
    fn apparmor_is_named_where_it_takes_the_rights() {
        let host = Host { restricts_users: Some(1), ..Host::default() };
        for step in [Step::Users, Step::Network, Step::BringUp, Step::MakeTun] {
            let remedy = of(step, libc::EPERM, host.clone());
            assert!(remedy.contains("kernel.apparmor_restrict_unprivileged_userns=0"), "{remedy}");
            assert!(remedy.contains("userns,"), "{remedy}");
        }
    }

    #[test]
    fn each_limit_of_the_kernel_has_its_command() {
        let off = Host { users_by_all: Some(0), ..Host::default() };
        let remedy = of(Step::Users, libc::EPERM, off);
        assert!(
            remedy.starts_with("sudo sysctl -w kernel.unprivileged_userns_clone=1"),
            "{remedy}"
        );
        let none = Host { most_users: Some(0), ..Host::default() };
        let remedy = of(Step::Users, libc::ENOSPC, none);
        assert_eq!(
            remedy,
            "user.max_user_namespaces is 0: sudo sysctl -w user.max_user_namespaces=15000"
        );
        let networks = of(Step::Network, libc::ENOSPC, Host::default());
        assert!(networks.starts_with("user.max_net_namespaces is unknown: "), "{networks}");
    }

    #[test]
    fn a_device_that_is_closed_or_missing_has_its_command() {
        let closed = Host { tun: Some(0o600), ..Host::default() };
        let remedy = of(Step::OpenTun, libc::EACCES, closed);
        assert_eq!(remedy, "its mode is 0600: sudo chmod 0666 /dev/net/tun");
        assert_eq!(of(Step::OpenTun, libc::ENOENT, Host::default()), "sudo modprobe tun");
        let container = Host { is_container: true, ..Host::default() };
        let remedy = of(Step::OpenTun, libc::ENOENT, container);
        assert!(remedy.contains("--device /dev/net/tun"), "{remedy}");
    }

    #[test]
    fn a_container_is_told_what_it_lacks() {
        let host = Host { is_filtered: true, ..Host::default() };
        let remedy = of(Step::Users, libc::EPERM, host);
        assert!(remedy.contains("--cap-add SYS_ADMIN"), "{remedy}");
    }

    #[test]
    fn what_failed_is_said_with_why_and_with_what_to_do() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        let obstacle = Failure { step: Step::OpenTun, error }.explain(&Host::default());
        let text = obstacle.to_string();
        assert!(text.starts_with("it opens /dev/net/tun and fails: No such file"), "{text}");
        assert!(text.ends_with("; sudo modprobe tun"), "{text}");
    }
}
