use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{Options, Queued};
use crate::{
    history::{
        Entry, Error, Kept, Retention, Stats, Store,
        document::Parts,
        spool::{Replay, Spool},
    },
    trial::unix_time,
};

/// Writes tests, and looks after those that could not be written.
pub(super) struct Keeper {
    options: Options,
    spool: Spool,
    /// `None` until the database can be reached.
    store: Option<Store>,
    stats: Arc<Stats>,
    /// Whether all is written: nothing waits, and the last attempt succeeded.
    well: bool,
    /// What neither the database nor the spool takes, without intervals.
    backlog: VecDeque<Entry>,
    /// Whether there may be something in the spool.
    spooled: bool,
    replay: Option<Replay>,
    pause: Duration,
    next_try: Instant,
    next_pruning: Instant,
    /// Whether something went since room was last given back.
    pruned: bool,
}

impl Keeper {
    pub(super) fn new(options: Options, store: Option<Store>, stats: Arc<Stats>) -> Self {
        let spool = Spool::new(options.spool.clone(), options.most_spooled);
        let now = Instant::now();
        Self {
            well: store.is_some(),
            spooled: !spool.is_empty(),
            spool,
            store,
            stats,
            backlog: VecDeque::new(),
            replay: None,
            pause: FIRST_PAUSE,
            next_try: now,
            next_pruning: now,
            pruned: false,
            options,
        }
    }

    /// Writes until the queue ends, and then once more what waits.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Queued>,
        weight: Arc<AtomicUsize>,
        again: Arc<Notify>,
    ) {
        loop {
            let (next_try, next_pruning) = (self.next_try, self.next_pruning);
            tokio::select! {
                queued = queue.recv() => {
                    let Some(Queued { entry, weight: one }) = queued else { break };
                    self.keep(entry).await;
                    weight.fetch_sub(one, Relaxed);
                    self.stats.change(|counts| counts.queue -= 1);
                }
                () = sleep_until(next_try), if self.waits() => self.catch_up().await,
                () = again.notified(), if self.waits() => self.catch_up().await,
                () = sleep_until(next_pruning), if self.prunes() => self.prune().await,
            }
        }
        self.end().await;
    }

    async fn keep(&mut self, entry: Entry) {
        // What came before is tried first, in its own time.
        if self.well || !self.waits() {
            match self.write(&entry).await {
                Ok(()) => return self.well = true,
                Err(error) if error.is_lasting() => return self.refused(&error),
                Err(error) => self.failed(&error),
            }
        }
        self.set_aside(entry).await;
    }

    /// Returns whether something waits to be written.
    fn waits(&self) -> bool {
        self.spooled || !self.backlog.is_empty()
    }

    fn prunes(&self) -> bool {
        self.options.retention != Retention::default()
    }

    /// Writes a test to the database.
    async fn write(&mut self, entry: &Entry) -> Result<(), Error> {
        // A long test takes its time to become text, which is not this thread's.
        let parts = spawn_blocking({
            let entry = entry.clone();
            move || Parts::new(&entry)
        });
        let parts = parts.await.map_err(|error| Error::Unwritable(error.to_string()))??;
        let kept = in_time(&self.options, async {
            Self::opened(&mut self.store, &self.options).await?.keep_parts(parts).await
        });
        if let Kept::New(_) = kept.await? {
            self.stats.change(|counts| counts.written += 1);
        }
        Ok(())
    }

    async fn opened<'a>(
        store: &'a mut Option<Store>,
        options: &Options,
    ) -> Result<&'a Store, Error> {
        match store {
            Some(store) => Ok(store),
            None => Ok(store.insert(Store::open(&options.place).await?)),
        }
    }

    /// Puts a test where it waits.
    async fn set_aside(&mut self, entry: Entry) {
        match self.append(entry.clone()).await {
            Ok(()) => {
                self.spooled = true;
                self.stats.change(|counts| counts.spooled += 1);
            }
            Err(error) => {
                if self.backlog.is_empty() {
                    let spool = self.spool.path().display();
                    warn!("cannot write to {spool}: {error}; tests wait in memory");
                }
                self.backlog.push_back(entry.without_intervals());
                if self.backlog.len() > BACKLOG {
                    self.backlog.pop_front();
                    self.stats.change(|counts| counts.dropped += 1);
                }
                self.tell_backlog();
            }
        }
    }

    async fn append(&self, entry: Entry) -> io::Result<()> {
        let spool = self.spool.clone();
        spawn_blocking(move || spool.append(&entry)).await.map_err(io::Error::other)?
    }

    /// Writes some of what waits, and sees when to go on.
    async fn catch_up(&mut self) {
        match self.some_that_waits().await {
            Ok(true) => self.next_try = Instant::now(),
            Ok(false) if !self.well => {
                (self.well, self.pause) = (true, FIRST_PAUSE);
                info!(place = %self.options.place, "the history is written again");
            }
            Ok(false) => {}
            Err(error) => {
                self.failed(&error);
                self.next_try = Instant::now() + self.pause;
                self.pause = (2 * self.pause).min(LONGEST_PAUSE);
            }
        }
    }

    /// Writes some of what waits; returns whether there may be more.
    async fn some_that_waits(&mut self) -> Result<bool, Error> {
        if let Some(entry) = self.backlog.front().cloned() {
            match self.write(&entry).await {
                Err(error) if !error.is_lasting() => return Err(error),
                Err(error) => self.refused(&error),
                Ok(()) => {}
            }
            self.backlog.pop_front();
            self.tell_backlog();
            return Ok(self.waits());
        }
        match self.some_of_spool().await {
            // What cannot be read will not become better by itself.
            Err(Error::Write(error)) => {
                let spool = self.spool.path().display();
                warn!("cannot read {spool}: {error}; what is in it stays there until a restart");
                (self.spooled, self.replay) = (false, None);
                Ok(false)
            }
            result => result,
        }
    }

    async fn some_of_spool(&mut self) -> Result<bool, Error> {
        let mut replay = match self.replay.take() {
            Some(replay) => replay,
            None => match self.spool.replay()? {
                Some(replay) => replay,
                None => {
                    self.spooled = false;
                    return Ok(false);
                }
            },
        };
        let (back, chunk) = spawn_blocking(move || {
            let chunk = replay.next();
            (replay, chunk)
        })
        .await
        .map_err(io::Error::other)?;
        replay = back;
        let Some(chunk) = chunk? else {
            self.spooled = false;
            return Ok(false);
        };
        self.stats.change(|counts| counts.dropped += chunk.broken);
        for entry in &chunk.entries {
            match self.write(entry).await {
                Err(error) if error.is_lasting() => self.refused(&error),
                // From the beginning of the file, next time: what is there already is known.
                result => result?,
            }
        }
        replay.wrote(&chunk);
        self.replay = Some(replay);
        Ok(true)
    }

    /// Lets go of some that are too old or too much, and sees when to go on.
    async fn prune(&mut self) {
        let retention = self.options.retention;
        let pruned = in_time(&self.options, async {
            let store = Self::opened(&mut self.store, &self.options).await?;
            let gone = store.prune_some(retention, unix_time()).await?;
            if gone == 0 && self.pruned {
                store.pool.shrink().await.map_err(Error::database("shrink", &store.place))?;
            }
            Ok(gone)
        });
        let pruned = pruned.await;
        self.pruned = matches!(pruned, Ok(1..));
        self.next_pruning = Instant::now();
        if !self.pruned {
            self.next_pruning += PRUNE_EVERY;
        }
        if let Err(error) = pruned {
            self.stats.change(|counts| counts.errors += 1);
            if self.well {
                warn!("{error}; what is too old stays for now");
            }
        }
    }

    /// Takes note that the database does not take what it should.
    fn failed(&mut self, error: &Error) {
        self.stats.change(|counts| counts.errors += 1);
        if self.well {
            self.well = false;
            self.next_try = Instant::now() + self.pause;
            let spool = self.spool.path().display();
            warn!(%spool, "{error}; tests go on, and wait to be written later");
        }
    }

    /// Takes note of a test that no attempt will bring into the database.
    fn refused(&mut self, error: &Error) {
        warn!("a test is missing from the history: {error}");
        self.stats.change(|counts| {
            counts.errors += 1;
            counts.dropped += 1;
        });
    }

    fn tell_backlog(&self) {
        let waiting = u64::try_from(self.backlog.len()).unwrap_or(u64::MAX);
        self.stats.change(|counts| counts.in_memory = waiting);
    }

    /// Tries once more what waits, and leaves the rest in the spool.
    async fn end(mut self) {
        let last = async {
            while self.waits() {
                match self.some_that_waits().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return self.failed(&error),
                }
            }
        };
        let _ = timeout(LIMIT, last).await;
        let mut lost = 0;
        while let Some(entry) = self.backlog.pop_front() {
            let spooled = self.append(entry).await.is_ok();
            lost += u64::from(!spooled);
            self.stats.change(|counts| {
                counts.spooled += u64::from(spooled);
                counts.dropped += u64::from(!spooled);
            });
        }
        self.tell_backlog();
        if lost > 0 {
            warn!(lost, "tests are missing from the history: nothing took them");
        }
        if let Some(store) = &self.store {
            let _ = timeout(LIMIT, store.close()).await;
        }
    }
}

/// Gives the database a limited time.
async fn in_time<T>(
    options: &Options,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::Database {
            doing: "write to",
            place: options.place.clone(),
            problem: "it has not answered in time".to_owned(),
            lasting: false,
        })
    })
}

/// How long the database may take for one test.
const LIMIT: Duration = Duration::from_secs(8);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many tests may wait in memory.
const BACKLOG: usize = 256;
