//! The packets on the wire, once a flow is open; `docs/rudp.md` has them byte by byte.

mod ack;

pub use self::ack::{Ack, AckRange, MAX_RANGES};

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A part of the stream, or its end, or neither: what has a number and is acknowledged.
    Numbered(Numbered<'a>),
    /// What has arrived.
    Ack(Ack<'a>),
    /// The flow is over.
    Reset(u32),
}

/// A packet that is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// What it is.
    pub kind: Kind,
    /// The low 32 bits of its number, which no other packet has.
    pub number: u32,
    /// The low 48 bits of where in the stream it stands: of data the first byte, and else what comes
    /// behind the last one.
    pub offset: u64,
    /// When it was sent, in microseconds of the sender's clock, which wraps.
    pub time: u32,
    /// Data; empty for all other kinds, whose padding says nothing.
    pub payload: &'a [u8],
}

/// What a [`Numbered`] packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part of the stream.
    Data,
    /// The end of the stream.
    Fin,
    /// A question whether the peer is there.
    Ping,
}

/// Why a datagram is no packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// It is of another flow.
    Foreign,
    /// It is not as long as it has to be, or of no known type, or contradicts itself.
    Malformed,
}

impl<'a> Packet<'a> {
    /// Returns the packet that `bytes` are, which are for whom its peer calls `id`.
    ///
    /// # Errors
    ///
    /// Says why, if they are none.
    #[inline]
    pub fn parse(bytes: &'a [u8], id: u32) -> Result<Self, Invalid> {
        let (header, body) = bytes.split_first_chunk::<COMMON>().ok_or(Invalid::Malformed)?;
        let [kind, _, _, _, its @ ..] = *header;
        if u32::from_be_bytes(its) != id {
            return Err(Invalid::Foreign);
        }
        let kind = match kind {
            DATA => Kind::Data,
            FIN => Kind::Fin,
            PING => Kind::Ping,
            ACK => return Ack::parse(body).map(Self::Ack).ok_or(Invalid::Malformed),
            RESET => {
                let code = body.first_chunk().ok_or(Invalid::Malformed)?;
                return Ok(Self::Reset(u32::from_be_bytes(*code)));
            }
            _ => return Err(Invalid::Malformed),
        };
        let (body, rest) = body.split_first_chunk::<NUMBERED>().ok_or(Invalid::Malformed)?;
        let [n0, n1, n2, n3, o0, o1, o2, o3, o4, o5, _, _, t0, t1, t2, t3] = *body;
        let payload = match kind {
            Kind::Data if rest.is_empty() => return Err(Invalid::Malformed),
            Kind::Data => rest,
            Kind::Fin | Kind::Ping => &[],
        };
        Ok(Self::Numbered(Numbered {
            kind,
            number: u32::from_be_bytes([n0, n1, n2, n3]),
            offset: u64::from_be_bytes([0, 0, o0, o1, o2, o3, o4, o5]),
            time: u32::from_be_bytes([t0, t1, t2, t3]),
            payload,
        }))
    }
}

impl Numbered<'_> {
    /// Returns the header of the packet for whom is called `id`.
    #[inline]
    #[must_use]
    pub fn header(&self, id: u32) -> [u8; DATA_HEADER] {
        let kind = match self.kind {
            Kind::Data => DATA,
            Kind::Fin => FIN,
            Kind::Ping => PING,
        };
        let mut header = [0; DATA_HEADER];
        header[0] = kind;
        header[4..8].copy_from_slice(&id.to_be_bytes());
        header[8..12].copy_from_slice(&self.number.to_be_bytes());
        header[12..18].copy_from_slice(&self.offset.to_be_bytes()[2..]);
        header[20..].copy_from_slice(&self.time.to_be_bytes());
        header
    }
}

/// Returns the packet that ends a flow for whom is called `id`.
#[must_use]
pub fn reset(id: u32, code: u32) -> [u8; COMMON + 4] {
    let mut packet = [0; COMMON + 4];
    packet[0] = RESET;
    packet[4..8].copy_from_slice(&id.to_be_bytes());
    packet[8..].copy_from_slice(&code.to_be_bytes());
    packet
}

/// Returns the number of which these are the low `bits`, and which is nearest to `near`.
#[inline]
#[must_use]
pub fn expand(low: u64, bits: u32, near: u64) -> u64 {
    let unit = 1_u64 << bits;
    let candidate = (near & !(unit - 1)) | (low & (unit - 1));
    if candidate.saturating_add(unit / 2) <= near {
        candidate.checked_add(unit).unwrap_or(candidate)
    } else if candidate > near.saturating_add(unit / 2) {
        candidate.checked_sub(unit).unwrap_or(candidate)
    } else {
        candidate
    }
}

/// Bytes of the header in front of data.
pub const DATA_HEADER: usize = COMMON + NUMBERED;

/// Bits of an offset on the wire.
pub const OFFSET_BITS: u32 = 48;

/// Bits of a packet's number on the wire.
pub const NUMBER_BITS: u32 = 32;

/// Bytes that all packets begin with.
const COMMON: usize = 8;
/// Bytes behind those, of a numbered packet.
const NUMBERED: usize = 16;

const DATA: u8 = 1;
const ACK: u8 = 2;
const FIN: u8 = 3;
const PING: u8 = 4;
const RESET: u8 = 5;

#[cfg(test)]
mod tests;
