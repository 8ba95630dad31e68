//! The end that accepts flows.

use std::{io, sync::Arc, time::Instant};

use polyperf_socket::{Accepted, Arrival, Crew, Door, Flow as Opened, Judgement, Packet, Protocol};
use polyperf_transport::{AcceptError, Gate, Mark, Stream};

use crate::{NAME, PREFIX, flow::Flow, half::stream, hand_over::conv, settings::Settings};

/// Judges what comes from sources without a flow.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    door: Door,
    crew: Arc<Crew>,
    accepted: Accepted,
}

impl Doorkeeper {
    /// Returns one that hands what `gate` lets in over to `accepted`.
    pub(crate) fn new(gate: Arc<dyn Gate>, crew: Arc<Crew>, accepted: Accepted) -> Self {
        Self { door: Door::new(PREFIX, gate, Instant::now()), crew, accepted }
    }

    fn open(&self, opened: Opened, arrival: &Arrival<'_>) -> io::Result<Stream> {
        let Some(Packet::Open { id, hello, .. }) = Packet::parse(PREFIX, arrival.bytes) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let worker = self.crew.next()?;
        let mut mark = Mark::default();
        let len = mark.len();
        mark.copy_from_slice(&id[..len]);
        // What the crate does not have was refused before the test was agreed on.
        let announced = self.door.gate().announced(&mark);
        let settings = announced.and_then(|tuning| Settings::new(&tuning).ok());
        let settings = settings.unwrap_or_else(Settings::unasked);
        let endpoint = Arc::clone(opened.endpoint());
        endpoint.ask_for_window(settings.receive_window());
        let ((_, recv), sieve) = opened.open(PREFIX, id, hello, &[], &[]);
        let flow = Flow::new(endpoint, Arc::clone(&worker), settings, hello.to_vec(), None);
        worker.run(Arc::clone(&flow).follow(conv(id), recv, sieve));
        Ok(stream(flow))
    }
}

impl Protocol for Doorkeeper {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        self.door.judge(arrival).unwrap_or(Judgement::Foreign)
    }

    fn opened(&self, flow: Opened, arrival: &Arrival<'_>) {
        let opened = self.open(flow, arrival).map_err(AcceptError::Exhausted);
        self.accepted.put(opened);
    }

    fn failed(&self, error: io::Error) {
        self.accepted.put(Err(AcceptError::Exhausted(error)));
    }
}
