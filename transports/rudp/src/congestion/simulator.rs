//! A small simulation of flows through one bottleneck, in virtual time, for the tests.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the numbers of the tests are small"
)]

use super::{Ack, Controller, Lost, Marked, RateSample, Sent, Spurious};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

/// The length of each packet.
pub(crate) const PACKET: u64 = 1_472;

/// The receiver waits at most this long before it acknowledges.
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// A packet is lost if one was acknowledged that was sent so many later.
const PACKET_THRESHOLD: u64 = 3;

/// So many timeouts in a row are persistent congestion.
const PERSISTENT: u32 = 3;

/// A generator of random numbers (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns one below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns whether something of probability `p` happens.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        ((self.next() >> 11) as f64) < p * (1u64 << 53) as f64
    }
}

/// A path that all flows share.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// The rate of the bottleneck in bytes per second, if it has one.
    pub(crate) rate: Option<u64>,
    /// The round trip without the queue.
    pub(crate) rtt: Duration,
    /// The bytes that the queue of the bottleneck takes.
    pub(crate) queue: u64,
    /// The probability that a packet is lost before the bottleneck.
    pub(crate) loss: f64,
}

/// A sender and its receiver.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) controller: Box<dyn Controller>,
    pub(crate) sent_bytes: u64,
    pub(crate) delivered: u64,
    pub(crate) lost_packets: u64,
    pub(crate) spurious: u64,
    pub(crate) persistent: u64,
    pub(crate) in_flight: u64,
    pub(crate) smoothed_rtt: Option<Duration>,
    /// The numbers of packets that the network drops.
    pub(crate) drop: BTreeSet<u64>,
    /// The bytes per second that the application has, if they are limited.
    pub(crate) application: Option<u64>,
    start: Duration,
    produced_before: u64,
    next: u64,
    outstanding: BTreeMap<u64, Packet>,
    given_up: BTreeMap<u64, (Packet, Duration)>,
    largest_acked: Option<u64>,
    lost: u64,
    delivered_time: Duration,
    first_sent: Duration,
    app_limited: bool,
    blocked: bool,
    rtt_variation: Duration,
    min_rtt: Duration,
    next_send: Duration,
    wake: Option<Duration>,
    timeout: u64,
    timeouts: u32,
    received: Vec<u64>,
    largest_received: Option<(u64, Duration)>,
    ack_timer: u64,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    sent: Duration,
    tx_in_flight: u64,
    delivered: u64,
    delivered_time: Duration,
    first_sent: Duration,
    lost: u64,
    app_limited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake,
    Arrival(u64),
    AckTimer(u64),
    Ack { packets: Vec<u64>, delay: Duration },
    Timeout(u64),
}

/// Flows through one path.
#[derive(Debug)]
pub(crate) struct Simulator {
    pub(crate) path: Path,
    pub(crate) now: Duration,
    /// How many packets the queue had no room for.
    pub(crate) overflows: u64,
    flows: Vec<Flow>,
    queue: BinaryHeap<Reverse<(Duration, u64, usize, Event)>>,
    sequence: u64,
    busy_until: Duration,
    random: Random,
}

impl Simulator {
    pub(crate) fn new(path: Path, seed: u64) -> Self {
        Self {
            path,
            now: Duration::ZERO,
            overflows: 0,
            flows: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            busy_until: Duration::ZERO,
            random: Random::new(seed),
        }
    }

    /// Adds a flow that starts at `start` and sends without end, or what the application makes.
    pub(crate) fn add(
        &mut self,
        controller: Box<dyn Controller>,
        start: Duration,
        application: Option<u64>,
    ) -> usize {
        self.flows.push(Flow {
            controller,
            sent_bytes: 0,
            delivered: 0,
            lost_packets: 0,
            spurious: 0,
            persistent: 0,
            in_flight: 0,
            smoothed_rtt: None,
            drop: BTreeSet::new(),
            application,
            start,
            produced_before: 0,
            next: 0,
            outstanding: BTreeMap::new(),
            given_up: BTreeMap::new(),
            largest_acked: None,
            lost: 0,
            delivered_time: start,
            first_sent: start,
            app_limited: false,
            blocked: false,
            rtt_variation: Duration::ZERO,
            min_rtt: Duration::MAX,
            next_send: start,
            wake: Some(start),
            timeout: 0,
            timeouts: 0,
            received: Vec::new(),
            largest_received: None,
            ack_timer: 0,
        });
        let flow = self.flows.len() - 1;
        self.schedule(start, flow, Event::Wake);
        flow
    }

    pub(crate) fn flow(&self, flow: usize) -> &Flow {
        &self.flows[flow]
    }

    /// Returns the window in packets.
    pub(crate) fn window(&self, flow: usize) -> f64 {
        self.flows[flow].controller.window() as f64 / PACKET as f64
    }

    /// Lets the network drop the packet that is sent next.
    pub(crate) fn drop_next(&mut self, flow: usize) {
        let next = self.flows[flow].next;
        self.flows[flow].drop.insert(next);
    }

    /// Lets the network drop every packet whose number is a multiple of `period`.
    pub(crate) fn drop_every(&mut self, flow: usize, period: u64) {
        let next = self.flows[flow].next.next_multiple_of(period);
        self.flows[flow].drop.extend([next, next + period]);
    }

    /// Changes what the application has from now on.
    pub(crate) fn set_application(&mut self, flow: usize, application: Option<u64>) {
        let now = self.now;
        let state = &mut self.flows[flow];
        state.produced_before = state.sent_bytes;
        state.start = now;
        state.application = application;
        self.schedule(now, flow, Event::Wake);
    }

    /// Runs until `end`.
    pub(crate) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((time, ..))) = self.queue.peek()
            && *time <= end
            && let Some(Reverse((time, _, flow, event))) = self.queue.pop()
        {
            self.now = time;
            match event {
                Event::Wake => {
                    if self.flows[flow].wake == Some(time) {
                        self.flows[flow].wake = None;
                    }
                    self.send(flow);
                }
                Event::Arrival(packet) => self.receive(flow, packet),
                Event::AckTimer(timer) => {
                    if self.flows[flow].ack_timer == timer {
                        self.acknowledge(flow);
                    }
                }
                Event::Ack { packets, delay } => self.on_ack(flow, &packets, delay),
                Event::Timeout(timer) => {
                    if self.flows[flow].timeout == timer {
                        self.on_timeout(flow);
                    }
                }
            }
        }
        self.now = end;
    }

    fn schedule(&mut self, time: Duration, flow: usize, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((time, self.sequence, flow, event)));
    }

    fn wake(&mut self, time: Duration, flow: usize) {
        if self.flows[flow].wake.is_none_or(|wake| time < wake) {
            self.flows[flow].wake = Some(time);
            self.schedule(time, flow, Event::Wake);
        }
    }

    fn send(&mut self, flow: usize) {
        let now = self.now;
        if now < self.flows[flow].start {
            return;
        }
        loop {
            let state = &mut self.flows[flow];
            if let Some(rate) = state.application {
                let due =
                    state.start + spend(state.sent_bytes + PACKET - state.produced_before, rate);
                if now < due {
                    state.app_limited = true;
                    self.wake(due, flow);
                    return;
                }
            }
            if state.in_flight.saturating_add(PACKET) > state.controller.window() {
                state.blocked = true;
                return;
            }
            if now < state.next_send {
                state.blocked = true;
                let time = state.next_send;
                self.wake(time, flow);
                return;
            }
            self.send_packet(flow);
        }
    }

    fn send_packet(&mut self, flow: usize) {
        let now = self.now;
        let state = &mut self.flows[flow];
        let packet = state.next;
        let first = state.in_flight == 0;
        if first {
            state.first_sent = now;
            state.delivered_time = now;
        }
        state.controller.on_sent(&Sent {
            now,
            packet,
            bytes: PACKET,
            in_flight: state.in_flight,
            idle: first && state.app_limited,
            app_limited: state.app_limited,
        });
        state.next += 1;
        state.in_flight += PACKET;
        state.sent_bytes += PACKET;
        state.outstanding.insert(
            packet,
            Packet {
                sent: now,
                tx_in_flight: state.in_flight,
                delivered: state.delivered,
                delivered_time: state.delivered_time,
                first_sent: state.first_sent,
                lost: state.lost,
                app_limited: state.app_limited,
            },
        );
        if let Some(rate) = state.controller.pacing_rate() {
            state.next_send = state.next_send.max(now) + spend(PACKET, rate);
        }
        let dropped = state.drop.remove(&packet);
        if first {
            self.arm_timeout(flow);
        }
        if !dropped && !self.random.chance(self.path.loss) {
            self.forward(flow, packet);
        }
    }

    fn forward(&mut self, flow: usize, packet: u64) {
        let mut time = self.now;
        if let Some(rate) = self.path.rate {
            let waiting = self.busy_until.saturating_sub(time);
            if waiting.as_secs_f64() * rate as f64 + PACKET as f64 > self.path.queue as f64 {
                self.overflows += 1;
                return;
            }
            time += waiting + spend(PACKET, rate);
            self.busy_until = time;
        }
        self.schedule(time + self.path.rtt / 2, flow, Event::Arrival(packet));
    }

    fn receive(&mut self, flow: usize, packet: u64) {
        let now = self.now;
        let state = &mut self.flows[flow];
        let expected = state.largest_received.map_or(0, |(largest, _)| largest + 1);
        if packet >= expected {
            state.largest_received = Some((packet, now));
        }
        state.received.push(packet);
        if packet != expected || state.received.len() >= 2 {
            self.acknowledge(flow);
        } else {
            state.ack_timer += 1;
            let timer = state.ack_timer;
            self.schedule(now + MAX_ACK_DELAY, flow, Event::AckTimer(timer));
        }
    }

    fn acknowledge(&mut self, flow: usize) {
        let state = &mut self.flows[flow];
        state.ack_timer += 1;
        let packets = std::mem::take(&mut state.received);
        let arrived = state.largest_received.map_or(self.now, |(_, time)| time);
        let delay = self.now.saturating_sub(arrived);
        self.schedule(self.now + self.path.rtt / 2, flow, Event::Ack { packets, delay });
    }

    fn on_ack(&mut self, flow: usize, packets: &[u64], delay: Duration) {
        let now = self.now;
        let state = &mut self.flows[flow];
        let prior_in_flight = state.in_flight;
        let mut newest: Option<(u64, Packet, bool)> = None;
        let mut acked = 0;
        for &number in packets {
            let (packet, outstanding) = if let Some(packet) = state.outstanding.remove(&number) {
                state.in_flight -= PACKET;
                (packet, true)
            } else if let Some((packet, given_up)) = state.given_up.remove(&number) {
                let spurious = Spurious { now, sent: packet.sent, given_up, bytes: PACKET };
                state.controller.on_spurious(&spurious);
                state.spurious += 1;
                (packet, false)
            } else {
                continue;
            };
            acked += PACKET;
            state.delivered += PACKET;
            if newest.is_none_or(|(largest, ..)| number > largest) {
                newest = Some((number, packet, outstanding));
            }
        }
        let Some((largest, packet, outstanding)) = newest else { return };
        state.delivered_time = now;
        state.first_sent = packet.sent;
        state.timeouts = 0;
        let rtt = outstanding.then(|| now.saturating_sub(packet.sent).saturating_sub(delay));
        if let Some(rtt) = rtt {
            state.measure(rtt);
        }
        let before = state.lost;
        state.largest_acked = state.largest_acked.max(Some(largest));
        let threshold = state.largest_acked.map_or(0, |l| (l + 1).saturating_sub(PACKET_THRESHOLD));
        state.give_up(now, threshold);

        let elapsed = packet
            .sent
            .saturating_sub(packet.first_sent)
            .max(now.saturating_sub(packet.delivered_time));
        let delivered = state.delivered - packet.delivered;
        let nanos = elapsed.as_nanos() as u64;
        state.controller.on_ack(&Ack {
            now,
            acked,
            lost: state.lost - before,
            prior_in_flight,
            in_flight: state.in_flight,
            delivered: state.delivered,
            largest,
            largest_sent: packet.sent,
            next: state.next,
            rtt,
            smoothed_rtt: state.smoothed_rtt.unwrap_or_default(),
            min_rtt: state.min_rtt,
            limited: state.blocked,
            sample: Some(RateSample {
                delivery_rate: (delivered * 1_000_000_000).checked_div(nanos),
                app_limited: packet.app_limited,
                delivered,
                prior_delivered: packet.delivered,
                tx_in_flight: packet.tx_in_flight,
                lost: state.lost - packet.lost,
            }),
        });
        state.blocked = false;
        state.app_limited = false;
        self.arm_timeout(flow);
        self.send(flow);
    }

    fn arm_timeout(&mut self, flow: usize) {
        let state = &mut self.flows[flow];
        state.timeout += 1;
        let timer = state.timeout;
        let time = state.smoothed_rtt.map_or(Duration::from_secs(1), |rtt| {
            rtt + (state.rtt_variation * 4).max(Duration::from_millis(1)) + MAX_ACK_DELAY
        });
        let time = self.now + time * (1 << state.timeouts.min(6));
        if state.in_flight > 0 {
            self.schedule(time, flow, Event::Timeout(timer));
        }
    }

    fn on_timeout(&mut self, flow: usize) {
        let now = self.now;
        let state = &mut self.flows[flow];
        state.timeouts += 1;
        state.give_up(now, u64::MAX);
        if state.timeouts >= PERSISTENT {
            state.persistent += 1;
            state.controller.on_persistent_congestion(now);
        }
        self.send(flow);
    }
}

impl Flow {
    /// Gives up what was sent before packet `end`.
    fn give_up(&mut self, now: Duration, end: u64) {
        while let Some(entry) = self.outstanding.first_entry()
            && *entry.key() < end
        {
            let (number, packet) = entry.remove_entry();
            self.in_flight -= PACKET;
            self.lost += PACKET;
            self.lost_packets += 1;
            self.given_up.insert(number, (packet, now));
            if self.given_up.len() > 10_000 {
                self.given_up.pop_first();
            }
            self.controller.on_lost(&Lost {
                now,
                packet: number,
                bytes: PACKET,
                sent: packet.sent,
                next: self.next,
                in_flight: self.in_flight,
                tx_in_flight: packet.tx_in_flight,
                lost_since: self.lost - packet.lost,
                delivered: self.delivered,
                app_limited: packet.app_limited,
            });
        }
    }

    fn measure(&mut self, rtt: Duration) {
        self.min_rtt = self.min_rtt.min(rtt);
        if let Some(smoothed) = self.smoothed_rtt {
            self.rtt_variation = (self.rtt_variation * 3 + smoothed.abs_diff(rtt)) / 4;
            self.smoothed_rtt = Some((smoothed * 7 + rtt) / 8);
        } else {
            self.smoothed_rtt = Some(rtt);
            self.rtt_variation = rtt / 2;
        }
    }
}

/// Returns how long `bytes` take at `rate`.
fn spend(bytes: u64, rate: u64) -> Duration {
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4).min(u64::MAX / 4))
}

/// Returns the loss at `now` of a packet that was sent at `sent`.
pub(crate) fn lost(now: Duration, sent: Duration) -> Lost {
    Lost {
        now,
        packet: 0,
        bytes: PACKET,
        sent,
        next: 1,
        in_flight: 0,
        tx_in_flight: PACKET,
        lost_since: PACKET,
        delivered: 0,
        app_limited: false,
    }
}

/// Returns the acknowledgement at `now` of two packets that were sent at `sent`.
pub(crate) fn ack(now: Duration, sent: Duration) -> Ack {
    Ack {
        now,
        acked: 2 * PACKET,
        lost: 0,
        prior_in_flight: 2 * PACKET,
        in_flight: 0,
        delivered: 2 * PACKET,
        largest: 1,
        largest_sent: sent,
        next: 2,
        rtt: Some(now.saturating_sub(sent)),
        smoothed_rtt: now.saturating_sub(sent),
        min_rtt: now.saturating_sub(sent),
        limited: true,
        sample: None,
    }
}

/// Gives random events, possible and impossible ones, to a controller, and calls `check` with the length
/// of a packet after each. Only time never goes back.
#[allow(clippy::too_many_lines, reason = "most of it lists the fields of the events")]
pub(crate) fn torment(
    controller: &mut dyn Controller,
    seed: u64,
    events: u64,
    mut check: impl FnMut(&dyn Controller, u64),
) {
    fn number(random: &mut Random) -> u64 {
        match random.below(8) {
            0 => 0,
            1 => 1,
            2 => u64::MAX - random.below(2),
            3 => random.next(),
            4 => random.below(1 << 32),
            _ => random.below(100_000),
        }
    }
    fn time(random: &mut Random, now: Duration) -> Duration {
        match random.below(8) {
            0 => Duration::ZERO,
            1 => now,
            2 => Duration::MAX,
            3 => Duration::from_nanos(random.next()),
            4 => now.saturating_add(Duration::from_micros(random.below(1_000_000))),
            _ => now.saturating_sub(Duration::from_micros(random.below(300_000))),
        }
    }

    let mut random = Random::new(seed);
    let mut now = Duration::ZERO;
    let mut packet = PACKET;
    for event in 0..events {
        if random.below(4) > 0 {
            now = now.saturating_add(Duration::from_micros(random.below(20_000)));
        } else if random.below(1_000) == 0 {
            now = now.saturating_add(Duration::from_secs(random.below(1 << 20)));
        }
        if event + 1_000 == events {
            now = Duration::MAX;
        }
        let r = &mut random;
        match r.below(40) {
            0 => {
                packet = match r.below(8) {
                    0 => r.below(3),
                    1 => u64::from(u32::MAX) - r.below(2),
                    _ => 1_200 + r.below(8_000),
                };
                controller.set_packet(packet);
            }
            1 => controller.on_persistent_congestion(now),
            2..6 => controller.on_marked(&Marked {
                now,
                packets: number(r),
                sent: time(r, now),
                in_flight: number(r),
            }),
            6..10 => controller.on_spurious(&Spurious {
                now,
                sent: time(r, now),
                given_up: time(r, now),
                bytes: number(r),
            }),
            10..15 => controller.on_lost(&Lost {
                now,
                packet: number(r),
                bytes: number(r),
                sent: time(r, now),
                next: number(r),
                in_flight: number(r),
                tx_in_flight: number(r),
                lost_since: number(r),
                delivered: number(r),
                app_limited: r.chance(0.5),
            }),
            15..22 => controller.on_sent(&Sent {
                now,
                packet: number(r),
                bytes: number(r),
                in_flight: number(r),
                idle: r.chance(0.3),
                app_limited: r.chance(0.5),
            }),
            _ => controller.on_ack(&Ack {
                now,
                acked: number(r),
                lost: number(r),
                prior_in_flight: number(r),
                in_flight: number(r),
                delivered: number(r),
                largest: number(r),
                largest_sent: time(r, now),
                next: number(r),
                rtt: r.chance(0.8).then(|| time(r, now)),
                smoothed_rtt: time(r, now),
                min_rtt: time(r, now),
                limited: r.chance(0.7),
                sample: r.chance(0.5).then(|| RateSample {
                    delivery_rate: r.chance(0.8).then(|| number(r)),
                    app_limited: r.chance(0.5),
                    delivered: number(r),
                    prior_delivered: number(r),
                    tx_in_flight: number(r),
                    lost: number(r),
                }),
            }),
        }
        check(controller, packet);
    }
}
