use std::fmt;

use procfs::{WithCurrentSystemInfo as _, process, process::LimitValue};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Figures of this process under the names that every exporter has for them. What the system does
/// not tell is left out.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(this) = process::Process::myself() else { return Ok(()) };
        let mut tell = |name: &str, help: &str, figure: &dyn EncodeMetric| {
            figure.encode(encoder.encode_descriptor(name, help, None, figure.metric_type())?)
        };
        if let Ok(stat) = this.stat() {
            #[allow(clippy::cast_precision_loss, reason = "2^53 ticks are a million years")]
            let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
            let used = ConstCounter::new(seconds(stat.utime + stat.stime));
            tell("process_cpu_seconds", "Processor time, user and system", &used)?;
            let threads = ConstGauge::new(stat.num_threads);
            tell("process_threads", "Threads", &threads)?;
            let resident = ConstGauge::new(figure(stat.rss_bytes().get()));
            tell("process_resident_memory_bytes", "Memory that is held", &resident)?;
            let size = ConstGauge::new(figure(stat.vsize));
            tell("process_virtual_memory_bytes", "Addresses that are in use", &size)?;
            if let Ok(boot) = procfs::boot_time_secs() {
                #[allow(clippy::cast_precision_loss, reason = "2^53 seconds are far away")]
                let start = ConstGauge::new(boot as f64 + seconds(stat.starttime));
                tell("process_start_time_seconds", "When it began, since the epoch", &start)?;
            }
        }
        if let Ok(open) = this.fd_count() {
            let open = ConstGauge::new(figure(open as u64));
            tell("process_open_fds", "Open descriptors", &open)?;
        }
        if let Ok(limits) = this.limits()
            && let LimitValue::Value(most) = limits.max_open_files.soft_limit
        {
            let most = ConstGauge::new(figure(most));
            tell("process_max_fds", "Most descriptors that may be open", &most)?;
        }
        Ok(())
    }
}

fn figure(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
