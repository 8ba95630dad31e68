//! A path in virtual time: a paced sender, one bottleneck with a queue that drops its tail, wires that
//! lose at random, and a receiver that acknowledges every second packet.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use super::{Ack, Bbr, Controller, Lost, Marked, RateSample, Sent};

/// Bytes of each packet.
pub(super) const PACKET: u64 = 1500;

const ACK_DELAY: u64 = 5_000_000;
const REORDER: u64 = 3;

/// What the path and the application are like; times in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) seed: u64,
    /// Bits per second, from a time on.
    pub(super) rates: Vec<(Duration, u64)>,
    pub(super) one_way: Duration,
    /// What the queue of the bottleneck holds.
    pub(super) queue: u64,
    /// Of a million packets.
    pub(super) lost_ppm: u64,
    /// Marks instead of dropping where the queue is this long.
    pub(super) marks_above: u64,
    /// When the application has nothing to send.
    pub(super) idle: Option<(Duration, Duration)>,
}

impl Path {
    /// A link of 100 Mbit/s with a round trip of 50 ms and a queue of one product of both.
    pub(super) fn new() -> Self {
        Self {
            seed: 1,
            rates: vec![(Duration::ZERO, 100_000_000)],
            one_way: Duration::from_millis(25),
            queue: 625_000,
            lost_ppm: 0,
            marks_above: u64::MAX,
            idle: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { packet: u64, marked: bool },
    AckTimer { packet: u64 },
    AckArrives { ack: usize },
    Send,
    Timeout,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    sent: u64,
    delivered: u64,
    delivered_time: u64,
    first_sent: u64,
    tx_in_flight: u64,
    lost: u64,
    app_limited: bool,
}

/// What happened, by the time at which it did.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The states, each with when it began.
    pub(super) states: Vec<(Duration, &'static str)>,
    /// Each acknowledgement: its time, all bytes delivered, those under way, and the window.
    pub(super) acks: Vec<(Duration, u64, u64, u64)>,
    /// Each packet that went through the queue: when it came, and how long it waited.
    pub(super) waits: Vec<(Duration, Duration)>,
    /// When the queue was full.
    pub(super) drops: Vec<Duration>,
    pub(super) sent: u64,
}

impl Log {
    /// Returns the bytes that were delivered by `time`.
    fn delivered_by(&self, time: Duration) -> u64 {
        let after = self.acks.partition_point(|ack| ack.0 <= time);
        after.checked_sub(1).map_or(0, |last| self.acks[last].1)
    }

    /// Returns the goodput between two times, in Mbit/s.
    #[allow(clippy::cast_precision_loss, reason = "bytes of seconds")]
    pub(super) fn goodput(&self, from: u64, to: u64) -> f64 {
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
        let bytes = self.delivered_by(to) - self.delivered_by(from);
        bytes as f64 * 8e-6 / (to - from).as_secs_f64()
    }

    /// Returns the mean time in the queue between two times, in milliseconds.
    pub(super) fn mean_wait(&self, from: u64, to: u64) -> f64 {
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
        let waits = self.waits.iter().filter(|wait| wait.0 >= from && wait.0 < to);
        let (sum, count) = waits.fold((0.0, 0u32), |(sum, n), w| (sum + w.1.as_secs_f64(), n + 1));
        sum * 1e3 / f64::from(count.max(1))
    }

    /// Returns when `state` began, each time.
    pub(super) fn entered(&self, state: &str) -> Vec<Duration> {
        self.states.iter().filter(|entry| entry.1 == state).map(|entry| entry.0).collect()
    }
}

/// A sender and a receiver with a path between.
#[derive(Debug)]
pub(super) struct Sim {
    pub(super) bbr: Bbr,
    pub(super) log: Log,
    path: Path,
    now: u64,
    random: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,

    next: u64,
    outstanding: BTreeMap<u64, Packet>,
    in_flight: u64,
    delivered: u64,
    delivered_time: u64,
    first_sent: u64,
    lost: u64,
    app_limited_until: u64,
    largest_acked: u64,
    next_send: u64,
    send_armed: bool,
    waiting: bool,
    smoothed_rtt: u64,
    min_rtt: u64,
    progress: u64,

    busy_until: u64,
    received: Vec<u64>,
    received_at: u64,
    marked: u64,
    acks: Vec<(Vec<u64>, u64, u64)>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

impl Sim {
    pub(super) fn new(path: Path) -> Self {
        let mut sim = Self {
            bbr: Bbr::new(PACKET, path.seed),
            log: Log::default(),
            now: 0,
            random: path.seed,
            path,
            events: BinaryHeap::new(),
            sequence: 0,
            next: 0,
            outstanding: BTreeMap::new(),
            in_flight: 0,
            delivered: 0,
            delivered_time: 0,
            first_sent: 0,
            lost: 0,
            app_limited_until: 0,
            largest_acked: 0,
            next_send: 0,
            send_armed: false,
            waiting: false,
            smoothed_rtt: 0,
            min_rtt: u64::MAX,
            progress: 0,
            busy_until: 0,
            received: Vec::new(),
            received_at: 0,
            marked: 0,
            acks: Vec::new(),
        };
        sim.note_state();
        if let Some((_, until)) = sim.path.idle {
            sim.at(nanos(until), Event::Send);
        }
        sim.at(0, Event::Send);
        sim.at(1_000_000_000, Event::Timeout);
        sim
    }

    /// Runs until `millis` of virtual time have passed since the beginning.
    pub(super) fn run(&mut self, millis: u64) -> &mut Self {
        let end = millis * 1_000_000;
        while let Some(Reverse((time, _, event))) = self.events.peek().copied() {
            if time > end {
                break;
            }
            self.events.pop();
            self.now = time;
            self.handle(event);
            self.note_state();
        }
        self.now = end;
        self
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    fn note_state(&mut self) {
        let state = self.bbr.state();
        if self.log.states.last().is_none_or(|last| last.1 != state) {
            self.log.states.push((self.now(), state));
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn chance(&mut self, ppm: u64) -> bool {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % 1_000_000 < ppm
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Send => {
                self.send_armed = false;
                self.send();
            }
            Event::Arrives { packet, marked } => self.arrives(packet, marked),
            Event::AckTimer { packet } => {
                if self.received.first() == Some(&packet) {
                    self.acknowledge();
                }
            }
            Event::AckArrives { ack } => {
                self.ack_arrives(ack);
                self.send();
            }
            Event::Timeout => {
                self.timeout();
                self.send();
            }
        }
    }

    /// Sends what the window and the rate permit, and wakes for what the rate does not yet.
    fn send(&mut self) {
        while self.in_flight + PACKET <= self.bbr.window() {
            if self.next_send > self.now {
                self.waiting = true;
                if !self.send_armed {
                    self.send_armed = true;
                    self.at(self.next_send, Event::Send);
                }
                return;
            }
            let now = self.now();
            if self.path.idle.is_some_and(|(from, until)| now >= from && now < until) {
                self.waiting = false;
                self.app_limited_until = (self.delivered + self.in_flight).max(1);
                return;
            }
            self.send_one();
        }
        self.waiting = true;
    }

    fn send_one(&mut self) {
        if self.in_flight == 0 {
            self.first_sent = self.now;
            self.delivered_time = self.now;
        }
        self.bbr.on_sent(&Sent {
            now: self.now(),
            packet: self.next,
            bytes: PACKET,
            in_flight: self.in_flight,
            idle: self.in_flight == 0 && !self.waiting,
            app_limited: self.app_limited_until > 0,
        });
        self.in_flight += PACKET;
        let packet = Packet {
            sent: self.now,
            delivered: self.delivered,
            delivered_time: self.delivered_time,
            first_sent: self.first_sent,
            tx_in_flight: self.in_flight,
            lost: self.lost,
            app_limited: self.app_limited_until > 0,
        };
        self.outstanding.insert(self.next, packet);
        self.enqueue(self.next);
        self.next += 1;
        self.log.sent += 1;
        self.waiting = true;
        self.next_send =
            self.now.max(self.next_send) + PACKET * 1_000_000_000 / self.bbr.pacing_rate().unwrap();
    }

    fn bottleneck(&self) -> u64 {
        let now = self.now();
        self.path.rates.iter().rev().find(|rate| rate.0 <= now).unwrap().1
    }

    fn enqueue(&mut self, packet: u64) {
        let rate = self.bottleneck();
        let wait = self.busy_until.saturating_sub(self.now);
        let queued = wait * (rate / 1000) / 8_000_000;
        if queued + PACKET > self.path.queue {
            self.log.drops.push(self.now());
            return;
        }
        self.log.waits.push((self.now(), Duration::from_nanos(wait)));
        self.busy_until = self.busy_until.max(self.now) + PACKET * 8_000_000_000 / rate;
        if !self.chance(self.path.lost_ppm) {
            let marked = queued > self.path.marks_above;
            let time = self.busy_until + nanos(self.path.one_way);
            self.at(time, Event::Arrives { packet, marked });
        }
    }

    fn arrives(&mut self, packet: u64, marked: bool) {
        self.marked += u64::from(marked);
        self.received.push(packet);
        self.received_at = self.now;
        if self.received.len() >= 2 {
            self.acknowledge();
        } else {
            self.at(self.now + ACK_DELAY, Event::AckTimer { packet });
        }
    }

    fn acknowledge(&mut self) {
        let waited = self.now - self.received_at;
        let marked = std::mem::take(&mut self.marked);
        self.acks.push((std::mem::take(&mut self.received), waited, marked));
        let ack = self.acks.len() - 1;
        self.at(self.now + nanos(self.path.one_way), Event::AckArrives { ack });
    }

    fn ack_arrives(&mut self, ack: usize) {
        let (packets, waited, marks) = std::mem::take(&mut self.acks[ack]);
        let prior_in_flight = self.in_flight;
        let found = packets.iter().filter_map(|&n| Some((n, self.outstanding.remove(&n)?)));
        let newly: Vec<(u64, Packet)> = found.collect();
        let Some(&(largest, newest)) = newly.last() else { return };
        let acked = newly.len() as u64 * PACKET;
        self.progress = self.now;
        self.in_flight -= acked;
        self.delivered += acked;
        self.delivered_time = self.now;
        self.first_sent = newest.sent;
        self.largest_acked = self.largest_acked.max(largest);
        let rtt = self.now - newest.sent - waited;
        self.min_rtt = self.min_rtt.min(rtt);
        self.smoothed_rtt =
            if self.smoothed_rtt == 0 { rtt } else { (self.smoothed_rtt * 7 + rtt) / 8 };
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let lost = self.detect_lost(self.largest_acked.saturating_sub(REORDER - 1));
        if marks > 0 {
            self.bbr.on_marked(&Marked {
                now: self.now(),
                packets: marks,
                sent: Duration::from_nanos(newest.sent),
                in_flight: self.in_flight,
            });
        }
        let sample = self.sample(&newest);
        self.bbr.on_ack(&Ack {
            now: self.now(),
            acked,
            lost,
            prior_in_flight,
            in_flight: self.in_flight,
            delivered: self.delivered,
            largest,
            largest_sent: Duration::from_nanos(newest.sent),
            next: self.next,
            rtt: Some(Duration::from_nanos(rtt)),
            smoothed_rtt: Duration::from_nanos(self.smoothed_rtt),
            min_rtt: Duration::from_nanos(self.min_rtt),
            limited: self.waiting,
            sample: Some(sample),
        });
        self.log.acks.push((self.now(), self.delivered, self.in_flight, self.bbr.window()));
    }

    /// Measures as "Delivery Rate Samples" does.
    fn sample(&self, newest: &Packet) -> RateSample {
        let send_elapsed = newest.sent - newest.first_sent;
        let ack_elapsed = self.now - newest.delivered_time;
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - newest.delivered;
        RateSample {
            delivery_rate: (interval >= self.min_rtt).then(|| delivered * 1_000_000_000 / interval),
            app_limited: newest.app_limited,
            delivered,
            prior_delivered: newest.delivered,
            tx_in_flight: newest.tx_in_flight,
            lost: self.lost - newest.lost,
        }
    }

    /// Gives up what was sent before `below`.
    fn detect_lost(&mut self, below: u64) -> u64 {
        let mut bytes = 0;
        while let Some((&number, &packet)) = self.outstanding.first_key_value() {
            if number >= below {
                break;
            }
            self.outstanding.remove(&number);
            self.in_flight -= PACKET;
            self.lost += PACKET;
            bytes += PACKET;
            self.bbr.on_lost(&Lost {
                now: self.now(),
                packet: number,
                bytes: PACKET,
                sent: Duration::from_nanos(packet.sent),
                next: self.next,
                in_flight: self.in_flight,
                tx_in_flight: packet.tx_in_flight,
                lost_since: self.lost - packet.lost,
                delivered: self.delivered,
                app_limited: packet.app_limited,
            });
        }
        bytes
    }

    fn timeout(&mut self) {
        let patience = 50_000_000 + 3 * self.smoothed_rtt.max(100_000_000);
        if self.in_flight > 0 && self.now > self.progress + patience {
            self.detect_lost(u64::MAX);
            self.progress = self.now;
        }
        self.at(self.now + 50_000_000, Event::Timeout);
    }
}
