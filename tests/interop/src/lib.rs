//! Other people's programs against polyperf. Each must be installed; `.ci/run` does that.

mod asked;
mod browser;
mod cells;
mod coverage;
mod documents;
mod figures;
mod guests;
mod identity;
pub mod kcp_go;
mod lanes;
mod ours;
mod peers;
mod perf;
mod quic_peers;
mod servers;
mod serving;

use std::time::Duration;

pub use self::{
    browser::{Browser, Picture},
    cells::{Cell, matrix, mixed, options},
    documents::differences,
    figures::compare,
    guests::{Guest, GuestServer},
    identity::Identity,
    lanes::{FEW, run_all},
    ours::{client, document, outcome},
    peers::Peer,
    perf::{Answered, Asked, Download, Requested, Told, UNLIMITED, unlike},
    quic_peers::{PerfServer, QuicPeer, perf_client},
    servers::{PeerServer, signal},
    serving::{Listening, Serving},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
