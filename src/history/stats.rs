use serde::Serialize;
use tokio::sync::watch;

/// What a [`Writer`](super::Writer) has counted so far, for whoever wants to know.
#[derive(Debug)]
pub struct Stats(watch::Sender<Counts>);

/// What a writer has counted since it began, and what waits now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Tests that were written to the database.
    pub written: u64,
    /// Attempts to write that failed.
    pub errors: u64,
    /// Tests that were put into the spool file, because the database did not take them.
    pub spooled: u64,
    /// Tests that are lost: there was no room for them anywhere.
    pub dropped: u64,
    /// Events that came faster than they were taken, and are lost.
    pub lagged: u64,
    /// Tests that wait for their turn now.
    pub queue: u64,
    /// Tests that wait in memory now, because neither the database nor the spool file took them.
    pub in_memory: u64,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Counts::default()))
    }

    /// Returns what was counted until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.0.borrow()
    }

    /// Waits until the counts are as they are wanted, and returns them.
    pub async fn wait_for(&self, wanted: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.0.subscribe();
        // It fails when nobody counts any more, but this counts itself.
        counts.wait_for(wanted).await.map_or_else(|_| self.counts(), |counts| *counts)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Counts)) {
        self.0.send_modify(change);
    }
}
