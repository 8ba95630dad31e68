use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// How far a test has got, as its flows need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Send and receive.
    Run,
    /// Its senders are done: receive what is on its way, until the expected has come.
    Drain,
    /// What has not arrived is not waited for.
    Close,
    /// Stop at once.
    Halt,
}

/// Tells every flow of a test how far it has got. Phases only ever advance.
#[derive(Debug)]
pub(crate) struct Signals {
    phase: AtomicU8,
    /// Whether all flows of the load have ended at this end.
    load_over: AtomicBool,
    bells: Mutex<Vec<Arc<Slot>>>,
}

type Slot = Mutex<Option<Waker>>;

/// What wakes one flow at each advance while it waits for something else.
#[derive(Debug)]
pub(crate) struct Bell {
    slot: Arc<Slot>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Run as u8),
            load_over: AtomicBool::new(false),
            bells: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.ring();
    }

    /// Tells who probes the load that it is over.
    pub(crate) fn end_load(&self) {
        if !self.load_over.swap(true, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Returns whether the load is over, for who probes it.
    pub(crate) fn load_is_over(&self) -> bool {
        self.load_over.load(Ordering::Relaxed)
    }

    fn ring(&self) {
        for slot in self.bells.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(waker) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                waker.wake();
            }
        }
    }

    /// Returns whether the test has got as far as `phase`: cheap enough to ask for every batch.
    pub(crate) fn reached(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) >= phase as u8
    }

    pub(crate) fn bell(&self) -> Bell {
        let slot = Arc::new(Slot::default());
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&slot));
        Bell { slot }
    }
}

impl Bell {
    /// Polls `operation` until it is ready; `None` if an advance makes it `over` first.
    pub(crate) async fn until<T>(
        &self,
        over: impl Fn() -> bool,
        mut operation: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(value) = operation(cx) {
                return Poll::Ready(Some(value));
            }
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            // Asked after listening: an advance in between would be missed otherwise.
            if over() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}
