//! What happens in a test, as it happens: one type, and a bus with as many subscribers as you like.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{
    measure::Interval,
    outcome::{Failure, Outcome, Side, TestInfo},
};

/// Something that happened in a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The server has no room yet; the test waits in its queue.
    Queued(Queued),
    /// The test was agreed on and all its streams are open: it starts.
    Connected(Arc<TestInfo>),
    /// An interval is over, and both ends have told what they counted.
    Interval(IntervalEvent),
    /// The test is over and has something to show.
    Finished(Arc<Outcome>),
    /// The test is over and has nothing to show.
    Failed(Arc<FailedEvent>),
}

/// A test's place in a server's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Queued {
    /// 1 is next.
    pub position: u32,
    /// When the server expects to have room, if it can tell.
    #[serde(
        rename = "retry_after_us",
        default,
        with = "crate::micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub retry_after: Option<Duration>,
}

/// An interval of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntervalEvent {
    /// The test.
    pub info: Arc<TestInfo>,
    /// What was counted.
    pub interval: Arc<Interval>,
}

/// A test that has nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedEvent {
    /// Which end tells.
    pub side: Side,
    /// The session's name, if there was one yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The other end, if it was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// What failed.
    pub failure: Failure,
}

/// Where events go to, and where subscribers get them from.
///
/// A subscriber that falls more than [`Bus::CAPACITY`] events behind loses the oldest and is told
/// how many; it never holds up a test.
#[derive(Debug, Clone)]
pub struct Bus {
    sender: broadcast::Sender<Event>,
}

impl Bus {
    /// How many events a subscriber may be behind.
    pub const CAPACITY: usize = 1024;

    /// Returns a bus without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(Self::CAPACITY) }
    }

    /// Returns a subscription to every event from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// Hands `event` to every subscriber.
    pub(crate) fn emit(&self, event: Event) {
        // An error says that nobody listens, which is nobody's problem.
        let _ = self.sender.send(event);
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}
