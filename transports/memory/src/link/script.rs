//! What happens to exact packets, so that a test knows the truth packet for packet.

use std::{collections::BTreeMap, time::Duration};

use super::{Cause, dice::Fate};

/// What happens to exact packets, on top of what the dice say.
///
/// Packets are numbered from 0 in the order in which they are pushed, those included that a full
/// queue drops.
///
/// ```
/// use polyperf_memory::link::{LinkConfig, Script};
///
/// let link = LinkConfig::perfect().script(Script::new().drop([0, 3]).duplicate([1]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script(BTreeMap<u64, Line>);

impl Script {
    /// Returns a script in which nothing happens.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Loses these packets.
    #[must_use]
    pub fn drop(self, packets: impl IntoIterator<Item = u64>) -> Self {
        self.with(packets, |line| line.lost = true)
    }

    /// Delivers these packets twice.
    #[must_use]
    pub fn duplicate(self, packets: impl IntoIterator<Item = u64>) -> Self {
        self.with(packets, |line| line.duplicated = true)
    }

    /// Holds these packets back for `hold`, so that those sent meanwhile overtake them.
    #[must_use]
    pub fn delay(self, packets: impl IntoIterator<Item = u64>, hold: Duration) -> Self {
        self.with(packets, |line| line.held_back = hold)
    }

    fn with(mut self, packets: impl IntoIterator<Item = u64>, change: impl Fn(&mut Line)) -> Self {
        for packet in packets {
            change(self.0.entry(packet).or_default());
        }
        self
    }
}

/// What happens to one packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Line {
    lost: bool,
    duplicated: bool,
    held_back: Duration,
}

/// A script as it is played: the lines that are left.
#[derive(Debug)]
pub(super) struct Lines(BTreeMap<u64, Line>);

impl Lines {
    pub(super) fn of(script: &Script) -> Self {
        Self(script.0.clone())
    }

    /// Adds to `fate` what the script says of packet `number`.
    pub(super) fn read(&mut self, number: u64, fate: Fate) -> Fate {
        if self.0.is_empty() {
            return fate;
        }
        let Some(line) = self.0.remove(&number) else { return fate };
        Fate {
            lost: fate.lost.or(line.lost.then_some(Cause::Script)),
            duplicated: fate.duplicated || line.duplicated,
            held_back: fate.held_back.max(line.held_back),
            ..fate
        }
    }
}
