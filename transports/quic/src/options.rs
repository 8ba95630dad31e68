//! What a connection is set to, from what a test asks for.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use polyperf_socket::MAX_DATAGRAM;
use polyperf_transport::{Error, KeepAlive, Setting, Tuning};
use quinn::{
    AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
    congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig},
};

/// What a connection is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    congestion: Congestion,
    /// What each stream may have under way and unread, in bytes.
    window: u32,
    /// The largest packet to look for on the path, in bytes of UDP payload.
    mtu: u16,
    ack_frequency: Option<u32>,
    pub(crate) gso: bool,
    pub(crate) connections: u32,
    pub(crate) resume: bool,
    pub(crate) zero_rtt: bool,
    /// Send the same bytes over and over, which saves copying them.
    pub(crate) zero_copy: bool,
    keep_alive: Duration,
    /// The byte for type of service, at an end that has its socket for itself.
    pub(crate) tos: Option<u8>,
}

/// Which end, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A client's.
    Client,
    /// A listener's, of a connection that nobody has announced: it may be anybody's.
    Stranger,
    /// A listener's, of a test's connection.
    Announced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Congestion {
    Cubic,
    NewReno,
    Bbr,
}

impl Options {
    /// Returns what `tuning` asks for.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first thing that QUIC does not have, or not so.
    pub(crate) fn new(tuning: &Tuning, transport: &'static str) -> Result<Self, Error> {
        tuning.without(&ABSENT, transport)?;
        tuning.without_repair(transport)?;
        if transport == crate::DATAGRAMS {
            tuning.without(&OF_STREAMS, transport)?;
        }
        let unsupported = |option: String, reason: &str| Error::Unsupported {
            transport,
            option,
            reason: reason.to_owned(),
        };
        let congestion = match tuning.congestion.as_deref() {
            None | Some("cubic") => Congestion::Cubic,
            Some("newreno" | "reno") => Congestion::NewReno,
            Some("bbr") => Congestion::Bbr,
            Some(other) => {
                let reason = "it has cubic, newreno and bbr of its own; take one of them";
                return Err(unsupported(format!("congestion control {other}"), reason));
            }
        };
        let mtu = match tuning.mtu.map(NonZeroU32::get) {
            None => DEFAULT_MTU,
            Some(mtu) => u16::try_from(mtu)
                .ok()
                .filter(|mtu| (MIN_MTU..=MAX_MTU).contains(mtu))
                .ok_or_else(|| unsupported(format!("MTU {mtu}"), "it takes 1200 to 65507 bytes"))?,
        };
        Ok(Self {
            congestion,
            window: tuning.window.map_or(DEFAULT_WINDOW, NonZeroU32::get),
            mtu,
            ack_frequency: tuning.ack_frequency.map(NonZeroU32::get),
            gso: !tuning.no_gso,
            connections: tuning.connections.map_or(1, NonZeroU32::get),
            resume: tuning.resume || tuning.zero_rtt,
            zero_rtt: tuning.zero_rtt,
            zero_copy: tuning.zero_copy,
            tos: tuning.tos,
            keep_alive: tuning
                .keep_alive
                .filter(|keep_alive| keep_alive.idle > 0)
                .map_or(KEEP_ALIVE, |keep_alive| Duration::from_secs(keep_alive.idle.into())),
        })
    }

    /// Returns what connections are set to that nobody has asked anything for.
    pub(crate) fn unasked() -> Self {
        let tuning = Tuning::default();
        // Nothing that it does not have is asked for.
        match Self::new(&tuning, crate::STREAMS) {
            Ok(options) => options,
            Err(_) => unreachable!("nothing was asked for"),
        }
    }

    /// Returns quinn's form of it.
    pub(crate) fn transport(&self, part: Part) -> TransportConfig {
        let mut config = TransportConfig::default();
        let idle = IdleTimeout::try_from(IDLE).ok();
        // A whole connection has more under way than one stream; beyond that, memory is what a peer
        // may fill that nobody reads.
        let whole = match part {
            Part::Stranger => u64::from(STRANGERS_WINDOW),
            Part::Client | Part::Announced => u64::from(self.window) * STREAMS_AT_ONCE,
        };
        config
            .max_idle_timeout(idle)
            .stream_receive_window(VarInt::from_u32(self.window))
            .receive_window(varint(whole))
            .send_window(self.send_window())
            .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
            .max_concurrent_uni_streams(VarInt::from_u32(MAX_UNI_STREAMS))
            .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
            .datagram_send_buffer_size(DATAGRAM_BUFFER)
            .enable_segmentation_offload(self.gso)
            .congestion_controller_factory(self.congestion.factory())
            .mtu_discovery_config(self.mtu_discovery());
        if part == Part::Client {
            config.keep_alive_interval(Some(self.keep_alive));
        }
        if let Some(packets) = self.ack_frequency {
            let mut frequency = AckFrequencyConfig::default();
            frequency.ack_eliciting_threshold(VarInt::from_u32(packets));
            config.ack_frequency_config(Some(frequency));
        }
        config
    }

    /// Returns what a sender may hold, in bytes: what is under way, and a little that waits for it.
    pub(crate) fn send_window(&self) -> u64 {
        u64::from(self.window) * STREAMS_AT_ONCE
    }

    /// Returns the longest message of a datagram on a path that takes the largest packet.
    pub(crate) fn longest_message(&self) -> usize {
        usize::from(self.mtu).saturating_sub(crate::datagram::OVERHEAD)
    }

    /// Returns the name of the congestion control.
    pub(crate) fn congestion(&self) -> &'static str {
        match self.congestion {
            Congestion::Cubic => "cubic",
            Congestion::NewReno => "newreno",
            Congestion::Bbr => "bbr",
        }
    }

    /// Returns what came of `tuning` on a connection that was set to this. All of it is set before
    /// the handshake, and nothing can be changed after it.
    pub(crate) fn settings(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = Vec::new();
        // Some things have two names.
        let congestion = match tuning.congestion.as_deref() {
            Some("reno") if self.congestion == Congestion::NewReno => "reno",
            _ => self.congestion(),
        };
        let mut answer = |option: &str, asked: Option<String>, granted: String| {
            let Some(asked) = asked else { return };
            let differs = (granted != asked)
                .then(|| "it is set before the handshake, and was set otherwise".to_owned());
            settings.push(Setting {
                option: option.to_owned(),
                asked,
                granted: Some(granted),
                refused: differs,
            });
        };
        let number = |number: Option<NonZeroU32>| number.map(|number| number.to_string());
        let flag = |on: bool| on.then(|| on.to_string());
        answer("window", number(tuning.window), self.window.to_string());
        answer("congestion", tuning.congestion.clone(), congestion.to_owned());
        answer("mtu", number(tuning.mtu), self.mtu.to_string());
        let frequency = self.ack_frequency.map_or("default".to_owned(), |n| n.to_string());
        answer("ack_frequency", number(tuning.ack_frequency), frequency);
        answer("no_gso", flag(tuning.no_gso), (!self.gso).to_string());
        answer("connections", number(tuning.connections), self.connections.to_string());
        answer("resume", flag(tuning.resume), self.resume.to_string());
        answer("zero_rtt", flag(tuning.zero_rtt), self.zero_rtt.to_string());
        // QUIC never waits for more to send, and never lets its packets be cut.
        answer("no_delay", flag(tuning.no_delay), true.to_string());
        answer("dont_fragment", flag(tuning.dont_fragment), true.to_string());
        answer("zero_copy", flag(tuning.zero_copy), self.zero_copy.to_string());
        // There is one question, of which every packet is an answer.
        let idle = u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX);
        let keep_alive = KeepAlive { idle, ..KeepAlive::default() }.to_string();
        answer("keep_alive", tuning.keep_alive.map(|asked| asked.to_string()), keep_alive);
        settings
    }

    fn mtu_discovery(&self) -> Option<MtuDiscoveryConfig> {
        (self.mtu > MIN_MTU).then(|| {
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(self.mtu);
            discovery
        })
    }
}

impl Congestion {
    fn factory(self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            Self::Cubic => Arc::new(CubicConfig::default()),
            Self::NewReno => Arc::new(NewRenoConfig::default()),
            Self::Bbr => Arc::new(BbrConfig::default()),
        }
    }
}

pub(crate) fn varint(number: u64) -> VarInt {
    VarInt::from_u64(number).unwrap_or(VarInt::MAX)
}

/// What is the kernel's or TCP's.
const ABSENT: [&str; 6] =
    ["mss", "flow_label", "fq_rate", "skip_rx_copy", "send_timeout_ms", "mptcp"];

/// What datagrams do not have: each is a message of its own, which quinn takes as it is.
const OF_STREAMS: [&str; 1] = ["zero_copy"];

/// Fills 1.3 Gbit/s over 100 ms with one stream; quinn's own would fill 100 Mbit/s.
const DEFAULT_WINDOW: u32 = 16 << 20;
/// How many streams' windows a whole connection has.
const STREAMS_AT_ONCE: u64 = 4;
/// What somebody may send who has not said yet what for.
const STRANGERS_WINDOW: u32 = 512 << 10;

/// What fits into an Ethernet frame below IPv6.
const DEFAULT_MTU: u16 = 1452;
/// What every path of QUIC takes (RFC 9000, section 14).
pub(crate) const MIN_MTU: u16 = 1200;
#[allow(clippy::cast_possible_truncation, reason = "65507 fits")]
pub(crate) const MAX_MTU: u16 = MAX_DATAGRAM as u16;

/// Streams of one connection: those of the largest test, and a few that are on their way out.
const MAX_STREAMS: u32 = 512;
/// Of the `perf` protocol, whose clients may ask so.
const MAX_UNI_STREAMS: u32 = 64;
/// Room for 5 ms at 6 Gbit/s.
const DATAGRAM_BUFFER: usize = 4 << 20;

/// How long a silent peer counts as there.
const IDLE: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
