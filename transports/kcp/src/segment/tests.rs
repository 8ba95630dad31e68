use super::*;

#[test]
fn a_segment_is_read_as_it_was_written() {
    for cmd in [Command::Push, Command::Ack, Command::Ask, Command::Tell] {
        let segment = Segment {
            conv: 0x0102_0304,
            cmd,
            frg: 5,
            wnd: 0x0607,
            ts: 0x0809_0A0B,
            sn: 0x0C0D_0E0F,
            una: 0x1011_1213,
            payload: b"abc",
        };
        let bytes = [&segment.header()[..], segment.payload, b"behind"].concat();
        assert_eq!(Segment::split(&bytes), Ok((segment, &b"behind"[..])));
        assert_eq!(segment.wire_len(), 27);
        assert_eq!(conversation(&bytes), Some(0x0102_0304));
    }
}

#[test]
fn what_is_no_segment_says_what_is_wrong_with_it() {
    let header = |cmd: u8, len: u8| {
        let mut header = [0; HEADER];
        (header[4], header[20]) = (cmd, len);
        header
    };
    assert_eq!(Segment::split(&[0; 23]), Err(Malformed::Short(23)));
    assert_eq!(Segment::split(&header(80, 0)), Err(Malformed::Command(80)));
    assert_eq!(Segment::split(&header(85, 0)), Err(Malformed::Command(85)));
    assert_eq!(Segment::split(&header(81, 1)), Err(Malformed::Length { said: 1, left: 0 }));
    assert_eq!(conversation(&[0; 23]), None);
}
