//! CoDel against RFC 8289, and marks.

use std::{collections::BTreeMap, time::Duration};

use polyperf_memory::link::{Aqm, BitRate, Cause, CoDel, Link, LinkConfig, Packet, QueueLimit};

use super::{ms, packet};

#[test]
fn drops_come_at_the_times_of_the_control_law() {
    let mut link = Link::new(codel(CoDel::new())).keep_lost();
    for _ in 0..2000 {
        link.push(ms(0), packet(0, 1250));
    }
    // A packet leaves each millisecond. From 5 ms on the wait is above the target, from 105 ms on
    // for an interval. Then 105 + 100, + 100/√2 = 275.7, + 100/√3 = 333.4, + 100/√4 = 383.4 and so
    // on, each at the first packet that leaves from there on.
    let expected = [105, 205, 276, 334, 384, 429, 469, 507, 543, 576];
    let dropped = drop_times(&mut link);
    assert_eq!(dropped[..10], expected.map(ms));
    assert_eq!(link.stats().dropped_by_aqm, dropped.len() as u64);
}

#[test]
fn marks_come_at_the_same_times_as_drops_would() {
    let mut link = Link::new(codel(CoDel::new().with_ecn())).keep_lost();
    for _ in 0..2000 {
        link.push(ms(0), Markable::new(true));
    }
    let mut marked = Vec::new();
    while let Some(at) = link.next_deadline() {
        // It leaves a millisecond after its turn has come.
        marked.extend(link.pop(at).filter(|next| next.packet.marked).map(|_| at - ms(1)));
    }
    assert_eq!(marked[..6], [105, 205, 276, 334, 384, 429].map(ms));
    let stats = link.stats();
    assert_eq!((stats.marked, stats.gone(), stats.delivered), (marked.len() as u64, 0, 2000));
}

#[test]
fn what_takes_no_marks_is_dropped_among_what_does() {
    let mut link = Link::new(codel(CoDel::new().with_ecn()));
    for _ in 0..2000 {
        link.push(ms(0), Markable::new(false));
    }
    while let Some(at) = link.next_deadline() {
        assert!(link.pop(at).is_none_or(|next| !next.packet.marked));
    }
    assert!(link.stats().dropped_by_aqm > 20 && link.stats().marked == 0, "{:?}", link.stats());
}

#[test]
fn a_short_wait_within_the_interval_forgives_what_was_before() {
    let mut link = Link::new(codel(CoDel::new())).keep_lost();
    // 60 packets wait up to 60 ms, which ends before the interval does; again and again.
    for round in 0..20 {
        let now = ms(100 * round);
        while link.pop(now).is_some() {}
        (0..60).for_each(|_| link.push(now, packet(0, 1250)));
    }
    assert_eq!(drop_times(&mut link), []);
}

#[test]
fn a_backlog_of_one_packet_is_never_dropped() {
    // At 100 kbit/s a packet takes 100 ms, far beyond the target.
    let config = codel(CoDel::new()).rate(BitRate::new(100_000).expect("more than none"));
    let mut link = Link::new(config);
    for number in 0..100 {
        let now = ms(100 * number);
        while link.pop(now).is_some() {}
        link.push(now, packet(0, 1250));
        if number == 0 {
            link.push(now, packet(0, 1250));
        }
    }
    assert_eq!(link.stats().gone(), 0);
}

#[test]
fn dropping_goes_on_where_it_stopped_if_that_was_not_long_ago() {
    let mut link = Link::new(codel(CoDel::new())).keep_lost();
    (0..700).for_each(|_| link.push(ms(0), packet(0, 1250)));
    let before = drop_times(&mut link).len();
    assert!(before > 5);
    // The backlog is gone by about 690 ms; the next begins at 800.
    (0..700).for_each(|_| link.push(ms(800), packet(0, 1250)));
    let again = drop_times(&mut link);
    // Above the target from 805 on, so for an interval at 905. `count` starts with what it had
    // grown by, which is all drops but the first.
    let second = 905.0 + 100.0 / ((before - 1) as f64).sqrt();
    assert_eq!(again[0], ms(905));
    // It comes with the first packet from then on, and one leaves each millisecond.
    let late = again[1].as_secs_f64() * 1e3 - second;
    assert!((0.0..1.0).contains(&late), "{again:?}");
}

#[test]
fn the_wait_of_a_greedy_sender_is_held_near_the_target() {
    let full = Greedy::run(Aqm::Off);
    let short = Greedy::run(Aqm::CoDel(CoDel::new()));
    let marked = Greedy::run(Aqm::CoDel(CoDel::new().with_ecn()));
    assert!(full.wait(95) > ms(150), "{:?}", full.wait(95));
    for run in [&short, &marked] {
        assert!(run.wait(50) < ms(15) && run.wait(95) < ms(25), "{:?}", run.wait(95));
        // 10 Mbit/s for 60 seconds, of which the beginning is idle.
        assert!(run.waits.len() > 54_000, "{}", run.waits.len());
    }
    assert!(short.link.stats().dropped_by_aqm > 0 && short.link.stats().marked == 0);
    assert!(marked.link.stats().gone() == 0 && marked.link.stats().marked > 0);
}

#[test]
fn a_queue_beyond_its_threshold_marks_what_comes() {
    let config = LinkConfig::perfect()
        .rate(BitRate::mbps(10))
        .queue(QueueLimit::Packets(10))
        .aqm(Aqm::MarkAbove(4));
    let mut link = Link::new(config);
    for number in 0..14 {
        link.push(ms(0), Markable::new(number % 2 == 0));
    }
    // One is being sent, and the next five find up to four before them; ten may wait.
    let marked: Vec<_> =
        std::iter::from_fn(|| link.pop(ms(50))).map(|next| next.packet.marked).collect();
    let expected = (0..11).map(|number| number > 5 && number % 2 == 0).collect::<Vec<_>>();
    assert_eq!(marked, expected);
    assert_eq!((link.stats().marked, link.stats().dropped_by_queue), (3, 3));
}

/// A sender of TCP Reno's kind: adds a packet per round trip, and halves when told to.
struct Greedy {
    link: Link<Markable>,
    window: f64,
    under_way: u32,
    /// What the sender will learn, and when: whether it is to slow down.
    news: BTreeMap<(Duration, u64), bool>,
    told: u64,
    deaf_until: Duration,
    waits: Vec<Duration>,
}

impl Greedy {
    /// Runs for a minute over 10 Mbit/s, 20 ms there and back, and a buffer of 200 ms.
    fn run(aqm: Aqm) -> Self {
        let config = LinkConfig::perfect()
            .rate(BitRate::mbps(10))
            .queue(QueueLimit::Time(ms(200)))
            .aqm(aqm)
            .delay(ms(10));
        let mut greedy = Self {
            link: Link::new(config).keep_lost(),
            window: 10.0,
            under_way: 0,
            news: BTreeMap::new(),
            told: 0,
            deaf_until: Duration::ZERO,
            waits: Vec::new(),
        };
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(60) {
            greedy.step(now);
            let news = greedy.news.keys().next().map(|(at, _)| *at);
            let next = [greedy.link.next_deadline(), news].into_iter().flatten().min();
            now = next.expect("something is under way");
        }
        greedy
    }

    fn step(&mut self, now: Duration) {
        while let Some(next) = self.link.pop(now) {
            self.waits.push(next.queued);
            self.tell(next.due + ms(10), next.packet.marked);
        }
        while self.link.take_lost().is_some() {
            self.tell(now + ms(20), true);
        }
        while let Some(first) = self.news.first_entry().filter(|first| first.key().0 <= now) {
            let slow_down = first.remove();
            self.learn(now, slow_down);
        }
        while f64::from(self.under_way) < self.window.floor() {
            self.under_way += 1;
            self.link.push(now, Markable::new(true));
        }
        while self.link.take_lost().is_some() {
            self.tell(now + ms(20), true);
        }
    }

    fn tell(&mut self, at: Duration, slow_down: bool) {
        self.told += 1;
        self.news.insert((at, self.told), slow_down);
    }

    fn learn(&mut self, now: Duration, slow_down: bool) {
        self.under_way -= 1;
        if !slow_down {
            self.window += 1.0 / self.window;
        } else if now >= self.deaf_until {
            self.window = (self.window / 2.0).max(2.0);
            // One round trip hears of one congestion.
            self.deaf_until = now + ms(20) + self.waits.last().copied().unwrap_or_default();
        }
    }

    /// Returns what so many percent of packets waited at most, in the second half.
    fn wait(&self, percent: usize) -> Duration {
        let mut waits = self.waits[self.waits.len() / 2..].to_vec();
        waits.sort_unstable();
        waits[waits.len() * percent / 100]
    }
}

/// Returns when the queue's management drops, going from deadline to deadline.
fn drop_times(link: &mut Link<Vec<u8>>) -> Vec<Duration> {
    let mut times = Vec::new();
    while let Some(at) = link.next_deadline() {
        link.pop(at);
        while let Some((_, cause)) = link.take_lost() {
            assert_eq!(cause, Cause::Aqm);
            times.push(at);
        }
    }
    times
}

fn codel(codel: CoDel) -> LinkConfig {
    LinkConfig::perfect().rate(BitRate::mbps(10)).aqm(Aqm::CoDel(codel))
}

/// A packet of 1250 bytes that may take marks.
#[derive(Debug, Clone)]
struct Markable {
    takes_marks: bool,
    marked: bool,
}

impl Markable {
    fn new(takes_marks: bool) -> Self {
        Self { takes_marks, marked: false }
    }
}

impl Packet for Markable {
    fn wire_len(&self) -> usize {
        1250
    }

    fn mark(&mut self) -> bool {
        self.marked = self.takes_marks;
        self.takes_marks
    }
}
