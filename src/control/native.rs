use super::{Channel, Heard, Wire};
use crate::protocol::native::{Decoder, Encoder, FrameError, Message};

/// A control connection of the native dialect.
#[derive(Debug)]
pub(crate) struct Control {
    wire: Wire,
    encoder: Encoder,
    decoder: Decoder,
}

impl Control {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, encoder: Encoder::default(), decoder: Decoder::new() }
    }

    /// Returns what both ends know of whatever protects the connection.
    pub(crate) fn binding(&self) -> Channel {
        self.wire.binding()
    }

    /// Permits large frames from the peer: it has a session.
    pub(crate) fn allow_large(&mut self) {
        self.decoder.allow_large();
    }

    /// Takes a message to be sent by the next [`next`](Self::next) or by [`Wire::close`]. To a peer
    /// that reads nothing, progress is left out first, which is only news.
    pub(crate) fn queue(&mut self, message: &Message) -> Result<(), String> {
        let news = matches!(message, Message::Progress(_) | Message::Ping { .. });
        if news && self.wire.waiting() > MAX_NEWS {
            return Ok(());
        }
        let frame = self.encoder.encode(message);
        self.wire.queue(&frame)
    }

    /// Sends what is queued, and waits for the next message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Heard<Message, FrameError> {
        let decoder = &mut self.decoder;
        let next = |bytes: &[u8]| {
            decoder.feed(bytes);
            match decoder.next() {
                Ok(message) => message.map(Heard::Message),
                Err(error) => Some(Heard::Garbage(error)),
            }
        };
        self.wire.exchange(next).await
    }

    /// Returns the bytes below, to take leave of them.
    pub(crate) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// Beyond so many unsent bytes, progress is left out.
const MAX_NEWS: usize = 256 << 10;
