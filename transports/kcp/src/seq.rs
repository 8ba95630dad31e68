//! Numbers that wrap: those of segments, and the clock's milliseconds.

/// Returns how far `a` is ahead of `b`; less than zero if it is behind.
///
/// Two numbers are compared by the shorter way around, as every implementation does.
pub(crate) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// Returns whether `a` comes before `b`.
pub(crate) fn before(a: u32, b: u32) -> bool {
    ahead(a, b) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_across_the_wrap() {
        assert_eq!(ahead(3, u32::MAX), 4);
        assert_eq!(ahead(u32::MAX, 3), -4);
        assert!(before(u32::MAX, 0) && !before(0, u32::MAX) && !before(7, 7));
    }
}
