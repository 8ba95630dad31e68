//! What carries one direction of a stream: pure, in virtual time.

use std::{fmt::Debug, io, time::Duration};

use polyperf_transport::{Chunk, Received};

use crate::link::LinkStats;

/// One direction of a stream, from what is sent to what is received.
///
/// `now` is the time since the stream was opened, and never goes backwards.
pub(crate) trait Carrier: Debug + Send + 'static {
    /// Takes a prefix of `chunk` and returns its length; `None` if there is no room.
    fn send(&mut self, now: Duration, chunk: Chunk<'_>) -> io::Result<Option<usize>>;

    /// Ends the direction after what has been sent.
    fn end(&mut self, now: Duration, end: End);

    /// Fills `buf`; `None` if nothing has arrived, `Some(None)` at the end.
    fn recv(&mut self, now: Duration, buf: &mut [u8]) -> io::Result<Option<Option<Received>>>;

    /// Cuts the link, or mends it.
    fn set_cut(&mut self, now: Duration, cut: bool);

    /// Returns when something happens by itself; `None` if nothing does.
    fn next_deadline(&self) -> Option<Duration>;

    fn figures(&self) -> Figures;

    fn link_stats(&self) -> LinkStats;
}

/// How a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The sender said that it was done.
    Finished,
    /// The sender went away without a word.
    Reset,
}

/// What is known of one direction; `None` where it does not exist or is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) packets_sent: Option<u64>,
    pub(crate) packets_received: Option<u64>,
    pub(crate) wire_bytes_sent: Option<u64>,
    pub(crate) wire_bytes_received: Option<u64>,
    pub(crate) retransmits: Option<u64>,
    pub(crate) bytes_retransmitted: Option<u64>,
    pub(crate) bytes_arrived: Option<u64>,
    pub(crate) largest_payload: Option<usize>,
}
