//! CUBIC (RFC 9438), with `HyStart++` (RFC 9406).

mod hystart;
#[cfg(test)]
mod tests;

use super::{Ack, Controller, Lost, Marked, Sent, Spurious};
use hystart::{CSS_GROWTH_DIVISOR, HyStart};
use std::time::Duration;

/// `C`: how steep the cubic function is, in packets per second cubed (RFC 9438, section 5).
const C: f64 = 0.4;

/// `beta_cubic`: what is left of the window after loss (RFC 9438, section 4.6).
const BETA_CUBIC: f64 = 0.7;

/// `alpha_cubic`: the packets per round trip at which Reno with `beta_cubic` would be as fast as Reno
/// with 1/2 (RFC 9438, section 4.3).
const ALPHA_CUBIC: f64 = 3.0 * (1.0 - BETA_CUBIC) / (1.0 + BETA_CUBIC);

/// How many packets may be under way at first (RFC 9002, section 7.2).
const INITIAL_PACKETS: u64 = 10;

/// How many packets may always be under way (RFC 9002, section 7.2).
const MINIMUM_PACKETS: u64 = 2;

/// Packets are taken to be no longer than this.
const MAX_PACKET: u64 = u32::MAX as u64;

/// The window never exceeds so many bytes, which a float holds exactly.
const MAX_WINDOW: u64 = 1 << 50;

/// The window per round trip to send at in slow start, as a fraction.
const SLOW_START_GAIN: (u128, u128) = (2, 1);

/// The window per round trip to send at otherwise, as a fraction.
const AVOIDANCE_GAIN: (u128, u128) = (5, 4);

/// The CUBIC congestion controller.
#[derive(Debug, Clone)]
pub struct Cubic {
    packet: u64,
    flow: Flow,
    smoothed_rtt: Option<Duration>,
    /// When it last answered: packets sent until then are not answered to.
    recovery_start: Option<Duration>,
    in_recovery: bool,
    undo: Option<Undo>,
    events: u64,
    spurious_events: u64,
}

/// What RFC 9438, section 4.9, wants restored if a loss was none. All windows are in bytes.
#[derive(Debug, Clone)]
struct Flow {
    cwnd: f64,
    ssthresh: f64,
    w_max: f64,
    cwnd_prior: f64,
    epoch: Option<Stage>,
    hystart: HyStart,
}

/// A stage of congestion avoidance.
#[derive(Debug, Clone)]
struct Stage {
    cwnd_epoch: f64,
    /// The plateau of the cubic function, at least `cwnd_epoch`.
    w_max: f64,
    w_est: f64,
    /// How long it has lasted, without the time in which the application had too little.
    elapsed: Duration,
    /// Until when that was counted.
    counted: Option<Duration>,
}

/// What is needed to take back the last answer.
#[derive(Debug, Clone)]
struct Undo {
    flow: Flow,
    recovery_start: Option<Duration>,
    /// How many of the packets that it answers to have not turned up.
    missing: u64,
}

impl Cubic {
    /// Creates one that sends packets of `packet` bytes.
    #[must_use]
    pub fn new(packet: u64) -> Self {
        let packet = packet.clamp(1, MAX_PACKET);
        Self {
            packet,
            flow: Flow {
                cwnd: float(packet.saturating_mul(INITIAL_PACKETS)),
                ssthresh: f64::INFINITY,
                w_max: 0.0,
                cwnd_prior: 0.0,
                epoch: None,
                hystart: HyStart::default(),
            },
            smoothed_rtt: None,
            recovery_start: None,
            in_recovery: false,
            undo: None,
            events: 0,
            spurious_events: 0,
        }
    }

    /// Returns how often it has taken an answer back because the packets had arrived after all.
    #[must_use]
    pub fn spurious_events(&self) -> u64 {
        self.spurious_events
    }

    fn minimum(&self) -> f64 {
        float(self.packet.saturating_mul(MINIMUM_PACKETS))
    }

    /// Returns whether a packet sent at `sent` comes after the last answer.
    fn is_news(&self, sent: Duration) -> bool {
        self.recovery_start.is_none_or(|start| sent > start)
    }

    /// Answers to congestion (RFC 9438, sections 4.6 and 4.7).
    fn reduce(&mut self, now: Duration) {
        let minimum = self.minimum();
        let flow = &mut self.flow;
        // As long as nothing came through since the window collapsed, `ssthresh` is held (RFC 5681,
        // section 3.1).
        let held = flow.cwnd <= minimum && flow.cwnd < flow.ssthresh && flow.ssthresh.is_finite();
        if !held {
            flow.cwnd_prior = flow.cwnd;
            flow.w_max = if flow.cwnd < flow.w_max {
                flow.cwnd * f64::midpoint(1.0, BETA_CUBIC)
            } else {
                flow.cwnd
            };
            flow.ssthresh = (flow.cwnd * BETA_CUBIC).max(minimum);
            flow.cwnd = flow.ssthresh;
            flow.epoch = Some(Stage::new(flow.cwnd, flow.w_max));
        }
        self.recovery_start = Some(now);
        self.in_recovery = true;
        self.events = self.events.saturating_add(1);
    }

    /// Grows the window by an acknowledgement in slow start.
    fn slow_start(&mut self, ack: &Ack) {
        let flow = &mut self.flow;
        let divisor = if flow.hystart.conservative() { f64::from(CSS_GROWTH_DIVISOR) } else { 1.0 };
        flow.cwnd = (flow.cwnd + float(ack.acked) / divisor).min(flow.ssthresh);
        if flow.ssthresh.is_infinite() && flow.hystart.on_ack(ack.largest, ack.next, ack.rtt) {
            flow.ssthresh = flow.cwnd;
            flow.cwnd_prior = flow.cwnd;
        }
    }

    /// Grows the window by an acknowledgement in congestion avoidance (RFC 9438, sections 4.2 to 4.5).
    fn avoid_congestion(&mut self, ack: &Ack) {
        let packet = float(self.packet);
        let flow = &mut self.flow;
        let cwnd = flow.cwnd;
        let epoch = flow.epoch.get_or_insert_with(|| {
            flow.w_max = cwnd;
            Stage::new(cwnd, cwnd)
        });
        epoch.count(ack.now, ack.limited);
        if !ack.limited {
            return;
        }

        let alpha = if epoch.w_est >= flow.cwnd_prior { 1.0 } else { ALPHA_CUBIC };
        epoch.w_est += alpha * packet * float(ack.acked) / cwnd;
        if epoch.w_cubic(epoch.elapsed, packet) < epoch.w_est {
            flow.cwnd = cwnd.max(epoch.w_est);
        } else {
            let time = epoch.elapsed.saturating_add(ack.smoothed_rtt);
            let target = epoch.w_cubic(time, packet).clamp(cwnd, 1.5 * cwnd);
            let growth = (target - cwnd) * float(ack.acked) / cwnd;
            flow.cwnd = cwnd + growth;
        }
    }
}

impl Stage {
    fn new(cwnd: f64, w_max: f64) -> Self {
        Self {
            cwnd_epoch: cwnd,
            w_max: w_max.max(cwnd),
            w_est: cwnd,
            elapsed: Duration::ZERO,
            counted: None,
        }
    }

    /// Counts the time until `now`, if the window was in use.
    fn count(&mut self, now: Duration, used: bool) {
        if let Some(counted) = self.counted
            && used
        {
            self.elapsed = self.elapsed.saturating_add(now.saturating_sub(counted));
        }
        self.counted = Some(now);
    }

    /// Returns the cubic function of time (RFC 9438, section 4.2).
    fn w_cubic(&self, time: Duration, packet: f64) -> f64 {
        let k = ((self.w_max - self.cwnd_epoch) / (C * packet)).cbrt();
        C * packet * (time.as_secs_f64() - k).powi(3) + self.w_max
    }
}

impl Controller for Cubic {
    fn on_sent(&mut self, sent: &Sent) {
        if sent.idle
            && let Some(epoch) = &mut self.flow.epoch
            && epoch.counted.is_some()
        {
            epoch.counted = Some(sent.now);
        }
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.smoothed_rtt = Some(ack.smoothed_rtt);
        if !self.is_news(ack.largest_sent) {
            return;
        }
        self.in_recovery = false;
        if self.flow.cwnd >= self.flow.ssthresh {
            self.avoid_congestion(ack);
        } else if ack.limited {
            self.slow_start(ack);
        }
        self.flow.cwnd = self.flow.cwnd.clamp(self.minimum(), float(MAX_WINDOW));
    }

    fn on_lost(&mut self, lost: &Lost) {
        if self.is_news(lost.sent) {
            let undo =
                Undo { flow: self.flow.clone(), recovery_start: self.recovery_start, missing: 1 };
            self.reduce(lost.now);
            self.undo = Some(undo);
        } else if let Some(undo) = &mut self.undo
            && undo.recovery_start.is_none_or(|start| lost.sent > start)
        {
            undo.missing = undo.missing.saturating_add(1);
        }
    }

    fn on_marked(&mut self, marked: &Marked) {
        if self.is_news(marked.sent) {
            self.reduce(marked.now);
        }
        // A mark is never spurious, and it stands for the losses of its round trip as well.
        self.undo = None;
    }

    fn on_spurious(&mut self, spurious: &Spurious) {
        if self.is_news(spurious.sent) {
            return;
        }
        let Some(undo) = &mut self.undo else { return };
        if undo.recovery_start.is_some_and(|start| spurious.sent <= start) {
            return;
        }
        undo.missing = undo.missing.saturating_sub(1);
        if undo.missing > 0 {
            return;
        }

        if let Some(undo) = self.undo.take() {
            self.recovery_start = undo.recovery_start;
            self.in_recovery = false;
            self.spurious_events = self.spurious_events.saturating_add(1);
            if self.flow.cwnd < undo.flow.cwnd {
                self.flow = undo.flow;
                if let Some(epoch) = &mut self.flow.epoch {
                    epoch.counted = None;
                }
            }
            self.flow.cwnd = self.flow.cwnd.max(self.minimum());
        }
    }

    fn on_persistent_congestion(&mut self, now: Duration) {
        if !self.in_recovery {
            self.reduce(now);
        }
        self.flow.cwnd = self.minimum();
        self.flow.epoch = None;
        self.recovery_start = Some(now);
        self.in_recovery = false;
        self.undo = None;
    }

    fn set_packet(&mut self, bytes: u64) {
        self.packet = bytes.clamp(1, MAX_PACKET);
        if self.smoothed_rtt.is_none() && self.events == 0 {
            self.flow.cwnd = float(self.packet.saturating_mul(INITIAL_PACKETS));
        }
        self.flow.cwnd = self.flow.cwnd.max(self.minimum());
    }

    fn window(&self) -> u64 {
        whole(self.flow.cwnd)
    }

    fn pacing_rate(&self) -> Option<u64> {
        let nanos = self.smoothed_rtt?.as_nanos().max(1);
        let slow_start = self.flow.cwnd < self.flow.ssthresh;
        let (gain, divisor) = if slow_start { SLOW_START_GAIN } else { AVOIDANCE_GAIN };
        let window = u128::from(self.window()).saturating_mul(gain).saturating_mul(1_000_000_000);
        let rate = window / nanos.saturating_mul(divisor);
        Some(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
    }

    fn state(&self) -> &'static str {
        if self.in_recovery {
            "recovery"
        } else if self.flow.cwnd >= self.flow.ssthresh {
            "congestion avoidance"
        } else if self.flow.ssthresh.is_infinite() && self.flow.hystart.conservative() {
            "conservative slow start"
        } else {
            "slow start"
        }
    }

    fn events(&self) -> u64 {
        self.events
    }
}

/// Returns a number of bytes as a float.
#[allow(clippy::cast_precision_loss, reason = "windows stay below 2^53")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// Returns the whole bytes in a float.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "windows are positive and below 2^53"
)]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}
