//! "Updating Control Parameters": the rate, the quantum and the window.

use super::{
    Bbr, Duration, INFINITY, INITIAL_CWND, MAX_SEND_QUANTUM, MIN_PIPE_CWND, PACING_MARGIN,
    PROBE_RTT_CWND_GAIN, STARTUP_PACING_GAIN, State, scale, volume,
};

impl Bbr {
    /// Returns `MinPipeCwnd` in bytes.
    pub(super) fn min_pipe_cwnd(&self) -> u64 {
        self.packet.saturating_mul(MIN_PIPE_CWND)
    }

    /// Returns `InitialCwnd` in bytes.
    pub(super) fn initial_cwnd(&self) -> u64 {
        self.packet.saturating_mul(INITIAL_CWND)
    }

    /// `BBRInitPacingRate`: `srtt` is zero as long as there is none.
    pub(super) fn init_pacing_rate(&mut self, srtt: Duration) {
        let srtt = if srtt.is_zero() { Duration::from_millis(1) } else { srtt };
        let bytes = u128::from(self.initial_cwnd());
        let nominal = bytes.saturating_mul(1_000_000_000) / srtt.as_nanos().max(1);
        let nominal = u64::try_from(nominal).unwrap_or(u64::MAX);
        self.pacing_rate = scale(nominal, STARTUP_PACING_GAIN);
    }

    /// `BBRSetPacingRateWithGain`.
    pub(super) fn set_pacing_rate_with_gain(&mut self, gain: f64) {
        if self.bw == 0 {
            return;
        }
        let rate = scale(self.bw, gain * PACING_MARGIN);
        if self.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    /// `BBRSetPacingRate`.
    pub(super) fn set_pacing_rate(&mut self) {
        self.set_pacing_rate_with_gain(self.state.pacing_gain());
    }

    /// `BBRSetSendQuantum`.
    pub(super) fn set_send_quantum(&mut self) {
        let quantum = volume(self.pacing_rate, Duration::from_millis(1));
        self.send_quantum = quantum.min(MAX_SEND_QUANTUM).max(self.packet.saturating_mul(2));
    }

    /// `BBRBDPMultiple`, at a rate of `bw`.
    pub(super) fn bdp_multiple(&self, bw: u64, gain: f64) -> u64 {
        match self.min_rtt {
            Some(min_rtt) if bw > 0 => scale(volume(bw, min_rtt), gain),
            _ => self.initial_cwnd(),
        }
    }

    /// `BBRQuantizationBudget`, with the budget of `BBRUpdateOffloadBudget`.
    fn quantization_budget(&self, inflight_cap: u64) -> u64 {
        let offload_budget = self.send_quantum.saturating_mul(3);
        let cap = inflight_cap.max(offload_budget).max(self.min_pipe_cwnd());
        if self.state == State::ProbeBwUp {
            cap.saturating_add(self.packet.saturating_mul(2))
        } else {
            cap
        }
    }

    /// `BBRInflight`.
    pub(super) fn inflight(&self, bw: u64, gain: f64) -> u64 {
        self.quantization_budget(self.bdp_multiple(bw, gain))
    }

    /// `BBRUpdateMaxInflight`.
    fn update_max_inflight(&mut self) {
        let cap = self.bdp_multiple(self.bw, self.state.cwnd_gain());
        self.max_inflight = self.quantization_budget(cap.saturating_add(self.extra_acked));
    }

    /// `BBRTargetInflight`.
    pub(super) fn target_inflight(&self) -> u64 {
        self.bdp_multiple(self.bw, 1.0).min(self.cwnd)
    }

    /// `BBRProbeRTTCwnd`.
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        self.bdp_multiple(self.bw, PROBE_RTT_CWND_GAIN).max(self.min_pipe_cwnd())
    }

    /// `BBRSaveCwnd`; without a recovery that ends, only `ProbeRTT` keeps an older one.
    pub(super) fn save_cwnd(&mut self) {
        self.prior_cwnd =
            if self.state == State::ProbeRtt { self.prior_cwnd.max(self.cwnd) } else { self.cwnd };
    }

    /// `BBRRestoreCwnd`.
    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// `BBRSetCwnd`.
    pub(super) fn set_cwnd(&mut self, acked: u64) {
        self.update_max_inflight();
        let grown = self.cwnd.saturating_add(acked);
        if self.full_bw_reached {
            self.cwnd = grown.min(self.max_inflight);
        } else if self.cwnd < self.max_inflight || self.delivered < self.initial_cwnd() {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// `BBRBoundCwndForModel`.
    fn bound_cwnd_for_model(&mut self) {
        let cap = match self.state {
            State::ProbeBwDown | State::ProbeBwRefill | State::ProbeBwUp => self.inflight_longterm,
            State::ProbeBwCruise | State::ProbeRtt => self.inflight_with_headroom(),
            State::Startup | State::Drain => INFINITY,
        };
        let cap = cap.min(self.inflight_shortterm).max(self.min_pipe_cwnd());
        self.cwnd = self.cwnd.min(cap);
    }
}
