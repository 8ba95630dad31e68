//! Numbers in packets, and checksums over them (RFC 1071).

/// Returns the number of two bytes, the larger first, at this place.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Returns the number of four bytes, the largest first, at this place.
pub(super) fn double_word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Writes a number of two bytes at this place, if there is room.
pub(super) fn put_word(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_be_bytes();
    }
}

/// Writes a number of four bytes at this place, if there is room.
pub(super) fn put_double_word(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_be_bytes();
    }
}

/// Returns the sum of the numbers of two bytes; an odd last byte counts as followed by a zero.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let whole: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    whole + odd.first().map_or(0, |byte| u32::from(*byte) << 8)
}

/// Returns the sum in 16 bits, what does not fit added at the lower end.
pub(super) fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    u16::try_from(twice & 0xffff).unwrap_or(0)
}

/// Returns the checksum of a header after one of its numbers has changed (RFC 1624).
pub(super) fn changed(checksum: u16, from: u16, to: u16) -> u16 {
    !fold(u32::from(!checksum) + u32::from(!from) + u32::from(to))
}
