//! "State Machine Operation": Startup, Drain, `ProbeBW` and `ProbeRTT`, and "Restarting From Idle".

use super::{
    Ack, AckPhase, Bbr, Duration, FULL_BW_GROWTH, FULL_BW_ROUNDS, HEADROOM, INFINITY,
    PROBE_RTT_DURATION, RENO_ROUNDS, RateSample, STARTUP_FULL_LOSS_CNT, Sent, State, scale,
};

impl Bbr {
    /// `BBREnterStartup`.
    pub(super) fn enter_startup(&mut self) {
        self.state = State::Startup;
    }

    /// `BBRResetFullBW`.
    pub(super) fn reset_full_bw(&mut self) {
        self.full_bw = 0;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// `BBRCheckFullBWReached`.
    pub(super) fn check_full_bw_reached(&mut self, rs: &RateSample) {
        let Some(rate) = rs.delivery_rate else { return };
        if self.full_bw_now || !self.round_start || rs.app_limited {
            return;
        }
        if rate >= scale(self.full_bw, FULL_BW_GROWTH) {
            self.reset_full_bw();
            self.full_bw = rate;
            return;
        }
        self.full_bw_count = self.full_bw_count.saturating_add(1);
        self.full_bw_now = self.full_bw_count >= FULL_BW_ROUNDS;
        self.full_bw_reached |= self.full_bw_now;
    }

    /// `BBRCheckStartupHighLoss`, at the end of a round; many marks are as good as many losses.
    pub(super) fn check_startup_high_loss(&mut self, lost: bool, gaps: u32, marked: bool) {
        let high = lost && gaps >= STARTUP_FULL_LOSS_CNT;
        if self.state != State::Startup || self.full_bw_reached || !(high || marked) {
            return;
        }
        self.full_bw_reached = true;
        self.inflight_longterm = self.bdp_multiple(self.max_bw, 1.0).max(self.inflight_latest);
        self.count_event();
    }

    /// `BBRCheckStartupDone`, without the loss, and `BBREnterDrain`.
    pub(super) fn check_startup_done(&mut self) {
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
        }
    }

    /// `BBRCheckDrainDone`, and `BBREnterProbeBW`.
    pub(super) fn check_drain_done(&mut self, now: Duration) {
        if self.state == State::Drain && self.in_flight <= self.inflight(self.bw, 1.0) {
            self.start_probe_bw_down(now);
        }
    }

    /// `BBRPickProbeWait`.
    fn pick_probe_wait(&mut self) {
        self.rounds_since_bw_probe = self.random() & 1;
        let more = Duration::from_nanos(self.random() % 1_000_000_000);
        self.bw_probe_wait = Duration::from_secs(2) + more;
    }

    /// `BBRStartProbeBW_DOWN`.
    pub(super) fn start_probe_bw_down(&mut self, now: Duration) {
        self.reset_congestion_signals();
        self.probe_up_cnt = INFINITY;
        self.pick_probe_wait();
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::ProbeStopping;
        self.start_round();
        self.state = State::ProbeBwDown;
    }

    /// `BBRStartProbeBW_CRUISE`.
    fn start_probe_bw_cruise(&mut self) {
        self.state = State::ProbeBwCruise;
    }

    /// `BBRStartProbeBW_REFILL`.
    fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        self.bw_probe_up_rounds = 0;
        self.bw_probe_up_acks = 0;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::ProbeBwRefill;
    }

    /// `BBRStartProbeBW_UP`.
    pub(super) fn start_probe_bw_up(&mut self, delivery_rate: u64) {
        self.bw_probe_samples = true;
        self.ack_phase = AckPhase::ProbeStarting;
        self.start_round();
        self.reset_full_bw();
        self.full_bw = delivery_rate;
        self.state = State::ProbeBwUp;
        self.raise_inflight_longterm_slope();
    }

    /// `BBRUpdateProbeBWCyclePhase`.
    pub(super) fn update_probe_bw_cycle_phase(&mut self, ack: &Ack, rs: &RateSample) {
        if !self.full_bw_reached {
            return;
        }
        self.adapt_long_term_model(ack, rs);
        let state = self.state;
        match state {
            State::ProbeBwDown | State::ProbeBwCruise if self.is_time_to_probe_bw(ack.now) => {
                self.start_probe_bw_refill();
            }
            State::ProbeBwDown if self.is_time_to_cruise() => self.start_probe_bw_cruise(),
            State::ProbeBwRefill if self.round_start => {
                self.start_probe_bw_up(rs.delivery_rate.unwrap_or(0));
            }
            State::ProbeBwUp if self.is_time_to_go_down(rs) => self.start_probe_bw_down(ack.now),
            _ => {}
        }
    }

    /// `BBRIsTimeToProbeBW`, with `BBRIsRenoCoexistenceProbeTime`.
    fn is_time_to_probe_bw(&self, now: Duration) -> bool {
        let rounds = (self.target_inflight() / self.packet).min(RENO_ROUNDS);
        now.saturating_sub(self.cycle_stamp) > self.bw_probe_wait
            || self.rounds_since_bw_probe >= rounds
    }

    /// `BBRIsTimeToCruise`.
    fn is_time_to_cruise(&self) -> bool {
        self.in_flight <= self.inflight_with_headroom()
            && self.in_flight <= self.inflight(self.max_bw, 1.0)
    }

    /// `BBRIsTimeToGoDown`.
    fn is_time_to_go_down(&mut self, rs: &RateSample) -> bool {
        if self.is_cwnd_limited && self.cwnd >= self.inflight_longterm {
            self.reset_full_bw();
            self.full_bw = rs.delivery_rate.unwrap_or(0);
            return false;
        }
        self.full_bw_now
    }

    /// `BBRInflightWithHeadroom`.
    pub(super) fn inflight_with_headroom(&self) -> u64 {
        if self.inflight_longterm == INFINITY {
            return INFINITY;
        }
        let headroom = scale(self.inflight_longterm, HEADROOM).max(self.packet);
        self.inflight_longterm.saturating_sub(headroom).max(self.min_pipe_cwnd())
    }

    /// `BBRRaiseInflightLongtermSlope`: `probe_up_cnt` is the bytes to acknowledge per packet of growth.
    fn raise_inflight_longterm_slope(&mut self) {
        self.probe_up_cnt = (self.cwnd >> self.bw_probe_up_rounds).max(self.packet);
        self.bw_probe_up_rounds = (self.bw_probe_up_rounds + 1).min(30);
    }

    /// `BBRProbeInflightLongtermUpward`.
    pub(super) fn probe_inflight_longterm_upward(&mut self, acked: u64) {
        if !self.is_cwnd_limited || self.cwnd < self.inflight_longterm {
            return;
        }
        self.bw_probe_up_acks = self.bw_probe_up_acks.saturating_add(acked);
        let count = self.probe_up_cnt.max(1);
        let growth = (self.bw_probe_up_acks / count).saturating_mul(self.packet);
        self.bw_probe_up_acks %= count;
        self.inflight_longterm = self.inflight_longterm.saturating_add(growth);
        if self.round_start {
            self.raise_inflight_longterm_slope();
        }
    }

    /// `BBRCheckProbeRTT`, with `BBREnterProbeRTT`.
    pub(super) fn check_probe_rtt(&mut self, now: Duration, rs: &RateSample) {
        if self.state != State::ProbeRtt && self.probe_rtt_expired && !self.idle_restart {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done_stamp = None;
            self.ack_phase = AckPhase::ProbeStopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(now);
        }
        if rs.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// `BBRHandleProbeRTT`, with `MarkConnectionAppLimited`.
    fn handle_probe_rtt(&mut self, now: Duration) {
        self.app_limited_until = Some(self.delivered.saturating_add(self.in_flight));
        if self.probe_rtt_done_stamp.is_some() {
            self.probe_rtt_round_done |= self.round_start;
            if self.probe_rtt_round_done {
                self.check_probe_rtt_done(now);
            }
        } else if self.in_flight <= self.probe_rtt_cwnd() {
            self.probe_rtt_done_stamp = Some(now.saturating_add(PROBE_RTT_DURATION));
            self.probe_rtt_round_done = false;
            self.start_round();
        }
    }

    /// `BBRCheckProbeRTTDone`.
    fn check_probe_rtt_done(&mut self, now: Duration) {
        if self.probe_rtt_done_stamp.is_some_and(|done| now > done) {
            self.probe_rtt_min_stamp = now;
            self.restore_cwnd();
            self.exit_probe_rtt(now);
        }
    }

    /// `BBRExitProbeRTT`.
    fn exit_probe_rtt(&mut self, now: Duration) {
        self.reset_short_term_model();
        if self.full_bw_reached {
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
    }

    /// `BBRHandleRestartFromIdle`.
    pub(super) fn handle_restart_from_idle(&mut self, sent: &Sent) {
        if !sent.idle {
            return;
        }
        self.idle_restart = true;
        self.extra_acked_interval_start = Some(sent.now);
        if self.state.is_probe_bw() {
            self.set_pacing_rate_with_gain(1.0);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(sent.now);
        }
    }
}
