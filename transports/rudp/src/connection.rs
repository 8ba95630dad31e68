//! One end of a flow, with forward error correction around it if it has any.

mod silence;

use std::{io, time::Duration};

use polyperf_fec::{self as fec, Decoder, Encoder, FecConfig, FecStats, Framed};
use polyperf_socket::{Flushed, Output};

pub use self::silence::Over;
use self::silence::Silence;
use crate::{
    config::{Config, ConfigError},
    packet::{self, DATA_HEADER, Invalid, Kind, Numbered, Packet},
    receiver::Receiver,
    sender::{Held, Next, Sender},
    stats::{Rejections, Stats},
    syn::Parameters,
};

/// One end of a flow.
///
/// It neither reads a clock nor waits, nor does it send anything. `now` is the time since an epoch
/// of the caller's choice, and should not go backwards from call to call. What is to be sent is
/// written into an [`Output`].
///
/// ```text
/// send ─> [ waiting ─ under way ─ lost ] ─> pacer ─> flush ─> datagrams
/// recv <─ [ in order ─ out of order ] <───────────── input <─ datagrams
/// ```
///
/// What it keeps is bounded by its windows, whatever arrives.
///
/// ```
/// use std::time::Duration;
///
/// use polyperf_rudp::{Config, Connection, Flushed, Output, Parameters};
///
/// let config = Config::default();
/// let (ours, theirs) = (Parameters::new(&config, 7), Parameters::new(&config, 8));
/// let mut client = Connection::new(config, ours, theirs, 1).unwrap();
/// let mut server = Connection::new(config, theirs, ours, 2).unwrap();
/// let mut output = Output::default();
/// let now = Duration::ZERO;
///
/// assert_eq!(client.send(b"hello"), 5);
/// assert_eq!(client.flush(now, &mut output), Flushed::All);
/// for datagram in output.datagrams() {
///     server.input(datagram, false, now);
/// }
/// let mut buf = [0; 100];
/// assert_eq!(server.recv(&mut buf), Some(5));
/// assert_eq!(buf[..5], *b"hello");
/// ```
#[derive(Debug)]
pub struct Connection {
    config: Config,
    /// What the peer is called, in packets to it, and what this end is.
    to: u32,
    own: u32,
    mtu: u16,
    sender: Sender,
    receiver: Receiver,
    silence: Silence,
    fec: Option<Fec>,
    decoder: Option<Decoder>,
    fec_stats: FecStats,
    /// Whether the peer sends, or this end, parity.
    framed: bool,
    rejected: Rejections,
    /// What was sent that nobody reads: the peer is told.
    refuses: bool,
    datagrams: [u64; 2],
    bytes_sent: u64,
    acks_sent: u64,
    ack: Vec<u8>,
    /// When data was first held back, since it has been.
    held: Option<(Held, Duration)>,
}

#[derive(Debug)]
struct Fec {
    encoder: Encoder,
    /// Datagrams on their way to the encoder.
    plain: Output,
}

impl Connection {
    /// Returns an end to which nothing has happened yet, for what both ends said in the handshake.
    /// `seed` is for what is left to chance.
    ///
    /// # Errors
    ///
    /// Says what is wrong with `config`, if anything is.
    pub fn new(
        config: Config,
        own: Parameters,
        peer: Parameters,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mtu = config.mtu.min(peer.mtu);
        let (payload, packet) = sizes(mtu, config.fec);
        let limit = peer.window.into();
        let mut end = Self {
            config,
            to: peer.id,
            own: own.id,
            mtu,
            sender: Sender::new(&config, limit, payload, packet, seed),
            receiver: Receiver::new(config.window),
            silence: Silence::new(config.idle_timeout),
            fec: config.fec.map(|fec| Fec { encoder: Encoder::new(fec), plain: Output::default() }),
            decoder: peer.fec.map(|fec| Decoder::new(fec, LONGEST_SHARD)),
            fec_stats: FecStats::default(),
            framed: config.fec.is_some() || peer.fec.is_some(),
            rejected: Rejections::default(),
            refuses: false,
            datagrams: [0; 2],
            bytes_sent: 0,
            acks_sent: 0,
            ack: Vec::new(),
            held: None,
        };
        end.sender.pacer.set_rate(end.sender.congestion.pacing_rate(), Duration::ZERO);
        Ok(end)
    }

    /// Takes bytes to send as far as there is room, and returns how many.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.sender.send(bytes)
    }

    /// Returns how many bytes more are taken now.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.sender.room()
    }

    /// Returns how many bytes of data one system call sends.
    pub(crate) fn call(&self) -> u64 {
        self.sender.call()
    }

    /// Returns how many bytes of data the longest datagram has.
    #[must_use]
    pub fn payload(&self) -> u16 {
        sizes(self.mtu, self.config.fec).0
    }

    /// Says that nothing more will be sent, behind everything that was.
    pub fn finish(&mut self) {
        self.sender.finish();
    }

    /// Says that nobody reads any more. A peer that goes on sending, once everything for it has
    /// arrived, is told so, and fails.
    pub fn desert(&mut self) {
        self.receiver.desert();
    }

    /// Fills `buf` with what has arrived, and returns how much; `None` if there is nothing now.
    pub fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.receiver.recv(buf)
    }

    /// Returns whether there is something to read, or that nothing more will come.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.receiver.is_readable()
    }

    /// Returns whether the peer has said that nothing follows, and everything before has been read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.receiver.is_ended()
    }

    /// Returns whether the peer has acknowledged everything that was sent, and its end.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.sender.is_drained()
    }

    /// Returns why the flow is over before its end.
    #[must_use]
    pub fn over(&self) -> Option<Over> {
        self.silence.over()
    }

    /// Takes a datagram in, which the network has `marked` or not (RFC 3168), and what can be rebuilt
    /// by it. What is wrong with one is counted.
    pub fn input(&mut self, datagram: &[u8], marked: bool, now: Duration) {
        match Framed::parse(datagram).filter(|_| self.framed) {
            None => self.input_plain(datagram, marked, now),
            Some(framed) => self.input_framed(&framed, datagram.len(), marked, now),
        }
    }

    fn input_framed(&mut self, framed: &Framed<'_>, len: usize, marked: bool, now: Duration) {
        match framed.kind {
            fec::Kind::Parity => {
                self.fec_stats.parity_received += 1;
                self.fec_stats.parity_bytes_received += len as u64;
            }
            fec::Kind::Data => match fec::payload(framed.shard) {
                Some(plain) => self.input_plain(plain, marked, now),
                None => {
                    self.fec_stats.malformed += 1;
                    return;
                }
            },
        }
        let Some(mut decoder) = self.decoder.take() else { return };
        let mut stats = self.fec_stats;
        decoder.take(framed, &mut stats, |plain| {
            let before = self.receiver.packets;
            self.input_plain(plain, false, now);
            self.receiver.packets > before
        });
        self.fec_stats = stats;
        self.decoder = Some(decoder);
    }

    #[inline]
    fn input_plain(&mut self, datagram: &[u8], marked: bool, now: Duration) {
        let packet = match Packet::parse(datagram, self.own) {
            Ok(packet) => packet,
            Err(Invalid::Foreign) => {
                self.rejected.foreign += 1;
                return;
            }
            Err(Invalid::Malformed) => {
                self.rejected.malformed += 1;
                return;
            }
        };
        let taken = match packet {
            Packet::Numbered(packet) => {
                let deserted = self.receiver.deserted && packet.kind == Kind::Data;
                self.refuses |= deserted && self.sender.is_delivered();
                let before = self.rejected;
                self.receiver.take(&packet, marked, now, &mut self.rejected);
                self.rejected == before
            }
            Packet::Ack(ack) => self.sender.acknowledge(&ack, now, &mut self.rejected),
            Packet::Reset(code) => {
                self.silence.reset(code);
                true
            }
        };
        if taken {
            self.datagrams[1] += 1;
            self.silence.heard(now);
        }
    }

    /// Writes what is to be sent now behind what `output` holds already.
    ///
    /// An acknowledgement comes first, then what is sent again, then what is new.
    pub fn flush(&mut self, now: Duration, output: &mut Output) -> Flushed {
        if self.silence.over().is_some() {
            return Flushed::All;
        }
        self.sender.tick(now);
        self.shrink();
        if self.silence.check(now, self.sender.rtt.probe_timeout()) {
            self.push(output, &packet::reset(self.to, SILENCE), &[], &[]);
            return Flushed::All;
        }
        if std::mem::take(&mut self.refuses) {
            self.push(output, &packet::reset(self.to, NOBODY_READS), &[], &[]);
        }
        if self.receiver.is_ack_due(now) {
            let mut ack = std::mem::take(&mut self.ack);
            self.receiver.write_ack(self.to, now, &mut ack);
            self.push(output, &ack, &[], &[]);
            self.acks_sent += 1;
            self.ack = ack;
        }
        let flushed = match self.fec.take() {
            None => self.flush_numbered(now, output, 0),
            Some(mut fec) => {
                fec.plain.clear();
                fec.plain.set_limit(output.left());
                let flushed = self.flush_numbered(now, &mut fec.plain, fec::HEADER);
                let before = output.len();
                fec.encoder.encode(&mut fec.plain, output, &mut self.fec_stats);
                let written = output.len() - before - fec.plain.len();
                self.datagrams[0] += written as u64;
                self.fec = Some(fec);
                flushed
            }
        };
        self.account(now);
        flushed
    }

    fn flush_numbered(&mut self, now: Duration, output: &mut Output, headroom: usize) -> Flushed {
        loop {
            if output.is_full(self.mtu) {
                return Flushed::Full;
            }
            let Some(next) = self.sender.next(now) else { break };
            self.write(&next, now, output, headroom);
        }
        if self.asks(now) {
            let ping = self.sender.ping();
            self.write(&ping, now, output, headroom);
        }
        Flushed::All
    }

    /// Writes a numbered packet.
    #[inline]
    fn write(&mut self, next: &Next, now: Duration, output: &mut Output, headroom: usize) {
        let range = next.range.clone();
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = (headroom + DATA_HEADER + len) as u64;
        let number = self.sender.sent(next, bytes, now);
        let header = Numbered {
            kind: next.kind,
            number: low(number),
            offset: range.start,
            time: micros(now),
            payload: &[],
        }
        .header(self.to);
        let (first, second) = self.sender.data(range);
        output.push_whole([&ROOM[..headroom], &header, first, second]);
        self.datagrams[0] += 1;
        self.bytes_sent += bytes;
    }

    fn push(&mut self, output: &mut Output, first: &[u8], second: &[u8], third: &[u8]) {
        output.push_whole([first, second, third]);
        self.datagrams[0] += 1;
        self.bytes_sent += (first.len() + second.len() + third.len()) as u64;
    }

    /// Returns whether the peer should be asked whether it is there.
    fn asks(&self, now: Duration) -> bool {
        self.silence.asks(now, self.sender.last_sent()) && self.sender.in_flight() == 0
    }

    /// Takes shorter datagrams where nothing of the present length comes through (RFC 8899,
    /// section 4.3).
    fn shrink(&mut self) {
        if self.sender.timeouts() >= BLACK_HOLE && self.mtu > SAFE_MTU {
            self.mtu = SAFE_MTU;
            let (payload, packet) = sizes(self.mtu, self.config.fec);
            self.sender.set_packet(payload, packet);
        }
    }

    /// Counts the time in which data was held back.
    fn account(&mut self, now: Duration) {
        if let Some((held, since)) = self.held {
            let passed = now.saturating_sub(since);
            self.sender.counts.limited += passed;
            if held == Held::Peer {
                self.sender.counts.peer_limited += passed;
            }
        }
        let held = self.sender.held();
        self.held = (held != Held::No).then_some((held, now));
    }

    /// Returns when to call [`flush`](Self::flush) next, if nothing happens before; `None` if there
    /// is nothing to wait for.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        if self.silence.over().is_some() {
            return None;
        }
        let silence = self.silence.due(self.sender.last_sent(), self.sender.rtt.probe_timeout());
        [
            self.receiver.is_ack_due(now).then_some(now),
            self.receiver.ack_due().filter(|due| *due > now),
            self.sender.due(),
            Some(silence),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns how this end works.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Self { sender, receiver, .. } = self;
        let counts = sender.counts;
        let fec = self.fec_stats;
        let window = sender.congestion.window();
        Stats {
            datagrams_sent: self.datagrams[0],
            bytes_sent: self.bytes_sent + fec.parity_bytes_sent,
            datagrams_received: self.datagrams[1] + fec.parity_received,
            packets_sent: counts.packets,
            retransmits: counts.retransmits,
            packets_received: receiver.packets,
            acks_sent: self.acks_sent,
            acks_received: counts.acks,
            packets_lost: counts.lost,
            bytes_lost: counts.lost_bytes,
            spurious_losses: counts.spurious,
            packets_acked: counts.acked,
            bytes_acked: sender.delivered(),
            congestion_events: sender.congestion.events(),
            marks_told: sender.marks,
            marks_received: receiver.marked,
            pings: counts.pings,
            duplicates: receiver.duplicates,
            rejected: self.rejected,
            window_limited: counts.limited,
            peer_limited: counts.peer_limited,
            rtt: sender.rtt.figures(),
            probe_timeout: sender.rtt.probe_timeout(),
            window: (window < u64::MAX).then_some(window),
            in_flight: sender.in_flight(),
            pacing_rate: sender.pacer.rate(),
            delivery_rate: sender.delivery_rate(),
            state: sender.congestion.state(),
            peer_window: sender.peer_window(),
            reordering: sender.reordering(),
            mtu: self.mtu,
            payload: self.payload(),
            fec: self.framed.then_some(fec),
        }
    }
}

impl From<&Over> for io::ErrorKind {
    fn from(over: &Over) -> Self {
        match over {
            Over::Silent { .. } => Self::TimedOut,
            Over::Reset { .. } => Self::ConnectionReset,
        }
    }
}

/// Returns how many bytes of data the longest datagram has, and how many in all.
fn sizes(mtu: u16, fec: Option<FecConfig>) -> (u16, u16) {
    let headroom = if fec.is_some() { FEC_HEADER } else { 0 };
    (mtu - HEADER - headroom, mtu)
}

#[allow(clippy::cast_possible_truncation, reason = "the low bits are what is sent")]
fn low(number: u64) -> u32 {
    number as u32
}

/// Returns the time as a packet bears it.
#[allow(clippy::cast_possible_truncation, reason = "it wraps on the wire")]
fn micros(now: Duration) -> u32 {
    now.as_micros() as u32
}

/// What a reset says: nobody reads what comes; or nothing has come for too long.
pub(crate) const NOBODY_READS: u32 = 1;
pub(crate) const SILENCE: u32 = 2;

const HEADER: u16 = 24;
const _: () = assert!(HEADER as usize == DATA_HEADER);
const FEC_HEADER: u16 = 8;
const _: () = assert!(FEC_HEADER as usize == fec::HEADER);
const ROOM: [u8; fec::HEADER] = [0; fec::HEADER];

/// Bytes of the longest datagram that every path takes (RFC 8899, section 5.1.2; RFC 9000,
/// section 14).
const SAFE_MTU: u16 = 1200;

/// Timeouts in a row after which it may be the length that does not come through.
const BLACK_HOLE: u32 = 3;

/// Bytes of the longest datagram that error correction is kept for: what the peer sends may be longer
/// than what this end does.
const LONGEST_SHARD: usize = 65_507;
