use std::{io, sync::Arc, time::Instant};

use polyperf_socket::{Accepted, Arrival, Door, Flow, Judgement, Packet, Protocol, Sieve};
use polyperf_transport::{AcceptError, Gate, Hello, Opening, Verdict};

use crate::{NAME, PREFIX, stream::stream};

/// Judges what comes from sources without a flow.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    door: Door,
    accepted: Accepted,
}

impl Doorkeeper {
    /// Returns one that hands what `gate` lets in over to `accepted`.
    pub(crate) fn new(gate: Arc<dyn Gate>, accepted: Accepted, now: Instant) -> Self {
        Self { door: Door::new(PREFIX, gate, now), accepted }
    }

    fn judge_bare(&self, arrival: &Arrival<'_>) -> Judgement {
        let hello = Hello::Bare(arrival.bytes);
        match self.door.gate().admit(&Opening { peer: arrival.peer, hello, proven: false }) {
            Verdict::Accept => Judgement::Open([0; 16]),
            // It may be another protocol's.
            Verdict::Challenge | Verdict::Refuse => Judgement::Foreign,
        }
    }
}

impl Protocol for Doorkeeper {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        match self.door.judge(arrival) {
            Some(judgement) => judgement,
            None if arrival.bytes.len() <= LONGEST_WORD => self.judge_bare(arrival),
            None => Judgement::Foreign,
        }
    }

    fn opened(&self, flow: Flow, arrival: &Arrival<'_>) {
        let opened = match Packet::parse(PREFIX, arrival.bytes) {
            Some(Packet::Open { id, hello, .. }) => {
                let (halves, sieve) = flow.open(PREFIX, id, hello, &[], hello);
                stream(halves, sieve)
            }
            _ => stream(flow.into_halves(arrival.bytes), Sieve::Open),
        };
        self.accepted.put(Ok(opened));
    }

    fn failed(&self, error: io::Error) {
        self.accepted.put(Err(AcceptError::Exhausted(error)));
    }
}

/// The longest datagram that is shown to the gate as a bare word.
const LONGEST_WORD: usize = 64;
