use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::server::{Handle, Reject, SessionView, Stage};

/// How the server is just now, and whom it has let in and turned away.
#[derive(Debug)]
pub(super) struct Figures(pub(super) Handle);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.sessions(&mut encoder)?;
        let limits = self.0.limits();
        let gauges = [
            ("queue_length", "Tests that wait for their turn", self.0.waiting()),
            ("queue_limit", "Most tests that may wait", limits.max_queue),
            ("sessions_limit", "Most tests that may run at once", limits.max_sessions.get()),
            ("serving", "Whether new tests are taken (1) or not (0)", self.0.is_serving().into()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        self.counts(&mut encoder)
    }
}

impl Figures {
    fn sessions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut active = BTreeMap::<_, i64>::new();
        // Those that there always may be are 0 rather than unknown.
        for stage in [PREPARING, QUEUED, RUNNING] {
            active.insert((stage, String::new()), 0);
        }
        for view in self.0.sessions() {
            *active.entry(stage(&view)).or_default() += 1;
        }
        let help = "Sessions, by how far they are and the transport of their test";
        let mut family =
            encoder.encode_descriptor("sessions_active", help, None, MetricType::Gauge)?;
        for ((stage, transport), count) in active {
            let labels = [("stage", stage), ("transport", transport.as_str())];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.counts();
        let help = "Connections and flows that were accepted";
        let mut family = encoder.encode_descriptor("accepted", help, None, MetricType::Counter)?;
        for (transport, count) in counts.accepted {
            let labels = [("transport", transport)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let help = "Connections and tests that were turned away";
        let mut family = encoder.encode_descriptor("rejected", help, None, MetricType::Counter)?;
        for reason in Reject::ALL {
            let labels = [("reason", reason.name())];
            let count = counts.rejected.get(&reason).copied().unwrap_or(0);
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn stage(view: &SessionView) -> (&'static str, String) {
    match &view.stage {
        Stage::Preparing => (PREPARING, String::new()),
        Stage::Queued { spec, .. } => (QUEUED, spec.transport.clone()),
        Stage::Running { info } => (RUNNING, info.spec.transport.clone()),
        Stage::Visiting => (VISITING, String::new()),
    }
}

const PREPARING: &str = "preparing";
const QUEUED: &str = "queued";
const RUNNING: &str = "running";
const VISITING: &str = "visiting";
