//! What stands between a machine and the world: it does as the machine says, and tells it what
//! came of it, at the times that the script gives.

use std::{ops::RangeInclusive, time::Duration};

use polyperf::{
    measure::{FlowId, Role, Sample},
    outcome::{Ended, Side},
    protocol::native::{Admission, Busy, Input, Results, Sent},
    spec::{Limit, TestSpec},
};

use crate::{
    fixtures::{SECOND, results, sample},
    link::LATENCY,
};

/// The streams of one direction: how much has been sent, and how much has arrived, at any time.
#[derive(Debug, Default)]
pub(crate) struct Path {
    begun: Option<Duration>,
    ended: Option<Duration>,
    /// When it ceased to deliver.
    pub(crate) broken_at: Option<Duration>,
    /// How much longer than a message everything takes.
    pub(crate) delay: Duration,
}

/// What is due at a certain time.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    Tell(Input),
    Admit(Admission),
    /// An interval is over.
    Tick,
    /// Look whether the senders are finished, or everything has arrived.
    Look,
}

#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) side: Side,
    pub(crate) due: Vec<(Duration, Due)>,
    pub(crate) queued: Vec<Busy>,
    pub(crate) progress: Vec<Sample>,
    /// How often the machine asked to halt.
    pub(crate) halts: usize,
    pub(crate) local: Option<Box<Results>>,
    /// When it ended, how, and what the other end counted.
    pub(crate) conclusion: Option<(Duration, Ended, Option<Box<Results>>)>,
    /// Whether the senders go on after their time.
    pub(crate) stubborn: bool,
    /// Whether it never comes to a result.
    pub(crate) stuck: bool,
    spec: TestSpec,
    begun: Option<Duration>,
    ticks: u32,
    told: (u64, u64),
    expected: Option<u64>,
    receiving_ended: Option<Duration>,
    halted: bool,
    told_sent: bool,
}

impl Path {
    /// Returns the bytes sent by `now`.
    fn sent(&self, now: Duration) -> u64 {
        let until = self.ended.map_or(now, |ended| ended.min(now));
        let time = self.begun.map_or(Duration::ZERO, |begun| until.saturating_sub(begun));
        u64::try_from(time.as_millis()).unwrap() * BYTES_PER_MS
    }

    fn arrived(&self, now: Duration) -> u64 {
        let until = self.broken_at.map_or(now, |at| at.min(now));
        self.sent(until.saturating_sub(LATENCY + self.delay))
    }
}

impl Driver {
    pub(crate) fn new(side: Side, spec: TestSpec) -> Self {
        Self {
            side,
            due: Vec::new(),
            queued: Vec::new(),
            progress: Vec::new(),
            halts: 0,
            local: None,
            conclusion: None,
            stubborn: false,
            stuck: false,
            spec,
            begun: None,
            ticks: 0,
            told: (0, 0),
            expected: None,
            receiving_ended: None,
            halted: false,
            told_sent: false,
        }
    }

    pub(crate) fn at(&mut self, at: Duration, due: Due) {
        self.due.push((at, due));
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// Returns the first thing that is due by `now`.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Due> {
        let next = self.next_due().filter(|at| *at <= now)?;
        let index = self.due.iter().position(|(at, _)| *at == next)?;
        Some(self.due.remove(index).1)
    }

    pub(crate) fn begin(&mut self, outgoing: &mut Path, now: Duration) {
        assert!(self.begun.is_none(), "a test begins once");
        self.begun = Some(now);
        self.at(now + SECOND, Due::Tick);
        if self.sends() {
            outgoing.begun = Some(now);
            outgoing.ended = self.lasts().map(|time| now + time);
            outgoing.ended.into_iter().for_each(|at| self.at(at, Due::Look));
        }
    }

    /// Notes what the other end says it has sent.
    pub(crate) fn expect(&mut self, sent: &[Sent], now: Duration) {
        self.expected = Some(sent.iter().map(|sent| sent.bytes).sum());
        self.at(now, Due::Look);
    }

    pub(crate) fn close_books(&mut self, now: Duration) {
        self.receiving_ended.get_or_insert(now);
        self.at(now, Due::Look);
    }

    pub(crate) fn halt(&mut self, outgoing: &mut Path, now: Duration) {
        self.halts += 1;
        self.halted = true;
        outgoing.ended = Some(outgoing.ended.map_or(now, |ended| ended.min(now)));
        self.close_books(now);
    }

    /// Returns what to tell at the end of an interval.
    pub(crate) fn tick(&mut self, out: &Path, incoming: &Path, now: Duration) -> Vec<Input> {
        if self.local.is_some() {
            return Vec::new();
        }
        self.at(now + SECOND, Due::Tick);
        let (sent, received) = (out.sent(now), self.received(incoming, now));
        let per_flow = |bytes: u64| bytes / u64::from(self.spec.streams);
        let (new, old) = ((sent, received), self.told);
        let interval = Sample {
            index: self.ticks,
            ..sample(self.flows(per_flow(new.0 - old.0), per_flow(new.1 - old.1)))
        };
        self.told = new;
        self.ticks += 1;
        vec![Input::Received(received), Input::Sample(interval)]
    }

    /// Returns what to tell once the senders, the receivers, or both are done.
    pub(crate) fn look(&mut self, out: &Path, incoming: &Path, now: Duration) -> Vec<Input> {
        let mut news = Vec::new();
        if self.begun.is_none() || self.local.is_some() || self.stuck {
            return news;
        }
        let sent = self.sending_done(out, now);
        if sent && self.sends() && !self.told_sent && !self.halted {
            self.told_sent = true;
            let bytes = out.sent(now) / u64::from(self.spec.streams);
            news.push(Input::SendingDone(
                self.ids(self.side)
                    .map(|id| Sent { flow: FlowId(id), bytes, datagrams: None })
                    .collect(),
            ));
        }
        let received = self.received(incoming, now);
        if self.receives() && self.receiving_ended.is_none() && self.expected.is_some() {
            if self.expected.is_some_and(|expected| received >= expected) {
                self.receiving_ended = Some(now);
            } else {
                self.at(now + LOOK, Due::Look);
            }
        }
        if sent && (!self.receives() || self.receiving_ended.is_some()) {
            let streams = u64::from(self.spec.streams);
            let results = results(self.flows(out.sent(now) / streams, received / streams));
            self.local = Some(results.clone());
            news.push(Input::Done(results));
        }
        news
    }

    pub(crate) fn ended(&self) -> &Ended {
        &self.conclusion.as_ref().expect("it is over").1
    }

    pub(crate) fn remote(&self) -> Option<&Results> {
        self.conclusion.as_ref().expect("it is over").2.as_deref()
    }

    fn sending_done(&self, out: &Path, now: Duration) -> bool {
        let time_is_up = out.ended.is_some_and(|ended| now >= ended);
        !self.sends() || self.halted || (time_is_up && !self.stubborn)
    }

    fn received(&self, incoming: &Path, now: Duration) -> u64 {
        incoming.arrived(self.receiving_ended.map_or(now, |ended| ended.min(now)))
    }

    fn lasts(&self) -> Option<Duration> {
        let count = match self.spec.limit {
            Limit::Time(_) => return self.spec.duration(),
            Limit::Bytes(bytes) => bytes,
            Limit::Blocks(blocks) => blocks * u64::from(self.spec.block),
            Limit::Endless => return None,
        };
        Some(Duration::from_millis(count / BYTES_PER_MS))
    }

    fn sends(&self) -> bool {
        match self.side {
            Side::Client => self.spec.client_sends(),
            Side::Server => self.spec.server_sends(),
        }
    }

    fn receives(&self) -> bool {
        match self.side {
            Side::Client => self.spec.server_sends(),
            Side::Server => self.spec.client_sends(),
        }
    }

    /// Returns this end's part on each flow, with the same figures on each.
    fn flows(&self, sent: u64, received: u64) -> Vec<(FlowId, Role, u64)> {
        let ours = self.ids(self.side).map(|id| (FlowId(id), Role::Sender, sent));
        let theirs = self.ids(self.side.other());
        let theirs = theirs.map(|id| (FlowId(id), Role::Receiver, received));
        ours.filter(|_| self.sends()).chain(theirs.filter(|_| self.receives())).collect()
    }

    /// Returns the flows on which `sender` sends, if it does.
    fn ids(&self, sender: Side) -> RangeInclusive<u16> {
        let streams = self.spec.streams;
        if sender == Side::Server && self.spec.client_sends() {
            streams + 1..=2 * streams
        } else {
            1..=streams
        }
    }
}

/// How fast every sender sends.
const BYTES_PER_MS: u64 = 1000;
/// How often a receiver looks whether everything has arrived.
const LOOK: Duration = Duration::from_millis(100);
