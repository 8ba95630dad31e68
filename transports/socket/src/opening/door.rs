//! The listener's side.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use polyperf_transport::{Gate, Hello, Opening, Verdict};

use super::{Cookie, Id, Packet, Prefix, Sieve, cookie::Baker};
use crate::{
    DatagramRecv, DatagramSend,
    port::{Arrival, Flow, Judgement},
};

/// Judges what wants to open a flow.
#[derive(Debug)]
pub struct Door {
    prefix: Prefix,
    gate: Arc<dyn Gate>,
    baker: Baker,
    since: Instant,
}

impl Door {
    /// Returns one that asks `gate`.
    #[must_use]
    pub fn new(prefix: Prefix, gate: Arc<dyn Gate>, now: Instant) -> Self {
        Self { prefix, gate, baker: Baker::new(rand::random()), since: now }
    }

    /// Returns whom it asks.
    #[must_use]
    pub fn gate(&self) -> &dyn Gate {
        &*self.gate
    }

    /// Says what to do about a packet of an opening; `None` if it is none.
    #[must_use]
    pub fn judge(&self, arrival: &Arrival<'_>) -> Option<Judgement> {
        Some(match Packet::parse(self.prefix, arrival.bytes)? {
            Packet::Open { id, cookie, parameters, hello } => {
                self.judge_open(arrival, id, cookie, [parameters, hello])
            }
            Packet::Challenge { .. } | Packet::Accept { .. } => Judgement::Drop,
        })
    }

    fn judge_open(
        &self,
        arrival: &Arrival<'_>,
        id: Id,
        cookie: Cookie,
        hello: [&[u8]; 2],
    ) -> Judgement {
        if arrival.ended == Some(id) {
            return Judgement::Drop;
        }
        let epoch = self.since.elapsed().as_secs() / EPOCH.as_secs();
        let proven = self.baker.knows(&cookie, arrival.peer, &id, hello, epoch);
        let opening = Opening { peer: arrival.peer, hello: Hello::Own(hello[1]), proven };
        match self.gate.admit(&opening) {
            Verdict::Accept => Judgement::Open(id),
            Verdict::Challenge if !proven => {
                let cookie = self.baker.bake(arrival.peer, &id, hello, epoch);
                Judgement::Answer(Packet::Challenge { id, cookie }.encode(self.prefix))
            }
            Verdict::Challenge | Verdict::Refuse => Judgement::Drop,
        }
    }
}

impl Flow {
    /// Answers the Open with this `id` and `hello`, with `parameters` if the protocol has any, and
    /// returns the halves, of which the one that receives begins with `first`, if that is anything,
    /// and what tells an Open that is repeated from data.
    ///
    /// Until it first has to wait, the current runtime sees to clients that have not heard.
    #[must_use]
    pub fn open(
        self,
        prefix: Prefix,
        id: Id,
        hello: &[u8],
        parameters: &[u8],
        first: &[u8],
    ) -> ((DatagramSend, DatagramRecv), Sieve) {
        let endpoint = Arc::clone(self.endpoint());
        let accept = Packet::Accept { id, parameters }.encode(prefix);
        endpoint.send_now(&accept);
        let sieve = Sieve::Server { prefix, id, hello: hello.into(), accept: accept.into() };
        let attending = sieve.clone();
        let keep = move |datagram: &[u8]| attending.keeps(datagram, &endpoint);
        (self.into_attended_halves(first, ATTENDANCE, keep), sieve)
    }
}

/// How long cookies are made alike; they are good for one to two of these.
const EPOCH: Duration = Duration::from_secs(8);

/// For how long a client that has not heard of its acceptance asks again.
const ATTENDANCE: Duration = Duration::from_secs(6);
