//! One conversation, with forward error correction around it if it has any.

use std::time::Duration;

use polyperf_fec::{self as fec, Decoder, Encoder, FecConfig, FecStats, Framed, Kind};
use polyperf_socket::{Flushed, Output};

use crate::{
    config::{Config, ConfigError},
    engine::{Dead, Engine, Rejected, TooLong},
    segment::{Command, Segment},
    stats::Stats,
};

/// One end of a conversation: an [`Engine`], and forward error correction around it.
///
/// See [`Engine`] for what its calls do.
#[derive(Debug)]
pub struct Conversation {
    engine: Engine,
    fec: Option<Fec>,
    stats: FecStats,
    /// Datagrams of data that came with a header of error correction, and were taken.
    framed: u64,
}

#[derive(Debug)]
struct Fec {
    encoder: Encoder,
    decoder: Decoder,
    /// Datagrams on their way to the encoder.
    plain: Output,
}

impl Conversation {
    /// Returns an end of the conversation `conv`, to which nothing has happened yet.
    ///
    /// With forward error correction, each segment holds eight bytes less.
    ///
    /// # Errors
    ///
    /// Returns all that is wrong with `config`, if it is.
    pub fn new(
        conv: u32,
        config: Config,
        fec: Option<FecConfig>,
    ) -> Result<Self, Vec<ConfigError>> {
        let config = with_headroom(config, fec);
        let engine = Engine::new(conv, config)?;
        let longest = usize::from(config.mtu).max(ETHERNET) - SHARD_AT;
        let fec = fec.map(|fec| Fec {
            encoder: Encoder::new(fec),
            decoder: Decoder::new(fec, longest),
            plain: Output::default(),
        });
        Ok(Self { engine, fec, stats: FecStats::default(), framed: 0 })
    }

    /// Says everything that is wrong with these settings.
    ///
    /// # Errors
    ///
    /// Returns at least one mistake if no conversation can work like this.
    pub fn check(config: &Config, fec: Option<FecConfig>) -> Result<(), Vec<ConfigError>> {
        with_headroom(*config, fec).check()
    }

    /// Takes bytes to send; see [`Engine::send`].
    ///
    /// # Errors
    ///
    /// Fails if a message is longer than any may be.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, TooLong> {
        self.engine.send(bytes)
    }

    /// Says that nothing more will be sent; see [`Engine::finish`].
    pub fn finish(&mut self) {
        self.engine.finish();
    }

    /// Fills `buf` with what has arrived; see [`Engine::recv`].
    pub fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.engine.recv(buf)
    }

    /// Takes a datagram in, and what can be rebuilt by it.
    ///
    /// One without the header of error correction is taken as it is. From one with it, data is taken
    /// also by an end that has no error correction itself.
    ///
    /// # Errors
    ///
    /// Fails, and counts, if the datagram is of no peer that keeps to the protocol.
    pub fn input(&mut self, datagram: &[u8], now: Duration) -> Result<(), Rejected> {
        let Some(framed) = Framed::parse(datagram) else {
            return self.engine.input(datagram, now);
        };
        let Self { engine, fec, stats, framed: counted } = self;
        let result = match framed.kind {
            Kind::Parity => {
                stats.parity_received += 1;
                stats.parity_bytes_received += datagram.len() as u64;
                Ok(())
            }
            Kind::Data => match fec::payload(framed.shard) {
                Some(plain) => {
                    let taken = engine.input(plain, now);
                    *counted += u64::from(taken.is_ok());
                    taken
                }
                None => {
                    stats.malformed += 1;
                    return Ok(());
                }
            },
        };
        if let Some(Fec { decoder, .. }) = fec {
            // What is wrong with one was so before it was sent; the engine counts it.
            decoder.take(&framed, stats, |plain| engine.input_rebuilt(plain, now).is_ok());
        }
        result
    }

    /// Writes what is to be sent now; see [`Engine::flush`].
    pub fn flush(&mut self, now: Duration, output: &mut Output) -> Flushed {
        let Some(Fec { encoder, plain, .. }) = &mut self.fec else {
            return self.engine.flush(now, output);
        };
        plain.clear();
        plain.set_limit(output.left());
        let flushed = self.engine.flush(now, plain);
        encoder.encode(plain, output, &mut self.stats);
        flushed
    }

    /// Returns when to call [`flush`](Self::flush) next; see [`Engine::deadline`].
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        self.engine.deadline(now)
    }

    /// Returns how many segments more could wait to be sent.
    #[must_use]
    pub fn room(&self) -> usize {
        self.engine.room()
    }

    /// Returns whether there is something to read, or that the stream has ended.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.engine.is_readable()
    }

    /// Returns whether the peer has said that nothing follows, and everything before has been read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.engine.is_ended()
    }

    /// Returns whether the peer has acknowledged everything that was sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.engine.is_drained()
    }

    /// Returns why the peer counts as gone.
    #[must_use]
    pub fn dead(&self) -> Option<Dead> {
        self.engine.dead()
    }

    /// Returns how the engine works.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.engine.config()
    }

    /// Returns what was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let fec = self.stats;
        let Stats { mut sent, mut received, .. } = self.engine.stats();
        sent.datagrams += fec.parity_sent;
        sent.wire_bytes += fec.parity_bytes_sent;
        received.datagrams += fec.parity_received;
        received.wire_bytes += fec.parity_bytes_received + self.framed * u64::from(FEC_HEADROOM);
        let met = self.fec.is_some() || fec != FecStats::default();
        Stats { sent, received, fec: met.then_some(fec), ..self.engine.stats() }
    }
}

/// The first datagram of a conversation that nobody has announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First<'a> {
    /// The conversation.
    pub conv: u32,
    /// What it begins with.
    pub payload: &'a [u8],
}

impl<'a> First<'a> {
    /// Returns what `datagram` begins, with error correction or without; `None` if it is not the
    /// first data of a conversation.
    #[must_use]
    pub fn of(datagram: &'a [u8]) -> Option<Self> {
        let plain = match Framed::parse(datagram) {
            Some(Framed { kind: Kind::Data, shard, .. }) => fec::payload(shard)?,
            Some(Framed { kind: Kind::Parity, .. }) => return None,
            None => datagram,
        };
        let (segment, _) = Segment::split(plain).ok()?;
        let first = segment.cmd == Command::Push && segment.sn == 0;
        first.then_some(Self { conv: segment.conv, payload: segment.payload })
    }
}

fn with_headroom(config: Config, fec: Option<FecConfig>) -> Config {
    let headroom = if fec.is_some() { FEC_HEADROOM } else { 0 };
    Config { headroom, ..config }
}

/// What fits into an Ethernet frame.
const ETHERNET: usize = 1500;

/// Where error correction begins within a datagram.
const SHARD_AT: usize = 6;

const FEC_HEADROOM: u16 = 8;
const _: () = assert!(FEC_HEADROOM as usize == fec::HEADER);
