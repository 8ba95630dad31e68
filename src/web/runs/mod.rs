//! Tests that are run from a page, against servers that were configured: never against an address
//! that a request names, or this server would reach for anybody whatever it can reach.

mod request;
mod routes;
mod run;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    oneshot,
};
use tracing::info;

pub(super) use self::routes::routes;
use self::{request::Request, run::Run};
use super::{App, live::Tally, problem::Problem};
use crate::{
    client::{self, Client},
    event::Event,
    outcome::{Failure, FailureCode, Outcome},
    server::lock,
    trial::unix_time,
};

/// The runs that there are, and the last ones that there were.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Mutex<VecDeque<Run>>,
}

impl Runs {
    /// Has `change` change a run, if it is still there.
    fn with<T>(&self, id: &str, change: impl FnOnce(&mut Run) -> T) -> Option<T> {
        lock(&self.runs).iter_mut().find(|run| run.id == id).map(change)
    }

    /// Ends all of them.
    pub(super) fn stop(&self) {
        for run in &mut *lock(&self.runs) {
            run.stop("the server of the page is closing");
        }
    }

    /// Adds a run, unless there are too many.
    fn add(&self, run: Run, peer: &str, most: usize) -> Result<(), Problem> {
        let mut runs = lock(&self.runs);
        let busy = |text| Err(Problem::new(StatusCode::CONFLICT, text));
        if runs.iter().any(|run| !run.is_over() && run.is_towards(peer)) {
            return busy("a test against this peer is running: wait for its end, or stop it");
        }
        if runs.iter().filter(|run| !run.is_over()).count() >= most {
            return busy("too many tests are running from this server: wait for the end of one");
        }
        if runs.len() >= MAX_KEPT
            && let Some(oldest) = runs.iter().position(Run::is_over)
        {
            runs.remove(oldest);
        }
        runs.push_back(run);
        Ok(())
    }
}

/// Starts a run, and returns its name.
fn start(app: &Arc<App>, request: Request) -> Result<String, Problem> {
    let Some(peer) = app.peers.iter().find(|peer| peer.name == request.peer) else {
        let text = "there is no such peer: start the server with --web-peer NAME=HOST[:PORT]";
        return Err(Problem::new(StatusCode::NOT_FOUND, text));
    };
    let refused = |text| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text);
    let spec = request.spec(&app.transports).map_err(refused)?;
    let id = format!("{:016x}", rand::random::<u64>());
    let command = request::command(peer, &spec);
    let (stop, stopped) = oneshot::channel();
    let run = Run::new(id.clone(), request, command.clone(), unix_time(), stop);
    app.runs.add(run, &peer.name, app.limits.runs)?;
    info!(run = id, command, "run from the web interface");
    let client = Client::new(client::Config {
        port: peer.port,
        queue_timeout: PATIENCE,
        transports: app.transports.clone(),
        keep_intervals: false,
        ..client::Config::new(&peer.host, spec)
    });
    let events = client.events();
    let (tell, result) = oneshot::channel();
    // On the server's own runtime: what measures must not be slowed down with the pages.
    app.tests.spawn(async move {
        let stop = async {
            stopped.await.unwrap_or_else(|_| "the server of the page is closing".to_owned())
        };
        // Who asked may be gone, as the whole interface may.
        let _ = tell.send(client.run_until(stop).await);
    });
    tokio::spawn(watch(Arc::clone(app), id.clone(), events, result));
    Ok(id)
}

/// Takes down what a run has to tell, and tells who watches.
async fn watch(
    app: Arc<App>,
    id: String,
    mut events: Receiver<Event>,
    mut result: oneshot::Receiver<Result<Arc<Outcome>, Failure>>,
) {
    let result = loop {
        tokio::select! {
            biased;
            event = next(&mut events) => heard(&app, &id, &event),
            result = &mut result => break result,
        }
    };
    let defect = |_| Err(Failure::new(FailureCode::Internal, "the test broke off; see the log"));
    let result = result.unwrap_or_else(defect);
    app.runs.with(&id, |run| run.ended(result));
    tell(&app, &id, None);
}

/// Returns the next event; never once there are no more.
async fn next(events: &mut Receiver<Event>) -> Event {
    loop {
        match events.recv().await {
            Ok(event) => return event,
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn heard(app: &App, id: &str, event: &Event) {
    let mut point = None;
    app.runs.with(id, |run| match event {
        Event::Queued(queued) => run.queued(queued.position),
        Event::Connected(info) => run.began(&info.peer_host.program),
        Event::Interval(event) => {
            let mut tally = Tally::default();
            tally.add(&event.info, &event.interval);
            point = Some(tally.point());
            run.measured(tally.point());
        }
        Event::Finished(_) | Event::Failed(_) => {}
    });
    tell(app, id, point);
}

fn tell(app: &App, id: &str, point: Option<super::live::Point>) {
    let news = app.runs.with(id, |run| serde_json::to_value(run.news(point)));
    if let Some(Ok(news)) = news {
        app.hub.run(news);
    }
}

/// How long a run waits in a server's queue.
const PATIENCE: Duration = Duration::from_secs(60);
/// Runs whose results can still be looked at.
const MAX_KEPT: usize = 64;
