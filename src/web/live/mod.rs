//! What happens, as it happens.

mod feed;
mod figures;
mod readers;
mod routes;
mod view;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::{
    sync::{Notify, broadcast::error::RecvError, mpsc},
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::debug;

use self::{feed::Feed, readers::Readers};
pub(super) use self::{
    figures::{Point, Tally, Total},
    routes::routes,
};
use super::App;
use crate::server::{Handle, lock};

/// Brings what happens to who watches: ten times a second at the most, however much it is.
///
/// Everything here is used on the interface's own thread alone. The locks are for the compiler.
#[derive(Debug)]
pub(super) struct Hub {
    stage: Mutex<Stage>,
    /// Somebody has come, so that there is something to do.
    joined: Notify,
}

#[derive(Debug)]
struct Stage {
    feed: Feed,
    readers: Readers,
    /// When it was last asked how things are.
    asked: Option<Instant>,
}

impl Hub {
    pub(super) fn new(most: usize) -> Self {
        let stage = Stage { feed: Feed::default(), readers: Readers::new(most), asked: None };
        Self { stage: Mutex::new(stage), joined: Notify::new() }
    }

    /// Adds a reader; `None` if there are too many.
    fn join(&self, handle: &Handle) -> Option<mpsc::Receiver<Bytes>> {
        let mut stage = lock(&self.stage);
        // What those who are there have not been told yet, they are told before the newcomer comes.
        stage.tell(Some(handle));
        let first = message("snapshot", &stage.feed.snapshot());
        let messages = stage.readers.join(first);
        self.joined.notify_one();
        messages
    }

    /// Tells who watches of a run.
    pub(super) fn run(&self, news: Value) {
        lock(&self.stage).feed.run(news);
        self.joined.notify_one();
    }

    /// Lets go of everybody.
    pub(super) fn dismiss(&self) {
        lock(&self.stage).readers.dismiss();
    }

    /// Returns how many watch, and how many were let go of because they did not read.
    pub(super) fn readers(&self) -> (usize, u64) {
        let stage = lock(&self.stage);
        (stage.readers.len(), stage.readers.dropped())
    }

    fn has_work(&self) -> bool {
        let stage = lock(&self.stage);
        stage.feed.is_dirty() || stage.readers.len() > 0
    }
}

impl Stage {
    /// Tells all what has changed, having asked how things are, if it is time.
    fn tell(&mut self, handle: Option<&Handle>) {
        let views = handle.map(Handle::sessions);
        if views.is_some() {
            self.asked = Some(Instant::now());
        }
        let changes = self.feed.changes(views.as_deref());
        if let Some(changes) = changes.filter(|_| self.readers.len() > 0) {
            self.readers.send(&message("changes", &changes));
        }
    }

    fn is_due(&self) -> bool {
        let since = self.asked.map(|asked| asked.elapsed());
        since.is_none_or(|since| since >= ROSTER)
    }
}

/// Follows the server's events for as long as there are any.
pub(super) async fn follow(app: Arc<App>) {
    let mut events = app.handle.events();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let busy = app.hub.has_work();
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => lock(&app.hub.stage).feed.take(&event),
                Err(RecvError::Lagged(missed)) => {
                    debug!(missed, "the web interface is too slow for so many events");
                    lock(&app.hub.stage).feed.missed(missed);
                }
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick(), if busy => {
                let mut stage = lock(&app.hub.stage);
                let ask = stage.is_due();
                stage.tell(ask.then_some(&app.handle));
            }
            () = app.hub.joined.notified() => {}
        }
    }
}

/// Returns an event of a stream of events. JSON has no line feed of its own.
fn message(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("memory takes it");
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

const TICK: Duration = Duration::from_millis(100);
/// How often it is asked who is there: that needs a lock for which sessions may wait.
const ROSTER: Duration = Duration::from_millis(500);
