use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    event::{Event, IntervalEvent},
    measure::{DatagramSummary, FlowId, FlowSample, Role, bits_per_second},
    outcome::{Ended, Outcome, Side, TestInfo},
    report::safe,
    units::BitRate,
};

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) title: String,
    /// Tests that run, that wait and that were served, at a server.
    pub(super) counts: Option<(usize, usize, u64)>,
    pub(super) sessions: Vec<Session>,
    selected: usize,
    pub(super) log: VecDeque<String>,
}

/// A test.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) info: Arc<TestInfo>,
    /// Goodput upwards and downwards: seconds since the start, and bits per second.
    pub(super) ways: [VecDeque<(f64, f64)>; 2],
    pub(super) streams: BTreeMap<FlowId, Stream>,
    /// How it ended.
    pub(super) ended: Option<String>,
}

/// A stream, as it was in the last interval.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Stream {
    pub(super) up: bool,
    pub(super) goodput: Option<f64>,
    pub(super) rtt: Option<Duration>,
    pub(super) cwnd: Option<u64>,
    /// Retransmissions since the start.
    pub(super) retransmits: Option<u64>,
    /// What became of datagrams since the start.
    pub(super) datagrams: Option<DatagramSummary>,
}

impl Model {
    pub(super) fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    /// Returns the session whose charts are shown.
    pub(super) fn selected(&self) -> Option<(usize, &Session)> {
        let at = self.selected.min(self.sessions.len().checked_sub(1)?);
        Some((at, &self.sessions[at]))
    }

    /// Goes to another session, in a circle.
    pub(super) fn select(&mut self, step: isize) {
        let Some((at, _)) = self.selected() else { return };
        let count = self.sessions.len();
        self.selected = at.checked_add_signed(step).unwrap_or(count - 1) % count;
    }

    /// Adds a line to the log, without anything that a terminal would obey.
    pub(super) fn note(&mut self, line: impl AsRef<str>) {
        if self.log.len() >= MOST_LINES {
            self.log.pop_front();
        }
        self.log.push_back(safe::line(line.as_ref()).into_owned());
    }

    pub(super) fn handle(&mut self, event: &Event) {
        match event {
            Event::Queued(place) => {
                self.note(format!(
                    "the server has no room: number {} in its queue",
                    place.position
                ));
            }
            Event::Connected(info) => self.begin(info),
            Event::Interval(event) => self.interval(event),
            Event::Finished(outcome) => self.finished(outcome),
            Event::Failed(failed) => {
                let who = failed.peer.map(|peer| format!("{peer}: ")).unwrap_or_default();
                self.note(format!("{who}{}", failed.failure));
            }
        }
    }

    fn begin(&mut self, info: &Arc<TestInfo>) {
        let spec = &info.spec;
        self.note(format!(
            "{} {} {} × {}: the test starts",
            info.peer,
            spec.transport,
            spec.streams,
            words(info)
        ));
        if self.sessions.len() >= MOST_SESSIONS {
            let over = self.sessions.iter().position(|session| session.ended.is_some());
            self.sessions.remove(over.unwrap_or(0));
        }
        let up = |role: Role| (role == Role::Sender) == (info.side == Side::Client);
        let stream = |role| Stream { up: up(role), ..Stream::default() };
        let streams = info.flows.iter().map(|flow| (flow.flow, stream(flow.role))).collect();
        let info = Arc::clone(info);
        self.sessions.push(Session { info, ways: Default::default(), streams, ended: None });
        // A new test is what a user wants to see, unless another is looked at that runs.
        if self.selected().is_none_or(|(_, session)| session.ended.is_some()) {
            self.selected = self.sessions.len() - 1;
        }
    }

    fn session(&mut self, info: &TestInfo) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.info.session == info.session)
    }

    fn interval(&mut self, event: &IntervalEvent) {
        let Some(session) = self.session(&event.info) else { return };
        let mut sums = [None, None];
        for (&flow, stream) in &mut session.streams {
            if let Some((seen, over)) = event.interval.seen_by(Role::Receiver, flow) {
                stream.goodput = bits_per_second(seen.bytes, over);
                stream.receive(seen);
                let sum = &mut sums[usize::from(!stream.up)];
                *sum = Some(sum.unwrap_or(0.0) + stream.goodput.unwrap_or(0.0));
            }
            if let Some((seen, _)) = event.interval.seen_by(Role::Sender, flow) {
                stream.send(seen);
            }
        }
        let at = event.interval.local.end.as_secs_f64();
        for (way, sum) in session.ways.iter_mut().zip(sums) {
            let Some(sum) = sum else { continue };
            if way.len() >= MOST_POINTS {
                way.pop_front();
            }
            way.push_back((at, sum));
        }
    }

    fn finished(&mut self, outcome: &Outcome) {
        let how = match &outcome.ended {
            Ended::Complete => "complete".to_owned(),
            Ended::Stopped { reason, .. } => format!("stopped: {reason}"),
            Ended::Failed(failure) => format!("failed: {failure}"),
        };
        let rate = |receiver| outcome.goodput(receiver).map(|bits| BitRate(bits).to_string());
        let mut line = format!("{} {how}", outcome.info.peer);
        for (arrow, receiver) in [("↑", Side::Server), ("↓", Side::Client)] {
            if let Some(rate) = rate(receiver) {
                line.push_str(&format!(" {arrow} {rate}"));
            }
        }
        self.note(&line);
        if let Some(session) = self.session(&outcome.info) {
            session.ended = Some(safe::line(&how).into_owned());
        }
    }
}

impl Stream {
    fn receive(&mut self, seen: &FlowSample) {
        let Some(counts) = seen.datagrams else { return };
        let both = self.datagrams.into_iter().chain([counts]);
        self.datagrams = DatagramSummary::together(both.map(Some));
    }

    fn send(&mut self, seen: &FlowSample) {
        if let Some(path) = &seen.path {
            (self.rtt, self.cwnd) = (path.rtt, path.cwnd);
        }
        if let Some(again) = seen.retransmits {
            self.retransmits = Some(self.retransmits.unwrap_or(0).saturating_add(again));
        }
    }
}

/// Returns the direction in words.
pub(super) fn words(info: &TestInfo) -> &'static str {
    match (info.spec.client_sends(), info.spec.server_sends()) {
        (true, true) => "both ways",
        (true, false) => "up",
        _ => "down",
    }
}

/// A screen has room for fewer points than that; an interval of a second fills it in ten minutes.
const MOST_POINTS: usize = 600;
const MOST_SESSIONS: usize = 256;
const MOST_LINES: usize = 200;
