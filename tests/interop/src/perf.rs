//! The `perf` protocol (draft-banks-quic-performance-00): what a client asks for, and what either
//! end tells of it.

use polyperf::{
    measure::{FlowSummary, Role},
    outcome::Outcome,
    spec::Limit,
};
use serde::{Deserialize, Serialize};

/// What a client asks of a server, on each of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// How many streams, all of them at once.
    pub streams: usize,
    /// Bytes that it sends after the header.
    pub upload: u64,
    /// What it is to receive.
    pub download: Download,
}

/// How much a server is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Download {
    /// So many bytes.
    Bytes(u64),
    /// All there is, until the client has so many bytes and sends STOP_SENDING.
    StoppedAfter(u64),
}

impl Download {
    /// Returns what the header asks for.
    #[must_use]
    pub fn header(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::StoppedAfter(_) => UNLIMITED,
        }
    }
}

/// A stream that is over, as its client tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The stream's number in QUIC.
    pub stream: u64,
    /// Bytes sent after the header.
    pub sent: u64,
    /// Bytes of the answer.
    pub received: u64,
    /// Whether the answer has come to its end.
    pub fin: bool,
    /// Whether the client has sent STOP_SENDING.
    pub stopped: bool,
    /// Whether the server has sent RESET_STREAM.
    pub reset: bool,
}

/// A stream that is over, as its server tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The stream's number in QUIC.
    pub stream: u64,
    /// Bytes received after the header.
    pub received: u64,
    /// Bytes of the answer that were handed to the stack, acknowledged or not.
    pub sent: u64,
    /// What the header asks for; `None` where the stream ended before it did.
    pub asked: Option<u64>,
    /// Whether the client has sent STOP_SENDING.
    pub stopped: bool,
    /// Whether the client has sent RESET_STREAM.
    pub reset: bool,
}

/// What both ends tell of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Each stream, in any order, as the client has it.
    pub client: Vec<Requested>,
    /// The same as the server has it.
    pub server: Vec<Answered>,
}

impl Told {
    /// Returns how it differs from what was asked for.
    #[must_use]
    pub fn differences(&self, asked: &Asked) -> Vec<String> {
        let count = (self.client.len(), self.server.len());
        if count != (asked.streams, asked.streams) {
            return vec![format!("{count:?} streams instead of {}: {self:?}", asked.streams)];
        }
        self.client.iter().filter_map(|client| self.difference(asked, client)).collect()
    }

    fn difference(&self, asked: &Asked, client: &Requested) -> Option<String> {
        let Some(server) = self.server.iter().find(|server| server.stream == client.stream) else {
            return Some(format!("{client:?} is unknown to the server"));
        };
        let uploaded = client.sent == asked.upload && server.received == asked.upload;
        let header = server.asked == Some(asked.download.header());
        let downloaded = match asked.download {
            Download::Bytes(bytes) => {
                let ended = client.fin && !client.stopped && !server.stopped;
                ended && client.received == bytes && server.sent == bytes
            }
            Download::StoppedAfter(bytes) => {
                let stopped = client.stopped && !client.fin && server.stopped;
                stopped && client.received >= bytes && server.sent >= client.received
            }
        };
        let same = uploaded && header && downloaded && !server.reset;
        (!same).then(|| format!("{asked:?} has become {client:?} and {server:?}"))
    }
}

/// Returns how what polyperf's client has counted on its only connection differs from what the
/// server tells.
#[must_use]
pub fn unlike(outcome: &Outcome, server: &[Answered]) -> Vec<String> {
    let limit = &outcome.info.spec.limit;
    let flows = &outcome.local.flows;
    let mut differences: Vec<_> = flows
        .iter()
        .filter(|flow| !server.iter().any(|server| is_its(server, flow, limit)))
        .map(|flow| format!("flow {} has {} bytes", flow.flow.0, flow.bytes))
        .collect();
    if let Limit::Bytes(bytes) = *limit {
        let totals = [Role::Sender, Role::Receiver].map(|role| outcome.local.total(role));
        let wrong = totals.into_iter().flatten().filter(|(total, _)| *total != bytes);
        differences.extend(wrong.map(|(total, _)| format!("{total} bytes instead of {bytes}")));
    }
    if flows.len() != server.len() || !differences.is_empty() {
        differences.push(format!("the server tells {server:?}"));
    }
    differences
}

/// Whether the server tells of this flow, and the same: streams are numbered as they are opened.
fn is_its(server: &Answered, flow: &FlowSummary, limit: &Limit) -> bool {
    let endless = !matches!(limit, Limit::Bytes(_));
    let moved = match flow.role {
        Role::Sender => server.asked == Some(0) && server.received == flow.bytes && !server.stopped,
        Role::Receiver if endless => {
            server.asked == Some(UNLIMITED) && server.sent >= flow.bytes && server.stopped
        }
        Role::Receiver => {
            server.asked == Some(flow.bytes) && server.sent == flow.bytes && !server.stopped
        }
        // Nothing probes a test with these servers.
        Role::Prober | Role::Probed => false,
    };
    let stream = 4 * (u64::from(flow.flow.0) - 1);
    server.stream == stream && moved && flow.bytes > 0 && flow.error.is_none() && !server.reset
}

/// A header that asks for all there is.
pub const UNLIMITED: u64 = u64::MAX;
