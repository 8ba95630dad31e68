use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::oneshot;

use super::request::Request;
use crate::{
    outcome::{Ended, Failure, Outcome},
    report::safe,
    web::live::{Point, Total},
};

/// A test that was run from a page.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) id: String,
    #[serde(flatten)]
    request: Request,
    /// The command that repeats it.
    command: String,
    started_us: u64,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Total>,
    points: VecDeque<Point>,
    #[serde(skip)]
    stop: Option<oneshot::Sender<String>>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Connecting,
    Queued,
    Running,
    Complete,
    Stopped,
    Failed,
}

/// What has changed of a run.
#[derive(Debug, Serialize)]
pub(super) struct News<'a> {
    id: &'a str,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<&'a Total>,
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<Point>,
}

/// A run in a list of them.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    peer: &'a str,
    transport: &'a str,
    started_us: u64,
    #[serde(flatten)]
    news: News<'a>,
}

impl Run {
    pub(super) fn new(
        id: String,
        request: Request,
        command: String,
        started: Duration,
        stop: oneshot::Sender<String>,
    ) -> Self {
        Self {
            id,
            request,
            command,
            started_us: u64::try_from(started.as_micros()).unwrap_or(u64::MAX),
            state: State::Connecting,
            message: None,
            server: None,
            total: None,
            points: VecDeque::new(),
            stop: Some(stop),
        }
    }

    pub(super) fn queued(&mut self, position: u32) {
        self.state = State::Queued;
        self.message = Some(format!("the server has no room yet: number {position} in its queue"));
    }

    pub(super) fn began(&mut self, server: &str) {
        self.state = State::Running;
        self.message = None;
        self.server = Some(safe::short(server)).filter(|server| !server.is_empty());
    }

    pub(super) fn measured(&mut self, point: Point) {
        if self.points.len() >= MAX_POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    pub(super) fn ended(&mut self, result: Result<Arc<Outcome>, Failure>) {
        self.stop = None;
        match result {
            Ok(outcome) => {
                self.total = Some(Total::of(&outcome));
                (self.state, self.message) = match &outcome.ended {
                    Ended::Complete => (State::Complete, None),
                    Ended::Stopped { reason, .. } => (State::Stopped, Some(safe::short(reason))),
                    Ended::Failed(failure) => (State::Failed, Some(message(failure))),
                };
            }
            Err(failure) => (self.state, self.message) = (State::Failed, Some(message(&failure))),
        }
    }

    /// Has it end; returns whether it still ran.
    pub(super) fn stop(&mut self, reason: &str) -> bool {
        self.stop.take().is_some_and(|stop| stop.send(reason.to_owned()).is_ok())
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Complete | State::Stopped | State::Failed)
    }

    pub(super) fn is_towards(&self, peer: &str) -> bool {
        self.request.peer == peer
    }

    pub(super) fn line(&self) -> Line<'_> {
        let Request { peer, transport, .. } = &self.request;
        Line { peer, transport, started_us: self.started_us, news: self.news(None) }
    }

    pub(super) fn news(&self, point: Option<Point>) -> News<'_> {
        News {
            id: &self.id,
            state: self.state,
            message: self.message.as_deref(),
            server: self.server.as_deref(),
            total: self.total.as_ref(),
            point,
        }
    }
}

/// Returns the beginning of what failed: longer than a name, and not a page.
fn message(failure: &Failure) -> String {
    let text: String = failure.message.chars().take(MAX_MESSAGE).collect();
    safe::line(&text).into_owned()
}

/// As many as a run has seconds.
const MAX_POINTS: usize = 600;
const MAX_MESSAGE: usize = 1000;
