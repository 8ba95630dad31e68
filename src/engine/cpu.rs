use std::{fs, time::Duration};

use crate::outcome::HostInfo;

/// Processor time: in the program, and in the kernel on its behalf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// Returns what the calling thread has used so far; `None` where the system does not tell.
    pub(crate) fn of_thread() -> Option<Self> {
        #[cfg(target_os = "linux")]
        return Self::read(libc::RUSAGE_THREAD);
        #[cfg(not(target_os = "linux"))]
        return None;
    }

    /// Returns what the process has used so far.
    pub(crate) fn of_process() -> Option<Self> {
        Self::read(libc::RUSAGE_SELF)
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }

    fn read(who: libc::c_int) -> Option<Self> {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the kernel fills the whole structure that the pointer leads to.
        let usage = unsafe {
            if libc::getrusage(who, usage.as_mut_ptr()) != 0 {
                return None;
            }
            usage.assume_init()
        };
        let time = |t: libc::timeval| {
            let seconds = Duration::from_secs(u64::try_from(t.tv_sec).unwrap_or(0));
            seconds + Duration::from_micros(u64::try_from(t.tv_usec).unwrap_or(0))
        };
        Some(Self { user: time(usage.ru_utime), system: time(usage.ru_stime) })
    }
}

/// Returns what there is to say of this program and the machine that it runs on.
#[must_use]
pub fn host_info() -> HostInfo {
    HostInfo {
        program: concat!("polyperf ", env!("CARGO_PKG_VERSION")).to_owned(),
        system: system(),
        cpu: cpu_model(),
        cores: std::thread::available_parallelism().ok().and_then(|n| u16::try_from(n.get()).ok()),
    }
}

fn system() -> String {
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the kernel fills the whole structure that the pointer leads to.
    let names = unsafe {
        if libc::uname(names.as_mut_ptr()) != 0 {
            return String::new();
        }
        names.assume_init()
    };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> =
            field.iter().map(|c| c.to_ne_bytes()[0]).take_while(|&b| b != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    [&names.sysname[..], &names.nodename, &names.release, &names.version, &names.machine]
        .map(text)
        .join(" ")
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
