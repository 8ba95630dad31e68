//! The end that sends: what waits, what is under way, and what has to be sent again.

mod rate;
mod track;

use std::{cmp::min, ops::Range, time::Duration};

use polyperf_socket::Output;

use self::{
    rate::Rates,
    track::{Given, Track},
};
use crate::{
    config::Config,
    congestion::{self, Controller, Marked, Spurious},
    pacer::Pacer,
    packet::{Ack, Kind, NUMBER_BITS, OFFSET_BITS, expand},
    ranges::RangeSet,
    ring::Ring,
    rtt::Rtt,
    stats::{Rejections, Retransmits},
};

/// What is sent of a stream.
#[derive(Debug)]
pub(crate) struct Sender {
    ring: Ring,
    /// Where what was written ends, and what was sent.
    written: u64,
    next: u64,
    finished: bool,
    fin: Fin,
    /// What was acknowledged, from the lowest offset that was not on.
    acked: RangeSet,
    /// What has to be sent again.
    lost: RangeSet,
    /// Up to where the peer permits to send.
    limit: u64,
    track: Track,
    rates: Rates,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Box<dyn Controller>,
    pub(crate) pacer: Pacer,
    /// Bytes of a packet with as much data as fits.
    packet: u64,
    payload: u64,
    no_delay: bool,
    /// Where the last datagram that was not full ends; it is acknowledged once that is.
    short: u64,
    /// Packets that are sent whatever congestion control says, since nothing was heard.
    probes: u32,
    timeouts: u32,
    /// How often in a row the peer was asked for its window.
    asked: u32,
    /// When a numbered packet was sent last.
    last_sent: Duration,
    /// The highest number that was acknowledged.
    largest_acked: Option<u64>,
    /// Marks that the peer has told of.
    pub(crate) marks: u64,
    held: Held,
    /// Whether congestion control, or its rate, has held data back since this number was sent.
    limited_until: u64,
    pub(crate) counts: Counts,
}

/// How the end of the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    /// It was not sent.
    Waiting,
    /// It was, and has to be again.
    Lost,
    UnderWay,
    Acked,
}

/// What held data back when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing: there was none.
    No,
    /// Congestion control.
    Window,
    /// The rate.
    Pacer,
    /// The peer's window.
    Peer,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) retransmits: Retransmits,
    pub(crate) acks: u64,
    pub(crate) lost: u64,
    pub(crate) lost_bytes: u64,
    pub(crate) spurious: u64,
    pub(crate) acked: u64,
    pub(crate) pings: u64,
    pub(crate) limited: Duration,
    pub(crate) peer_limited: Duration,
}

/// A packet that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) kind: Kind,
    pub(crate) range: Range<u64>,
    again: Option<Again>,
}

/// Why something is sent that was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Lost,
    Probe,
}

impl Sender {
    pub(crate) fn new(config: &Config, limit: u64, payload: u16, packet: u16, seed: u64) -> Self {
        let window = usize::try_from(config.window).unwrap_or(usize::MAX);
        let packet = u64::from(packet);
        Self {
            ring: Ring::new(window),
            written: 0,
            next: 0,
            finished: false,
            fin: Fin::Waiting,
            acked: RangeSet::default(),
            lost: RangeSet::default(),
            limit,
            track: Track::default(),
            rates: Rates::default(),
            rtt: Rtt::new(),
            congestion: config.congestion.start(packet, seed),
            pacer: Pacer::new(packet),
            packet,
            payload: payload.into(),
            no_delay: config.no_delay,
            short: 0,
            probes: 0,
            timeouts: 0,
            asked: 0,
            last_sent: Duration::ZERO,
            largest_acked: None,
            marks: 0,
            held: Held::No,
            limited_until: 0,
            counts: Counts::default(),
        }
    }

    /// Takes bytes to send as far as there is room.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        if self.finished {
            return 0;
        }
        let len = usize::try_from(self.room()).map_or(bytes.len(), |room| min(room, bytes.len()));
        self.ring.write(self.written, &bytes[..len]);
        self.written += len as u64;
        len
    }

    /// Returns how many bytes more are taken.
    ///
    /// Beyond what is under way no more wait than a few system calls send: what waits longer than it
    /// has to is late when it arrives, and takes memory that is no longer in the cache.
    pub(crate) fn room(&self) -> u64 {
        let waiting = self.written - self.next;
        let room = self.ring.end() - self.written;
        min(room, (CALLS * self.call()).saturating_sub(waiting))
    }

    /// Returns how many bytes of data one system call sends, in whole packets.
    pub(crate) fn call(&self) -> u64 {
        let packets = Output::DEFAULT_LIMIT as u64 / self.packet;
        packets.clamp(1, Output::MOST as u64) * self.payload
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// Returns whether the peer has everything, and knows that it is everything.
    pub(crate) fn is_drained(&self) -> bool {
        self.fin == Fin::Acked && self.ring.base() == self.written
    }

    /// Returns whether the peer has all the data.
    pub(crate) fn is_delivered(&self) -> bool {
        self.ring.base() == self.written
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.track.in_flight()
    }

    pub(crate) fn peer_window(&self) -> u64 {
        self.limit.saturating_sub(self.next)
    }

    pub(crate) fn reordering(&self) -> u32 {
        self.track.reordering()
    }

    pub(crate) fn delivery_rate(&self) -> Option<u64> {
        self.rates.last()
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.rates.delivered()
    }

    /// Returns how often in a row nothing was heard for too long.
    pub(crate) fn timeouts(&self) -> u32 {
        self.timeouts
    }

    /// Changes the size of packets.
    pub(crate) fn set_packet(&mut self, payload: u16, packet: u16) {
        self.payload = payload.into();
        self.packet = packet.into();
        self.pacer.set_packet(self.packet);
        self.congestion.set_packet(self.packet);
    }

    /// Returns the two pieces of the data of a packet.
    #[inline]
    pub(crate) fn data(&self, range: Range<u64>) -> (&[u8], &[u8]) {
        self.ring.read(range)
    }

    /// Returns when there is something to do, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        let pacer = (self.held == Held::Pacer).then(|| self.pacer.next()).flatten();
        [self.track.loss_due(), self.probe_due(), pacer].into_iter().flatten().min()
    }

    /// Gives up what is lost by now, and lets packets ask where nothing was heard for too long.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.track.loss_due().is_some_and(|due| due <= now) {
            self.detect(now);
        }
        if self.probe_due().is_some_and(|due| due <= now) {
            if self.track.in_flight() == 0 {
                self.asked += 1;
            }
            self.timeouts += 1;
            self.probes = if self.timeouts > 1 { 2 } else { 1 };
            // The timer begins anew with the packet that is sent now.
            self.last_sent = now;
        }
    }

    /// Returns the packet that is sent next, if any may be sent now.
    #[inline]
    pub(crate) fn next(&mut self, now: Duration) -> Option<Next> {
        if self.probes > 0 {
            return Some(self.probe());
        }
        let Some((next, permitted)) = self.candidate() else {
            self.hold(Held::No);
            if self.track.in_flight() < self.congestion.window() {
                self.rates.note_idle(self.track.in_flight());
            }
            return None;
        };
        if !permitted {
            self.hold(Held::Peer);
            return None;
        }
        if self.track.in_flight() + self.packet > self.congestion.window()
            && self.track.in_flight() > 0
        {
            self.hold(Held::Window);
            self.limited_until = self.track.next();
            return None;
        }
        if !self.pacer.permits(now) {
            self.hold(Held::Pacer);
            self.limited_until = self.track.next();
            return None;
        }
        Some(next)
    }

    /// Returns what has to be sent next, and whether the peer permits it.
    #[inline]
    fn candidate(&self) -> Option<(Next, bool)> {
        if let Some(lost) = self.lost.first() {
            let range = lost.start..min(lost.end, lost.start + self.payload);
            return Some((Next { kind: Kind::Data, range, again: Some(Again::Lost) }, true));
        }
        let waiting = self.written - self.next;
        if waiting > 0 {
            let end = self.next + min(waiting, self.payload);
            let full = end - self.next == self.payload;
            if self.limit <= self.next || (end > self.limit && full && self.track.in_flight() > 0) {
                return Some((
                    Next { kind: Kind::Data, range: self.next..end, again: None },
                    false,
                ));
            }
            let end = min(end, self.limit);
            // One datagram that is not full is under way at a time, so that small writes share one.
            let waits = !full && !self.finished && !self.no_delay && self.short > self.ring.base();
            if waits {
                return None;
            }
            return Some((Next { kind: Kind::Data, range: self.next..end, again: None }, true));
        }
        let again = match self.fin {
            Fin::Waiting => None,
            Fin::Lost => Some(Again::Lost),
            Fin::UnderWay | Fin::Acked => return None,
        };
        let range = self.written..self.written;
        self.finished.then_some((Next { kind: Kind::Fin, range, again }, true))
    }

    /// Returns what asks the peer for an answer: the oldest that is under way, or else what waits, or
    /// just a question.
    fn probe(&self) -> Next {
        let oldest = self.track.oldest_data().and_then(|range| self.acked.missing(range).next());
        let oldest = oldest.filter(|range| range.end > self.ring.base());
        if let Some(range) = oldest {
            let start = range.start.max(self.ring.base());
            let range = start..min(range.end, start + self.payload);
            return Next { kind: Kind::Data, range, again: Some(Again::Probe) };
        }
        match self.candidate() {
            Some((next, true)) => next,
            _ if self.fin == Fin::UnderWay => {
                let range = self.written..self.written;
                Next { kind: Kind::Fin, range, again: Some(Again::Probe) }
            }
            _ => self.ping(),
        }
    }

    /// Returns a question whether the peer is there.
    pub(crate) fn ping(&self) -> Next {
        Next { kind: Kind::Ping, range: self.next..self.next, again: None }
    }

    /// Notes that a packet of `bytes` leaves, and returns its number.
    #[inline]
    pub(crate) fn sent(&mut self, next: &Next, bytes: u64, now: Duration) -> u64 {
        let Next { kind, ref range, again } = *next;
        let idle = self.track.in_flight() == 0;
        match kind {
            Kind::Data => {
                if again == Some(Again::Lost) {
                    self.lost.remove(range.clone());
                } else if again.is_none() {
                    self.next = range.end;
                    if range.end - range.start < self.payload {
                        self.short = range.end;
                    }
                }
            }
            Kind::Fin => self.fin = Fin::UnderWay,
            Kind::Ping => self.counts.pings += 1,
        }
        match again {
            Some(Again::Lost) => self.counts.retransmits.lost += 1,
            Some(Again::Probe) => self.counts.retransmits.probes += 1,
            None => {}
        }
        self.probes = self.probes.saturating_sub(1);
        self.counts.packets += 1;
        self.last_sent = now;
        self.pacer.spend(bytes);
        let stamp = self.rates.stamp(now, idle, self.track.in_flight() + bytes);
        let event = congestion::Sent {
            now,
            packet: self.track.next(),
            bytes,
            in_flight: self.track.in_flight(),
            idle,
            app_limited: stamp.app_limited,
        };
        self.congestion.on_sent(&event);
        let given = Given { kind, offset: range.start, len: range.end - range.start, bytes };
        let number = self.track.push(given, now, stamp);
        if idle {
            self.pace(now);
        }
        number
    }

    /// Takes an acknowledgement, and returns whether it can be one of what was sent.
    pub(crate) fn acknowledge(
        &mut self,
        ack: &Ack<'_>,
        now: Duration,
        rejected: &mut Rejections,
    ) -> bool {
        let largest = expand(ack.largest.into(), NUMBER_BITS, self.track.next().saturating_sub(1));
        if largest >= self.track.next() || !self.track.bears_out(largest, ack.echo) {
            rejected.forged += 1;
            return false;
        }
        if !ranges_fit(ack, largest) {
            rejected.forged += 1;
            return false;
        }
        self.counts.acks += 1;
        let newest = self.largest_acked.is_none_or(|before| largest > before);
        self.permit(ack.limit, newest, rejected);
        let prior_in_flight = self.track.in_flight();
        let rtt = self.measure(largest, ack, now);
        let mut arrived = self.arrive(ack, largest, now);
        if newest {
            self.largest_acked = Some(largest);
        }
        if arrived.packets == 0 {
            return true;
        }
        self.timeouts = 0;
        self.probes = 0;
        let lost = self.detect(now);
        self.mark(ack.marked, newest, &arrived, now);
        arrived.lost = lost;
        self.answer(&arrived, prior_in_flight, rtt, now);
        true
    }

    /// Takes what the peer permits to send.
    fn permit(&mut self, limit: u64, newest: bool, rejected: &mut Rejections) {
        let limit = expand(limit, OFFSET_BITS, self.limit);
        if limit >= self.limit {
            self.limit = limit;
        } else if newest {
            rejected.shrinking += 1;
        }
    }

    /// Takes the round trip, if the packet with the highest number was acknowledged just now.
    fn measure(&mut self, largest: u64, ack: &Ack<'_>, now: Duration) -> Option<Duration> {
        let sent = self.track.sent_if_under_way(largest)?;
        let delay = Duration::from_micros(ack.delay.into());
        Some(self.rtt.update(now.saturating_sub(sent), delay))
    }

    /// Takes out of what is under way what has arrived.
    fn arrive(&mut self, ack: &Ack<'_>, largest: u64, now: Duration) -> Arrived {
        let mut arrived = Arrived::default();
        self.rates.begin();
        let mut end = largest + 1;
        for range in ack.ranges() {
            end -= range.gap;
            let numbers = end - range.len..end;
            end = numbers.start;
            let Self { track, rates, counts, acked, lost, fin, congestion, .. } = self;
            track.arrive(numbers.clone(), |number, packet, given_up| {
                arrived.packets += 1;
                arrived.bytes += packet.bytes();
                if arrived.largest.is_none_or(|(before, _)| number > before) {
                    arrived.largest = Some((number, packet.at()));
                }
                counts.acked += 1;
                rates.arrived(packet, now);
                if let Some(given_up) = given_up {
                    counts.spurious += 1;
                    let (sent, bytes) = (packet.at(), packet.bytes());
                    congestion.on_spurious(&Spurious { now, sent, given_up, bytes });
                }
                match packet.kind() {
                    Kind::Data => {
                        acked.insert(packet.range());
                        if !lost.is_empty() {
                            lost.remove(packet.range());
                        }
                    }
                    Kind::Fin => *fin = Fin::Acked,
                    Kind::Ping => {}
                }
            });
            if end <= self.track.first() {
                break;
            }
        }
        if let Some(first) =
            self.acked.first().cloned().filter(|first| first.start <= self.ring.base())
        {
            self.acked.pop_first();
            self.ring.advance(first.end, first.end == self.written);
        }
        arrived
    }

    /// Gives up what is lost by now; returns its bytes.
    fn detect(&mut self, now: Duration) -> u64 {
        let Self { track, rates, counts, congestion, acked, lost, fin, ring, .. } = self;
        let base = ring.base();
        let mut bytes = 0;
        let persistent =
            track.detect(now, self.largest_acked, &self.rtt, |number, packet, next, in_flight| {
                counts.lost += 1;
                counts.lost_bytes += packet.bytes();
                bytes += packet.bytes();
                let event = rates.lost(number, packet, next, in_flight, now);
                congestion.on_lost(&event);
                match packet.kind() {
                    Kind::Data => {
                        let range = packet.range();
                        let range = range.start.max(base)..range.end.max(base);
                        for part in acked.missing(range) {
                            lost.insert(part);
                        }
                    }
                    Kind::Fin if *fin == Fin::UnderWay => *fin = Fin::Lost,
                    Kind::Fin | Kind::Ping => {}
                }
            });
        if persistent {
            congestion.on_persistent_congestion(now);
        }
        bytes
    }

    /// Tells congestion control of marks.
    fn mark(&mut self, told: u32, newest: bool, arrived: &Arrived, now: Duration) {
        let marks = expand(told.into(), NUMBER_BITS, self.marks);
        let more = marks.saturating_sub(self.marks);
        // No more can be marked than have arrived.
        if !newest || more == 0 || more > arrived.packets {
            return;
        }
        self.marks = marks;
        if let Some((_, sent)) = arrived.largest {
            let in_flight = self.track.in_flight();
            self.congestion.on_marked(&Marked { now, packets: more, sent, in_flight });
        }
    }

    fn answer(
        &mut self,
        arrived: &Arrived,
        prior_in_flight: u64,
        rtt: Option<Duration>,
        now: Duration,
    ) {
        let Some((largest, largest_sent)) = arrived.largest else { return };
        let sample = self.rates.sample(self.rtt.least());
        self.congestion.on_ack(&congestion::Ack {
            now,
            acked: arrived.bytes,
            lost: arrived.lost,
            prior_in_flight,
            in_flight: self.track.in_flight(),
            delivered: self.rates.delivered(),
            largest,
            largest_sent,
            next: self.track.next(),
            rtt,
            smoothed_rtt: self.rtt.smoothed(),
            min_rtt: self.rtt.least(),
            limited: largest < self.limited_until
                || self.held == Held::Window
                || self.held == Held::Pacer,
            sample,
        });
        self.pace(now);
    }

    fn pace(&mut self, now: Duration) {
        self.pacer.set_rate(self.congestion.pacing_rate(), now);
    }

    /// Returns when a packet asks for an answer, since nothing has come.
    fn probe_due(&self) -> Option<Duration> {
        let waits = self.track.in_flight() > 0 || self.held == Held::Peer;
        // What is given up by time is not asked for.
        if !waits || self.track.loss_due().is_some() {
            return None;
        }
        let doublings = self.timeouts.max(self.asked).min(MOST_DOUBLINGS);
        let timeout = self.rtt.probe_timeout() * 2_u32.pow(doublings);
        Some(self.last_sent + timeout.min(LONGEST_TIMEOUT.max(self.rtt.probe_timeout())))
    }

    fn hold(&mut self, held: Held) {
        self.held = held;
        if held != Held::Peer {
            self.asked = 0;
        }
    }

    /// Returns what held data back when it was last looked at.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// Returns when a packet with a number was sent last.
    pub(crate) fn last_sent(&self) -> Duration {
        self.last_sent
    }
}

/// What an acknowledgement has acknowledged for the first time.
#[derive(Debug, Default)]
struct Arrived {
    packets: u64,
    bytes: u64,
    lost: u64,
    /// The packet with the highest number, and when it was sent.
    largest: Option<(u64, Duration)>,
}

/// Returns whether the ranges end above 0.
fn ranges_fit(ack: &Ack<'_>, largest: u64) -> bool {
    let mut left = largest + 1;
    ack.ranges().all(|range| {
        let fits = left.checked_sub(range.gap).and_then(|left| left.checked_sub(range.len));
        left = fits.unwrap_or(0);
        fits.is_some()
    })
}

/// System calls that what waits fills: a whole number, so that none of them is for a few packets that
/// are left over.
const CALLS: u64 = 4;

/// How often the time that is waited for doubles.
const MOST_DOUBLINGS: u32 = 10;

/// How long is waited at most, unless a round trip takes longer.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
