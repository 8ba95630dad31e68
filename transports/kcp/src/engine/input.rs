//! What arrives.

use std::time::Duration;

use super::{Engine, moment::Moment, receiver::Arrival};
use crate::{
    segment::{Command, Malformed, Segment},
    seq::before,
};

/// Why nothing of a datagram was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A part of it is of another conversation.
    #[error("the datagram is of conversation {found}, not {expected}")]
    Foreign {
        /// The engine's.
        expected: u32,
        /// The datagram's.
        found: u32,
    },
    /// A part of it is no segment.
    #[error("the datagram is not made of segments")]
    Malformed(#[from] Malformed),
    /// It acknowledges what was never sent.
    #[error(
        "the datagram acknowledges segments up to {told}, and only those below {sent} were sent"
    )]
    Unsent {
        /// The number that was told.
        told: u32,
        /// The number of the segment that is sent next.
        sent: u32,
    },
}

/// How a datagram came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Wire,
    Rebuilt,
}

/// What the acknowledgements of one datagram say together.
#[derive(Debug, Default)]
struct Heard {
    /// The time on the last one.
    echo: Option<u32>,
    /// The shortest round trip, which waited least at the peer.
    rtt: Option<u64>,
    /// The highest number, and when what arrived of it had been sent.
    newest: Option<(u32, u64)>,
}

impl Engine {
    /// Takes a datagram in whole, or not at all.
    ///
    /// # Errors
    ///
    /// Fails, and counts, if it is of no peer that keeps to the protocol. Nothing has changed then,
    /// and nothing needs to be done.
    pub fn input(&mut self, datagram: &[u8], now: Duration) -> Result<(), Rejected> {
        self.input_from(Origin::Wire, datagram, Moment::new(now))
    }

    /// Takes in a datagram that forward error correction has rebuilt. It is late, so neither its
    /// window nor its times mean anything.
    ///
    /// # Errors
    ///
    /// Those of [`input`](Self::input).
    pub fn input_rebuilt(&mut self, datagram: &[u8], now: Duration) -> Result<(), Rejected> {
        self.input_from(Origin::Rebuilt, datagram, Moment::new(now))
    }

    fn input_from(&mut self, origin: Origin, datagram: &[u8], now: Moment) -> Result<(), Rejected> {
        self.check(datagram).inspect_err(|rejected| {
            let counts = &mut self.counts.rejected;
            match rejected {
                Rejected::Foreign { .. } => counts.foreign += 1,
                Rejected::Malformed(_) => counts.malformed += 1,
                Rejected::Unsent { .. } => counts.unsent += 1,
            }
        })?;
        self.hear(now);
        if origin == Origin::Wire {
            self.counts.received.datagrams += 1;
            self.counts.received.wire_bytes += datagram.len() as u64;
        }
        let una = self.sender.una();
        let mut heard = Heard::default();
        let mut rest = datagram;
        while let Ok((segment, behind)) = Segment::split(rest) {
            rest = behind;
            self.take(&segment, origin, now, &mut heard);
        }
        if origin == Origin::Wire {
            self.learn(&heard, now);
        }
        if let Some(congestion) = &mut self.congestion
            && before(una, self.sender.una())
        {
            congestion.on_acknowledged(self.peer_window.into());
        }
        Ok(())
    }

    fn check(&self, datagram: &[u8]) -> Result<(), Rejected> {
        let sent = self.sender.next();
        let mut rest = datagram;
        loop {
            let (segment, behind) = Segment::split(rest)?;
            if segment.conv != self.conv {
                return Err(Rejected::Foreign { expected: self.conv, found: segment.conv });
            }
            if before(sent, segment.una) {
                return Err(Rejected::Unsent { told: segment.una, sent });
            }
            if segment.cmd == Command::Ack && !before(segment.sn, sent) {
                return Err(Rejected::Unsent { told: segment.sn, sent });
            }
            if behind.is_empty() {
                return Ok(());
            }
            rest = behind;
        }
    }

    fn take(&mut self, segment: &Segment<'_>, origin: Origin, now: Moment, heard: &mut Heard) {
        self.counts.received.segments += 1;
        // A datagram that was overtaken has an old window.
        if origin == Origin::Wire && !before(segment.una, self.peer_una) {
            self.peer_una = segment.una;
            self.peer_window = segment.wnd;
        }
        match segment.cmd {
            Command::Ack => self.take_ack(segment, now, heard),
            Command::Push => self.take_data(segment),
            Command::Ask => self.tell = true,
            Command::Tell => {}
        }
        self.sender.acknowledge_below(segment.una, now, self.precise.least());
    }

    fn take_ack(&mut self, segment: &Segment<'_>, now: Moment, heard: &mut Heard) {
        let Segment { sn, ts, .. } = *segment;
        heard.echo = Some(ts);
        let Some(acknowledged) = self.sender.acknowledge(sn, ts, now, self.precise.least()) else {
            return;
        };
        heard.rtt = [heard.rtt, acknowledged.rtt].into_iter().flatten().min();
        if heard.newest.is_none_or(|(newest, _)| before(newest, sn)) {
            heard.newest = Some((sn, acknowledged.sent));
        }
    }

    fn take_data(&mut self, segment: &Segment<'_>) {
        self.counts.received.bytes += segment.payload.len() as u64;
        match self.receiver.accept(segment) {
            Arrival::New => {}
            Arrival::Duplicate => self.counts.duplicates += 1,
            Arrival::Beyond => self.counts.beyond_window += 1,
            Arrival::Unfit => self.counts.unfit += 1,
        }
    }

    fn learn(&mut self, heard: &Heard, now: Moment) {
        if let Some(echo) = heard.echo {
            self.rtt.sample(crate::seq::ahead(now.ts(), echo));
        }
        if let Some(rtt) = heard.rtt {
            self.precise.sample(rtt);
        }
        if let Some((sn, sent)) = heard.newest {
            self.sender.overtake(sn, sent);
        }
    }
}
