//! One conversation: the protocol's rules, without sockets and without a clock.

mod congestion;
mod flush;
mod input;
mod moment;
mod pool;
mod receiver;
mod ring;
mod rtt;
mod sender;
mod silence;

use std::time::Duration;

use self::{
    congestion::Congestion,
    flush::{Limits, Probe, Ticks},
    receiver::Receiver,
    rtt::{Precise, Rtt},
    sender::Sender,
    silence::Silence,
};
pub use self::{input::Rejected, rtt::RoundTrips, silence::Dead};
use crate::{
    config::{Config, ConfigError, MAX_FRAGMENTS, Mode},
    stats::{Rejections, Stats, Traffic},
};

/// One end of a conversation.
///
/// It neither reads a clock nor waits, nor does it send anything. `now` is the time since an epoch
/// of the caller's choice, and should not go backwards from call to call. What is to be sent is
/// written into an [`Output`](crate::Output).
///
/// ```text
/// send ─> [ waiting ─ under way ] ─> flush ─> datagrams
/// recv <─ [ in order ─ out of order ] <─ input <─ datagrams
/// ```
///
/// What it keeps is bounded by its windows, whatever arrives.
///
/// ```
/// use std::time::Duration;
///
/// use polyperf_kcp::{Config, Engine, Flushed, Output};
///
/// let mut client = Engine::new(7, Config::default()).unwrap();
/// let mut server = Engine::new(7, Config::default()).unwrap();
/// let mut output = Output::default();
/// let now = Duration::ZERO;
///
/// assert_eq!(client.send(b"hello"), Ok(5));
/// assert_eq!(client.flush(now, &mut output), Flushed::All);
/// for datagram in output.datagrams() {
///     server.input(datagram, now).unwrap();
/// }
/// let mut buf = [0; 100];
/// assert_eq!(server.recv(&mut buf), Some(5));
/// assert_eq!(buf[..5], *b"hello");
/// ```
#[derive(Debug)]
pub struct Engine {
    conv: u32,
    config: Config,
    sender: Sender,
    receiver: Receiver,
    rtt: Rtt,
    precise: Precise,
    congestion: Option<Congestion>,
    ticks: Ticks,
    probe: Probe,
    limits: Limits,
    /// What the peer said last of its window.
    peer_window: u16,
    /// The highest number that the peer said to expect.
    peer_una: u32,
    /// Whether the peer wants to know the window.
    tell: bool,
    silence: Silence,
    /// Acknowledgements on their way out.
    acks: Vec<(u32, u32)>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    sent: Traffic,
    received: Traffic,
    duplicates: u64,
    beyond_window: u64,
    unfit: u64,
    probes: u64,
    rejected: Rejections,
}

/// A message of more fragments than any implementation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {len} bytes is longer than {max}, all that {MAX_FRAGMENTS} segments carry")]
pub struct TooLong {
    /// How long it is.
    pub len: usize,
    /// How long it may be.
    pub max: usize,
}

impl Engine {
    /// Returns an end of the conversation `conv`, to which nothing has happened yet.
    ///
    /// # Errors
    ///
    /// Returns all that is wrong with `config`, if it is.
    pub fn new(conv: u32, config: Config) -> Result<Self, Vec<ConfigError>> {
        config.check()?;
        Ok(Self {
            conv,
            sender: Sender::new(&config),
            receiver: Receiver::new(&config),
            rtt: Rtt::new(&config),
            precise: Precise::default(),
            congestion: config.congestion_control.then(|| Congestion::new(config.mss())),
            ticks: Ticks::new(&config),
            probe: Probe::default(),
            limits: Limits::default(),
            peer_window: config.peer_window.get(),
            peer_una: config.first_sn,
            tell: false,
            silence: Silence::default(),
            acks: Vec::new(),
            counts: Counts::default(),
            config,
        })
    }

    /// Takes bytes of a stream as far as there is room, or one message whole, and returns how many
    /// bytes it took: 0 if there is no room now. An empty message is none.
    ///
    /// # Errors
    ///
    /// Fails if a message is longer than any may be.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, TooLong> {
        if self.config.mode == Mode::Stream {
            return Ok(self.sender.write(bytes));
        }
        let (len, max) = (bytes.len(), self.max_message());
        if len > max {
            return Err(TooLong { len, max });
        }
        let taken = len > 0 && self.sender.write_message(bytes);
        Ok(if taken { len } else { 0 })
    }

    /// Fills `buf` with bytes of the stream, or with one message, of which what does not fit is
    /// lost. Returns how many bytes that were; `None` if there are none now.
    ///
    /// It may give the peer room to send, of which the next [`flush`](Self::flush) tells it.
    pub fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        if self.config.mode == Mode::Messages {
            return self.receiver.read_message(buf);
        }
        Some(self.receiver.read(buf)).filter(|&len| len > 0)
    }

    /// Says that nothing more will be sent, behind everything that was; from here on
    /// [`send`](Self::send) takes nothing. Without [`Config::ends`], or with messages, there is no
    /// word for it, and nothing happens.
    pub fn finish(&mut self) {
        if self.config.ends && self.config.mode == Mode::Stream {
            self.sender.finish();
        }
    }

    /// Returns whether the peer has said that nothing follows, and everything before has been read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.receiver.is_ended()
    }

    /// Returns how many segments more could wait to be sent; with any, [`send`](Self::send) takes
    /// something.
    #[must_use]
    pub fn room(&self) -> usize {
        self.sender.room() as usize
    }

    /// Returns whether [`recv`](Self::recv) has something to return, or the stream has
    /// [ended](Self::is_ended).
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.receiver.is_readable()
    }

    /// Returns whether the peer has acknowledged everything that was sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.sender.waiting() == 0 && self.sender.span() == 0
    }

    /// Returns why the peer counts as gone, as of the last [`flush`](Self::flush). The engine goes on
    /// nevertheless; it is up to the caller to give up.
    #[must_use]
    pub fn dead(&self) -> Option<Dead> {
        if self.sender.is_dead() {
            return Some(Dead::Transmissions(self.config.dead_link));
        }
        self.silence.is_over.then_some(Dead::Silence(self.config.dead_after))
    }

    /// Returns the conversation.
    #[must_use]
    pub fn conv(&self) -> u32 {
        self.conv
    }

    /// Returns how the engine works.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns how long a message may be, in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        usize::from(MAX_FRAGMENTS) * self.config.mss()
    }

    /// Returns what was counted. Times are as of the last [`flush`](Self::flush).
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Counts { sent, received, duplicates, beyond_window, unfit, probes, rejected } =
            self.counts;
        let smoothed = self.rtt.smoothed();
        Stats {
            sent,
            received,
            retransmits: self.sender.retransmits(),
            spurious: self.sender.spurious(),
            duplicates,
            beyond_window,
            unfit,
            broken_messages: self.receiver.broken(),
            probes,
            rejected,
            window_limited: self.limits.window,
            zero_window: self.limits.zero,
            srtt: smoothed.map(|(srtt, _)| srtt),
            rttvar: smoothed.map(|(_, rttvar)| rttvar),
            rto: Duration::from_millis(self.rtt.rto().into()),
            rtt: self.precise.round_trips(),
            congestion_window: self.congestion.as_ref().map(Congestion::window),
            peer_window: self.peer_window,
            waiting: self.sender.waiting() + self.sender.span(),
            mss: self.config.mss(),
            fec: None,
        }
    }

    /// Returns how many segments may be under way.
    fn window(&self) -> u32 {
        let windows = self.config.send_window.get().min(self.peer_window).into();
        self.congestion.as_ref().map_or(windows, |congestion| congestion.window().min(windows))
    }
}
