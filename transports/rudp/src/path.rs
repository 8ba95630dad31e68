//! What is known of a flow.

use std::{sync::Arc, time::Duration};

use polyperf_socket::Driven;
use polyperf_transport::{Arq, Path, PathStats, Setting, Stream, Tuning};

use crate::{Config, Connection, NAME, Stats, settings};

#[derive(Debug)]
pub(crate) struct RudpPath {
    flow: Arc<Driven<Connection>>,
    config: Config,
    /// How long it took to open, at the end that asked.
    handshake: Option<Duration>,
}

impl RudpPath {
    /// Returns the stream over `flow`.
    pub(crate) fn stream(
        flow: Arc<Driven<Connection>>,
        config: Config,
        handshake: Option<Duration>,
    ) -> Stream {
        let path = Self { flow: Arc::clone(&flow), config, handshake };
        flow.stream(Arc::new(path))
    }
}

impl Path for RudpPath {
    fn stats(&self) -> PathStats {
        let stats = self.flow.stats();
        let endpoint = self.flow.endpoint();
        let traffic = endpoint.traffic();
        let bits = |rate: u64| rate.saturating_mul(8);
        PathStats {
            rtt: stats.rtt.map(|rtt| rtt.smoothed),
            rttvar: stats.rtt.map(|rtt| rtt.deviation),
            min_rtt: stats.rtt.map(|rtt| rtt.least),
            cwnd: stats.window,
            peer_window: Some(stats.peer_window),
            mss: Some(stats.payload.into()),
            retransmits: Some(stats.retransmits.total()),
            in_flight: Some(stats.in_flight),
            bytes_acked: Some(stats.bytes_acked),
            reordering: Some(stats.reordering),
            delivery_rate: stats.delivery_rate.map(bits),
            pacing_rate: stats.pacing_rate.map(bits),
            rwnd_limited: Some(stats.peer_limited),
            congestion: Some(self.config.congestion.to_string()),
            congestion_state: Some(stats.state.to_owned()),
            packets_lost: Some(stats.packets_lost),
            bytes_lost: Some(stats.bytes_lost),
            spurious_losses: Some(stats.spurious_losses),
            congestion_events: Some(stats.congestion_events),
            ce_marks: Some(stats.marks_told),
            send_calls: Some(traffic.send_calls()),
            recv_calls: Some(traffic.recv_calls()),
            acks_received: Some(stats.acks_received),
            handshake: self.handshake,
            arq: Some(arq(&stats)),
            parameters: settings::parameters(&self.config, &stats),
            ..endpoint.stats()
        }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = settings::answers(&self.config, &self.flow.stats(), tuning);
        let answered = |option: &str| settings.iter().any(|setting| setting.option == option);
        let sockets = self.flow.endpoint().tune(tuning);
        let more: Vec<_> =
            sockets.into_iter().filter(|setting| !answered(&setting.option)).collect();
        settings.extend(more);
        tuning.answer_rest(&mut settings, NAME);
        settings
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

fn arq(stats: &Stats) -> Arq {
    let fec = stats.fec;
    Arq {
        segments_sent: Some(stats.packets_sent + stats.acks_sent),
        segments_received: Some(stats.packets_received + stats.acks_received),
        timeout_retransmits: Some(stats.retransmits.probes),
        fast_retransmits: Some(stats.retransmits.lost),
        duplicates: Some(stats.duplicates),
        rejected: Some(stats.rejected.total() + fec.map_or(0, |fec| fec.malformed)),
        window_probes: Some(stats.pings),
        window_limited: Some(stats.window_limited),
        rto: Some(stats.probe_timeout),
        parity_sent: fec.map(|fec| fec.parity_sent),
        parity_bytes_sent: fec.map(|fec| fec.parity_bytes_sent),
        parity_received: fec.map(|fec| fec.parity_received),
        recovered: fec.map(|fec| fec.recovered),
        unrecoverable: fec.map(|fec| fec.unrecoverable),
        ..Arq::default()
    }
}
