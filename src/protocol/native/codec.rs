use std::ops::Range;

use super::{Message, Results};

/// The longest frame body before a test is agreed on.
pub const MAX_EARLY: usize = 64 << 10;

/// The longest frame body of all.
pub const MAX_FRAME: usize = 4 << 20;

/// Turns messages into frames: length of the body, number of the frame, body (JSON).
#[derive(Debug, Default)]
pub struct Encoder {
    next: u32,
}

/// Turns what arrives, in whatever pieces, into messages.
///
/// Memory grows with the bytes that have arrived, never with a length that they claim.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer has been read. It goes once no whole frame is left, so that many
    /// small frames cost no more than one large.
    read: usize,
    limit: usize,
    next: u32,
}

/// Why the bytes are not frames of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that cannot be.
    #[error("a frame of {length} bytes, where 1 to {limit} are possible")]
    Length {
        /// What the frame claims.
        length: u32,
        /// What is possible in this state.
        limit: usize,
    },
    /// A number that is not the next one: a frame was lost.
    #[error("frame {got} where {expected} was due")]
    Gap {
        /// The number that was due.
        expected: u32,
        /// The number that came.
        got: u32,
    },
    /// A body that is no message.
    #[error("a frame that is no message: {0}")]
    Body(String),
}

impl Encoder {
    /// Returns the frame of `message`. A report that is too long for a frame stays behind, so that
    /// the figures arrive, and then the distributions whose quantiles are among the figures.
    ///
    /// # Panics
    ///
    /// Never: no message contains what JSON cannot say.
    pub fn encode(&mut self, message: &Message) -> Vec<u8> {
        let mut frame = body(message);
        if frame.len() > HEADER + MAX_FRAME
            && let Message::Results(results) = message
        {
            let mut summary = results.summary.clone();
            frame = body(&Message::Results(Box::new(Results::new(summary.clone()))));
            if frame.len() > HEADER + MAX_FRAME {
                let exchanges = summary.flows.iter_mut().filter_map(|flow| flow.exchanges.as_mut());
                exchanges.for_each(|exchanges| exchanges.forget_distributions());
                frame = body(&Message::Results(Box::new(Results::new(summary))));
            }
        }
        let length = u32::try_from(frame.len() - HEADER).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame[4..8].copy_from_slice(&self.next.to_be_bytes());
        self.next = self.next.wrapping_add(1);
        frame
    }
}

impl Decoder {
    /// Returns a decoder for a connection's first frames.
    #[must_use]
    pub fn new() -> Self {
        Self { buffer: Vec::new(), read: 0, limit: MAX_EARLY, next: 0 }
    }

    /// Permits frames of up to [`MAX_FRAME`] from now on: the peer has a session.
    pub fn allow_large(&mut self) {
        self.limit = MAX_FRAME;
    }

    /// Takes bytes that have arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next message, if it has arrived whole. A frame that repeats is passed over.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the bytes cannot be frames; there is no way to go on after that.
    #[allow(clippy::should_implement_trait, reason = "an iterator would end where more is to come")]
    pub fn next(&mut self) -> Result<Option<Message>, FrameError> {
        while let Some((number, body)) = self.frame()? {
            if number > self.next {
                return Err(FrameError::Gap { expected: self.next, got: number });
            }
            self.read = body.end;
            if number == self.next {
                self.next = self.next.wrapping_add(1);
                return parse(&self.buffer[body]).map(Some);
            }
        }
        self.buffer.drain(..self.read);
        self.read = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEEP);
        }
        Ok(None)
    }

    /// Returns how many bytes are kept: never more than were fed.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the number of the next frame and where its body is, if it is there whole.
    fn frame(&self) -> Result<Option<(u32, Range<usize>)>, FrameError> {
        let Some(length) = self.word(0) else { return Ok(None) };
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size == 0 || size > self.limit {
            return Err(FrameError::Length { length, limit: self.limit });
        }
        let Some(number) = self.word(4) else { return Ok(None) };
        let start = self.read + HEADER;
        let end = start + size;
        Ok((self.buffer.len() >= end).then_some((number, start..end)))
    }

    fn word(&self, offset: usize) -> Option<u32> {
        let at = self.read + offset;
        Some(u32::from_be_bytes(self.buffer.get(at..at + 4)?.try_into().ok()?))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn body(message: &Message) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message).expect("messages have string keys only");
    frame
}

fn parse(body: &[u8]) -> Result<Message, FrameError> {
    serde_json::from_slice(body).map_err(|error| FrameError::Body(error.to_string()))
}

const HEADER: usize = 8;
/// What an idle decoder keeps of a large buffer.
const KEEP: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::native::Busy;

    fn frame(number: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), &number.to_be_bytes(), body].concat()
    }

    #[test]
    fn golden_bytes_of_frames() {
        let mut encoder = Encoder::default();
        assert_eq!(encoder.encode(&Message::Start), b"\0\0\0\x10\0\0\0\0{\"type\":\"start\"}");
        let ping = encoder.encode(&Message::Ping { received: 7 });
        assert_eq!(ping, b"\0\0\0\x25\0\0\0\x01{\"type\":\"ping\",\"data\":{\"received\":7}}");
        let busy = Message::Busy(Busy { position: 1, retry_after: None });
        assert_eq!(&encoder.encode(&busy)[8..], br#"{"type":"busy","data":{"position":1}}"#);
    }

    #[test]
    fn messages_arrive_whole_however_the_bytes_are_cut() {
        let mut encoder = Encoder::default();
        let sent = [Message::Start, Message::Ping { received: 1 }, Message::Bye];
        let bytes: Vec<u8> = sent.iter().flat_map(|message| encoder.encode(message)).collect();
        for piece in 1..bytes.len() {
            let mut decoder = Decoder::new();
            let mut received = Vec::new();
            for bytes in bytes.chunks(piece) {
                decoder.feed(bytes);
                while let Some(message) = decoder.next().unwrap() {
                    received.push(message);
                }
            }
            assert_eq!(received, sent);
        }
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_kept() {
        for length in [0, 65_537, 1 << 31, u32::MAX] {
            let mut decoder = Decoder::new();
            decoder.feed(&length.to_be_bytes());
            assert!(matches!(decoder.next(), Err(FrameError::Length { .. })), "{length}");
            assert!(decoder.buffer.capacity() < 64);
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut decoder = Decoder::new();
        decoder.allow_large();
        decoder.feed(&u32::try_from(MAX_FRAME).unwrap().to_be_bytes());
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.capacity() < 64);
    }

    #[test]
    fn repeated_frames_are_passed_over_and_lost_ones_noticed() {
        let body = br#"{"type":"start"}"#;
        let mut decoder = Decoder::new();
        decoder.feed(&[frame(0, body), frame(0, body), frame(1, body)].concat());
        assert_eq!(decoder.next(), Ok(Some(Message::Start)));
        assert_eq!(decoder.next(), Ok(Some(Message::Start)));
        assert_eq!(decoder.next(), Ok(None));
        decoder.feed(&frame(3, body));
        assert_eq!(decoder.next(), Err(FrameError::Gap { expected: 2, got: 3 }));
    }

    #[test]
    fn a_report_too_long_for_a_frame_stays_behind() {
        let mut encoder = Encoder::default();
        let mut results = Results::new(crate::measure::SideSummary::default());
        results.output = Some("x".repeat(MAX_FRAME));
        let frame = encoder.encode(&Message::Results(Box::new(results.clone())));
        results.output = None;
        let mut decoder = Decoder::new();
        decoder.feed(&frame);
        assert_eq!(decoder.next(), Ok(Some(Message::Results(Box::new(results)))));
    }

    #[test]
    fn distributions_too_long_for_a_frame_leave_their_quantiles() {
        let mut latencies = crate::measure::Latencies::new();
        // A different count at each step of the distribution takes the most room.
        let mut time = std::time::Duration::from_micros(1);
        for step in 0..30_000u32 {
            time += time / 2000 + std::time::Duration::from_nanos(1);
            for _ in 0..=step % 3 {
                latencies.record(time);
            }
        }
        let exchanges = crate::measure::ExchangeSummary {
            latency: latencies.summary(),
            one_way: Some(crate::measure::OneWaySummary {
                forward: latencies.summary(),
                ..crate::measure::OneWaySummary::default()
            }),
            ..crate::measure::ExchangeSummary::default()
        };
        let median = exchanges.latency.as_ref().unwrap().p50_ns;
        let flow = serde_json::json!({"flow": 1, "role": "sender", "bytes": 1, "duration_us": 1});
        let mut flow: crate::measure::FlowSummary = serde_json::from_value(flow).unwrap();
        flow.exchanges = Some(Box::new(exchanges));
        let flows = vec![flow; 256];
        let results = Results::new(crate::measure::SideSummary { flows, cpu: None });
        let mut decoder = Decoder::new();
        decoder.allow_large();
        decoder.feed(&Encoder::default().encode(&Message::Results(Box::new(results))));
        let Ok(Some(Message::Results(read))) = decoder.next() else { panic!("it is no frame") };
        let exchanges = read.summary.flows[255].exchanges.as_ref().unwrap();
        let forward = exchanges.one_way.as_ref().unwrap().forward.as_ref();
        for latency in [exchanges.latency.as_ref(), forward].into_iter().flatten() {
            assert_eq!((latency.p50_ns, latency.histogram.as_str()), (median, ""));
        }
    }

    #[test]
    fn bodies_that_are_no_message_are_refused() {
        let deep = [b"{\"type\":\"stop\",\"data\":".as_slice(), &b"[".repeat(10_000)].concat();
        let bodies: [&[u8]; 8] = [
            b"x",
            b"{}",
            b"null",
            b"\xff\xfe",
            br#"{"type":"no_such"}"#,
            br#"{"type":"ping","data":{"received":-1}}"#,
            br#"{"type":"ping","data":{"received":1e999}}"#,
            &deep,
        ];
        for body in bodies {
            let mut decoder = Decoder::new();
            decoder.feed(&frame(0, body));
            assert!(matches!(decoder.next(), Err(FrameError::Body(_))), "{body:.40?}");
        }
    }
}
