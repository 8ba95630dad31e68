//! Segments as they are on the wire.
//!
//! A datagram is one segment after the other. Each has a header of 24 bytes, all little-endian, and
//! a payload:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 4 | `conv`: the conversation |
//! | 4 | 1 | `cmd`: 81 data, 82 acknowledgement, 83 question for the window, 84 its answer |
//! | 5 | 1 | `frg`: how many fragments of the message follow |
//! | 6 | 2 | `wnd`: free places of the sender's receive window, in segments |
//! | 8 | 4 | `ts`: the sender's clock in milliseconds; of an acknowledgement, that of the data |
//! | 12 | 4 | `sn`: the segment's number; of an acknowledgement, that of the data |
//! | 16 | 4 | `una`: the number that the sender expects next |
//! | 20 | 4 | `len`: bytes of the payload |
//!
//! Source: `ikcp.c` of skywind3000/kcp, with which xtaci/kcp-go agrees.

/// A segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The conversation, the same at both ends.
    pub conv: u32,
    /// What the segment is for.
    pub cmd: Command,
    /// How many fragments of the same message follow; 0 in a stream.
    pub frg: u8,
    /// How many segments more its sender takes.
    pub wnd: u16,
    /// When the data was sent, in milliseconds of the clock of whoever sent the data.
    pub ts: u32,
    /// The number of the data; without meaning where the window is talked about.
    pub sn: u32,
    /// Everything below has reached the segment's sender.
    pub una: u32,
    /// Nothing but for data.
    pub payload: &'a [u8],
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Carries data.
    Push,
    /// Acknowledges data.
    Ack,
    /// Asks for the peer's window.
    Ask,
    /// Tells the own window.
    Tell,
}

/// Why bytes are no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is no whole header.
    #[error("{0} bytes are too few for the header of a segment, which has {HEADER}")]
    Short(usize),
    /// The payload is said to be longer than what is there.
    #[error("a payload of {said} bytes is announced where there are {left}")]
    Length {
        /// The length according to the header.
        said: u32,
        /// Bytes behind the header.
        left: usize,
    },
    /// Nobody knows such a command.
    #[error("{0} is no command of a segment; they are 81 to 84")]
    Command(u8),
}

impl<'a> Segment<'a> {
    /// Returns the segment that `bytes` begin with, and the bytes behind it.
    ///
    /// # Errors
    ///
    /// Fails if they begin with none.
    #[inline]
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(Malformed::Short(bytes.len()));
        };
        let cmd = Command::parse(header[4]).ok_or(Malformed::Command(header[4]))?;
        let said = word(header, 20);
        let wrong = Malformed::Length { said, left: rest.len() };
        let len = usize::try_from(said).map_err(|_| wrong)?;
        let (payload, rest) = rest.split_at_checked(len).ok_or(wrong)?;
        let segment = Self {
            conv: word(header, 0),
            cmd,
            frg: header[5],
            wnd: u16::from_le_bytes([header[6], header[7]]),
            ts: word(header, 8),
            sn: word(header, 12),
            una: word(header, 16),
            payload,
        };
        Ok((segment, rest))
    }

    /// Returns the header as it goes out.
    #[inline]
    #[must_use]
    pub fn header(&self) -> [u8; HEADER] {
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER];
        header[0..4].copy_from_slice(&self.conv.to_le_bytes());
        header[4] = self.cmd.byte();
        header[5] = self.frg;
        header[6..8].copy_from_slice(&self.wnd.to_le_bytes());
        header[8..12].copy_from_slice(&self.ts.to_le_bytes());
        header[12..16].copy_from_slice(&self.sn.to_le_bytes());
        header[16..20].copy_from_slice(&self.una.to_le_bytes());
        header[20..24].copy_from_slice(&len.to_le_bytes());
        header
    }

    /// Returns how many bytes it takes on the wire.
    #[inline]
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEADER + self.payload.len()
    }
}

impl Command {
    fn parse(byte: u8) -> Option<Self> {
        match byte {
            81 => Some(Self::Push),
            82 => Some(Self::Ack),
            83 => Some(Self::Ask),
            84 => Some(Self::Tell),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Push => 81,
            Self::Ack => 82,
            Self::Ask => 83,
            Self::Tell => 84,
        }
    }
}

/// Returns the conversation that a datagram belongs to; `None` if it is too short to be one.
#[must_use]
pub fn conversation(datagram: &[u8]) -> Option<u32> {
    let header = datagram.first_chunk::<HEADER>()?;
    Some(word(header, 0))
}

/// Bytes of a header.
pub const HEADER: usize = 24;

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[cfg(test)]
mod tests;
