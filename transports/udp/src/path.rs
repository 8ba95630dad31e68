use std::sync::Arc;

use polyperf_socket::Endpoint;
use polyperf_transport::{Path, PathStats, Setting, Tuning};

#[derive(Debug)]
pub(crate) struct UdpPath {
    endpoint: Arc<Endpoint>,
}

impl UdpPath {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint }
    }
}

impl Path for UdpPath {
    fn stats(&self) -> PathStats {
        self.endpoint.stats()
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = self.endpoint.tune(tuning);
        tuning.answer_rest(&mut settings, crate::NAME);
        settings
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}
