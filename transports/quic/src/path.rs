//! What is known of the connection below a stream.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use polyperf_socket::QuicPort;
use polyperf_transport::{Path, PathStats, Security, Setting, Tuning};
use quinn::{Connection, ConnectionStats};
use tokio::sync::watch;

use crate::{backlog::Backlog, linger::Linger, options::Options};

/// A connection, as everything that belongs to it shares it.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) connection: Connection,
    pub(crate) port: Arc<QuicPort>,
    pub(crate) options: Options,
    pub(crate) backlog: Backlog,
    pub(crate) transport: &'static str,
    /// As far as it is known: with early data the handshake comes later.
    pub(crate) security: watch::Receiver<Security>,
    /// From the first packet to the end of the handshake, at the end that has begun it.
    pub(crate) handshake: Arc<OnceLock<Duration>>,
    /// From the first packet to the listener's first byte on a stream, likewise.
    pub(crate) first_reply: OnceLock<Duration>,
    /// How long it took to make one that this one could resume, if none was there.
    pub(crate) prepared: Option<Duration>,
    /// Whether the socket is set as this connection alone asks.
    pub(crate) set_alone: bool,
    /// Whether nothing of another connection comes over the socket.
    pub(crate) alone: bool,
    /// What the port had counted when the connection left it to the next one.
    pub(crate) left: OnceLock<PortFigures>,
    /// Where streams go that are dropped, at the end that closes the connection when all are over.
    pub(crate) linger: Option<Arc<Linger>>,
}

/// What a port counts of everything that comes over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortFigures {
    drops: Option<u64>,
    receives: u64,
}

/// The path of one stream: figures of its connection, since the stream was opened.
#[derive(Debug)]
pub(crate) struct QuicPath {
    carried: Arc<Carried>,
    opened: ConnectionStats,
    /// When the stream was opened.
    port: Option<PortFigures>,
}

impl QuicPath {
    pub(crate) fn new(carried: Arc<Carried>) -> Self {
        let opened = carried.connection.stats();
        let port = carried.port_figures();
        Self { carried, opened, port }
    }
}

impl Carried {
    /// Takes note that others are about to use the port.
    pub(crate) fn leave_port(&self) {
        // It is left once.
        let _ = self.left.set(PortFigures::of(&self.port));
    }

    /// Returns what the port has counted while the connection had it, if that is of this one alone.
    fn port_figures(&self) -> Option<PortFigures> {
        let figures = || self.left.get().copied().unwrap_or_else(|| PortFigures::of(&self.port));
        self.alone.then(figures)
    }
}

impl PortFigures {
    fn of(port: &QuicPort) -> Self {
        Self { drops: port.drops(), receives: port.receives() }
    }

    fn since(self, then: Self) -> Self {
        let drops = self.drops.map(|drops| drops.saturating_sub(then.drops.unwrap_or(0)));
        Self { drops, receives: self.receives - then.receives }
    }
}

impl Path for QuicPath {
    /// Bytes on the wire are the packets and the headers of UDP and IP, those of layers below not
    /// among them. What is sent again is frames in new packets, so that retransmissions have no
    /// count; what was lost has.
    fn stats(&self) -> PathStats {
        let Carried { connection, port, options, security, .. } = &*self.carried;
        let (now, then) = (connection.stats(), &self.opened);
        let headers = if connection.remote_address().ip().to_canonical().is_ipv4() {
            IPV4_HEADER
        } else {
            IPV6_HEADER
        } + UDP_HEADER;
        let (sent, received) = (now.udp_tx, now.udp_rx);
        let packets_sent = sent.datagrams - then.udp_tx.datagrams;
        let packets_received = received.datagrams - then.udp_rx.datagrams;
        let blocked = |stats: &ConnectionStats| {
            stats.frame_tx.data_blocked + stats.frame_tx.stream_data_blocked
        };
        let of_port = self.carried.port_figures().zip(self.port);
        let of_port = of_port.map(|(now, then)| now.since(then));
        let buffers = port.buffers().ok();
        let gso = if options.gso { port.gso_segments().min(MOST_SEGMENTS) } else { 1 };
        PathStats {
            rtt: Some(now.path.rtt),
            min_rtt: Some(now.path.min_rtt).filter(|rtt| !rtt.is_zero() && *rtt < NEVER),
            cwnd: Some(now.path.cwnd),
            mtu: Some(now.path.current_mtu.into()),
            packets_sent: Some(packets_sent),
            packets_received: Some(packets_received),
            wire_bytes_sent: Some(sent.bytes - then.udp_tx.bytes + headers * packets_sent),
            wire_bytes_received: Some(
                received.bytes - then.udp_rx.bytes + headers * packets_received,
            ),
            local_drops: of_port.and_then(|figures| figures.drops),
            send_buffer: buffers.and_then(|buffers| buffers.send.try_into().ok()),
            recv_buffer: buffers.and_then(|buffers| buffers.receive.try_into().ok()),
            gso_segments: u32::try_from(gso).ok(),
            gro_segments: u32::try_from(port.gro_segments()).ok(),
            congestion: Some(options.congestion().to_owned()),
            pacing_rate: connection.congestion_state().metrics().pacing_rate,
            connection: u64::try_from(connection.stable_id()).ok(),
            packets_lost: Some(now.path.lost_packets - then.path.lost_packets),
            bytes_lost: Some(now.path.lost_bytes - then.path.lost_bytes),
            congestion_events: Some(now.path.congestion_events - then.path.congestion_events),
            window_blocked: Some(blocked(&now) - blocked(then)),
            send_calls: Some(sent.ios - then.udp_tx.ios),
            recv_calls: of_port.map(|figures| figures.receives),
            acks_received: Some(now.frame_rx.acks - then.frame_rx.acks),
            probes_lost: Some(now.path.lost_plpmtud_probes - then.path.lost_plpmtud_probes),
            handshake: self.carried.handshake.get().copied(),
            first_reply: self.carried.first_reply.get().copied(),
            prepared: self.carried.prepared,
            security: Some(security.borrow().clone()),
            ..PathStats::default()
        }
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = self.carried.options.settings(tuning);
        if let Some(tos) = tuning.tos {
            let granted = self.carried.options.tos.filter(|_| self.carried.set_alone);
            let reason = if self.carried.set_alone {
                "it is set before the handshake, and was set otherwise"
            } else {
                "the socket is shared with other connections"
            };
            let asked = tos.to_string();
            settings.push(Setting {
                option: "tos".to_owned(),
                granted: (granted == Some(tos)).then(|| asked.clone()),
                refused: (granted != Some(tos)).then(|| reason.to_owned()),
                asked,
            });
        }
        tuning.answer_rest(&mut settings, self.carried.transport);
        settings
    }

    fn exported(&self, label: &[u8]) -> Option<[u8; 32]> {
        let mut exported = [0; 32];
        let connection = &self.carried.connection;
        let known = connection.export_keying_material(&mut exported, label, &[]);
        known.ok().map(|()| exported)
    }
}

/// What quinn joins at most, whatever the kernel would take.
const MOST_SEGMENTS: usize = 10;

/// Before the first sample, the smallest is the largest that there is.
const NEVER: Duration = Duration::from_secs(3600);

const UDP_HEADER: u64 = 8;
const IPV4_HEADER: u64 = 20;
const IPV6_HEADER: u64 = 40;
