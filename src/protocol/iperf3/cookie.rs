use std::fmt;

/// Length of a cookie on the wire, with the NUL at its end.
pub const COOKIE_LEN: usize = 37;

/// What a client sends first on the control connection, and again on each TCP data connection.
///
/// Two cookies are equal if they are so as C strings: what follows a NUL does not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie([u8; COOKIE_LEN]);

impl Cookie {
    /// Returns a cookie made of these random bytes, of each of which five bits are used.
    #[must_use]
    pub fn from_random(random: [u8; COOKIE_LEN - 1]) -> Self {
        let mut bytes = [0; COOKIE_LEN];
        for (character, random) in bytes.iter_mut().zip(random) {
            *character = ALPHABET[usize::from(random & 31)];
        }
        Self(bytes)
    }

    /// Returns the cookie that arrived as these bytes. Any bytes are one.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; COOKIE_LEN]) -> Self {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(COOKIE_LEN);
        bytes[end..].fill(0);
        Self(bytes)
    }

    /// Returns it as text, as iperf3 shows it in its reports.
    #[must_use]
    pub fn text(&self) -> String {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(COOKIE_LEN);
        String::from_utf8_lossy(&self.0[..end]).into_owned()
    }

    /// Returns the bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; COOKIE_LEN] {
        &self.0
    }
}

/// Shows only its start: whoever knows a cookie may attach streams to the test.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({}…)", self.0[..4].escape_ascii())
    }
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_36_characters_of_the_alphabet_and_a_nul() {
        let mut random = [0; 36];
        random.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n * 7);
        let cookie = Cookie::from_random(random);
        let (text, end) = cookie.as_bytes().split_at(36);
        assert!(text.iter().all(|c| ALPHABET.contains(c)));
        assert_eq!(end, [0]);
        assert_eq!(Cookie::from_random([0; 36]).as_bytes()[..3], *b"aaa");
        assert_eq!(Cookie::from_random([255; 36]).as_bytes()[..3], *b"777");
    }

    #[test]
    fn cookies_are_compared_as_c_strings() {
        let mut one = [b'x'; COOKIE_LEN];
        one[5] = 0;
        let mut other = [b'y'; COOKIE_LEN];
        other[..6].copy_from_slice(b"xxxxx\0");
        assert_eq!(Cookie::from_bytes(one), Cookie::from_bytes(other));
        other[0] = b'z';
        assert_ne!(Cookie::from_bytes(one), Cookie::from_bytes(other));
    }

    #[test]
    fn a_cookie_is_not_shown_whole() {
        let cookie = Cookie::from_random([1; 36]);
        assert_eq!(format!("{cookie:?}"), "Cookie(bbbb…)");
        assert_eq!(cookie.text(), "b".repeat(36), "but where that is asked for");
    }
}
