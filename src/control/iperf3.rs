use super::{Heard, Wire};
use crate::{
    outcome::Side,
    protocol::iperf3::{Decoder, Expect, FrameError, Message, encode},
};

/// A control connection of iperf3's dialect.
#[derive(Debug)]
pub(crate) struct Iperf3Control {
    wire: Wire,
    decoder: Decoder,
}

impl Iperf3Control {
    /// Returns the connection to `peer`, behind the cookie.
    pub(crate) fn new(wire: Wire, peer: Side) -> Self {
        Self { wire, decoder: Decoder::new(peer) }
    }

    /// Takes a message to be sent by the next [`next`](Self::next) or by [`Wire::close`].
    pub(crate) fn queue(&mut self, message: &Message) -> Result<(), String> {
        self.wire.queue(&encode(message))
    }

    /// Sends what is queued, and waits for the next message, of which the machine says what kind it
    /// expects.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, expect: Expect) -> Heard<Message, FrameError> {
        let decoder = &mut self.decoder;
        let next = |bytes: &[u8]| {
            decoder.feed(bytes);
            match decoder.next(expect) {
                Ok(message) => message.map(Heard::Message),
                Err(error) => Some(Heard::Garbage(error)),
            }
        };
        match self.wire.exchange(next).await {
            Heard::Lost(reason) => {
                self.decoder.last_words().map_or(Heard::Lost(reason), Heard::Message)
            }
            heard => heard,
        }
    }

    /// Returns the bytes below, to take leave of them.
    pub(crate) fn into_wire(self) -> Wire {
        self.wire
    }
}
