//! Records, in which a stream of bytes is carried that can end.

/// Takes records apart, however they were cut into segments.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    has: usize,
    /// Bytes of the record that are still to come.
    left: usize,
    ended: bool,
}

impl Parser {
    /// Moves bytes of records from `bytes` to `buf`, and returns how many it took from the one, and
    /// how many it put into the other.
    pub(crate) fn parse(&mut self, bytes: &[u8], buf: &mut [u8]) -> (usize, usize) {
        let (mut taken, mut put) = (0, 0);
        while taken < bytes.len() && !self.ended {
            if self.left > 0 {
                let len = self.left.min(bytes.len() - taken).min(buf.len() - put);
                if len == 0 {
                    break;
                }
                buf[put..put + len].copy_from_slice(&bytes[taken..taken + len]);
                (taken, put, self.left) = (taken + len, put + len, self.left - len);
                continue;
            }
            self.header[self.has] = bytes[taken];
            (taken, self.has) = (taken + 1, self.has + 1);
            if self.has == HEADER {
                self.has = 0;
                match u32::from_le_bytes(self.header) {
                    END => self.ended = true,
                    NOTHING => {}
                    len => self.left = usize::try_from(len).unwrap_or(usize::MAX),
                }
            }
        }
        (taken, put)
    }

    /// Returns whether the end has been reached.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }
}

/// Writes the record of `bytes`, which are not empty.
pub(crate) fn write(bytes: &[u8], record: &mut Vec<u8>) {
    record.clear();
    let len = u32::try_from(bytes.len()).unwrap_or(NOTHING - 1);
    record.extend_from_slice(&len.to_le_bytes());
    record.extend_from_slice(bytes);
}

/// Bytes of a record's length.
pub(crate) const HEADER: usize = 4;

/// The length of the record that is the last.
pub(crate) const END: u32 = 0;

/// The length of a record that is none, by which a listener hears that its acceptance has arrived.
pub(crate) const NOTHING: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_put_together_however_they_were_cut() {
        let mut sent = NOTHING.to_le_bytes().to_vec();
        let mut record = Vec::new();
        for bytes in [&b"a"[..], b"bcd", &[7; 300]] {
            write(bytes, &mut record);
            sent.extend_from_slice(&record);
        }
        sent.extend_from_slice(&END.to_le_bytes());
        sent.extend_from_slice(b"behind the end");
        let expected = [&b"abcd"[..], &[7; 300]].concat();
        for (step, room) in [(1, 1), (3, 2), (7, 100), (1000, 1000)] {
            let (mut parser, mut got, mut at) = (Parser::default(), Vec::new(), 0);
            while !parser.is_ended() {
                let mut buf = vec![0; room];
                let end = (at + step).min(sent.len());
                let (taken, put) = parser.parse(&sent[at..end], &mut buf);
                assert!(taken > 0 || put > 0, "no progress at {at}");
                got.extend_from_slice(&buf[..put]);
                at += taken;
            }
            assert_eq!(got, expected, "cut into pieces of {step}");
        }
    }
}
