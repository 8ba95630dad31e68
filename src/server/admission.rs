use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::Limits;
use crate::{
    outcome::{Failure, FailureCode},
    protocol::native::Busy,
    spec::TestSpec,
};

/// Who may run, and who waits for it: first come, first served.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    limits: Limits,
    next: u64,
    running: Vec<Slot>,
    queue: VecDeque<Waiting>,
    draining: bool,
}

#[derive(Debug)]
struct Slot {
    ticket: u64,
    /// What it takes of the server's rate; `None` where rates were free when it got its place.
    rate: Option<u64>,
    expected_end: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    /// The rate that it needs; `None` takes what there is.
    rate: Option<u64>,
    /// The most that it may have.
    at_most: Option<u64>,
    duration: Option<Duration>,
}

/// A place in the queue or among the running. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    number: u64,
    changed: watch::Receiver<()>,
}

/// Where a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It may run, at this rate in total if the server limited rates when it got its place.
    Running(Option<u64>),
    /// It waits.
    Queued(Busy),
    /// It waits no longer: the server is about to stop.
    Draining,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let state = State { limits, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: watch::Sender::new(()) })
    }

    /// Returns what is permitted now.
    pub(crate) fn limits(&self) -> Limits {
        self.state().limits.clone()
    }

    /// Permits something else from now on. Who runs or waits already keeps the place.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut state = self.state();
        state.limits = limits;
        state.promote();
        drop(state);
        self.changed.send_replace(());
    }

    /// Gives a test its place, or says why it has none. One that asks for no rate gets what there is,
    /// and no more than `at_most` bits per second.
    pub(crate) fn apply(
        self: &Arc<Self>,
        spec: &TestSpec,
        at_most: Option<u64>,
        may_wait: bool,
    ) -> Result<Ticket, Failure> {
        let mut state = self.state();
        state.check_rate(spec)?;
        if state.draining {
            return Err(draining());
        }
        let number = state.next;
        state.next += 1;
        state.queue.push_back(Waiting {
            ticket: number,
            rate: spec.total_rate(),
            at_most,
            duration: spec.duration(),
        });
        state.promote();
        let waiting = state.queue.len();
        let waits = state.queue.back().is_some_and(|last| last.ticket == number);
        if waits && (!may_wait || waiting > state.limits.max_queue) {
            let retry_after = state.retry_after(waiting);
            state.queue.pop_back();
            return Err(state.busy(waiting - 1, retry_after));
        }
        drop(state);
        self.changed.send_replace(());
        let changed = self.changed.subscribe();
        Ok(Ticket { admission: Arc::clone(self), number, changed })
    }

    /// Lets nobody in any more, and sends away who waits.
    pub(crate) fn drain(&self) {
        let mut state = self.state();
        state.draining = true;
        state.queue.clear();
        drop(state);
        self.changed.send_replace(());
    }

    /// Returns how many tests run.
    pub(crate) fn running(&self) -> usize {
        self.state().running.len()
    }

    /// Returns how many tests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    /// Returns how many tests run or wait.
    pub(crate) fn busy_count(&self) -> usize {
        let state = self.state();
        state.running.len() + state.queue.len()
    }

    /// Returns a watch that changes whenever a place does.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn place(&self, number: u64) -> Place {
        let state = self.state();
        if let Some(slot) = state.running.iter().find(|slot| slot.ticket == number) {
            return Place::Running(slot.rate);
        }
        let Some(index) = state.queue.iter().position(|waiting| waiting.ticket == number) else {
            return Place::Draining;
        };
        let retry_after = state.retry_after(index + 1);
        Place::Queued(Busy { position: u32::try_from(index + 1).unwrap_or(u32::MAX), retry_after })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_rate(&self, spec: &TestSpec) -> Result<(), Failure> {
        match (spec.total_rate(), self.limits.max_rate) {
            (Some(asked), Some(max)) if asked > max => {
                let text = format!(
                    "the test asks for {asked} bit/s over all its streams, and this server permits {max} \
                     bit/s; ask for less with -b"
                );
                Err(Failure::new(FailureCode::Denied, text))
            }
            _ => Ok(()),
        }
    }

    fn busy(&self, waiting: usize, retry_after: Option<Duration>) -> Failure {
        let text = format!(
            "the server is busy: {} of at most {} tests run and {waiting} wait; try again later",
            self.running.len(),
            self.limits.max_sessions
        );
        Failure { retry_after, ..Failure::new(FailureCode::Busy, text) }
    }

    /// Lets in who is next, as long as there is room. Nobody overtakes.
    fn promote(&mut self) {
        while self.running.len() < self.limits.max_sessions.get()
            && let Some(next) = self.queue.front()
            && let Some(rate) = self.grant(next.rate, next.at_most)
            && let Some(next) = self.queue.pop_front()
        {
            let expected_end = next.duration.map(|duration| Instant::now() + duration);
            self.running.push(Slot { ticket: next.ticket, rate, expected_end });
        }
    }

    /// Returns the rate that a test gets, if there is any left for it; no rate where they are free.
    fn grant(&self, asked: Option<u64>, at_most: Option<u64>) -> Option<Option<u64>> {
        let Some(max) = self.limits.max_rate else { return Some(None) };
        let taken: u64 = self.running.iter().filter_map(|slot| slot.rate).sum();
        let free = max.saturating_sub(taken);
        let granted = asked.unwrap_or_else(|| at_most.map_or(free, |most| most.min(free)));
        (granted > 0 && granted <= free).then_some(Some(granted))
    }

    /// Returns when the `position`-th in the queue can expect room, if that can be told.
    fn retry_after(&self, position: usize) -> Option<Duration> {
        let mut ends: Vec<_> = self.running.iter().filter_map(|slot| slot.expected_end).collect();
        ends.sort_unstable();
        let end = ends.get(position.checked_sub(1)?)?;
        Some(end.saturating_duration_since(Instant::now()))
    }
}

impl Ticket {
    /// Returns where the ticket stands now.
    pub(crate) fn place(&mut self) -> Place {
        self.changed.mark_unchanged();
        self.admission.place(self.number)
    }

    /// Waits until the ticket may stand somewhere else.
    pub(crate) async fn moved(&mut self) {
        // The sender lives in the admission that this ticket holds on to.
        let _ = self.changed.changed().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.running.retain(|slot| slot.ticket != self.number);
        state.queue.retain(|waiting| waiting.ticket != self.number);
        state.promote();
        drop(state);
        self.admission.changed.send_replace(());
    }
}

pub(crate) fn draining() -> Failure {
    Failure::new(FailureCode::Draining, "the server is about to stop and takes no new tests")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Rate, SpecFields};

    fn spec(rate: Option<u64>) -> TestSpec {
        let rate = rate.map(|bits_per_second| Rate { bits_per_second, burst: None });
        TestSpec::try_from(SpecFields { rate, ..SpecFields::default() }).unwrap()
    }

    fn limits(max_sessions: usize, max_queue: usize, max_rate: Option<u64>) -> Limits {
        let max_sessions = max_sessions.try_into().unwrap();
        Limits { max_sessions, max_queue, max_rate, ..Limits::default() }
    }

    fn position(ticket: &mut Ticket) -> u32 {
        match ticket.place() {
            Place::Running(_) => 0,
            Place::Queued(busy) => busy.position,
            Place::Draining => panic!("draining"),
        }
    }

    #[tokio::test]
    async fn the_queue_moves_up_in_order() {
        let admission = Admission::new(limits(1, 8, None));
        let mut tickets: Vec<_> =
            (0..3).map(|_| admission.apply(&spec(None), None, true).unwrap()).collect();
        assert_eq!(tickets.iter_mut().map(position).collect::<Vec<_>>(), [0, 1, 2]);
        tickets.remove(0);
        assert_eq!(tickets.iter_mut().map(position).collect::<Vec<_>>(), [0, 1]);
        tickets.pop();
        assert_eq!(admission.busy_count(), 1);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_says_when_to_come_back() {
        let admission = Admission::new(limits(1, 1, None));
        let _running = admission.apply(&spec(None), None, true).unwrap();
        let refused = admission.apply(&spec(None), None, false).unwrap_err();
        assert_eq!(refused.code, FailureCode::Busy);
        assert!(refused.retry_after.is_some());
        let _waiting = admission.apply(&spec(None), None, true).unwrap();
        assert_eq!(admission.apply(&spec(None), None, true).unwrap_err().code, FailureCode::Busy);
        assert_eq!(admission.busy_count(), 2);
    }

    #[tokio::test]
    async fn rates_add_up_to_no_more_than_the_servers() {
        let admission = Admission::new(limits(8, 8, Some(100)));
        assert_eq!(
            admission.apply(&spec(Some(101)), None, true).unwrap_err().code,
            FailureCode::Denied
        );
        let mut first = admission.apply(&spec(Some(70)), None, true).unwrap();
        assert_eq!(first.place(), Place::Running(Some(70)));
        let mut rest = admission.apply(&spec(None), None, true).unwrap();
        assert_eq!(rest.place(), Place::Running(Some(30)), "who asks for all gets what is left");
        let mut third = admission.apply(&spec(Some(50)), None, true).unwrap();
        assert_eq!(position(&mut third), 1);
        drop(first);
        assert_eq!(third.place(), Place::Running(Some(50)));
    }

    #[tokio::test]
    async fn a_test_that_may_have_little_leaves_the_rest_to_others() {
        let admission = Admission::new(limits(8, 8, Some(100)));
        let mut first = admission.apply(&spec(None), Some(20), true).unwrap();
        assert_eq!(first.place(), Place::Running(Some(20)));
        let mut rest = admission.apply(&spec(None), Some(90), true).unwrap();
        assert_eq!(rest.place(), Place::Running(Some(80)));
    }

    #[tokio::test]
    async fn a_drain_sends_away_who_waits_and_keeps_who_runs() {
        let admission = Admission::new(limits(1, 8, None));
        let mut running = admission.apply(&spec(None), None, true).unwrap();
        let mut waiting = admission.apply(&spec(None), None, true).unwrap();
        admission.drain();
        assert_eq!(running.place(), Place::Running(None));
        assert_eq!(waiting.place(), Place::Draining);
        assert_eq!(
            admission.apply(&spec(None), None, true).unwrap_err().code,
            FailureCode::Draining
        );
    }

    #[tokio::test]
    async fn limits_that_are_changed_hold_at_once_for_who_waits() {
        let admission = Admission::new(limits(1, 8, None));
        let _running = admission.apply(&spec(None), None, true).unwrap();
        let mut waiting = admission.apply(&spec(None), None, true).unwrap();
        assert_eq!(position(&mut waiting), 1);
        admission.set_limits(limits(2, 0, None));
        assert_eq!(waiting.place(), Place::Running(None));
        assert_eq!(admission.apply(&spec(None), None, true).unwrap_err().code, FailureCode::Busy);
        admission.set_limits(limits(1, 0, None));
        assert_eq!(waiting.place(), Place::Running(None), "whoever runs already goes on");
        assert_eq!(admission.running(), 2);
    }

    #[tokio::test]
    async fn who_has_got_a_place_without_a_rate_is_not_held_to_one_that_comes_later() {
        let admission = Admission::new(limits(2, 8, None));
        let mut free = admission.apply(&spec(None), None, true).unwrap();
        admission.set_limits(limits(2, 8, Some(100)));
        assert_eq!(free.place(), Place::Running(None));
        let mut held = admission.apply(&spec(None), None, true).unwrap();
        assert_eq!(held.place(), Place::Running(Some(100)));
        admission.set_limits(limits(2, 8, None));
        assert_eq!(held.place(), Place::Running(Some(100)), "it was agreed on");
    }
}
