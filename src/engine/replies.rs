use std::num::NonZeroUsize;

use polyperf_transport::Chunk;

use super::{Clock, buffer::Buffer, framing::nanos};
use crate::measure::Stamp;

/// Responses that are bytes one behind the other, each with a stamp at its start, if it has room.
///
/// They go from a buffer that has as many as are sent at once; of one that is longer, the start.
pub(super) struct Replies {
    buffer: Buffer,
    /// How much of the buffer is used: whole responses, or all of it.
    whole: usize,
    response: usize,
    /// Where the next byte is: in the buffer, or in the response if that is longer.
    place: usize,
}

impl Replies {
    /// Returns responses of this length, of which as many go at once as `buffer` has room for.
    pub(super) fn new(response: NonZeroUsize, buffer: Buffer) -> Self {
        let whole = match buffer.len() / response {
            0 => buffer.len(),
            count => count * response.get(),
        };
        Self { buffer, whole, response: response.get(), place: 0 }
    }

    /// Returns the next bytes of `owed`, which are to requests that were read at `read`; stamped
    /// anew, also what could not be sent a moment ago. `None`: there are none.
    pub(super) fn chunk(&mut self, owed: usize, read: u64, clock: Clock) -> Option<Chunk<'_>> {
        let (whole, left) = (self.whole, owed.min(self.round() - self.place));
        // What follows the start of a long one has no meaning.
        let from = if self.place < whole { self.place } else { 0 };
        let to = whole.min(from + left);
        let bytes = &mut self.buffer.bytes_mut()[..to];
        if Stamp::fits(self.response, false) {
            let stamp = Stamp { read, written: nanos(clock.now()) };
            let first = self.place.next_multiple_of(self.response);
            let starts = bytes.get_mut(first..).unwrap_or_default();
            starts.chunks_mut(self.response).for_each(|response| stamp.write(response));
        }
        Chunk::whole(&bytes[from..])
    }

    /// Takes note that so many bytes were taken.
    pub(super) fn took(&mut self, bytes: usize) {
        self.place = (self.place + bytes) % self.round();
    }

    /// Returns after how many bytes it begins anew.
    fn round(&self) -> usize {
        self.whole.max(self.response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is owed in pieces of up to so many bytes, and returns all of it.
    fn taken(replies: &mut Replies, mut owed: usize, read: u64, most: usize) -> Vec<u8> {
        let clock = Clock::start();
        let mut all = Vec::new();
        while let Some(chunk) = replies.chunk(owed, read, clock) {
            let piece = &chunk.bytes[..chunk.bytes.len().min(most)];
            all.extend_from_slice(piece);
            let len = piece.len();
            replies.took(len);
            owed -= len;
        }
        assert_eq!(owed, 0);
        all
    }

    #[test]
    fn each_response_begins_with_its_stamp_however_it_is_taken() {
        for (response, room) in [(24, 24), (30, 100), (64, 64), (100, 64), (1000, 64), (64, 640)] {
            for most in [1, 7, 24, 63, 64, 1000] {
                let buffer = Buffer::payload(room);
                let mut replies = Replies::new(NonZeroUsize::new(response).unwrap(), buffer);
                for (batch, count) in [(1, 1), (2, 5), (3, 2), (4, 13)] {
                    let all = taken(&mut replies, count * response, batch, most);
                    for response in all.chunks(response) {
                        let stamp = Stamp::read(response).expect("it has one");
                        assert_eq!(stamp.read, batch, "{response:?} {room} {most}");
                    }
                }
            }
        }
    }

    #[test]
    fn responses_without_room_are_of_the_right_length_and_have_none() {
        let mut replies = Replies::new(NonZeroUsize::new(23).unwrap(), Buffer::payload(230));
        let all = taken(&mut replies, 23 * 30, 1, 100);
        assert!(all.windows(Stamp::LEN).all(|bytes| Stamp::read(bytes).is_none()));
    }

    #[test]
    fn no_payload_of_ours_looks_like_a_stamp() {
        for payload in [Buffer::payload(1 << 20), Buffer::digits(1 << 10)] {
            assert!(payload.bytes().windows(Stamp::LEN).all(|bytes| Stamp::read(bytes).is_none()));
        }
    }
}
