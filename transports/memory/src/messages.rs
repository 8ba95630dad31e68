//! Messages over a link, as it leaves them.

use std::{collections::VecDeque, io, num::NonZeroUsize, time::Duration};

use polyperf_transport::{Chunk, Received};

use crate::{
    carrier::{Carrier, End, Figures},
    link::{Link, LinkConfig, LinkStats},
};

/// Each message is a packet; what the link does to it reaches the receiver.
///
/// A window bounds what is under way and unread together, so a receiver that does not read holds
/// the sender, and nothing is lost but by the link.
#[derive(Debug)]
pub(crate) struct MessageCarrier {
    link: Link<Box<[u8]>>,
    cut: bool,
    max: NonZeroUsize,
    window: usize,
    arrived: VecDeque<Box<[u8]>>,
    arrived_bytes: usize,
    sent: Count,
    received: Count,
}

impl MessageCarrier {
    pub(crate) fn new(config: LinkConfig, window: usize, max: NonZeroUsize) -> Self {
        Self {
            link: Link::new(config),
            cut: false,
            max,
            window,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            sent: Count::default(),
            received: Count::default(),
        }
    }

    fn advance(&mut self, now: Duration) {
        while let Some(message) = self.link.pop_due(now) {
            self.received.add(&message);
            self.arrived_bytes += message.len();
            self.arrived.push_back(message);
        }
    }

    fn has_room(&self, len: usize) -> bool {
        let held = self.arrived_bytes + self.link.bytes_in_flight();
        // A window smaller than a message still takes one.
        held == 0 || held + len <= self.window
    }

    fn take(&mut self) -> Option<Box<[u8]>> {
        let message = self.arrived.pop_front()?;
        self.arrived_bytes -= message.len();
        Some(message)
    }
}

impl Carrier for MessageCarrier {
    fn send(&mut self, now: Duration, chunk: Chunk<'_>) -> io::Result<Option<usize>> {
        let longest = chunk.stride.get().min(chunk.bytes.len());
        if longest > self.max.get() {
            let error = format!("a message of {longest} bytes exceeds {}", self.max);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        self.advance(now);
        let mut taken = 0;
        for message in chunk.bytes.chunks(chunk.stride.get()) {
            if !self.has_room(message.len()) {
                break;
            }
            taken += message.len();
            self.sent.add(message);
            if !self.cut {
                self.link.push(now, message.into());
            }
        }
        self.advance(now);
        Ok((taken > 0).then_some(taken))
    }

    /// Tells nobody: a datagram protocol has no word for it.
    fn end(&mut self, _: Duration, _: End) {}

    fn recv(&mut self, now: Duration, buf: &mut [u8]) -> io::Result<Option<Option<Received>>> {
        self.advance(now);
        let Some(first) = self.take() else { return Ok(None) };
        let stride = first.len().min(buf.len());
        buf[..stride].copy_from_slice(&first[..stride]);
        let mut len = stride;
        // More of the same length fit the stride; a shorter one can only be the last.
        while len % stride.max(1) == 0
            && let Some(next) = self.arrived.front()
            && next.len() <= stride
            && len + next.len() <= buf.len()
            && let Some(next) = self.take()
        {
            buf[len..len + next.len()].copy_from_slice(&next);
            len += next.len();
        }
        Ok(Some(Some(Received { len, stride, kernel_time: None })))
    }

    fn set_cut(&mut self, now: Duration, cut: bool) {
        self.advance(now);
        self.cut = cut;
        if cut {
            self.link.clear(now);
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.link.next_deadline()
    }

    fn figures(&self) -> Figures {
        Figures {
            packets_sent: Some(self.sent.messages),
            packets_received: Some(self.received.messages),
            wire_bytes_sent: Some(self.sent.bytes),
            wire_bytes_received: Some(self.received.bytes),
            ..Figures::default()
        }
    }

    fn link_stats(&self) -> LinkStats {
        self.link.stats()
    }
}

#[derive(Debug, Default)]
struct Count {
    messages: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, message: &[u8]) {
        self.messages += 1;
        self.bytes += message.len() as u64;
    }
}
