//! What leaves.

use std::time::Duration;

use polyperf_socket::{Flushed, Output};

use super::{Engine, moment::Moment, sender::Cause};
use crate::{
    config::{Config, FlushPolicy},
    segment::{Command, HEADER, Segment},
    seq::before,
    stats::Traffic,
};

impl Engine {
    /// Writes what is to be sent now behind what `output` holds already.
    ///
    /// Acknowledgements come first, then what is sent again, then what is new. Segments share a
    /// datagram as far as they fit, so that full ones have it for themselves, and are all equally
    /// long.
    ///
    /// With [`FlushPolicy::Interval`] nothing is written until the next interval begins.
    pub fn flush(&mut self, now: Duration, output: &mut Output) -> Flushed {
        let now = Moment::new(now);
        self.limits.advance(now);
        self.listen_for(now);
        if !self.ticks.begin(now) {
            return Flushed::All;
        }
        let stamp = Segment {
            conv: self.conv,
            cmd: Command::Tell,
            frg: 0,
            wnd: self.receiver.free(),
            ts: 0,
            sn: 0,
            una: self.receiver.next(),
            payload: &[],
        };
        self.acknowledge(&stamp, output);
        self.talk_about_windows(&stamp, now, output);
        let all = self.send_data(&stamp, now, output);
        self.sender.settle_dues(now);
        self.listen_for(now);
        self.ticks.end(all);
        if all { Flushed::All } else { Flushed::Full }
    }

    /// Returns when to call [`flush`](Self::flush) next, if nothing happens until then; `None` if
    /// there is nothing to wait for. It may be `now`.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let waits = self.sender.waiting() > 0;
        let urgent =
            self.tell || self.receiver.has_news() || (waits && self.sender.span() < self.window());
        let again = self.sender.due().map(Duration::from_millis);
        let probe = self.probe.due().map(Duration::from_millis);
        let opens_probe = waits && self.peer_window == 0 && probe.is_none();
        let at = if urgent || opens_probe {
            Some(now)
        } else {
            [again, probe, self.silent_until()].into_iter().flatten().min()
        };
        self.ticks.at(at?.max(now))
    }

    fn acknowledge(&mut self, stamp: &Segment<'_>, output: &mut Output) {
        let room = usize::from(self.config.mtu - self.config.headroom) / HEADER;
        loop {
            self.acks.clear();
            let receiver = &mut self.receiver;
            self.acks.extend(std::iter::from_fn(|| receiver.take_acknowledgement()).take(room));
            // What is in order is acknowledged by whatever comes next.
            let out_of_order = self.acks.iter().any(|&(sn, _)| !before(sn, stamp.una));
            let times = if self.config.repeat_acks && out_of_order { 2 } else { 1 };
            for time in 0..times {
                if time > 0 {
                    output.close();
                }
                for &(sn, ts) in &self.acks {
                    let segment = Segment { cmd: Command::Ack, sn, ts, ..*stamp };
                    write(&segment, &self.config, output, &mut self.counts.sent);
                }
            }
            if self.acks.len() < room {
                return;
            }
        }
    }

    fn talk_about_windows(&mut self, stamp: &Segment<'_>, now: Moment, output: &mut Output) {
        let closed = self.peer_window == 0 && self.sender.waiting() > 0;
        // Often enough that a peer which is there is heard of.
        let longest = self.config.dead_after.as_millis() / 3;
        let longest = u64::try_from(longest).unwrap_or(u64::MAX).min(LONGEST_PROBE);
        if self.probe.is_due(closed, longest, now) {
            self.counts.probes += 1;
            let segment = Segment { cmd: Command::Ask, ..*stamp };
            write(&segment, &self.config, output, &mut self.counts.sent);
        }
        let reopened = self.receiver.take_reopened();
        if std::mem::take(&mut self.tell) || reopened {
            write(stamp, &self.config, output, &mut self.counts.sent);
        }
    }

    /// Sends what is due and what is new, and returns whether that was all.
    fn send_data(&mut self, stamp: &Segment<'_>, now: Moment, output: &mut Output) -> bool {
        let window = self.window();
        let under_way = self.sender.span();
        self.sender.find_due(now);
        let mut again = self.send_again(stamp, now, output);
        let mut admitted = 0;
        while !output.is_full(self.config.mtu)
            && let Some(sn) = self.sender.admit(window)
        {
            admitted += 1;
            self.put(sn, None, stamp, now, output);
        }
        let limited = self.sender.waiting() > 0 && !output.is_full(self.config.mtu);
        self.limits.set(limited, self.peer_window == 0);
        if self.config.early && admitted == 0 && !output.is_full(self.config.mtu) {
            self.sender.find_early();
            again = again.and(self.send_again(stamp, now, output));
        }
        if let Some(congestion) = &mut self.congestion {
            if again.overtaken {
                congestion.on_overtaken(under_way, self.config.resend);
            }
            if again.timeout {
                congestion.on_timeout(window);
            }
        }
        !again.unfinished && (self.sender.waiting() == 0 || !output.is_full(self.config.mtu))
    }

    /// Sends again what was found, as far as there is room.
    fn send_again(&mut self, stamp: &Segment<'_>, now: Moment, output: &mut Output) -> Again {
        let mut again = Again::default();
        let mut index = 0;
        while let Some((sn, cause)) = self.sender.again(index) {
            if output.is_full(self.config.mtu) {
                again.unfinished = true;
                break;
            }
            again.timeout |= cause == Cause::Timeout;
            again.overtaken |= cause != Cause::Timeout;
            self.put(sn, Some(cause), stamp, now, output);
            index += 1;
        }
        again
    }

    fn put(
        &mut self,
        sn: u32,
        cause: Option<Cause>,
        stamp: &Segment<'_>,
        now: Moment,
        output: &mut Output,
    ) {
        let segment = self.sender.transmit(sn, cause, now, self.rtt.rto(), stamp);
        write(&segment, &self.config, output, &mut self.counts.sent);
    }
}

/// What was sent again, and why.
#[derive(Debug, Default)]
struct Again {
    timeout: bool,
    overtaken: bool,
    /// Whether not all of it found room.
    unfinished: bool,
}

impl Again {
    fn and(self, other: Self) -> Self {
        Self {
            timeout: self.timeout || other.timeout,
            overtaken: self.overtaken || other.overtaken,
            unfinished: self.unfinished || other.unfinished,
        }
    }
}

/// When [`FlushPolicy::Interval`] lets data leave.
#[derive(Debug)]
pub(super) struct Ticks {
    /// In microseconds; `None` with the other policy.
    interval: Option<u64>,
    /// The next one; `None` before the first, which is at once.
    next: Option<u64>,
    /// Whether not everything has been written since the last one.
    unfinished: bool,
}

impl Ticks {
    pub(super) fn new(config: &Config) -> Self {
        let micros = u64::try_from(config.interval.as_micros()).unwrap_or(u64::MAX);
        let interval = (config.flush == FlushPolicy::Interval).then_some(micros.max(1));
        Self { interval, next: None, unfinished: false }
    }

    /// Returns whether data may leave now.
    fn begin(&mut self, now: Moment) -> bool {
        let Some(interval) = self.interval else { return true };
        let next = self.next.unwrap_or(now.micros());
        if self.unfinished {
            return true;
        }
        let Some(late) = now.micros().checked_sub(next) else { return false };
        // Those that were slept through are left out.
        self.next = Some(next + (late / interval + 1) * interval);
        true
    }

    fn end(&mut self, all: bool) {
        self.unfinished = !all;
    }

    /// Returns when data may leave that could at `time`.
    fn at(&self, time: Duration) -> Option<Duration> {
        let (Some(interval), Some(next), false) = (self.interval, self.next, self.unfinished)
        else {
            return Some(time);
        };
        let early = Moment::new(time).micros().saturating_sub(next);
        Some(Duration::from_micros(next + early.div_ceil(interval) * interval))
    }
}

/// When a closed window is asked for.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// When the next question is due, in milliseconds; `None` while the window is open.
    due: Option<u64>,
    wait: u64,
}

impl Probe {
    /// Returns whether to ask now.
    fn is_due(&mut self, closed: bool, longest: u64, now: Moment) -> bool {
        if !closed {
            *self = Self::default();
            return false;
        }
        let asks = self.due.is_some_and(|due| due <= now.millis());
        if asks {
            self.wait = (self.wait + self.wait / 2).min(longest);
        } else if self.due.is_none() {
            self.wait = FIRST_PROBE;
        } else {
            return false;
        }
        self.due = Some(now.millis() + self.wait);
        asks
    }

    fn due(&self) -> Option<u64> {
        self.due
    }
}

/// How long data waited for a window.
#[derive(Debug, Default)]
pub(super) struct Limits {
    at: Moment,
    limited: bool,
    closed: bool,
    pub(super) window: Duration,
    pub(super) zero: Duration,
}

impl Limits {
    fn advance(&mut self, now: Moment) {
        let passed = now.since(self.at);
        if self.limited {
            self.window += passed;
            self.zero += if self.closed { passed } else { Duration::ZERO };
        }
        self.at = now;
    }

    fn set(&mut self, limited: bool, closed: bool) {
        self.limited = limited;
        self.closed = closed;
    }
}

fn write(segment: &Segment<'_>, config: &Config, output: &mut Output, sent: &mut Traffic) {
    let new = output.push(
        [&segment.header(), segment.payload],
        config.mtu.into(),
        config.headroom.into(),
    );
    sent.segments += 1;
    sent.bytes += segment.payload.len() as u64;
    sent.wire_bytes += segment.wire_len() as u64;
    if new {
        sent.datagrams += 1;
        sent.wire_bytes += u64::from(config.headroom);
    }
}

/// Milliseconds until a closed window is asked for, as in kcp-go; others wait for seconds.
const FIRST_PROBE: u64 = 500;

/// Milliseconds between two questions at most.
const LONGEST_PROBE: u64 = 120_000;
