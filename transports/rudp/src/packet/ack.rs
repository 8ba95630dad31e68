//! Acknowledgements.

use super::{ACK, COMMON, OFFSET_BITS};

/// What has arrived, and what may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The low 32 bits of the highest number that has arrived.
    pub largest: u32,
    /// The time in that packet: who has not received it does not know.
    pub echo: u32,
    /// Microseconds between its arrival and this.
    pub delay: u32,
    /// The low 48 bits of the offset up to which the stream may be sent.
    pub limit: u64,
    /// The low 32 bits of how many packets have arrived marked (RFC 3168).
    pub marked: u32,
    ranges: &'a [u8],
}

/// Packets that have arrived, as they are counted down from the highest: so many are missing in
/// front of so many that are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckRange {
    /// How many are missing between this range and the one above it; 0 for the highest.
    pub gap: u64,
    /// How many there are.
    pub len: u64,
}

impl<'a> Ack<'a> {
    /// Returns the acknowledgement behind the common header; `None` if it is none.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (fixed, ranges) = body.split_first_chunk::<FIXED>()?;
        let count = usize::from(fixed[18]);
        if count == 0 || count > MAX_RANGES || ranges.len() != FIRST + (count - 1) * EACH {
            return None;
        }
        let word = |at: usize| {
            u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let limit = u64::from_be_bytes([
            0, 0, fixed[12], fixed[13], fixed[14], fixed[15], fixed[16], fixed[17],
        ]);
        Some(Self {
            largest: word(0),
            echo: word(4),
            delay: word(8),
            limit,
            marked: word(20),
            ranges,
        })
    }

    /// Returns the ranges, the highest first.
    pub fn ranges(&self) -> impl Iterator<Item = AckRange> + '_ {
        let (first, rest) = self.ranges.split_at(FIRST.min(self.ranges.len()));
        let first = first.first_chunk().map(|len| AckRange { gap: 0, len: number(*len) });
        let rest = rest.as_chunks::<EACH>().0.iter().map(|[a, b, c, d, e, f, g, h]| AckRange {
            gap: number([*a, *b, *c, *d]),
            len: number([*e, *f, *g, *h]),
        });
        first.into_iter().chain(rest)
    }

    /// Writes the packet for whom is called `id` to `out`, with `ranges`, of which there is at least
    /// one, and at most [`MAX_RANGES`] are written.
    pub(crate) fn write(&self, id: u32, ranges: impl Iterator<Item = AckRange>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[ACK, 0, 0, 0]);
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&self.largest.to_be_bytes());
        out.extend_from_slice(&self.echo.to_be_bytes());
        out.extend_from_slice(&self.delay.to_be_bytes());
        let limit = self.limit & ((1 << OFFSET_BITS) - 1);
        out.extend_from_slice(&limit.to_be_bytes()[2..]);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.marked.to_be_bytes());
        let mut count = 0;
        for AckRange { gap, len } in ranges.take(MAX_RANGES) {
            if count > 0 {
                out.extend_from_slice(&field(gap));
            }
            out.extend_from_slice(&field(len));
            count += 1;
        }
        out[COMMON + 18] = count;
    }

    /// Returns an acknowledgement to be [written](Self::write).
    pub(crate) fn new(largest: u32, echo: u32, delay: u32, limit: u64, marked: u32) -> Self {
        Self { largest, echo, delay, limit, marked, ranges: &[] }
    }
}

/// Returns how many a field tells, which is never none.
fn number(field: [u8; 4]) -> u64 {
    u64::from(u32::from_be_bytes(field)) + 1
}

/// Returns the field that tells so many: one less, so that none cannot be told.
fn field(number: u64) -> [u8; 4] {
    u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX).to_be_bytes()
}

/// The most ranges of an acknowledgement.
pub const MAX_RANGES: usize = 64;

/// Bytes between the common header and the ranges.
const FIXED: usize = 24;
/// Bytes of the first range, and of each other.
const FIRST: usize = 4;
const EACH: usize = 8;
