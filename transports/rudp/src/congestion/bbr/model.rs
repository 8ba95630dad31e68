//! "Updating Network Path Model Parameters": what the path can carry, from what it delivers and loses.

use super::{
    Ack, AckPhase, BETA, Bbr, Duration, EXTRA_ACKED_FILTER_LEN, INFINITY, LOSS_THRESH, Lost,
    MARK_THRESH, MIN_RTT_FILTER_LEN, PROBE_RTT_INTERVAL, RateSample, Spurious, State, Undo, scale,
    volume,
};

/// `IsInflightTooHigh`.
pub(super) fn is_inflight_too_high(lost: u64, tx_in_flight: u64) -> bool {
    lost > scale(tx_in_flight, LOSS_THRESH)
}

/// `BBRInflightAtLoss`: what was under way when the loss passed `LossThresh`.
fn inflight_at_loss(lost: &Lost) -> u64 {
    let inflight_prev = lost.tx_in_flight.saturating_sub(lost.bytes);
    let lost_prev = lost.lost_since.saturating_sub(lost.bytes);
    let room = scale(inflight_prev, LOSS_THRESH).saturating_sub(lost_prev);
    inflight_prev.saturating_add(scale(room, 1.0 / (1.0 - LOSS_THRESH)))
}

impl Bbr {
    /// `BBRUpdateRound`.
    fn update_round(&mut self, rs: &RateSample) {
        self.round_start = rs.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round();
            self.round_count = self.round_count.saturating_add(1);
            self.rounds_since_bw_probe = self.rounds_since_bw_probe.saturating_add(1);
            self.is_cwnd_limited = self.cwnd_limited_in_round;
            self.cwnd_limited_in_round = false;
        }
    }

    /// `BBRStartRound`.
    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// `BBRUpdateMaxBw`.
    fn update_max_bw(&mut self, rs: &RateSample) {
        self.update_round(rs);
        let rate = rs.delivery_rate.unwrap_or(0);
        if rate > 0 && (rate >= self.max_bw || !rs.app_limited) {
            self.max_bw_filter[1] = self.max_bw_filter[1].max(rate);
            self.max_bw = self.max_bw_filter[0].max(self.max_bw_filter[1]);
        }
    }

    /// `BBRAdvanceMaxBwFilter`; a cycle without samples leaves what there is.
    pub(super) fn advance_max_bw_filter(&mut self) {
        if self.max_bw_filter[1] > 0 {
            self.max_bw_filter = [self.max_bw_filter[1], 0];
            self.max_bw = self.max_bw_filter[0];
        }
    }

    /// `BBRUpdateLatestDeliverySignals`.
    pub(super) fn update_latest_delivery_signals(&mut self, rs: &RateSample) {
        self.bw_latest = self.bw_latest.max(rs.delivery_rate.unwrap_or(0));
        self.inflight_latest = self.inflight_latest.max(rs.delivered);
        self.loss_round_start = rs.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = self.delivered;
        }
    }

    /// `BBRAdvanceLatestDeliverySignals`.
    pub(super) fn advance_latest_delivery_signals(&mut self, rs: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = rs.delivery_rate.unwrap_or(0);
            self.inflight_latest = rs.delivered;
        }
    }

    /// `BBRResetCongestionSignals`.
    pub(super) fn reset_congestion_signals(&mut self) {
        self.reset_loss_round();
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// Begins to count the loss and the marks of another round.
    fn reset_loss_round(&mut self) {
        self.loss_in_round = false;
        self.loss_events_in_round = 0;
        self.lost_in_round = 0;
        self.marked_in_round = 0;
        self.acked_in_round = 0;
    }

    /// `BBRUpdateCongestionSignals`.
    pub(super) fn update_congestion_signals(&mut self, ack: &Ack, rs: &RateSample) {
        self.update_max_bw(rs);
        self.acked_in_round = self.acked_in_round.saturating_add(ack.acked);
        if !self.loss_round_start {
            return;
        }
        let round = self.acked_in_round.saturating_add(self.lost_in_round);
        let lost = self.loss_in_round && is_inflight_too_high(self.lost_in_round, round);
        let marked = self.marked_in_round > scale(self.acked_in_round, MARK_THRESH);
        let gaps = self.loss_events_in_round;
        if lost || marked {
            self.adapt_lower_bounds_from_congestion();
        }
        self.check_startup_high_loss(lost, gaps, marked);
        if marked && self.bw_probe_samples {
            self.handle_inflight_too_high(ack.now, rs.tx_in_flight, rs.app_limited);
        }
        self.reset_loss_round();
    }

    /// `BBRAdaptLowerBoundsFromCongestion`, of a round with too much loss or marks.
    fn adapt_lower_bounds_from_congestion(&mut self) {
        if self.state.is_probing_bw() {
            return;
        }
        if self.bw_shortterm == INFINITY {
            self.bw_shortterm = self.max_bw;
        }
        if self.inflight_shortterm == INFINITY {
            self.inflight_shortterm = self.cwnd;
        }
        self.bw_shortterm = self.bw_latest.max(scale(self.bw_shortterm, BETA));
        self.inflight_shortterm = self.inflight_latest.max(scale(self.inflight_shortterm, BETA));
        self.count_event();
    }

    /// `BBRResetShortTermModel`.
    pub(super) fn reset_short_term_model(&mut self) {
        self.bw_shortterm = INFINITY;
        self.inflight_shortterm = INFINITY;
    }

    /// `BBRBoundBWForModel`.
    pub(super) fn bound_bw_for_model(&mut self) {
        self.bw = self.max_bw.min(self.bw_shortterm);
    }

    /// `BBRNoteLoss`, and the counts that `BBRCheckStartupHighLoss` needs.
    fn note_loss(&mut self, lost: &Lost) {
        if !self.loss_in_round {
            self.loss_round_delivered = lost.delivered;
            self.reset_loss_round();
            self.loss_in_round = true;
        }
        self.save_state_upon_loss(lost);
        self.lost_in_round = self.lost_in_round.saturating_add(lost.bytes);
        if self.last_lost.is_none_or(|last| last.checked_add(1) != Some(lost.packet)) {
            self.loss_events_in_round = self.loss_events_in_round.saturating_add(1);
        }
        self.last_lost = Some(lost.packet);
    }

    /// `BBRSaveStateUponLoss`, at the first loss of an episode.
    fn save_state_upon_loss(&mut self, lost: &Lost) {
        let undo = self.undo.filter(|undo| lost.packet < undo.next).unwrap_or(Undo {
            since: lost.now,
            next: lost.next,
            lost: 0,
            state: self.state,
            cwnd: self.cwnd,
            full_bw_reached: self.full_bw_reached,
            bw_shortterm: self.bw_shortterm,
            inflight_shortterm: self.inflight_shortterm,
            inflight_longterm: self.inflight_longterm,
        });
        self.undo = Some(Undo { lost: undo.lost.saturating_add(lost.bytes), ..undo });
    }

    /// `BBRHandleSpuriousLossDetection`, once nothing remains that an episode really lost.
    pub(super) fn handle_spurious_loss(&mut self, spurious: &Spurious) {
        let Some(undo) = &mut self.undo else { return };
        if spurious.given_up < undo.since || spurious.sent > undo.since {
            return;
        }
        undo.lost = undo.lost.saturating_sub(spurious.bytes);
        if undo.lost > 0 {
            return;
        }
        let undo = *undo;
        self.undo = None;
        self.reset_loss_round();
        self.reset_full_bw();
        self.bw_shortterm = self.bw_shortterm.max(undo.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(undo.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(undo.inflight_longterm);
        self.cwnd = self.cwnd.max(undo.cwnd);
        if self.state != State::ProbeRtt && self.state != undo.state {
            match undo.state {
                State::Startup => {
                    self.full_bw_reached = undo.full_bw_reached;
                    self.enter_startup();
                }
                State::ProbeBwUp => self.start_probe_bw_up(self.bw_latest),
                _ => {}
            }
        }
        self.bound_bw_for_model();
        self.set_pacing_rate();
    }

    /// `BBRHandleLostPacket`.
    pub(super) fn handle_lost_packet(&mut self, lost: &Lost) {
        self.note_loss(lost);
        if self.bw_probe_samples && is_inflight_too_high(lost.lost_since, lost.tx_in_flight) {
            self.handle_inflight_too_high(lost.now, inflight_at_loss(lost), lost.app_limited);
        }
    }

    /// `BBRHandleInflightTooHigh`.
    fn handle_inflight_too_high(&mut self, now: Duration, tx_in_flight: u64, app_limited: bool) {
        self.bw_probe_samples = false;
        if !app_limited {
            self.inflight_longterm = tx_in_flight.max(scale(self.target_inflight(), BETA));
            self.count_event();
        }
        if self.state == State::ProbeBwUp {
            self.start_probe_bw_down(now);
        }
    }

    /// `BBRAdaptLongTermModel`.
    pub(super) fn adapt_long_term_model(&mut self, ack: &Ack, rs: &RateSample) {
        if self.round_start && self.ack_phase == AckPhase::ProbeStarting {
            self.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.round_start && self.ack_phase == AckPhase::ProbeStopping {
            self.ack_phase = AckPhase::Init;
            self.bw_probe_samples = false;
            if self.state.is_probe_bw() && !rs.app_limited {
                self.advance_max_bw_filter();
            }
        }
        if self.inflight_longterm == INFINITY || is_inflight_too_high(rs.lost, rs.tx_in_flight) {
            return;
        }
        self.inflight_longterm = self.inflight_longterm.max(rs.tx_in_flight);
        if self.state == State::ProbeBwUp {
            self.probe_inflight_longterm_upward(ack.acked);
        }
    }

    /// `BBRUpdateACKAggregation`.
    pub(super) fn update_ack_aggregation(&mut self, now: Duration, acked: u64) {
        let start = *self.extra_acked_interval_start.get_or_insert(now);
        let mut expected = volume(self.bw, now.saturating_sub(start));
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_interval_start = Some(now);
            expected = 0;
        }
        self.extra_acked_delivered = self.extra_acked_delivered.saturating_add(acked);
        let extra = self.extra_acked_delivered.saturating_sub(expected).min(self.cwnd);
        let slots = self.extra_acked_filter.iter().zip(0u64..);
        let slot = self.round_count % EXTRA_ACKED_FILTER_LEN;
        let len = if self.full_bw_reached { EXTRA_ACKED_FILTER_LEN } else { 1 };
        let recent = slots
            .filter(|((round, _), _)| self.round_count.saturating_sub(*round) < len)
            .map(|((_, extra), _)| *extra)
            .max();
        self.extra_acked = recent.unwrap_or(0).max(extra);
        if let Some(entry) =
            usize::try_from(slot).ok().and_then(|i| self.extra_acked_filter.get_mut(i))
        {
            let old = if entry.0 == self.round_count { entry.1 } else { 0 };
            *entry = (self.round_count, old.max(extra));
        }
    }

    /// `BBRUpdateMinRTT`.
    pub(super) fn update_min_rtt(&mut self, now: Duration, rtt: Option<Duration>) {
        let elapsed = now.saturating_sub(self.probe_rtt_min_stamp);
        self.probe_rtt_expired = self.probe_rtt_min_delay.is_some() && elapsed > PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (self.probe_rtt_expired || self.probe_rtt_min_delay.is_none_or(|min| rtt < min))
        {
            self.probe_rtt_min_delay = Some(rtt);
            self.probe_rtt_min_stamp = now;
        }
        let expired = now.saturating_sub(self.min_rtt_stamp) > MIN_RTT_FILTER_LEN;
        if let Some(delay) = self.probe_rtt_min_delay
            && (expired || self.min_rtt.is_none_or(|min| delay < min))
        {
            self.min_rtt = Some(delay);
            self.min_rtt_stamp = self.probe_rtt_min_stamp;
        }
    }
}
