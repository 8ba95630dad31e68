use std::fmt;

use aws_lc_rs::digest;

use crate::measure::FlowId;

/// Length of the first bytes of every connection, in both dialects.
pub const HELLO_LEN: usize = 37;

/// The first bytes that a native client sends on a connection.
///
/// It is a valid iperf3 cookie: 36 characters of `a-z2-7`, then NUL. So a server of either kind can
/// read it and tell what it has to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hello {
    /// A new test; the token makes the hello unlike any other.
    Control(Token),
    /// A stream of a test that was agreed on, which the token names.
    Attach(Token, FlowId),
}

/// What the first bytes of a connection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A hello of this protocol.
    Native(Hello),
    /// A hello of a version that this program does not speak.
    OtherVersion(char),
    /// Something else: an iperf3 cookie, or garbage.
    Foreign,
}

/// 120 random bits, as 24 characters of `a-z2-7`. Whoever knows it may attach streams to the test.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN_LEN]);

impl Hello {
    /// Returns the bytes to send.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let (kind, token, flow) = match self {
            Self::Control(token) => (CONTROL, token, 0),
            Self::Attach(token, FlowId(flow)) => (ATTACH, token, *flow),
        };
        let mut bytes = [0; HELLO_LEN];
        bytes[..8].copy_from_slice(PREFIX);
        bytes[8] = VERSION;
        bytes[9] = kind;
        bytes[10..34].copy_from_slice(&token.0);
        bytes[34] = digit(flow >> 5);
        bytes[35] = digit(flow);
        bytes
    }
}

impl Opening {
    /// Reads the first bytes of a connection.
    #[must_use]
    pub fn parse(bytes: &[u8; HELLO_LEN]) -> Self {
        if !bytes.starts_with(PREFIX) {
            return Self::Foreign;
        }
        if bytes[8] != VERSION {
            return match value(bytes[8]) {
                Some(_) => Self::OtherVersion(char::from(bytes[8])),
                None => Self::Foreign,
            };
        }
        Self::native(bytes).map_or(Self::Foreign, Self::Native)
    }

    fn native(bytes: &[u8; HELLO_LEN]) -> Option<Hello> {
        let token = Token::parse(&bytes[10..34])?;
        let flow = value(bytes[34])? << 5 | value(bytes[35])?;
        match (bytes[9], bytes[36]) {
            (CONTROL, 0) => Some(Hello::Control(token)),
            (ATTACH, 0) => Some(Hello::Attach(token, FlowId(flow))),
            _ => None,
        }
    }
}

impl Token {
    /// Returns a token made of these bits; eight of them are not used.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        let mut characters = [0; TOKEN_LEN];
        for (index, character) in characters.iter_mut().enumerate() {
            #[allow(clippy::cast_possible_truncation, reason = "five bits are wanted")]
            let low = (bits >> (5 * index)) as u16;
            *character = digit(low);
        }
        Self(characters)
    }

    /// Returns the token that these characters spell.
    #[must_use]
    pub fn parse(characters: &[u8]) -> Option<Self> {
        let characters: [u8; TOKEN_LEN] = characters.try_into().ok()?;
        characters.iter().all(|&c| value(c).is_some()).then_some(Self(characters))
    }

    /// Returns the mark by which the server knows a connection of the test before it has said
    /// anything. It is in clear text on the wire, and does not give the token away.
    #[must_use]
    pub fn mark(&self) -> [u8; 12] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(MARK);
        hash.update(&self.0);
        let mut mark = [0; 12];
        mark.copy_from_slice(&hash.finish().as_ref()[..12]);
        mark
    }

    /// Returns the token's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Shows only its start: a log is no place for a key.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}…)", &self.as_str()[..4])
    }
}

fn digit(value: u16) -> u8 {
    ALPHABET[usize::from(value & 31)]
}

fn value(character: u8) -> Option<u16> {
    match character {
        b'a'..=b'z' => Some(u16::from(character - b'a')),
        b'2'..=b'7' => Some(u16::from(character - b'2') + 26),
        _ => None,
    }
}

const PREFIX: &[u8; 8] = b"polyperf";
const VERSION: u8 = b'a';
const CONTROL: u8 = b'c';
const ATTACH: u8 = b'd';
const TOKEN_LEN: usize = 24;
/// What is hashed with a token to make its mark.
const MARK: &[u8] = b"polyperf mark ";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_both_hellos() {
        let token = Token::from_bits(0);
        let control = Hello::Control(token).encode();
        assert_eq!(&control, b"polyperfacaaaaaaaaaaaaaaaaaaaaaaaaaa\0");
        let token = Token::from_bits(u128::MAX);
        let attach = Hello::Attach(token, FlowId(33)).encode();
        assert_eq!(&attach, b"polyperfad777777777777777777777777bb\0");
    }

    #[test]
    fn a_hello_is_a_valid_iperf3_cookie() {
        let bytes = Hello::Attach(Token::from_bits(0x1234_5678_9abc_def0), FlowId(256)).encode();
        assert!(bytes[..36].iter().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7')));
        assert_eq!(bytes[36], 0);
    }

    #[test]
    fn every_hello_is_read_back() {
        for bits in [0, 1, u128::MAX, 0xdead_beef << 64] {
            for flow in [0, 1, 31, 32, 256, 1023] {
                let hello = Hello::Attach(Token::from_bits(bits), FlowId(flow));
                assert_eq!(Opening::parse(&hello.encode()), Opening::Native(hello));
            }
            let hello = Hello::Control(Token::from_bits(bits));
            assert_eq!(Opening::parse(&hello.encode()), Opening::Native(hello));
        }
    }

    #[test]
    fn other_versions_and_strangers_are_told_apart() {
        let mut bytes = Hello::Control(Token::from_bits(7)).encode();
        bytes[8] = b'b';
        assert_eq!(Opening::parse(&bytes), Opening::OtherVersion('b'));
        bytes[8] = b'!';
        assert_eq!(Opening::parse(&bytes), Opening::Foreign);
        assert_eq!(Opening::parse(b"abcdefghijklmnopqrstuvwxyz2345672345\0"), Opening::Foreign);
        assert_eq!(Opening::parse(&[0xff; HELLO_LEN]), Opening::Foreign);
        let mut bytes = Hello::Control(Token::from_bits(7)).encode();
        bytes[36] = 1;
        assert_eq!(Opening::parse(&bytes), Opening::Foreign, "a cookie ends in NUL");
    }

    #[test]
    fn a_token_is_not_shown_whole() {
        let token = Token::from_bits(42);
        assert!(!format!("{token:?}").contains(token.as_str()));
    }
}
