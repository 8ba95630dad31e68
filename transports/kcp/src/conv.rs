//! Which conversation is whose.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Returns the conversation of a flow that begins with `hello`.
///
/// Both ends know the hello, which has what the control connection has given to this flow alone; so
/// nobody else can guess it, and nobody has to be told.
pub(crate) fn of_hello(hello: &[u8]) -> u32 {
    let mut hasher = SipHasher24::new_with_key(KEY);
    hasher.write(hello);
    let [first, second, third, fourth, ..] = hasher.finish().to_le_bytes();
    any(u32::from_le_bytes([first, second, third, fourth]))
}

/// Returns a conversation made of these bits.
///
/// Its first byte on the wire has no bit 40, which marks what is QUIC's on a port, and it is not 0,
/// with which some implementations ask for another.
pub(crate) fn any(bits: u32) -> u32 {
    (bits & !0xC0).max(1)
}

/// Any key will do, as long as it is the same at both ends.
const KEY: &[u8; 16] = b"polyperf kcp hey";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_never_taken_for_quic_nor_left_to_the_peer() {
        assert!((0..1000_u32).all(|bits| any(bits).to_le_bytes()[0] < 0x40 && any(bits) != 0));
        assert_eq!(any(u32::MAX), 0xFFFF_FF3F);
        assert_ne!(of_hello(b"one"), of_hello(b"two"));
    }
}
