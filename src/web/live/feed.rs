use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    figures::{Point, Tally, Total},
    view::Shown,
};
use crate::{event::Event, outcome::Ended, report::safe, server::SessionView};

/// What is known of the sessions, and what has changed since somebody was told.
///
/// However many events there are, a look at it is as large as the number of sessions: they are added
/// up until then.
#[derive(Debug, Default)]
pub(super) struct Feed {
    shown: BTreeMap<String, Shown>,
    courses: BTreeMap<String, VecDeque<Point>>,
    tallies: BTreeMap<String, Tally>,
    ended: Vec<End>,
    runs: Vec<Value>,
    /// Sessions may have come, gone or changed.
    stale: bool,
    missed: u64,
}

/// How a session ended.
#[derive(Debug, Serialize)]
struct End {
    session: String,
    how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(flatten)]
    total: Option<Total>,
}

/// What readers are told at once.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<Shown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    points: BTreeMap<String, Point>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<End>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<Value>,
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
}

impl Feed {
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Interval(event) => self.interval(event),
            Event::Finished(outcome) => {
                let (how, message) = match &outcome.ended {
                    Ended::Complete => ("complete", None),
                    Ended::Stopped { reason, .. } => ("stopped", Some(safe::short(reason))),
                    Ended::Failed(failure) => ("failed", Some(safe::short(&failure.message))),
                };
                let total = Some(Total::of(outcome));
                self.end(End { session: outcome.info.session.clone(), how, message, total });
            }
            Event::Failed(failed) => {
                let Some(session) = failed.session.clone() else { return };
                let message = Some(safe::short(&failed.failure.message));
                self.end(End { session, how: "failed", message, total: None });
            }
            Event::Queued(_) | Event::Connected(_) => self.stale = true,
        }
    }

    /// Takes note of events that came too fast.
    pub(super) fn missed(&mut self, events: u64) {
        self.missed = self.missed.saturating_add(events);
        self.stale = true;
    }

    /// Takes what a run has to tell.
    pub(super) fn run(&mut self, news: Value) {
        if self.runs.len() < MAX_NEWS {
            self.runs.push(news);
        }
    }

    /// Returns whether there is something to tell.
    pub(super) fn is_dirty(&self) -> bool {
        self.stale || !(self.tallies.is_empty() && self.ended.is_empty() && self.runs.is_empty())
    }

    /// Returns what has changed, `views` being how things are; `None` if nothing has.
    pub(super) fn changes(&mut self, views: Option<&[SessionView]>) -> Option<Changes> {
        let (changed, gone) = views.map(|views| self.compare(views)).unwrap_or_default();
        let mut points = BTreeMap::new();
        for (session, tally) in std::mem::take(&mut self.tallies) {
            let point = tally.point();
            self.keep(&session, point);
            points.insert(session, point);
        }
        let ended = std::mem::take(&mut self.ended);
        for end in &ended {
            self.courses.remove(&end.session);
        }
        let runs = std::mem::take(&mut self.runs);
        let missed = std::mem::take(&mut self.missed);
        let nothing = changed.is_empty()
            && gone.is_empty()
            && points.is_empty()
            && ended.is_empty()
            && runs.is_empty()
            && missed == 0;
        (!nothing).then_some(Changes { changed, gone, points, ended, runs, missed })
    }

    /// Returns everything, for who has just come.
    pub(super) fn snapshot(&self) -> Value {
        let sessions: Vec<_> = self.shown.values().collect();
        json!({ "sessions": sessions, "courses": self.courses })
    }

    fn interval(&mut self, event: &crate::event::IntervalEvent) {
        let session = &event.info.session;
        if self.tallies.len() >= MAX_SHOWN && !self.tallies.contains_key(session) {
            return;
        }
        self.tallies.entry(session.clone()).or_default().add(&event.info, &event.interval);
    }

    fn end(&mut self, end: End) {
        self.stale = true;
        if self.ended.len() < MAX_NEWS {
            self.ended.push(end);
        }
    }

    fn keep(&mut self, session: &str, point: Point) {
        if !self.courses.contains_key(session) {
            if self.courses.len() >= MAX_SHOWN {
                return;
            }
            self.courses.insert(session.to_owned(), VecDeque::new());
        }
        let Some(course) = self.courses.get_mut(session) else { return };
        if course.len() >= MAX_POINTS {
            course.pop_front();
        }
        course.push_back(point);
    }

    /// Takes over how things are, and returns what is other than it was, and who is gone.
    fn compare(&mut self, views: &[SessionView]) -> (Vec<Shown>, Vec<String>) {
        self.stale = false;
        let now: BTreeMap<_, _> = views
            .iter()
            .take(MAX_SHOWN)
            .map(|view| (view.session.clone(), Shown::from(view)))
            .collect();
        let is_new = |shown: &&Shown| self.shown.get(&shown.session) != Some(*shown);
        let changed = now.values().filter(is_new).cloned().collect();
        let gone = self.shown.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        self.courses.retain(|name, _| now.contains_key(name));
        self.shown = now;
        (changed, gone)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Sessions that are shown: more than anybody reads.
const MAX_SHOWN: usize = 256;
/// Points that are kept of each session, for who comes late.
const MAX_POINTS: usize = 120;
/// Ends, and news of runs, between two looks.
const MAX_NEWS: usize = 256;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        event::IntervalEvent,
        measure::{FlowId, FlowSample, Interval, Role, Sample},
        outcome::{Dialect, HostInfo, Side, TestInfo},
        spec::{SpecFields, TestSpec},
    };

    const MS: Duration = Duration::from_millis(1);

    fn info(session: &str) -> Arc<TestInfo> {
        Arc::new(TestInfo {
            session: session.to_owned(),
            side: Side::Server,
            dialect: Dialect::Native,
            spec: TestSpec::try_from(SpecFields::default()).unwrap(),
            changes: Vec::new(),
            started: Duration::ZERO,
            local: ([127, 0, 0, 1], 1).into(),
            peer: ([127, 0, 0, 1], 2).into(),
            host: None,
            user: None,
            local_host: HostInfo::default(),
            peer_host: HostInfo::default(),
            flows: Vec::new(),
        })
    }

    /// Returns an interval of a millisecond in which so many bytes arrived.
    fn interval(info: &Arc<TestInfo>, index: u32, bytes: u64) -> Event {
        let flow = FlowSample {
            flow: FlowId(1),
            role: Role::Receiver,
            bytes,
            retransmits: None,
            packets_lost: None,
            path: None,
            datagrams_sent: None,
            datagrams: None,
        };
        let (start, end) = (MS * index, MS * (index + 1));
        let local = Sample { index, start, end, omitted: false, flows: vec![flow] };
        let interval = Arc::new(Interval { local, remote: None });
        Event::Interval(IntervalEvent { info: Arc::clone(info), interval })
    }

    fn told(feed: &mut Feed) -> Value {
        serde_json::to_value(feed.changes(None)).unwrap()
    }

    #[test]
    fn however_many_intervals_there_are_each_session_has_one_point_at_each_look() {
        let (mut feed, info) = (Feed::default(), info("a"));
        for index in 0..1000 {
            feed.take(&interval(&info, index, 1000));
        }
        let point = json!({ "t": 1.0, "up": 8e6 });
        assert_eq!(told(&mut feed), json!({ "points": { "a": point } }));
        assert_eq!(told(&mut feed), Value::Null, "nothing is told twice");
        assert_eq!(feed.snapshot()["courses"], json!({ "a": [point] }));
    }

    #[test]
    fn sessions_and_what_is_kept_of_each_are_bounded() {
        let mut feed = Feed::default();
        for look in 0..u32::try_from(2 * MAX_POINTS).unwrap() {
            for session in 0..2 * MAX_SHOWN {
                feed.take(&interval(&info(&session.to_string()), look, 1));
            }
            let points = told(&mut feed)["points"].as_object().unwrap().len();
            assert_eq!(points, MAX_SHOWN);
        }
        assert_eq!(feed.courses.len(), MAX_SHOWN);
        assert!(feed.courses.values().all(|course| course.len() == MAX_POINTS));
        for number in 0..2 * MAX_NEWS {
            feed.run(json!(number));
        }
        assert_eq!(told(&mut feed)["runs"].as_array().unwrap().len(), MAX_NEWS);
    }

    #[test]
    fn who_is_gone_is_told_and_forgotten() {
        let mut feed = Feed::default();
        feed.take(&interval(&info("a"), 0, 1));
        told(&mut feed);
        assert_eq!(serde_json::to_value(feed.changes(Some(&[]))).unwrap(), Value::Null);
        assert_eq!(feed.snapshot(), json!({ "sessions": [], "courses": {} }));
        feed.missed(3);
        assert_eq!(told(&mut feed), json!({ "missed": 3 }));
    }
}
