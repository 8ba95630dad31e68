use std::time::Duration;

use super::{Action, Input, Message, Results, live::Core};
use crate::{
    measure::Sample,
    outcome::{Ended, Failure, FailureCode, Side},
    spec::TestSpec,
};

/// A test from its start to its end: the same for both ends, but for who tells results first.
///
/// The client does. So a client that is complete knows that its server has both results; and a
/// server that waits for the goodbye knows that its client will say if they did not arrive.
#[derive(Debug)]
pub(super) struct Run {
    side: Side,
    started: Duration,
    /// When a test that time ends should long be over.
    overrun_at: Option<Duration>,
    /// When the server ends even a test without end.
    expires_at: Option<Duration>,
    stall: Duration,
    results: Duration,
    timed: bool,
    /// When bytes were last seen to arrive, at either end.
    moved_at: Duration,
    received_here: u64,
    received_there: u64,
    told_sent: bool,
    heard_sent: bool,
    close_books_at: Option<Duration>,
    stopped: Option<Ended>,
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
        Self {
            side,
            started: now,
            overrun_at: spec.duration().map(|duration| now + duration + core.deadlines.overrun),
            expires_at: max.map(|max| now + max),
            stall: core.deadlines.stall.max(spec.block_time() * BLOCKS_PER_STALL),
            results: core.deadlines.results,
            timed: spec.duration().is_some(),
            moved_at: now,
            received_here: 0,
            received_there: 0,
            told_sent: false,
            heard_sent: false,
            close_books_at: None,
            stopped: None,
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
                Self::note(&mut self.received_here, bytes, &mut self.moved_at, now);
            }
            Input::SendingDone(sent) if !self.told_sent => {
                self.told_sent = true;
                core.send(Message::Sent(sent), now);
            }
            Input::Done(results) if self.done_at.is_none() => self.done(results, core, now),
            Input::Stop(ended) => self.stop(ended, core, now),
            Input::GiveUp(failure) => core.give_up(failure, now),
            Input::Lost(reason) => self.lost(&reason, core),
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
            let text = format!("the other end did not tell its results within {:?}", self.results);
            return core.give_up(Failure::new(FailureCode::Timeout, text), now);
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
                Self::note(&mut self.received_there, received, &mut self.moved_at, now);
            }
            Message::Progress(sample) if self.theirs.is_none() => self.progress(sample, core, now),
            Message::Sent(sent) if !self.heard_sent => {
                self.heard_sent = true;
                if self.timed {
                    self.close_books_at = Some(now + core.deadlines.grace);
                }
                core.push(Action::Expect(sent));
            }
            Message::Stop(ended) if ended != Ended::Complete => {
                self.stopped_by_peer(ended, core, now)
            }
            Message::Results(results) if self.theirs.is_none() => self.results(results, core, now),
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
        if sample.flows.iter().any(|flow| flow.bytes > 0) {
            self.moved_at = now;
        }
        core.push(Action::Progress(sample));
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
        }
    }

    fn complete(&mut self, core: &mut Core) {
        core.conclude(self.stopped.take().unwrap_or(Ended::Complete), self.theirs.take());
    }

    fn stop(&mut self, ended: Ended, core: &mut Core, now: Duration) {
        if self.is_running() {
            core.send(Message::Stop(ended.clone()), now);
            self.halt(ended, core);
        }
    }

    /// Where both ends stop at once, the server's word holds for both.
    fn stopped_by_peer(&mut self, ended: Ended, core: &mut Core, now: Duration) {
        if self.stopped.is_some() && self.side == Side::Server {
            return;
        }
        if self.ours.is_some() {
            self.moved_at = now;
        }
        self.halt(ended, core);
    }

    fn halt(&mut self, ended: Ended, core: &mut Core) {
        self.stopped = Some(ended);
        self.close_books_at = None;
        if self.ours.is_none() {
            core.push(Action::Halt);
        }
    }

    fn lost(&mut self, reason: &str, core: &mut Core) {
        if self.goodbye_at.is_some() {
            return self.complete(core);
        }
        let mut text = format!("the control connection was lost while {}: {reason}", self.state());
        // What broke first may be the streams: the two together say that the peer is gone.
        if let Some(Ended::Failed(first)) = &self.stopped {
            text.push_str(&format!("; before that: {first}"));
        }
        core.conclude(Ended::Failed(Failure::new(FailureCode::PeerLost, text)), self.theirs.take());
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
    /// after the last sign that it still had something to receive.
    fn results_at(&self) -> Option<Duration> {
        let waiting = self.theirs.is_none();
        self.done_at.filter(|_| waiting).map(|done| done.max(self.moved_at) + self.results)
    }

    fn is_running(&self) -> bool {
        self.ours.is_none() && self.stopped.is_none()
    }

    fn note(known: &mut u64, told: u64, moved_at: &mut Duration, now: Duration) {
        if told > *known {
            *known = told;
            *moved_at = now;
        }
    }
}

/// How many blocks' time without a byte makes a stall, where a low rate has long pauses.
const BLOCKS_PER_STALL: u32 = 4;
