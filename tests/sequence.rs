//! The accounts of a receiver, beside what an emulated link says that it did.

use std::{collections::BTreeSet, time::Duration};

use polyperf::measure::{DatagramCounts, DatagramHeader, Delays, LossRuns, Sequence, Window};
use polyperf_memory::link::{
    BitRate, Link, LinkConfig, LinkStats, Loss, Probability, QueueLimit, Script,
};

const COUNT: u64 = 20_000;
const SPACING: Duration = Duration::from_micros(10);
const LEN: usize = 100;

/// What came out of a link, and what a receiver made of it.
struct Run {
    truth: LinkStats,
    arrived: Vec<u64>,
    sequence: Sequence,
    delays: Delays,
}

/// Sends [`COUNT`] numbered datagrams over a link, evenly spaced, and receives what arrives.
fn run(config: LinkConfig) -> Run {
    let mut link = Link::new(config);
    let mut run = Run {
        truth: LinkStats::default(),
        arrived: Vec::new(),
        sequence: Sequence::new(0, Window::default()),
        delays: Delays::new(),
    };
    let mut now = Duration::ZERO;
    for number in 0..COUNT {
        run.receive(&mut link, now);
        let mut datagram = vec![0; LEN];
        DatagramHeader::stamp(&mut datagram, LEN, number, nanos(now));
        link.push(now, datagram);
        now += SPACING;
    }
    run.receive(&mut link, Duration::MAX);
    run.sequence.sent(COUNT);
    run.truth = link.stats();
    run
}

impl Run {
    fn receive(&mut self, link: &mut Link<Vec<u8>>, until: Duration) {
        while let Some(due) = link.next_deadline().filter(|due| *due <= until) {
            while let Some(datagram) = link.pop_due(due) {
                let header = DatagramHeader::read(&datagram).expect("the link alters nothing");
                self.arrived.push(header.sequence);
                self.sequence.observe(header.sequence);
                self.delays.observe(header.sent, nanos(due));
            }
        }
    }

    fn different(&self) -> u64 {
        self.arrived.iter().collect::<BTreeSet<_>>().len() as u64
    }

    /// Counts first copies that came after a higher number.
    fn overtaken(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let overtaken = |number: &&u64| {
            let highest = seen.last().copied();
            seen.insert(**number) && highest > Some(**number)
        };
        self.arrived.iter().filter(overtaken).count() as u64
    }

    fn counts(&self) -> DatagramCounts {
        self.sequence.counts()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a test is short")
}

fn perfect() -> LinkConfig {
    LinkConfig::perfect().delay(Duration::from_millis(5))
}

#[test]
fn chance_is_counted_to_the_packet() {
    for seed in 0..12 {
        let loss = match seed % 2 {
            0 => Loss::iid(Probability::new(0.05)),
            _ => Loss::bursts(Probability::new(0.1), 8.0),
        };
        let bad = perfect()
            .loss(loss)
            .duplicate(Probability::new(0.03))
            .reorder(Probability::new(0.04), Duration::from_millis(2))
            .jitter(Duration::from_micros(300))
            .seed(seed);
        let run = run(bad);
        let (counts, truth) = (run.counts(), run.truth);
        assert_eq!(counts.lost, truth.lost, "seed {seed}");
        assert_eq!(counts.duplicated, truth.duplicated, "seed {seed}");
        assert_eq!(counts.received, run.different(), "seed {seed}");
        assert_eq!(counts.reordered, run.overtaken(), "seed {seed}");
        assert_eq!(counts.received + counts.duplicated, truth.delivered, "seed {seed}");
        assert_eq!((counts.late, counts.strays), (0, 0), "seed {seed}");
        assert!(counts.lost > 0 && counts.reordered > 0 && counts.duplicated > 0, "seed {seed}");
    }
}

#[test]
fn a_script_is_counted_to_the_packet_and_to_the_very_end() {
    for tail in [0, 1, 63, 64, 5000] {
        let dropped = (100..110).chain([0, 7, 9, 4000]).chain(COUNT - tail..COUNT);
        let script = Script::new()
            .drop(dropped)
            .duplicate([1, 63, 64, 65, 5000])
            .delay([200, 300, 301], Duration::from_millis(1));
        let run = run(perfect().script(script));
        let counts = run.counts();
        assert_eq!((counts.expected, counts.lost), (COUNT, 14 + tail));
        assert_eq!(counts.lost, run.truth.lost_by_script);
        assert_eq!((counts.duplicated, counts.reordered), (5, run.truth.reordered));
        let runs = LossRuns { count: 5 + u64::from(tail > 0), longest: tail.max(10) };
        assert_eq!(run.sequence.loss_runs(), runs);
    }
}

#[test]
fn a_perfect_link_has_nothing_to_count_and_no_jitter() {
    let run = run(perfect());
    let counts = run.counts();
    assert_eq!((counts.received, counts.expected), (COUNT, COUNT));
    assert_eq!((counts.lost, counts.reordered, counts.duplicated), (0, 0, 0));
    assert_eq!(run.sequence.loss_runs(), LossRuns::default());
    assert_eq!(run.delays.jitter(), Some(Duration::ZERO));
    assert_eq!(run.delays.variation().map(|variation| variation.max), Some(Duration::ZERO));
}

#[test]
fn what_a_full_queue_drops_is_lost_and_what_it_holds_is_delay() {
    // A hundred bytes each 10 µs are 80 Mbit/s; half of that goes through.
    let run = run(perfect().rate(BitRate::mbps(40)).queue(QueueLimit::Packets(50)));
    assert_eq!(run.counts().lost, run.truth.dropped_by_queue);
    assert!(run.counts().lost > COUNT / 3, "{:?}", run.counts());
    let variation = run.delays.variation().expect("there were arrivals");
    let full = Duration::from_micros(50 * 20);
    assert!(variation.max.abs_diff(full) <= 2 * SPACING * 2, "{variation:?}");
    assert!(variation.p50 > full / 2 && variation.p50 <= variation.p99, "{variation:?}");
}

#[test]
fn an_outage_is_lost_in_one_run() {
    let script = Script::new().drop(1000..12_000);
    let run = run(perfect().script(script));
    assert_eq!(run.counts().lost, run.truth.lost_by_script);
    assert_eq!(run.sequence.loss_runs(), LossRuns { count: 1, longest: 11_000 });
    assert_eq!((run.counts().reordered, run.counts().strays), (0, 0));
}
