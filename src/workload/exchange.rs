use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Budget, Pacer, Timetable};
use crate::{
    measure::{ExchangeSummary, Latencies, OneWay, OneWayMissing, Part, Stamp},
    spec::{Exchange, Probe, TestSpec},
};

/// Who asks on one flow: when requests go, which are under way, and what came of them.
///
/// Memory is taken at the start alone, for as many requests as may be under way. What is due on a
/// schedule and has to wait takes none.
#[derive(Debug)]
pub struct Asker {
    exchange: Exchange,
    /// Whether responses come in the order of the requests, and none is lost on the way.
    ordered: bool,
    timetable: Option<Timetable>,
    /// What keeps to the rate that the test may have.
    pacer: Option<Pacer>,
    budget: Option<Arc<Budget>>,
    /// What is this flow's, whatever the others claim.
    reserved: usize,
    end: Option<Duration>,
    under_way: VecDeque<UnderWay>,
    /// How many requests have been asked so far, which is the next one's number.
    asked: u64,
    stopped: Option<Duration>,
    tally: Tally,
}

/// What an [`Asker`] does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// So many requests go now.
    Ask(usize),
    /// Nothing goes before this time, or before something comes; `None`: something has to come.
    Rest(Option<Duration>),
    /// Nothing goes any more, and nothing is waited for.
    Done,
}

/// A request without its response.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    number: u64,
    /// From when its latency counts.
    due: Duration,
    asked: Duration,
}

/// What came of the requests that count.
#[derive(Debug)]
struct Tally {
    /// Requests that were due before count for nothing, ...
    counts_from: Duration,
    /// ... but for those before the load begins, where they probe one.
    idle_until: Duration,
    requests: u64,
    replies: u64,
    lost: u64,
    latencies: Latencies,
    idle: Option<Latencies>,
    one_way: OneWay,
    last_reply: Duration,
}

impl Asker {
    /// Returns who asks on one flow of `spec`, which starts at time zero. Flows share `budget`, which
    /// is of requests.
    ///
    /// `ordered`: responses come in the order of the requests, and none is lost on the way.
    #[must_use]
    pub fn new(
        spec: &TestSpec,
        exchange: Exchange,
        ordered: bool,
        budget: Option<Arc<Budget>>,
    ) -> Self {
        let timetable =
            exchange.per_second.map(|count| Timetable::per_second(count, Duration::ZERO));
        let reserve = |budget: &Arc<Budget>| budget.reserve(1, spec.streams);
        Self {
            pacer: spec.rate.map(|rate| Pacer::new(rate, Duration::ZERO)),
            reserved: budget.as_ref().map_or(0, reserve),
            budget,
            end: spec.duration(),
            ..Self::on(timetable, exchange, ordered, Tally::new(spec, false))
        }
    }

    /// Returns who asks on the flow that probes `spec`.
    #[must_use]
    pub fn probing(spec: &TestSpec, probe: Probe, ordered: bool) -> Self {
        let timetable = Timetable::every(probe.every, Duration::ZERO);
        let tally = Tally::new(spec, true);
        let asker = Self::on(Some(timetable), probe.exchange(), ordered, tally);
        Self { end: spec.duration(), ..asker }
    }

    fn on(timetable: Option<Timetable>, exchange: Exchange, ordered: bool, tally: Tally) -> Self {
        Self {
            ordered,
            timetable,
            pacer: None,
            budget: None,
            reserved: 0,
            end: None,
            under_way: VecDeque::with_capacity(usize::from(exchange.in_flight)),
            exchange,
            asked: 0,
            stopped: None,
            tally,
        }
    }

    /// Returns what to do at `now`. Requests that are to go count as under way from now on.
    pub fn turn(&mut self, now: Duration) -> Turn {
        loop {
            let until = match self.waits(now) {
                Turn::Rest(until) => until,
                done => return done,
            };
            match self.due(now) {
                Ok(0) => return Turn::Rest(until),
                Ok(due) => match self.claim(due, now) {
                    0 => self.exhaust(now),
                    claimed => {
                        self.ask(claimed, now);
                        return Turn::Ask(claimed);
                    }
                },
                Err(due) => return Turn::Rest(earlier(until, Some(due))),
            }
        }
    }

    /// Does what is due at `now`, but for asking, and returns until when there is nothing more.
    pub fn waits(&mut self, now: Duration) -> Turn {
        if let Some(end) = self.end.filter(|end| now >= *end) {
            self.stop(end);
        }
        self.expire(now);
        let Some(stopped) = self.stopped else {
            return Turn::Rest(earlier(self.end, self.expires_at()));
        };
        let patience_ends = stopped + REPLY_WITHIN;
        if now >= patience_ends {
            self.give_up();
        }
        if self.under_way.is_empty() && self.left() == 0 {
            return Turn::Done;
        }
        Turn::Rest(earlier(Some(patience_ends), self.expires_at()))
    }

    /// Asks nothing any more that is not due before `at`.
    pub fn stop(&mut self, at: Duration) {
        let end = self.end.unwrap_or(at);
        self.stopped.get_or_insert(at.min(end));
    }

    /// Takes note of the response to the request with this number at `now`, and of what it tells of
    /// the other clock. Returns whether it was waited for: copies, and what comes too late, are not.
    pub fn reply(&mut self, number: u64, stamp: Option<Stamp>, now: Duration) -> bool {
        let found = self.under_way.binary_search_by_key(&number, |request| request.number);
        let request = found.ok().and_then(|at| self.under_way.remove(at));
        request.inspect(|request| self.tally.reply(request, stamp, now)).is_some()
    }

    /// Takes note of the response that is next in order at `now`, and of what it tells of the other
    /// clock. Returns whether one was waited for.
    pub fn next_reply(&mut self, stamp: Option<Stamp>, now: Duration) -> bool {
        let request = self.under_way.pop_front();
        request.inspect(|request| self.tally.reply(request, stamp, now)).is_some()
    }

    /// Returns whether requests go on a schedule.
    #[must_use]
    pub fn has_schedule(&self) -> bool {
        self.timetable.is_some()
    }

    /// Returns whether nothing is asked any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Returns how many requests are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Returns what is exchanged.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// Returns until when requests were asked and answered, once none is asked any more: what comes
    /// after the end of a test that time ends takes nothing from its rate.
    #[must_use]
    pub fn lasted_until(&self) -> Option<Duration> {
        let stopped = self.stopped?;
        Some(if self.end == Some(stopped) { stopped } else { self.tally.last_reply })
    }

    /// Returns what came of the requests.
    #[must_use]
    pub fn summary(&self) -> ExchangeSummary {
        let Tally { requests, replies, lost, latencies, idle, one_way, .. } = &self.tally;
        let one_way = one_way.summary();
        ExchangeSummary {
            requests: *requests,
            replies: *replies,
            lost: *lost,
            latency: latencies.summary(),
            idle: idle.as_ref().and_then(Latencies::summary),
            one_way_missing: (one_way.is_none() && *replies > 0).then(|| self.missing()),
            one_way,
            ..ExchangeSummary::default()
        }
    }

    /// Returns why responses tell nothing of the other clock, where they do not.
    fn missing(&self) -> OneWayMissing {
        let response = usize::try_from(self.exchange.response).unwrap_or(usize::MAX);
        match Stamp::fits(response, !self.ordered) {
            true => OneWayMissing::NotStamped,
            false => OneWayMissing::NoRoom,
        }
    }

    /// Returns how many requests may go at `now`, or when the next one may.
    fn due(&mut self, now: Duration) -> Result<usize, Duration> {
        let room = usize::from(self.exchange.in_flight).saturating_sub(self.under_way.len());
        if room == 0 {
            return Ok(0);
        }
        let mut most = room;
        if self.stopped.is_some() {
            most = most.min(usize::try_from(self.left()).unwrap_or(usize::MAX));
        } else if let Some(timetable) = &self.timetable {
            let due = timetable.due_by(now).saturating_sub(self.asked);
            if due == 0 {
                return Err(timetable.due(self.asked));
            }
            most = most.min(usize::try_from(due).unwrap_or(usize::MAX));
        }
        if most == 0 {
            return Ok(0);
        }
        if let Some(pacer) = &mut self.pacer {
            let due = pacer.due(now);
            if due > now {
                return Err(due);
            }
            most = most.min(pacer.left_in_burst().max(1));
        }
        Ok(most)
    }

    fn claim(&mut self, most: usize, now: Duration) -> usize {
        match &self.budget {
            // What is asked before the count begins is not counted.
            Some(_) if now >= self.tally.counts_from && self.reserved > 0 => {
                std::mem::take(&mut self.reserved)
            }
            Some(budget) if now >= self.tally.counts_from => budget.claim_batch(1, most),
            _ => most,
        }
    }

    fn ask(&mut self, count: usize, now: Duration) {
        for _ in 0..count {
            let due = self.timetable.map_or(now, |timetable| timetable.due(self.asked));
            self.under_way.push_back(UnderWay { number: self.asked, due, asked: now });
            self.asked += 1;
            self.tally.asked(due);
        }
        if let Some(pacer) = &mut self.pacer {
            let Exchange { request, response, .. } = self.exchange;
            let longest = usize::try_from(request.max(response)).unwrap_or(usize::MAX);
            pacer.sent_batch(longest.saturating_mul(count), count);
        }
    }

    /// Asks nothing any more: there is no budget for it.
    fn exhaust(&mut self, now: Duration) {
        self.timetable = None;
        self.stop(now);
    }

    /// Returns how many requests are still to go that were due before the end.
    fn left(&self) -> u64 {
        let due = |at| self.timetable.map_or(0, |timetable| timetable.due_before(at));
        self.stopped.map_or(0, due).saturating_sub(self.asked)
    }

    /// Waits no more: what has not been answered is lost, and so is what was due and never went.
    fn give_up(&mut self) {
        while let Some(request) = self.under_way.pop_front() {
            self.tally.lost(request.due, 1);
        }
        let to = self.asked + self.left();
        // The first of them may be of the omitted time.
        let omitted = |table: Timetable| table.due_before(self.tally.counts_from);
        let late = to.saturating_sub(self.asked.max(self.timetable.map_or(0, omitted)));
        self.tally.requests += late;
        self.tally.lost += late;
        self.asked = to;
    }

    /// Gives up what has been waited for too long, where something can be lost.
    fn expire(&mut self, now: Duration) {
        while self.expires_at().is_some_and(|at| now >= at) {
            if let Some(request) = self.under_way.pop_front() {
                self.tally.lost(request.due, 1);
            }
        }
    }

    fn expires_at(&self) -> Option<Duration> {
        let oldest = self.under_way.front().filter(|_| !self.ordered)?;
        Some(oldest.asked + REPLY_WITHIN)
    }
}

impl Tally {
    fn new(spec: &TestSpec, probes: bool) -> Self {
        Self {
            counts_from: spec.omitted(),
            idle_until: if probes { spec.load_begins() } else { Duration::ZERO },
            requests: 0,
            replies: 0,
            lost: 0,
            latencies: Latencies::new(),
            idle: probes.then(Latencies::new),
            one_way: OneWay::new(if probes { 1 } else { spec.streams }, probes),
            last_reply: Duration::ZERO,
        }
    }

    fn asked(&mut self, due: Duration) {
        self.requests += u64::from(due >= self.counts_from);
    }

    fn lost(&mut self, due: Duration, count: u64) {
        if due >= self.counts_from {
            self.lost += count;
        }
    }

    fn reply(&mut self, request: &UnderWay, stamp: Option<Stamp>, now: Duration) {
        self.last_reply = now;
        let latency = now.saturating_sub(request.due);
        let part = self.part(request.due);
        match (part, &mut self.idle) {
            (Part::Counted, _) => {
                self.replies += 1;
                self.latencies.record(latency);
            }
            (Part::Idle, Some(idle)) => idle.record(latency),
            _ => {}
        }
        if let Some(stamp) = stamp {
            self.one_way.note(stamp, request.asked, now, part);
        }
    }

    fn part(&self, due: Duration) -> Part {
        if due >= self.counts_from {
            Part::Counted
        } else if due < self.idle_until {
            Part::Idle
        } else {
            Part::Omitted
        }
    }
}

fn earlier(left: Option<Duration>, right: Option<Duration>) -> Option<Duration> {
    [left, right].into_iter().flatten().min()
}

/// How long a response may take where it may be lost, and the last ones anywhere once nothing is
/// asked any more.
pub const REPLY_WITHIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
