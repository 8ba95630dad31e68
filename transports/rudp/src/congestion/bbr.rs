//! BBR, version 3, as in draft-ietf-ccwg-bbr-03.
//!
//! It keeps a model of the path, which is the rate that the path delivers (`max_bw`) and the round trip
//! of the empty path (`min_rtt`), and sends at that rate with about one product of both under way.
//! Variables and steps have the names that the draft gives them; "the draft" means
//! draft-ietf-ccwg-bbr-03 throughout.
//!
//! It departs from the draft in these points:
//!
//! - Loss and marks lower the short-term bounds only in rounds in which more than `LossThresh` is lost
//!   or more than half is marked. The draft answers to each round with any loss ("When not Probing for
//!   Bandwidth"), which costs a sender about as much of its rate per round as the path loses, and so a
//!   large part of it within a cycle on a path that loses 1 % at random.
//! - The end of the samples of a probe (`ACKS_PROBE_STOPPING`) is told once per cycle, and ends the
//!   answers to loss by `inflight_longterm`, as the prose of "Tracking Time for the BBR.max_bw Max
//!   Filter" and "Probing for Bandwidth In ProbeBW" asks for.
//! - There is no recovery that begins and ends. An episode of loss is that of the packets that were
//!   sent before its first loss was found, and is undone when all that was lost in it has arrived.
//! - Marks (RFC 3168) count as loss beyond `LossThresh` when more than half of what a round
//!   acknowledged was marked; the draft leaves them open.

use std::time::Duration;

use super::{Ack, Controller, Lost, Marked, RateSample, Sent, Spurious};

mod control;
mod model;
mod probe;
#[cfg(test)]
mod tests;

/// `StartupPacingGain`: the least that doubles the rate each round.
const STARTUP_PACING_GAIN: f64 = 2.77;
/// `DrainPacingGain`.
const DRAIN_PACING_GAIN: f64 = 0.35;
/// The pacing gain of `ProbeBW_DOWN`.
const DOWN_PACING_GAIN: f64 = 0.9;
/// The pacing gain of `ProbeBW_UP`.
const UP_PACING_GAIN: f64 = 1.25;
/// `DefaultCwndGain`.
const DEFAULT_CWND_GAIN: f64 = 2.0;
/// The window's gain in `ProbeBW_UP`.
const UP_CWND_GAIN: f64 = 2.25;
/// `ProbeRTTCwndGain`.
const PROBE_RTT_CWND_GAIN: f64 = 0.5;
/// What remains of the rate after `PacingMarginPercent`.
const PACING_MARGIN: f64 = 0.99;
/// `LossThresh`: how much of a round may be lost.
const LOSS_THRESH: f64 = 0.02;
/// `Beta`: what remains of a bound after a round of loss, at least.
const BETA: f64 = 0.7;
/// `Headroom`: how much of `inflight_longterm` is left to others.
const HEADROOM: f64 = 0.15;
/// How much of a round may be marked.
const MARK_THRESH: f64 = 0.5;
/// Growth of the rate that shows that the pipe is not full.
const FULL_BW_GROWTH: f64 = 1.25;
/// Rounds without that growth that show that it is.
const FULL_BW_ROUNDS: u32 = 3;
/// `StartupFullLossCnt`: gaps in a round that end Startup.
const STARTUP_FULL_LOSS_CNT: u32 = 6;
/// `MinRTTFilterLen`.
const MIN_RTT_FILTER_LEN: Duration = Duration::from_secs(10);
/// `ProbeRTTInterval`.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// `ProbeRTTDuration`.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// `ExtraAckedFilterLen`, in rounds.
const EXTRA_ACKED_FILTER_LEN: u64 = 10;
/// The longest wait between two probes, in rounds, so that Reno and CUBIC can live with it.
const RENO_ROUNDS: u64 = 63;
/// `MinPipeCwnd`, in packets.
const MIN_PIPE_CWND: u64 = 4;
/// `InitialCwnd`, in packets.
const INITIAL_CWND: u64 = 10;
/// The largest `send_quantum`.
const MAX_SEND_QUANTUM: u64 = 64 * 1024;
/// A bound that is not set.
const INFINITY: u64 = u64::MAX;

/// Returns `bytes`, or a rate, times `gain`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "gains are positive and small, the cast saturates, and 53 bits tell rates well enough"
)]
fn scale(bytes: u64, gain: f64) -> u64 {
    (bytes as f64 * gain) as u64
}

/// Returns the bytes that go at `rate` within `time`.
fn volume(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate).saturating_mul(time.as_nanos()) / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The states of "State Machine Operation".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    ProbeBwDown,
    ProbeBwCruise,
    ProbeBwRefill,
    ProbeBwUp,
    ProbeRtt,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Drain => "Drain",
            Self::ProbeBwDown => "ProbeBW_DOWN",
            Self::ProbeBwCruise => "ProbeBW_CRUISE",
            Self::ProbeBwRefill => "ProbeBW_REFILL",
            Self::ProbeBwUp => "ProbeBW_UP",
            Self::ProbeRtt => "ProbeRTT",
        }
    }

    fn pacing_gain(self) -> f64 {
        match self {
            Self::Startup => STARTUP_PACING_GAIN,
            Self::Drain => DRAIN_PACING_GAIN,
            Self::ProbeBwDown => DOWN_PACING_GAIN,
            Self::ProbeBwUp => UP_PACING_GAIN,
            Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeRtt => 1.0,
        }
    }

    fn cwnd_gain(self) -> f64 {
        match self {
            Self::ProbeBwUp => UP_CWND_GAIN,
            Self::ProbeRtt => PROBE_RTT_CWND_GAIN,
            _ => DEFAULT_CWND_GAIN,
        }
    }

    /// `IsInAProbeBWState`.
    fn is_probe_bw(self) -> bool {
        matches!(
            self,
            Self::ProbeBwDown | Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeBwUp
        )
    }

    /// `BBRIsProbingBW`.
    fn is_probing_bw(self) -> bool {
        matches!(self, Self::Startup | Self::ProbeBwRefill | Self::ProbeBwUp)
    }
}

/// Which packets the acknowledgements of now are about (`ack_phase`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// What there was before an episode of loss (`BBRSaveStateUponLoss`).
#[derive(Debug, Clone, Copy)]
struct Undo {
    since: Duration,
    next: u64,
    lost: u64,
    state: State,
    cwnd: u64,
    full_bw_reached: bool,
    bw_shortterm: u64,
    inflight_shortterm: u64,
    inflight_longterm: u64,
}

/// The congestion control of draft-ietf-ccwg-bbr-03 ("BBRv3").
#[derive(Debug)]
pub struct Bbr {
    packet: u64,
    random: u64,
    state: State,
    cwnd: u64,
    prior_cwnd: u64,
    pacing_rate: u64,
    send_quantum: u64,
    has_rtt: bool,
    delivered: u64,
    in_flight: u64,
    events: u64,
    event_round: Option<u64>,

    round_count: u64,
    round_start: bool,
    next_round_delivered: u64,
    is_cwnd_limited: bool,
    cwnd_limited_in_round: bool,

    max_bw: u64,
    max_bw_filter: [u64; 2],
    bw: u64,
    bw_shortterm: u64,
    bw_latest: u64,
    inflight_longterm: u64,
    inflight_shortterm: u64,
    inflight_latest: u64,
    max_inflight: u64,

    loss_round_delivered: u64,
    loss_round_start: bool,
    loss_in_round: bool,
    loss_events_in_round: u32,
    lost_in_round: u64,
    marked_in_round: u64,
    acked_in_round: u64,
    last_lost: Option<u64>,
    undo: Option<Undo>,

    extra_acked: u64,
    extra_acked_filter: [(u64, u64); 10],
    extra_acked_interval_start: Option<Duration>,
    extra_acked_delivered: u64,

    full_bw: u64,
    full_bw_count: u32,
    full_bw_now: bool,
    full_bw_reached: bool,

    ack_phase: AckPhase,
    bw_probe_samples: bool,
    cycle_stamp: Duration,
    bw_probe_wait: Duration,
    rounds_since_bw_probe: u64,
    bw_probe_up_rounds: u32,
    bw_probe_up_acks: u64,
    probe_up_cnt: u64,

    min_rtt: Option<Duration>,
    min_rtt_stamp: Duration,
    probe_rtt_min_delay: Option<Duration>,
    probe_rtt_min_stamp: Duration,
    probe_rtt_expired: bool,
    probe_rtt_done_stamp: Option<Duration>,
    probe_rtt_round_done: bool,
    app_limited_until: Option<u64>,
    idle_restart: bool,
}

impl Bbr {
    /// Starts with packets of `packet` bytes; `seed` chooses the times of the probes.
    #[must_use]
    pub fn new(packet: u64, seed: u64) -> Self {
        let packet = packet.max(1);
        let mut bbr = Self {
            packet,
            random: seed,
            state: State::Startup,
            cwnd: packet.saturating_mul(INITIAL_CWND),
            prior_cwnd: 0,
            pacing_rate: 0,
            send_quantum: packet.saturating_mul(2),
            has_rtt: false,
            delivered: 0,
            in_flight: 0,
            events: 0,
            event_round: None,
            round_count: 0,
            round_start: false,
            next_round_delivered: 0,
            is_cwnd_limited: false,
            cwnd_limited_in_round: false,
            max_bw: 0,
            max_bw_filter: [0; 2],
            bw: 0,
            bw_shortterm: INFINITY,
            bw_latest: 0,
            inflight_longterm: INFINITY,
            inflight_shortterm: INFINITY,
            inflight_latest: 0,
            max_inflight: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            loss_in_round: false,
            loss_events_in_round: 0,
            lost_in_round: 0,
            marked_in_round: 0,
            acked_in_round: 0,
            last_lost: None,
            undo: None,
            extra_acked: 0,
            extra_acked_filter: [(0, 0); 10],
            extra_acked_interval_start: None,
            extra_acked_delivered: 0,
            full_bw: 0,
            full_bw_count: 0,
            full_bw_now: false,
            full_bw_reached: false,
            ack_phase: AckPhase::Init,
            bw_probe_samples: false,
            cycle_stamp: Duration::ZERO,
            bw_probe_wait: Duration::ZERO,
            rounds_since_bw_probe: 0,
            bw_probe_up_rounds: 0,
            bw_probe_up_acks: 0,
            probe_up_cnt: INFINITY,
            min_rtt: None,
            min_rtt_stamp: Duration::ZERO,
            probe_rtt_min_delay: None,
            probe_rtt_min_stamp: Duration::ZERO,
            probe_rtt_expired: false,
            probe_rtt_done_stamp: None,
            probe_rtt_round_done: false,
            app_limited_until: None,
            idle_restart: false,
        };
        bbr.init_pacing_rate(Duration::ZERO);
        bbr
    }

    /// Returns the next number of a `SplitMix64` sequence.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns what an acknowledgement tells of the rate, or nothing that could matter.
    fn rate_sample(&self, ack: &Ack) -> RateSample {
        let mut rs = ack.sample.unwrap_or(RateSample {
            delivery_rate: None,
            app_limited: true,
            delivered: 0,
            prior_delivered: 0,
            tx_in_flight: 0,
            lost: 0,
        });
        rs.app_limited |= self.app_limited_until.is_some_and(|until| rs.prior_delivered <= until);
        rs
    }

    /// Counts a lowered bound, once per round.
    fn count_event(&mut self) {
        if self.event_round != Some(self.round_count) {
            self.event_round = Some(self.round_count);
            self.events = self.events.saturating_add(1);
        }
    }
}

impl Controller for Bbr {
    fn on_sent(&mut self, sent: &Sent) {
        self.handle_restart_from_idle(sent);
        self.in_flight = sent.in_flight.saturating_add(sent.bytes);
        if self.in_flight.saturating_add(self.packet) > self.cwnd {
            self.cwnd_limited_in_round = true;
            self.is_cwnd_limited = true;
        }
    }

    fn on_ack(&mut self, ack: &Ack) {
        let rs = self.rate_sample(ack);
        self.delivered = ack.delivered;
        self.in_flight = ack.in_flight;
        if !self.has_rtt && ack.rtt.is_some() {
            self.has_rtt = true;
            self.init_pacing_rate(ack.smoothed_rtt);
        }
        self.update_latest_delivery_signals(&rs);
        self.update_congestion_signals(ack, &rs);
        self.update_ack_aggregation(ack.now, ack.acked);
        self.check_full_bw_reached(&rs);
        self.check_startup_done();
        self.check_drain_done(ack.now);
        self.update_probe_bw_cycle_phase(ack, &rs);
        self.update_min_rtt(ack.now, ack.rtt);
        self.check_probe_rtt(ack.now, &rs);
        self.advance_latest_delivery_signals(&rs);
        self.bound_bw_for_model();
        self.set_pacing_rate();
        self.set_send_quantum();
        self.set_cwnd(ack.acked);
    }

    fn on_lost(&mut self, lost: &Lost) {
        self.in_flight = lost.in_flight;
        self.handle_lost_packet(lost);
    }

    fn on_marked(&mut self, marked: &Marked) {
        let bytes = marked.packets.saturating_mul(self.packet);
        self.marked_in_round = self.marked_in_round.saturating_add(bytes);
    }

    fn on_spurious(&mut self, spurious: &Spurious) {
        self.handle_spurious_loss(spurious);
    }

    fn on_persistent_congestion(&mut self, _now: Duration) {
        self.save_cwnd();
        self.cwnd = self.min_pipe_cwnd();
    }

    fn set_packet(&mut self, bytes: u64) {
        self.packet = bytes.max(1);
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
    }

    fn window(&self) -> u64 {
        self.cwnd.max(self.min_pipe_cwnd())
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate.max(self.packet))
    }

    fn state(&self) -> &'static str {
        self.state.name()
    }

    fn events(&self) -> u64 {
        self.events
    }
}
