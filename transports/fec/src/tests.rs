use polyperf_socket::Output;

use super::*;

fn config(data: u8, parity: u8) -> FecConfig {
    FecConfig::new(NonZeroU8::new(data).unwrap(), NonZeroU8::new(parity).unwrap()).unwrap()
}

/// Returns datagrams of these lengths, which have room for a header.
fn plain(lens: impl IntoIterator<Item = usize>) -> Output {
    let mut plain = Output::default();
    for (index, len) in lens.into_iter().enumerate() {
        let byte = u8::try_from(index % 251).unwrap();
        plain.push_whole([&[0; HEADER], &vec![byte.wrapping_mul(7).wrapping_add(1); len]]);
    }
    plain
}

fn encoded(encoder: &mut Encoder, mut plain: Output) -> (Vec<Vec<u8>>, FecStats) {
    let (mut output, mut stats) = (Output::default(), FecStats::default());
    encoder.encode(&mut plain, &mut output, &mut stats);
    (output.datagrams().map(<[u8]>::to_vec).collect(), stats)
}

/// Returns what is rebuilt when just these datagrams arrive.
fn decoded<'a>(
    decoder: &mut Decoder,
    datagrams: impl IntoIterator<Item = &'a Vec<u8>>,
) -> (Vec<Vec<u8>>, FecStats) {
    let (mut rebuilt, mut stats) = (Vec::new(), FecStats::default());
    for datagram in datagrams {
        let framed = Framed::parse(datagram).unwrap();
        decoder.take(&framed, &mut stats, |bytes| {
            rebuilt.push(bytes.to_vec());
            true
        });
    }
    (rebuilt, stats)
}

#[test]
fn a_header_is_that_of_kcp_go() {
    // As captured: a datagram of 1400 bytes with a segment of 1368.
    let (datagrams, _) = encoded(&mut Encoder::new(config(10, 3)), plain([24 + 1368]));
    assert_eq!(datagrams[0].len(), 1400);
    assert_eq!(datagrams[0][..8], [0, 0, 0, 0, 0xF1, 0, 0x72, 0x05]);
    assert_eq!(u16::from_le_bytes([0x72, 0x05]), 1394);
}

#[test]
fn parity_follows_each_group_and_is_as_long_as_its_longest() {
    let mut encoder = Encoder::new(config(3, 2));
    let (datagrams, stats) = encoded(&mut encoder, plain([100, 30, 60, 10]));
    let lens: Vec<_> = datagrams.iter().map(Vec::len).collect();
    assert_eq!(lens, [108, 38, 68, 108, 108, 18]);
    let kinds: Vec<_> = datagrams.iter().map(|datagram| datagram[4]).collect();
    assert_eq!(kinds, [0xF1, 0xF1, 0xF1, 0xF2, 0xF2, 0xF1]);
    assert!(datagrams.iter().zip(0..).all(|(datagram, seqid)| datagram[0] == seqid));
    assert_eq!((stats.parity_sent, stats.parity_bytes_sent), (2, 216));
}

#[test]
fn whatever_is_lost_is_rebuilt_as_long_as_enough_is_left() {
    for (data, parity) in [(10, 3), (4, 2), (1, 1), (70, 30)] {
        let lens = (0..usize::from(data)).map(|index| 24 + index * 13 % 700);
        let (datagrams, _) = encoded(&mut Encoder::new(config(data, parity)), plain(lens));
        // Every place is lost now and then, also of a group too large to go through them all.
        for first in (0..datagrams.len()).step_by(1 + usize::from(data) / 6) {
            let size = datagrams.len();
            let lost: Vec<_> = (0..usize::from(parity)).map(|at| (first + at * 3) % size).collect();
            let came = (0..size).filter(|at| !lost.contains(at)).map(|at| &datagrams[at]);
            let mut decoder = Decoder::new(config(data, parity), 1494);
            let (rebuilt, stats) = decoded(&mut decoder, came);
            let mut expected: Vec<_> =
                lost.iter().filter(|&&at| at < usize::from(data)).copied().collect();
            expected.sort_unstable();
            expected.dedup();
            let expected: Vec<_> = expected.iter().map(|&at| datagrams[at][8..].to_vec()).collect();
            assert_eq!(rebuilt, expected, "{data}:{parity} without {lost:?}");
            assert_eq!(stats.recovered, expected.len() as u64);
            assert_eq!((stats.unrecoverable, stats.malformed), (0, 0));
        }
    }
}

#[test]
fn what_is_missing_for_good_is_counted_when_its_group_is_given_up() {
    let (datagrams, _) = encoded(&mut Encoder::new(config(2, 1)), plain([50; 40]));
    let mut decoder = Decoder::new(config(2, 1), 1494);
    // Of the second group, one of data alone, and of the seventh nothing.
    let came = datagrams.iter().enumerate().filter(|(at, _)| ![4, 5, 18, 19, 20].contains(at));
    let (rebuilt, stats) = decoded(&mut decoder, came.map(|(_, datagram)| datagram));
    assert!(rebuilt.is_empty());
    assert_eq!((stats.unrecoverable, stats.recovered), (1 + 2, 0));
}

#[test]
fn a_long_gap_counts_what_was_in_it() {
    let (datagrams, _) = encoded(&mut Encoder::new(config(2, 1)), plain([50; 40]));
    let mut decoder = Decoder::new(config(2, 1), 1494);
    let (_, stats) = decoded(&mut decoder, datagrams[..3].iter().chain(&datagrams[27..]));
    assert_eq!(stats.unrecoverable, 2 * 8);
}

#[test]
fn numbers_begin_anew_behind_the_last_group() {
    let config = config(10, 3);
    let last = (config.groups() - 1) * 13;
    assert_eq!(u64::from(last) + 13, 0xFFFF_FFFF_u64 / 13 * 13);
    let (datagrams, _) = encoded(&mut Encoder::new(config).starting_at(last), plain([60; 20]));
    let seqid = |at: usize| Framed::parse(&datagrams[at]).unwrap().seqid;
    assert_eq!((seqid(0), seqid(12), seqid(13)), (last, last + 12, 0));
    let mut decoder = Decoder::new(config, 1494);
    let came = datagrams.iter().enumerate().filter(|(at, _)| ![3, 16].contains(at));
    let (rebuilt, stats) = decoded(&mut decoder, came.map(|(_, datagram)| datagram));
    assert_eq!((rebuilt.len(), stats.recovered, stats.unrecoverable), (2, 2, 0));
}

#[test]
fn a_number_from_anywhere_costs_the_groups_under_way_and_no_others() {
    let (datagrams, _) = encoded(&mut Encoder::new(config(2, 1)), plain([50; 40]));
    for number in [2000, 1 << 29, 1 << 30, u32::MAX / 3 - 1100] {
        let mut stray = datagrams[0].clone();
        stray[..4].copy_from_slice(&(number * 3).to_le_bytes());
        let mut decoder = Decoder::new(config(2, 1), 1494);
        let (rebuilt, _) = decoded(&mut decoder, [&datagrams[0], &stray]);
        assert!(rebuilt.is_empty());
        // One of each group does not arrive.
        let came = datagrams[6..].iter().enumerate().filter(|(at, _)| at % 3 != 1);
        let (rebuilt, stats) = decoded(&mut decoder, came.map(|(_, datagram)| datagram));
        assert_eq!((rebuilt.len(), stats.recovered), (18, 18), "with {number}");
        assert_eq!(stats.unrecoverable, 0, "with {number}");
    }
}

#[test]
fn an_overtaken_group_is_still_rebuilt() {
    let (datagrams, _) = encoded(&mut Encoder::new(config(4, 2)), plain([60; 12]));
    let mut decoder = Decoder::new(config(4, 2), 1494);
    // The first group's parity comes behind the third group.
    let order = [0, 1, 2].into_iter().chain(6..18).chain([4]);
    let (rebuilt, stats) = decoded(&mut decoder, order.map(|at| &datagrams[at]));
    assert_eq!((rebuilt.len(), stats.recovered), (1, 1));
}

#[test]
fn lying_lengths_are_dropped_and_counted() {
    let (datagrams, _) = encoded(&mut Encoder::new(config(2, 1)), plain([50, 50]));
    let short = datagrams[2][..20].to_vec();
    let (rebuilt, stats) = decoded(&mut Decoder::new(config(2, 1), 1494), [&datagrams[0], &short]);
    assert_eq!((rebuilt.len(), stats.malformed, stats.unrecoverable), (0, 1, 1));

    let long = [&datagrams[2][..], &[9; 2000]].concat();
    let (rebuilt, stats) = decoded(&mut Decoder::new(config(2, 1), 1494), [&datagrams[0], &long]);
    assert_eq!((rebuilt.len(), stats.malformed), (0, 1));

    // Parity of nonsense, from which nonsense is rebuilt.
    let mut nonsense = datagrams[2].clone();
    nonsense[6..8].copy_from_slice(&[0xFF, 0xFF]);
    let (_, stats) = decoded(&mut Decoder::new(config(2, 1), 1494), [&datagrams[0], &nonsense]);
    assert_eq!(stats.malformed, 1);

    // Parity where data belongs.
    let mut misplaced = datagrams[0].clone();
    misplaced[4] = 0xF2;
    let (_, stats) = decoded(&mut Decoder::new(config(2, 1), 1494), [&misplaced]);
    assert_eq!(stats.malformed, 1);
    assert_eq!(payload(&[1, 0, 7]), None, "shorter than the length itself");
    assert_eq!(payload(&[9, 0, 7]), None, "longer than what is there");
    assert_eq!(payload(&[7]), None);
}

#[test]
fn whatever_comes_nothing_breaks_and_little_is_kept() {
    let mut state = 1_u64;
    let mut roll = move |sides: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let mut decoder = Decoder::new(config(3, 2), 1494);
    let (datagrams, _) =
        encoded(&mut Encoder::new(config(3, 2)), plain((0..300).map(|len| len % 90)));
    for _ in 0..50_000 {
        let at = usize::try_from(roll(datagrams.len() as u64)).unwrap();
        let mut datagram = datagrams[at].clone();
        for _ in 0..roll(3) {
            let at = usize::try_from(roll(datagram.len() as u64)).unwrap();
            datagram[at] = u8::try_from(roll(256)).unwrap();
        }
        datagram.truncate(usize::try_from(roll(datagram.len() as u64 + 1)).unwrap());
        if let Some(framed) = Framed::parse(&datagram) {
            decoder.take(&framed, &mut FecStats::default(), |rebuilt| {
                assert!(rebuilt.len() < 1494);
                true
            });
        }
    }
}

#[test]
fn a_group_is_written_as_it_is_read_and_has_255_at_most() {
    assert_eq!("10:3".parse(), Ok(config(10, 3)));
    assert_eq!(config(10, 3).to_string(), "10:3");
    for text in ["10", "10:", "0:3", "10:0", "10:3:1", "ten:3", "300:1", "-1:2"] {
        assert_eq!(text.parse::<FecConfig>(), Err(FecError::Syntax(text.to_owned())));
    }
    assert!(matches!("250:10".parse::<FecConfig>(), Err(FecError::TooMany { .. })));
}
