use super::*;

const ID: u32 = 0x0A0B_0C0D;

#[test]
fn data_is_these_bytes() {
    let numbered = Numbered {
        kind: Kind::Data,
        number: 0x0102_0304,
        offset: 0x1112_1314_1516,
        time: 0x2122_2324,
        payload: b"hello",
    };
    let header = numbered.header(ID);
    let expected = [
        1, 0, 0, 0, 0x0A, 0x0B, 0x0C, 0x0D, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0, 0,
        0x21, 0x22, 0x23, 0x24,
    ];
    assert_eq!(header, expected);
    let whole = [&header[..], b"hello"].concat();
    assert_eq!(Packet::parse(&whole, ID), Ok(Packet::Numbered(numbered)));
}

#[test]
fn an_end_and_a_question_are_data_without_any() {
    for (kind, first) in [(Kind::Fin, 3), (Kind::Ping, 4)] {
        let numbered = Numbered { kind, number: 7, offset: 9, time: 11, payload: &[] };
        let mut bytes = numbered.header(ID).to_vec();
        assert_eq!((bytes[0], bytes[11], bytes[17], bytes[23]), (first, 7, 9, 11));
        bytes.extend([0xFF; 10]);
        assert_eq!(Packet::parse(&bytes, ID), Ok(Packet::Numbered(numbered)), "padding is nothing");
    }
}

#[test]
fn an_acknowledgement_is_these_bytes() {
    let ack = Ack::new(100, 0x2122_2324, 250, 0x1112_1314_1516, 3);
    let ranges = [AckRange { gap: 0, len: 5 }, AckRange { gap: 2, len: 90 }];
    let mut bytes = Vec::new();
    ack.write(ID, ranges.into_iter(), &mut bytes);
    let expected = [
        2, 0, 0, 0, 0x0A, 0x0B, 0x0C, 0x0D, 0, 0, 0, 100, 0x21, 0x22, 0x23, 0x24, 0, 0, 0, 250,
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 2, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 89,
    ];
    assert_eq!(bytes, expected);
    let Ok(Packet::Ack(parsed)) = Packet::parse(&bytes, ID) else { panic!("it is none") };
    assert_eq!((parsed.largest, parsed.echo, parsed.delay), (100, 0x2122_2324, 250));
    assert_eq!((parsed.limit, parsed.marked), (0x1112_1314_1516, 3));
    assert_eq!(parsed.ranges().collect::<Vec<_>>(), ranges);
}

#[test]
fn a_reset_is_these_bytes() {
    let bytes = reset(ID, 1);
    assert_eq!(bytes, [5, 0, 0, 0, 0x0A, 0x0B, 0x0C, 0x0D, 0, 0, 0, 1]);
    assert_eq!(Packet::parse(&bytes, ID), Ok(Packet::Reset(1)));
}

#[test]
fn what_is_for_somebody_else_or_not_whole_is_no_packet() {
    let bytes = reset(ID, 1);
    assert_eq!(Packet::parse(&bytes, ID + 1), Err(Invalid::Foreign));
    for len in 0..bytes.len() {
        assert_eq!(Packet::parse(&bytes[..len], ID), Err(Invalid::Malformed));
    }
    let data = Numbered { kind: Kind::Data, number: 0, offset: 0, time: 0, payload: &[] };
    assert_eq!(Packet::parse(&data.header(ID), ID), Err(Invalid::Malformed), "data without any");
    let mut unknown = bytes;
    for kind in (0..=255).filter(|kind| !(1..=5).contains(kind)) {
        unknown[0] = kind;
        assert_eq!(Packet::parse(&unknown, ID), Err(Invalid::Malformed));
    }
}

#[test]
fn an_acknowledgement_with_a_wrong_count_of_ranges_is_malformed() {
    let mut bytes = Vec::new();
    let ranges = [AckRange { gap: 0, len: 1 }; 3];
    Ack::new(9, 0, 0, 0, 0).write(ID, ranges.into_iter(), &mut bytes);
    assert!(Packet::parse(&bytes, ID).is_ok());
    for count in (0..=255).filter(|count| *count != 3) {
        bytes[26] = count;
        assert_eq!(Packet::parse(&bytes, ID), Err(Invalid::Malformed));
    }
    let many = [AckRange { gap: 1, len: 1 }; 100];
    Ack::new(9, 0, 0, 0, 0).write(ID, many.into_iter(), &mut bytes);
    assert_eq!((bytes[26], bytes.len()), (64, 32 + 4 + 63 * 8));
    assert!(Packet::parse(&bytes, ID).is_ok());
}

#[test]
fn a_number_is_told_by_its_low_bits_from_those_near_it() {
    for near in [0, 1, 100, u64::from(u32::MAX), 1 << 32, (7 << 32) + 5, (9 << 32) - 3] {
        for away in [0, 1, 50, 1 << 30] {
            for number in [near.checked_add(away), near.checked_sub(away)].into_iter().flatten() {
                let low = number & u64::from(u32::MAX);
                assert_eq!(expand(low, NUMBER_BITS, near), number, "{number} near {near}");
            }
        }
    }
    assert_eq!(expand(u64::MAX, OFFSET_BITS, u64::MAX), u64::MAX);
}
