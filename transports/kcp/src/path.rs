//! What is known of a flow.

use std::{sync::Arc, time::Duration};

use polyperf_socket::Driven;
use polyperf_transport::{Arq, Path, PathStats, Setting, Stream, Tuning};

use crate::{Conversation, NAME, Stats, settings::Settings};

#[derive(Debug)]
pub(crate) struct KcpPath {
    flow: Arc<Driven<Conversation>>,
    settings: Settings,
    /// How long it took to open; `None` where nobody asked to be let in.
    handshake: Option<Duration>,
}

impl KcpPath {
    /// Returns the stream over `flow`.
    pub(crate) fn stream(
        flow: Arc<Driven<Conversation>>,
        settings: Settings,
        handshake: Option<Duration>,
    ) -> Stream {
        let path = Self { flow: Arc::clone(&flow), settings, handshake };
        flow.stream(Arc::new(path))
    }
}

impl Path for KcpPath {
    /// Round trips are those to the microsecond, as far as there are any; KCP's own are beside them.
    fn stats(&self) -> PathStats {
        let stats = self.flow.stats();
        let endpoint = self.flow.endpoint();
        let traffic = endpoint.traffic();
        let config = &self.settings.config;
        let mss = stats.mss as u64;
        PathStats {
            rtt: stats.rtt.map(|rtt| rtt.smoothed),
            min_rtt: stats.rtt.map(|rtt| rtt.least),
            cwnd: stats.congestion_window.map(|segments| u64::from(segments) * mss),
            peer_window: Some(u64::from(stats.peer_window) * mss),
            mss: u32::try_from(mss).ok(),
            retransmits: Some(stats.retransmits.total()),
            rwnd_limited: Some(stats.zero_window),
            congestion: config.congestion_control.then(|| NAME.to_owned()),
            send_calls: Some(traffic.send_calls()),
            recv_calls: Some(traffic.recv_calls()),
            handshake: self.handshake,
            arq: Some(arq(&stats)),
            parameters: self.settings.parameters(),
            ..endpoint.stats()
        }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = self.flow.endpoint().tune(tuning);
        settings.extend(self.settings.answers(tuning));
        tuning.answer_rest(&mut settings, NAME);
        settings
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

fn arq(stats: &Stats) -> Arq {
    let fec = stats.fec;
    let rejected = stats.rejected.foreign + stats.rejected.malformed + stats.rejected.unsent;
    Arq {
        segments_sent: Some(stats.sent.segments),
        segments_received: Some(stats.received.segments),
        timeout_retransmits: Some(stats.retransmits.timeout),
        fast_retransmits: Some(stats.retransmits.fast),
        early_retransmits: Some(stats.retransmits.early),
        spurious_retransmits: Some(stats.spurious),
        duplicates: Some(stats.duplicates),
        rejected: Some(rejected + fec.map_or(0, |fec| fec.malformed)),
        window_probes: Some(stats.probes),
        window_limited: Some(stats.window_limited),
        srtt: stats.srtt,
        srttvar: stats.rttvar,
        rto: Some(stats.rto),
        parity_sent: fec.map(|fec| fec.parity_sent),
        parity_bytes_sent: fec.map(|fec| fec.parity_bytes_sent),
        parity_received: fec.map(|fec| fec.parity_received),
        recovered: fec.map(|fec| fec.recovered),
        unrecoverable: fec.map(|fec| fec.unrecoverable),
    }
}
