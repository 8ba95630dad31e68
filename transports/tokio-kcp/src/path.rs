//! What is known of a flow, which is little.

use std::sync::Arc;

use polyperf_transport::{Path, PathStats, Setting, Tuning};

use crate::{NAME, flow::Flow};

#[derive(Debug)]
pub(crate) struct TokioKcpPath(pub(crate) Arc<Flow>);

impl Path for TokioKcpPath {
    /// The crate tells nothing, and what it sends goes past what this end counts. Among the drops is
    /// what the peer sent of another conversation, such as an opening that was repeated.
    fn stats(&self) -> PathStats {
        let known = self.0.endpoint.stats();
        PathStats {
            mtu: known.mtu,
            local_drops: known.local_drops,
            send_buffer: known.send_buffer,
            recv_buffer: known.recv_buffer,
            gso_segments: Some(1),
            gro_segments: Some(1),
            handshake: self.0.handshake,
            parameters: self.0.settings.parameters(),
            ..PathStats::default()
        }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = self.0.endpoint.tune(tuning);
        settings.extend(self.0.settings.answers(tuning));
        tuning.answer_rest(&mut settings, NAME);
        settings
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}
