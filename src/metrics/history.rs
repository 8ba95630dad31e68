use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use crate::history::Stats;

/// What is kept in a history, for [`Metrics::with`](super::Metrics::with).
#[derive(Debug)]
pub struct Kept(pub Arc<Stats>);

impl Collector for Kept {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.counts();
        let mut tell = |name: &str, help: &str, figure: &dyn EncodeMetric| {
            figure.encode(encoder.encode_descriptor(name, help, None, figure.metric_type())?)
        };
        let counters = [
            ("history_writes", "Tests that were written to the database", counts.written),
            ("history_errors", "Attempts to write that failed", counts.errors),
            ("history_spooled", "Tests that had to wait in the spool file", counts.spooled),
            ("history_dropped", "Tests that are lost", counts.dropped),
            ("history_missed", "Events that came too fast to be kept", counts.lagged),
        ];
        for (name, help, count) in counters {
            tell(name, help, &ConstCounter::new(count))?;
        }
        let gauges = [
            ("history_queue", "Tests that wait to be written", counts.queue),
            ("history_in_memory", "Tests that wait in memory alone", counts.in_memory),
        ];
        for (name, help, value) in gauges {
            tell(name, help, &ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)))?;
        }
        Ok(())
    }
}
