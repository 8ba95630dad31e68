use super::{BadParams, BadResults, ErrorCode, Params, Results, State};
use crate::outcome::Side;

/// The longest parameters: what iperf3 takes since 3.18.
pub const MAX_PARAMS: usize = 8192;

/// The longest results. iperf3 itself sets no bound.
pub const MAX_RESULTS: usize = 4 << 20;

/// What the two ends say to each other on the control connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// One byte.
    State(State),
    /// Client: the test that I want.
    Params(Box<Params>),
    /// Both, the client first: what I counted.
    Results(Box<Results>),
    /// Server: why there is no going on.
    Error {
        /// The number of an [`ErrorCode`], or one that is not known.
        code: i32,
        /// The number that the server's system has for it, which no other system need have.
        errno: i32,
    },
}

/// What an end may be sent next, beside what may come at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A byte.
    State,
    /// The client's parameters.
    Params,
    /// The other end's results.
    Results,
}

/// Turns what arrives, in whatever pieces, into messages.
///
/// Memory grows with the bytes that have arrived, never with a length that they claim.
#[derive(Debug)]
pub struct Decoder {
    sender: Side,
    buffer: Vec<u8>,
    read: usize,
}

/// Why the bytes are no message.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// A byte that the other end may not send.
    #[error("byte {0}, which means nothing from this end")]
    State(u8),
    /// A length that cannot be.
    #[error("{what} of {length} bytes, where 1 to {limit} are possible")]
    Length {
        /// What was expected.
        what: &'static str,
        /// What it claims.
        length: u32,
        /// What is possible.
        limit: usize,
    },
    /// Parameters that cannot be honoured.
    #[error(transparent)]
    Params(#[from] BadParams),
    /// Results that are none.
    #[error(transparent)]
    Results(#[from] BadResults),
}

impl Message {
    /// Returns the message's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::State(state) => state.name(),
            Self::Params(_) => "parameters",
            Self::Results(_) => "results",
            Self::Error { .. } => "SERVER_ERROR",
        }
    }
}

impl FrameError {
    /// Returns the code to tell a client.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::State(_) => ErrorCode::UnknownMessage,
            Self::Length { limit: MAX_RESULTS, .. } => ErrorCode::ReceiveResults,
            Self::Length { .. } => ErrorCode::ReceiveParams,
            Self::Params(bad) => bad.code(),
            Self::Results(bad) => bad.code(),
        }
    }
}

impl Decoder {
    /// Returns a decoder for what `sender` says on its control connection, behind the cookie.
    #[must_use]
    pub fn new(sender: Side) -> Self {
        Self { sender, buffer: Vec::new(), read: 0 }
    }

    /// Takes bytes that have arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next message, if it has arrived whole. What is `expect`ed changes with each
    /// message: ask the machine before each call.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the bytes are no such message; there is no way to go on after that.
    pub fn next(&mut self, expect: Expect) -> Result<Option<Message>, FrameError> {
        let Some((message, length)) = self.message(expect)? else {
            self.tidy();
            return Ok(None);
        };
        self.read += length;
        Ok(Some(message))
    }

    /// Returns the error that a connection ended with, if it did: iperf3 3.12 closes behind the code
    /// where a user is unknown, and tells no number of its system's.
    #[must_use]
    pub fn last_words(&self) -> Option<Message> {
        let rest = &self.buffer[self.read..];
        let (&SERVER_ERROR, code) = rest.split_first()? else { return None };
        let code = i32::from_be_bytes(*code.first_chunk()?);
        (self.sender == Side::Server).then_some(Message::Error { code, errno: 0 })
    }

    /// Returns how many bytes are kept: never more than were fed.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the next message and its length.
    fn message(&self, expect: Expect) -> Result<Option<(Message, usize)>, FrameError> {
        let rest = &self.buffer[self.read..];
        let Some(&first) = rest.first() else { return Ok(None) };
        if first == SERVER_ERROR && self.sender == Side::Server {
            return Ok(error(rest));
        }
        // No permitted length begins with a byte that is a state: one that comes where a text was
        // due is a change of mind.
        if let Some(state) = State::from_byte(first, self.sender) {
            return Ok(Some((Message::State(state), 1)));
        }
        let (what, limit) = match expect {
            Expect::State => return Err(FrameError::State(first)),
            Expect::Params => ("parameters", MAX_PARAMS),
            Expect::Results => ("results", MAX_RESULTS),
        };
        let Some(text) = text(rest, what, limit)? else { return Ok(None) };
        let message = match expect {
            Expect::Results => Message::Results(Box::new(Results::parse(text)?)),
            _ => Message::Params(Box::new(Params::parse(text)?)),
        };
        Ok(Some((message, LENGTH + text.len())))
    }

    fn tidy(&mut self) {
        self.buffer.drain(..self.read);
        self.read = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEEP);
        }
    }
}

/// Returns the bytes of `message`. A server's report that is too long stays behind, so that the
/// figures arrive.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    match message {
        Message::State(state) => vec![state.byte()],
        Message::Params(params) => framed(&params.encode()),
        Message::Results(results) => {
            let text = results.encode();
            if text.len() <= MAX_RESULTS {
                return framed(&text);
            }
            framed(&Results { output: None, ..(**results).clone() }.encode())
        }
        Message::Error { code, errno } => {
            [&[SERVER_ERROR][..], &code.to_be_bytes(), &errno.to_be_bytes()].concat()
        }
    }
}

fn framed(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), text].concat()
}

fn error(bytes: &[u8]) -> Option<(Message, usize)> {
    let word = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some((Message::Error { code: word(1)?, errno: word(5)? }, 9))
}

/// Returns the text behind a length, if it is there whole.
fn text<'a>(
    bytes: &'a [u8],
    what: &'static str,
    limit: usize,
) -> Result<Option<&'a [u8]>, FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size == 0 || size > limit {
        return Err(FrameError::Length { what, length, limit });
    }
    Ok(rest.get(..size))
}

const SERVER_ERROR: u8 = 0xfe;
const LENGTH: usize = 4;
/// What an idle decoder keeps of a large buffer.
const KEEP: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_the_limit_are_refused_before_anything_is_kept() {
        let wrong = [0, 8193, 65_536, 0x00ff_ffff];
        for (expect, lengths) in [(Expect::Params, &wrong[..]), (Expect::Results, &[0, 4_194_305])]
        {
            for length in lengths {
                let mut decoder = Decoder::new(Side::Client);
                decoder.feed(&u32::to_be_bytes(*length));
                assert!(matches!(decoder.next(expect), Err(FrameError::Length { .. })), "{length}");
            }
        }
        for length in [1_u32 << 31, (1 << 31) - 1, u32::MAX] {
            let mut decoder = Decoder::new(Side::Client);
            decoder.feed(&length.to_be_bytes());
            assert!(decoder.next(Expect::Results).is_err(), "{length}");
        }
    }

    #[test]
    fn a_permitted_length_allocates_nothing_until_its_bytes_come() {
        for (expect, length) in
            [(Expect::Params, 1), (Expect::Params, 8192), (Expect::Results, 4 << 20)]
        {
            let mut decoder = Decoder::new(Side::Client);
            decoder.feed(&u32::to_be_bytes(length));
            assert_eq!(decoder.next(expect), Ok(None));
            assert!(decoder.buffer.capacity() < 64);
        }
    }

    #[test]
    fn a_server_error_is_nine_bytes_however_they_arrive() {
        let bytes = encode(&Message::Error { code: 142, errno: -1 });
        assert_eq!(bytes, b"\xfe\0\0\0\x8e\xff\xff\xff\xff");
        for cut in 0..9 {
            let mut decoder = Decoder::new(Side::Server);
            decoder.feed(&bytes[..cut]);
            assert_eq!(decoder.next(Expect::Results), Ok(None));
            decoder.feed(&bytes[cut..]);
            let error = Message::Error { code: 142, errno: -1 };
            assert_eq!(decoder.next(Expect::State), Ok(Some(error)));
        }
    }

    #[test]
    fn a_code_is_an_error_where_nothing_comes_behind_it() {
        for (bytes, words) in [
            (&b"\xfe\0\0\0\x8e"[..], Some(Message::Error { code: 142, errno: 0 })),
            (b"\xfe\0\0\0", None),
            (b"\x09\0\0\0\x8e", None),
        ] {
            let mut decoder = Decoder::new(Side::Server);
            decoder.feed(bytes);
            assert_eq!(decoder.last_words(), words);
        }
    }

    #[test]
    fn a_state_may_come_where_a_text_was_due() {
        let mut decoder = Decoder::new(Side::Client);
        decoder.feed(&[12, 7]);
        let left = Message::State(State::ClientTerminate);
        assert_eq!(decoder.next(Expect::Results), Ok(Some(left)));
        assert_eq!(decoder.next(Expect::State), Err(FrameError::State(7)));
    }
}
