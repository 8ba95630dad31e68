//! The end that accepts flows.

use std::{io, sync::Arc, time::Instant};

use polyperf_socket::{
    Accepted, Arrival, Crew, Door, Driven, Flow, Judgement, Packet, Parts, Protocol, Sieve, Tag,
};
use polyperf_transport::{AcceptError, Gate, Hello, Mark, Opening, Stream, Verdict};

use crate::{Conversation, First, NAME, PREFIX, conv, path::KcpPath, settings::Settings};

/// Judges what comes from sources without a flow.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    door: Door,
    /// Of flows that nobody has announced.
    settings: Settings,
    crew: Arc<Crew>,
    accepted: Accepted,
}

impl Doorkeeper {
    /// Returns one that hands what `gate` lets in over to `accepted`.
    pub(crate) fn new(
        gate: Arc<dyn Gate>,
        settings: Settings,
        crew: Arc<Crew>,
        accepted: Accepted,
    ) -> Self {
        Self { door: Door::new(PREFIX, gate, Instant::now()), settings, crew, accepted }
    }

    /// A peer of another project begins with data, and is let in by that alone.
    fn judge_bare(&self, arrival: &Arrival<'_>) -> Judgement {
        let Some(First { conv, payload }) = First::of(arrival.bytes) else {
            return Judgement::Foreign;
        };
        let tag = tag(conv);
        if arrival.ended == Some(tag) {
            return Judgement::Drop;
        }
        let opening = Opening { peer: arrival.peer, hello: Hello::Bare(payload), proven: false };
        match self.door.gate().admit(&opening) {
            Verdict::Accept => Judgement::Open(tag),
            // It may be another protocol's.
            Verdict::Challenge | Verdict::Refuse => Judgement::Foreign,
        }
    }

    fn open(&self, opened: Flow, arrival: &Arrival<'_>) -> io::Result<Stream> {
        let worker = self.crew.next()?;
        let (parts, settings) = match Packet::parse(PREFIX, arrival.bytes) {
            Some(Packet::Open { id, hello, .. }) => {
                let settings = self.announced(id).among_ourselves();
                opened.endpoint().ask_for_window(settings.config.receive_window.get());
                let machine = converse(conv::of_hello(hello), &settings)?;
                let (halves, sieve) = opened.open(PREFIX, id, hello, &[], &[]);
                let hello = hello.to_vec();
                (Parts { machine, halves, sieve, hello, worker }, settings)
            }
            _ => {
                let Some(First { conv, .. }) = First::of(arrival.bytes) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let settings = self.settings.with_strangers();
                opened.endpoint().ask_for_window(settings.config.receive_window.get());
                let machine = converse(conv, &settings)?;
                let (halves, sieve) = (opened.into_halves(arrival.bytes), Sieve::Open);
                let hello = Vec::new();
                (Parts { machine, halves, sieve, hello, worker }, settings)
            }
        };
        Ok(KcpPath::stream(Driven::start(parts), settings, None))
    }

    /// Returns what the test asks for that the client's attempt is called by.
    fn announced(&self, id: [u8; 16]) -> Settings {
        let mut mark = Mark::default();
        let len = mark.len();
        mark.copy_from_slice(&id[..len]);
        let tuning = self.door.gate().announced(&mark);
        // What KCP does not have was refused before the test was agreed on.
        let settings = tuning.and_then(|tuning| Settings::new(&tuning).ok());
        settings.unwrap_or(self.settings)
    }
}

impl Protocol for Doorkeeper {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        self.door.judge(arrival).unwrap_or_else(|| self.judge_bare(arrival))
    }

    fn opened(&self, flow: Flow, arrival: &Arrival<'_>) {
        let opened = self.open(flow, arrival).map_err(AcceptError::Exhausted);
        self.accepted.put(opened);
    }

    fn failed(&self, error: io::Error) {
        self.accepted.put(Err(AcceptError::Exhausted(error)));
    }
}

fn converse(conv: u32, settings: &Settings) -> io::Result<Conversation> {
    Conversation::new(conv, settings.config, settings.fec)
        .map_err(|mistakes| crate::invalid(&mistakes))
}

/// Returns what a flow is called that began with data of this conversation.
fn tag(conv: u32) -> Tag {
    let mut tag = Tag::default();
    tag[..4].copy_from_slice(&conv.to_le_bytes());
    tag
}
