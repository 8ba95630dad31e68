//! How an engine works, in the words of KCP's users.

use std::{num::NonZeroU16, time::Duration};

use crate::segment::HEADER;

/// How an engine works. Both ends of a conversation should be given the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What the conversation carries.
    pub mode: Mode,
    /// How soon, and how often, data is sent again.
    pub nodelay: Nodelay,
    /// How often everything leaves, with [`FlushPolicy::Interval`]. With either policy, the least
    /// that a retransmission waits beyond the round trip. From 1 ms to 5 s.
    pub interval: Duration,
    /// How many times later data has to be acknowledged for data to be sent again at once; 0: that
    /// never happens.
    pub resend: u8,
    /// Whether congestion control limits what is under way (`nc` 0); the windows do in any case.
    pub congestion_control: bool,
    /// Whether data is sent again as soon as any later data is acknowledged, when there is nothing
    /// new to send. kcp-go does so, the C implementation does not. It spares about half of the
    /// timeouts where datagrams are lost, and costs a few segments where they are overtaken.
    pub early: bool,
    /// Segments that wait or are under way at most.
    pub send_window: NonZeroU16,
    /// Segments that are held for the reader at most, and out of order as many again.
    pub receive_window: NonZeroU16,
    /// The peer's window before it tells it: 128 is safe with the C implementation, 32 with kcp-go.
    pub peer_window: NonZeroU16,
    /// Bytes of the longest datagram, everything above UDP included.
    pub mtu: u16,
    /// Bytes that are left free at the head of each datagram; the [`mtu`](Self::mtu) includes them.
    pub headroom: u16,
    /// When data leaves.
    pub flush: FlushPolicy,
    /// After how many transmissions of one segment the link counts as dead.
    pub dead_link: u16,
    /// For how long the peer may be silent while something is waited for, until the link counts as
    /// dead.
    pub dead_after: Duration,
    /// Whether a segment of a stream without payload says that nothing follows. So do two ends that
    /// are of this project; other implementations take it for nothing.
    pub ends: bool,
    /// Whether each datagram with acknowledgements of what came out of order is sent twice in a row.
    ///
    /// If the only one is lost, everything that it acknowledged is sent again, which is up to 58
    /// segments. Other implementations would count the second as a further time that data was
    /// overtaken.
    pub repeat_acks: bool,
    /// The number of the first segment each way. All implementations begin with 0.
    pub first_sn: u32,
}

/// What a conversation carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes, which fill segments whatever the writes were.
    Stream,
    /// Messages, each cut into at most [`MAX_FRAGMENTS`] segments.
    Messages,
}

/// How soon data is sent again: the first of KCP's four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodelay {
    /// 0: after 100 ms or more, and twice as long after each time.
    Off,
    /// 1: after 30 ms or more, and half as long again after each time.
    On,
    /// 2: as 1, but by half of what is usual at that time.
    Eager,
}

/// When data leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushPolicy {
    /// Whenever [`Engine::flush`](crate::Engine::flush) is called: after each batch of datagrams
    /// received and after each write.
    Batch,
    /// Once every [`Config::interval`] and at no other time, as KCP is deployed.
    Interval,
}

/// Four numbers that go together, under the names that kcptun gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// 0, 40, 2, 1.
    Normal,
    /// 0, 30, 2, 1.
    Fast,
    /// 1, 20, 2, 1.
    Fast2,
    /// 1, 10, 2, 1.
    Fast3,
}

/// What is wrong with a [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too little payload fits into a datagram, or a datagram not into UDP.
    #[error(
        "an mtu of {mtu} bytes with {headroom} kept free cannot be: it may be {MIN_MTU} to {MAX_MTU}, \
         and {HEADER} for a header and one more have to be left"
    )]
    Mtu {
        /// The one asked for.
        mtu: u16,
        /// What is kept free of it.
        headroom: u16,
    },
    /// The interval is beyond what implementations agree on.
    #[error("an interval of {0:?} is not from 1 ms to 5 s")]
    Interval(Duration),
    /// A link that is dead before anything was sent again.
    #[error("a link cannot be dead after {0} transmissions of a segment: it takes two")]
    DeadLink(u16),
    /// A window beyond what is kept for one conversation.
    #[error("a window of {0} segments is too large; it may be {MAX_WINDOW}")]
    Window(u16),
    /// A message of the most fragments would never be whole.
    #[error("messages take a receive window of {MAX_FRAGMENTS} segments or more, not {0}")]
    ReceiveWindow(u16),
}

impl Config {
    /// Returns the settings that `profile` stands for, for a stream with windows of 1024 segments
    /// and datagrams of 1400 bytes, flushed per batch.
    #[must_use]
    pub const fn new(profile: Profile) -> Self {
        let (nodelay, interval) = match profile {
            Profile::Normal => (Nodelay::Off, 40),
            Profile::Fast => (Nodelay::Off, 30),
            Profile::Fast2 => (Nodelay::On, 20),
            Profile::Fast3 => (Nodelay::On, 10),
        };
        Self {
            mode: Mode::Stream,
            nodelay,
            interval: Duration::from_millis(interval),
            resend: 2,
            congestion_control: false,
            early: true,
            send_window: DEFAULT_WINDOW,
            receive_window: DEFAULT_WINDOW,
            peer_window: FIRST_PEER_WINDOW,
            mtu: 1400,
            headroom: 0,
            flush: FlushPolicy::Batch,
            dead_link: 20,
            dead_after: Duration::from_secs(10),
            ends: false,
            repeat_acks: false,
            first_sn: 0,
        }
    }

    /// Says everything that is wrong with it.
    ///
    /// # Errors
    ///
    /// Returns at least one mistake if an engine cannot work like this.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        let Self { mtu, headroom, interval, dead_link, .. } = *self;
        let is_full = usize::from(mtu) <= usize::from(headroom) + HEADER;
        let interval_is_wrong = !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval);
        let window = self.receive_window.get();
        let small = self.mode == Mode::Messages && window < u16::from(MAX_FRAGMENTS);
        let windows = [self.send_window.get(), window];
        let large = windows.into_iter().find(|&window| window > MAX_WINDOW);
        let mistakes: Vec<_> = [
            (is_full || !(MIN_MTU..=MAX_MTU).contains(&mtu))
                .then_some(ConfigError::Mtu { mtu, headroom }),
            interval_is_wrong.then_some(ConfigError::Interval(interval)),
            (dead_link < 2).then_some(ConfigError::DeadLink(dead_link)),
            small.then_some(ConfigError::ReceiveWindow(window)),
            large.map(ConfigError::Window),
        ]
        .into_iter()
        .flatten()
        .collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Returns how many bytes of payload fit into one segment.
    #[must_use]
    pub fn mss(&self) -> usize {
        usize::from(self.mtu).saturating_sub(usize::from(self.headroom) + HEADER)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Profile::Fast3)
    }
}

impl Nodelay {
    /// Returns what KCP's number means; `None` if it means nothing.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Off),
            1 => Some(Self::On),
            2 => Some(Self::Eager),
            _ => None,
        }
    }

    /// Returns KCP's number for it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 1,
            Self::Eager => 2,
        }
    }
}

impl Profile {
    /// Every profile, and its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("normal", Self::Normal),
        ("fast", Self::Fast),
        ("fast2", Self::Fast2),
        ("fast3", Self::Fast3),
    ];

    /// Returns the profile of this name; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, profile)| (known == name).then_some(profile))
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Fast => "fast",
            Self::Fast2 => "fast2",
            Self::Fast3 => "fast3",
        }
    }
}

/// The most segments that a message is cut into; the C implementation takes no more.
pub const MAX_FRAGMENTS: u8 = 127;

/// The largest window, in segments: what a conversation keeps each way is 22 MB then at the most, with
/// datagrams of usual length.
pub const MAX_WINDOW: u16 = 16_384;

/// The shortest datagram that [`Config::mtu`] may be, as in the C implementation.
pub const MIN_MTU: u16 = 50;

/// The longest datagram: what IPv4 takes, less its header and UDP's.
pub const MAX_MTU: u16 = 65_507;

const DEFAULT_WINDOW: NonZeroU16 = NonZeroU16::new(1024).expect("not zero");
const FIRST_PEER_WINDOW: NonZeroU16 = NonZeroU16::new(128).expect("not zero");
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_are_those_of_kcptun() {
        let four = |name| {
            let config = Config::new(Profile::named(name).expect("it is known"));
            let nodelay = Nodelay::from_number(1) == Some(config.nodelay);
            let nc = !config.congestion_control;
            (nodelay, config.interval.as_millis(), config.resend, nc)
        };
        assert_eq!(four("normal"), (false, 40, 2, true));
        assert_eq!(four("fast"), (false, 30, 2, true));
        assert_eq!(four("fast2"), (true, 20, 2, true));
        assert_eq!(four("fast3"), (true, 10, 2, true));
        assert_eq!(Profile::named("fast4"), None);
        assert!(Profile::ALL.iter().all(|(name, profile)| profile.name() == *name));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let config = Config {
            mode: Mode::Messages,
            mtu: 32,
            headroom: 8,
            interval: Duration::ZERO,
            dead_link: 1,
            receive_window: NonZeroU16::MIN,
            ..Config::default()
        };
        assert_eq!(config.check().map_err(|mistakes| mistakes.len()), Err(4));
        assert_eq!(Config { mtu: 50, headroom: 8, ..Config::default() }.check(), Ok(()));
        for (mtu, headroom) in [(49, 0), (65_508, 0), (60, 36)] {
            let config = Config { mtu, headroom, ..Config::default() };
            assert_eq!(config.check(), Err(vec![ConfigError::Mtu { mtu, headroom }]));
        }
    }

    #[test]
    fn forward_error_correction_takes_eight_bytes_of_each_segment() {
        assert_eq!(Config::default().mss(), 1376);
        assert_eq!(Config { headroom: 8, ..Config::default() }.mss(), 1368);
    }
}
