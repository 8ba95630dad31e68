//! The end that accepts flows.

use std::{io, sync::Arc, time::Instant};

use polyperf_socket::{
    Accepted, Arrival, Crew, Door, Driven, Flow, Judgement, Packet, Parts, Protocol,
};
use polyperf_transport::{AcceptError, Gate, Mark, Stream, Tuning};

use crate::{Config, Connection, NAME, PREFIX, Parameters, path::RudpPath, settings, socket};

/// Judges what comes from sources without a flow.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    door: Door,
    /// Of flows that nobody has announced.
    config: Config,
    crew: Arc<Crew>,
    accepted: Accepted,
}

impl Doorkeeper {
    /// Returns one that hands what `gate` lets in over to `accepted`.
    pub(crate) fn new(
        gate: Arc<dyn Gate>,
        config: Config,
        crew: Arc<Crew>,
        accepted: Accepted,
    ) -> Self {
        Self { door: Door::new(PREFIX, gate, Instant::now()), config, crew, accepted }
    }

    fn open(&self, flow: Flow, arrival: &Arrival<'_>) -> io::Result<Stream> {
        let Some(Packet::Open { id, parameters, hello, .. }) = Packet::parse(PREFIX, arrival.bytes)
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let theirs = Parameters::parse(parameters).ok_or(io::ErrorKind::InvalidData)?;
        let worker = self.crew.next()?;
        let tuning = self.announced(id);
        // What RUDP does not have was refused before the test was agreed on.
        let asked = tuning.as_ref().and_then(|tuning| settings::config(tuning).ok());
        let (asked, tuning) = (asked.unwrap_or(self.config), tuning.unwrap_or_default());
        let config = Config { mtu: asked.mtu.min(theirs.mtu), ..asked };
        let config = socket::fitted(config, flow.endpoint());
        socket::prepare(flow.endpoint(), &config, &tuning);
        let own = Parameters::new(&config, rand::random());
        let machine = Connection::new(config, own, theirs, rand::random())
            .map_err(|mistake| crate::invalid(&mistake))?;
        let (halves, sieve) = flow.open(PREFIX, id, hello, &own.encode(), &[]);
        let hello = hello.to_vec();
        let flow = Driven::start(Parts { machine, halves, sieve, hello, worker });
        Ok(RudpPath::stream(flow, config, None))
    }

    /// Returns what the test asks for that the client's attempt is called by.
    fn announced(&self, id: [u8; 16]) -> Option<Tuning> {
        let mut mark = Mark::default();
        let len = mark.len();
        mark.copy_from_slice(&id[..len]);
        self.door.gate().announced(&mark)
    }
}

impl Protocol for Doorkeeper {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        let Some(judgement) = self.door.judge(arrival) else { return Judgement::Foreign };
        // Nothing is kept of whom no flow can be opened with.
        let works = match Packet::parse(PREFIX, arrival.bytes) {
            Some(Packet::Open { parameters, .. }) => Parameters::parse(parameters).is_some(),
            _ => true,
        };
        if works { judgement } else { Judgement::Drop }
    }

    fn opened(&self, flow: Flow, arrival: &Arrival<'_>) {
        let opened = self.open(flow, arrival).map_err(AcceptError::Exhausted);
        self.accepted.put(opened);
    }

    fn failed(&self, error: io::Error) {
        self.accepted.put(Err(AcceptError::Exhausted(error)));
    }
}
