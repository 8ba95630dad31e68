//! From the events of a server or a client into a history, without ever holding either up.
//!
//! One task takes events as they come and never waits; it hands each test over by a bounded queue. The
//! other one writes. What the database does not take goes to the spool file, or is kept in memory
//! where that takes nothing either, and is tried again later.

mod keeper;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    sync::{
        Notify,
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        mpsc, watch,
    },
    task::JoinHandle,
};
use tracing::warn;

use self::keeper::Keeper;
use super::{Counts, Entry, Error, Location, Record, Retention, Stats, Store, collect::Intervals};
use crate::{event::Event, trial::unix_time};

/// What a writer writes, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The history.
    pub place: Location,
    /// The file in which tests wait while the history does not take them.
    pub spool: PathBuf,
    /// The largest that the file may become, in bytes.
    pub most_spooled: u64,
    /// How much of the history is kept.
    pub retention: Retention,
}

/// Keeps every test whose events it sees.
#[derive(Debug)]
pub struct Writer {
    place: Location,
    stats: Arc<Stats>,
    again: Arc<Notify>,
    finish: watch::Sender<bool>,
    collecting: JoinHandle<()>,
    keeping: JoinHandle<()>,
}

/// A test on its way from one task to the other.
#[derive(Debug)]
struct Queued {
    entry: Entry,
    weight: usize,
}

impl Options {
    /// Returns the options for a history, with every default. `folder` is where what waits for a
    /// database on a server of its own is kept.
    #[must_use]
    pub fn new(place: Location, folder: &std::path::Path) -> Self {
        let spool = place.spool(folder);
        Self { place, spool, most_spooled: MOST_SPOOLED, retention: Retention::default() }
    }
}

impl Writer {
    /// Opens the history, and begins to keep each test whose events come.
    ///
    /// A database that cannot be reached now is no error: tests wait until it can.
    ///
    /// # Errors
    ///
    /// A history that cannot be opened, and will not be unless somebody changes something.
    pub async fn start(options: Options, events: Receiver<Event>) -> Result<Self, Error> {
        let store = match Store::open(&options.place).await {
            Ok(store) => Some(store),
            Err(error) if error.is_passing() => {
                warn!(spool = %options.spool.display(), "{error}: tests wait until it can be");
                None
            }
            Err(error) => return Err(error),
        };
        let stats = Arc::new(Stats::new());
        let again = Arc::new(Notify::new());
        let (finish, finishing) = watch::channel(false);
        let (queue, queued) = mpsc::channel(QUEUE);
        let weight = Arc::new(AtomicUsize::new(0));
        let collector = Collector {
            queue,
            weight: Arc::clone(&weight),
            stats: Arc::clone(&stats),
            intervals: Intervals::default(),
        };
        let place = options.place.clone();
        let keeper = Keeper::new(options, store, Arc::clone(&stats));
        Ok(Self {
            place,
            collecting: tokio::spawn(collector.run(events, finishing)),
            keeping: tokio::spawn(keeper.run(queued, weight, Arc::clone(&again))),
            stats,
            again,
            finish,
        })
    }

    /// Returns where the history is.
    #[must_use]
    pub fn place(&self) -> &Location {
        &self.place
    }

    /// Returns what it counts, to be looked at at any time.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Tries at once what waits, and does not wait for its time.
    pub fn retry(&self) {
        self.again.notify_one();
    }

    /// Takes what has happened until now, writes it, and ends. What cannot be written stays in the
    /// spool file.
    pub async fn finish(self) -> Counts {
        let _ = self.finish.send(true);
        // Neither task panics; if one did, the other one ends all the same.
        let _ = self.collecting.await;
        let _ = self.keeping.await;
        self.stats.counts()
    }
}

/// Takes events, and never waits for anything else.
struct Collector {
    queue: mpsc::Sender<Queued>,
    /// Of the intervals of all tests in the queue.
    weight: Arc<AtomicUsize>,
    stats: Arc<Stats>,
    intervals: Intervals,
}

impl Collector {
    async fn run(mut self, mut events: Receiver<Event>, mut finishing: watch::Receiver<bool>) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                // The writer being gone is no reason to stop: it was let go of, and events go on.
                Ok(_) = finishing.wait_for(|finish| *finish) => break,
            };
            match event {
                Ok(event) => self.take(event),
                Err(RecvError::Lagged(missed)) => self.missed(missed),
                Err(RecvError::Closed) => return,
            }
        }
        loop {
            match events.try_recv() {
                Ok(event) => self.take(event),
                Err(TryRecvError::Lagged(missed)) => self.missed(missed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Queued(_) | Event::Connected(_) => {}
            Event::Interval(event) => self.intervals.add(&event),
            Event::Finished(outcome) => {
                let (intervals, left_out) = self.intervals.take(&outcome.info.session);
                let entry = Entry::new(Record::Finished(outcome), unix_time());
                self.hand_over(entry.with_intervals(intervals, left_out));
            }
            Event::Failed(event) => {
                if let Some(session) = &event.session {
                    self.intervals.take(session);
                }
                self.hand_over(Entry::new(Record::Failed(event), unix_time()));
            }
        }
    }

    fn hand_over(&self, mut entry: Entry) {
        let mut weight = entry.weight();
        if self.weight.load(Relaxed) + weight > MOST_WEIGHT {
            (entry, weight) = (entry.without_intervals(), 0);
        }
        self.weight.fetch_add(weight, Relaxed);
        self.stats.change(|counts| counts.queue += 1);
        if self.queue.try_send(Queued { entry, weight }).is_err() {
            self.weight.fetch_sub(weight, Relaxed);
            self.stats.change(|counts| {
                counts.queue -= 1;
                counts.dropped += 1;
            });
        }
    }

    fn missed(&self, missed: u64) {
        warn!(missed, "events are missing from the history");
        self.stats.change(|counts| counts.lagged += missed);
    }
}

/// How many tests may wait for their turn.
const QUEUE: usize = 1024;
/// Of their intervals, in counts of a flow by one end: about 100 MB.
const MOST_WEIGHT: usize = 200_000;
/// 256 MiB.
const MOST_SPOOLED: u64 = 256 << 20;
