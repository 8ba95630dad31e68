use std::time::Duration;

use super::{Action, Input, Message, Results, Sent, live::Core};
use crate::{
    measure::{FlowId, FlowSample, Role, Sample},
    outcome::{Ended, Failure, FailureCode, Side},
    spec::TestSpec,
};

/// A test from its start to its end: the same for both ends, but for who tells results first.
///
/// The client does. So a client that is complete knows that its server has both results; and a
/// server that waits for the goodbye knows that its client will say if they did not arrive. Only
/// the goodbye itself may be lost, and whatever happens to it, the server is complete as well.
#[derive(Debug)]
pub(super) struct Run {
    side: Side,
    started: Duration,
    /// When a test that time ends should long be over.
    overrun_at: Option<Duration>,
    /// When the server ends even a test without end.
    expires_at: Option<Duration>,
    stall: Duration,
    /// How long the other end's results may take after the last sign that something moves.
    results: Duration,
    timed: bool,
    flows: u16,
    /// When bytes were last seen to arrive, at either end.
    moved_at: Duration,
    received_here: u64,
    received_there: u64,
    told_sent: bool,
    heard_sent: bool,
    close_books_at: Option<Duration>,
    stopped: Option<Ended>,
    heard_stop: bool,
    done_at: Option<Duration>,
    ours: Option<Box<Results>>,
    theirs: Option<Box<Results>>,
    goodbye_at: Option<Duration>,
}

impl Run {
    pub(super) fn new(
        side: Side,
        spec: &TestSpec,
        max: Option<Duration>,
        core: &Core,
        now: Duration,
    ) -> Self {
        let timed = spec.duration().is_some();
        let stall = core.deadlines.stall.max(spec.block_time() * BLOCKS_PER_STALL);
        // Where a count ends the test, the other end may still be receiving, and gives up first.
        let patience = if timed { Duration::ZERO } else { stall };
        Self {
            side,
            started: now,
            overrun_at: spec.duration().map(|duration| now + duration + core.deadlines.overrun),
            expires_at: max.map(|max| now + max),
            stall,
            results: patience + core.deadlines.results,
            timed,
            flows: spec.flows(),
            // Before the load begins there is nothing to arrive.
            moved_at: now + spec.load_begins(),
            received_here: 0,
            received_there: 0,
            told_sent: false,
            heard_sent: false,
            close_books_at: None,
            stopped: None,
            heard_stop: false,
            done_at: None,
            ours: None,
            theirs: None,
            goodbye_at: None,
        }
    }

    pub(super) fn handle(&mut self, input: Input, core: &mut Core, now: Duration) {
        match input {
            Input::Message(message) => self.hear(message, core, now),
            Input::Sample(sample) if self.ours.is_none() => {
                core.send(Message::Progress(sample), now)
            }
            Input::Received(bytes) => {
                core.received(bytes);
                let more = bytes > self.received_here;
                self.received_here = bytes.max(self.received_here);
                self.moved(more, now);
            }
            Input::SendingDone(sent) if !self.told_sent && self.ours.is_none() => {
                self.told_sent = true;
                core.send(Message::Sent(sent), now);
            }
            Input::Done(results) if self.done_at.is_none() => self.done(results, core, now),
            Input::Stop(ended) => self.stop(ended, core, now),
            // Whatever went wrong with the goodbye: both ends have everything.
            Input::GiveUp(_) if self.goodbye_at.is_some() => self.complete(core),
            Input::GiveUp(failure) => core.give_up(failure, now),
            Input::Lost(reason) => self.lost(&reason, core, now),
            Input::Sample(_) | Input::SendingDone(_) | Input::Done(_) | Input::StreamsOpen => {}
        }
    }

    /// Does what is due at `now`.
    pub(super) fn check(&mut self, core: &mut Core, now: Duration) {
        if self.close_books_at.is_some_and(|at| now >= at) {
            self.close_books_at = None;
            core.push(Action::CloseBooks);
        }
        if self.goodbye_at.is_some_and(|at| now >= at) {
            return self.complete(core);
        }
        if self.results_at().is_some_and(|at| now >= at) {
            return core.give_up(self.without_results(now), now);
        }
        if let Some(failure) = self.overdue(now) {
            self.stop(Ended::Failed(failure), core, now);
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let running = [self.overrun_at, self.expires_at, Some(self.moved_at + self.stall)];
        let running = running.into_iter().flatten().filter(|_| self.is_running());
        running
            .chain([self.close_books_at, self.goodbye_at, self.results_at()].into_iter().flatten())
            .min()
    }

    pub(super) fn state(&self) -> &'static str {
        match (&self.ours, &self.stopped) {
            (None, None) => "the test was running",
            (None, Some(_)) => "the test was stopping",
            (Some(_), _) if self.theirs.is_none() => "its results were due",
            (Some(_), _) => "its goodbye was due",
        }
    }

    fn hear(&mut self, message: Message, core: &mut Core, now: Duration) {
        match message {
            Message::Ping { received } => {
                let more = received > self.received_there;
                self.received_there = received.max(self.received_there);
                self.moved(more, now);
            }
            Message::Progress(sample)
                if self.theirs.is_none() && self.knows(sample.flows.iter().map(|f| f.flow)) =>
            {
                self.progress(sample, core, now);
            }
            Message::Sent(sent)
                if !self.heard_sent
                    && self.theirs.is_none()
                    && self.knows(sent.iter().map(|sent| sent.flow)) =>
            {
                self.sent(sent, core, now);
            }
            Message::Stop(ended) if !self.heard_stop && self.may_be_told(&ended) => {
                self.stopped_by_peer(ended, core, now);
            }
            Message::Results(results)
                if self.theirs.is_none()
                    && self.knows(results.summary.flows.iter().map(|flow| flow.flow)) =>
            {
                self.results(results, core, now);
            }
            Message::Bye if self.side == Side::Server && self.goodbye_at.is_some() => {
                self.complete(core)
            }
            Message::Fail(failure) => {
                core.conclude(Ended::Failed(failure), self.theirs.take());
            }
            other => core.unexpected(&other, self.state(), now),
        }
    }

    fn progress(&mut self, sample: Sample, core: &mut Core, now: Duration) {
        // What is sent moves nothing: it may be sent into the void.
        let arrived = |flow: &FlowSample| flow.role == Role::Receiver && flow.bytes > 0;
        self.moved(sample.flows.iter().any(arrived), now);
        core.push(Action::Progress(sample));
    }

    fn sent(&mut self, sent: Vec<Sent>, core: &mut Core, now: Duration) {
        self.heard_sent = true;
        if self.ours.is_some() {
            return;
        }
        if self.timed && self.stopped.is_none() {
            self.close_books_at = Some(now + core.deadlines.grace);
        }
        core.push(Action::Expect(sent));
    }

    fn done(&mut self, results: Box<Results>, core: &mut Core, now: Duration) {
        self.done_at = Some(now);
        self.close_books_at = None;
        if self.side == Side::Client {
            core.send(Message::Results(results.clone()), now);
        }
        self.ours = Some(results);
        self.answer(core, now);
    }

    fn results(&mut self, results: Box<Results>, core: &mut Core, now: Duration) {
        if self.side == Side::Client && self.ours.is_none() {
            return core.unexpected(&Message::Results(results), self.state(), now);
        }
        self.theirs = Some(results);
        if self.side == Side::Client {
            core.send(Message::Bye, now);
            return self.complete(core);
        }
        self.answer(core, now);
    }

    /// Tells the client our results once both are there.
    fn answer(&mut self, core: &mut Core, now: Duration) {
        if let (Side::Server, Some(ours), Some(_)) = (self.side, &self.ours, &self.theirs) {
            core.send(Message::Results(ours.clone()), now);
            self.goodbye_at = Some(now + core.deadlines.goodbye);
            core.stop_listening();
        }
    }

    fn complete(&mut self, core: &mut Core) {
        core.conclude(self.stopped.take().unwrap_or(Ended::Complete), self.theirs.take());
    }

    fn stop(&mut self, ended: Ended, core: &mut Core, now: Duration) {
        if self.stopped.is_some() || self.goodbye_at.is_some() {
            return;
        }
        if ended == Ended::Complete {
            let text = "a running test was told to be complete";
            return core.give_up(Failure::new(FailureCode::Internal, text), now);
        }
        core.send(Message::Stop(ended.clone()), now);
        self.halt(ended, core, now);
    }

    /// Where both ends stop at once, the server's word holds for both.
    fn stopped_by_peer(&mut self, ended: Ended, core: &mut Core, now: Duration) {
        self.heard_stop = true;
        if self.stopped.is_none() || self.side == Side::Client {
            self.halt(ended, core, now);
        }
    }

    fn halt(&mut self, ended: Ended, core: &mut Core, now: Duration) {
        let first = self.stopped.replace(ended).is_none();
        self.close_books_at = None;
        self.moved_at = now;
        // Nobody has anything to receive any more.
        self.results = core.deadlines.results;
        if first && self.ours.is_none() {
            core.push(Action::Halt);
        }
    }

    fn lost(&mut self, reason: &str, core: &mut Core, now: Duration) {
        if self.goodbye_at.is_some() {
            return self.complete(core);
        }
        let mut text = format!("the control connection was lost while {}: {reason}", self.state());
        // What broke first may be the streams: the two together say that the peer is gone.
        if let Some(Ended::Failed(first)) = &self.stopped {
            text.push_str(&format!("; before that: {first}"));
        }
        let failure = Failure::new(FailureCode::PeerLost, text);
        // It may be only the half that we listen on, and the other end about to call it complete.
        core.send(Message::Fail(failure.clone()), now);
        core.conclude(Ended::Failed(failure), self.theirs.take());
    }

    /// Returns what has taken too long, if the test is running.
    fn overdue(&self, now: Duration) -> Option<Failure> {
        if !self.is_running() {
            return None;
        }
        let ran = now.saturating_sub(self.started);
        if self.expires_at.is_some_and(|at| now >= at) {
            let text = format!("the server ends every test after {ran:.0?}");
            return Some(Failure::new(FailureCode::Denied, text));
        }
        if self.overrun_at.is_some_and(|at| now >= at) {
            let text =
                format!("the test is still running after {ran:.0?}, which is far beyond its time");
            return Some(Failure::new(FailureCode::Timeout, text));
        }
        (now >= self.moved_at + self.stall).then(|| {
            let text =
                format!("no byte has arrived for {:.0?}, though the other end answers", self.stall);
            Failure::new(FailureCode::Stalled, text)
        })
    }

    /// Returns when the other end's results must be there: some time after ours were ready, and
    /// after the last sign that it still had something to receive. Once the test is stopped, ours
    /// are due as well.
    fn results_at(&self) -> Option<Duration> {
        let waiting = match &self.ours {
            Some(_) => self.theirs.is_none(),
            None => self.stopped.is_some(),
        };
        waiting.then(|| self.waits_since() + self.results)
    }

    fn without_results(&self, now: Duration) -> Failure {
        let waited = now.saturating_sub(self.waits_since());
        let (code, who) = match &self.ours {
            Some(_) => (FailureCode::Timeout, "the other end did not tell its"),
            None => (FailureCode::Internal, "this end did not come to its"),
        };
        Failure::new(code, format!("{who} results within {waited:.0?}"))
    }

    /// Returns since when the other end's results have been due. Signs that something moves put it
    /// off, but no further than to where the server ends every test: they are the other end's word.
    fn waits_since(&self) -> Duration {
        let done = self.done_at.unwrap_or(self.started);
        let moved = self.expires_at.map_or(self.moved_at, |at| self.moved_at.min(at));
        done.max(moved)
    }

    /// Returns whether these are flows of this test, and not more than it has.
    fn knows(&self, flows: impl ExactSizeIterator<Item = FlowId>) -> bool {
        let known = 1..=self.flows;
        flows.len() <= usize::from(self.flows) && flows.into_iter().all(|f| known.contains(&f.0))
    }

    /// Returns whether the other end may stop the test like this.
    fn may_be_told(&self, ended: &Ended) -> bool {
        match ended {
            Ended::Complete => false,
            Ended::Stopped { by, .. } => *by != self.side,
            Ended::Failed(_) => true,
        }
    }

    fn is_running(&self) -> bool {
        self.ours.is_none() && self.stopped.is_none()
    }

    /// Remembers that something arrived, at either end. Once the test is stopped it counts no more.
    fn moved(&mut self, arrived: bool, now: Duration) {
        if arrived && self.stopped.is_none() {
            self.moved_at = now;
        }
    }
}

/// How many blocks' time without a byte makes a stall, where a low rate has long pauses.
const BLOCKS_PER_STALL: u32 = 4;
