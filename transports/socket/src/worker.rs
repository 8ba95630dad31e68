//! The threads that carry connections, for protocols that run in this process.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::ThreadId,
};

use polyperf_transport::{Home, Sockets};
use tokio::{
    runtime::{Builder, EnterGuard, Handle},
    sync::oneshot,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread that carries connections, and whoever drives their streams. It ends with the last of
/// them.
#[derive(Debug)]
pub struct Worker {
    handle: Handle,
    thread: ThreadId,
    /// Streams that are being driven here.
    busy: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

impl Worker {
    /// Starts a thread of this name on the processors that `sockets` names.
    ///
    /// # Errors
    ///
    /// What the system says, if there can be no more threads.
    pub fn start(name: &str, sockets: &dyn Sockets) -> io::Result<Arc<Self>> {
        let processors = sockets.processors().cloned();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Where it is not, whoever is driven here finds it out, and says so.
            let _ = processors.map(|processors| processors.keep());
            // Nothing is ever sent: it ends when the worker is dropped.
            let _ = runtime.block_on(stopped);
            // What still waits for a system call elsewhere must not hold up the end.
            runtime.shutdown_background();
        })?;
        let thread = thread.thread().id();
        Ok(Arc::new(Self { handle, thread, busy: Arc::default(), _stop: stop }))
    }

    /// Runs `work` here, and keeps the thread for as long as it takes.
    pub fn run(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let worker = Arc::clone(self);
        self.handle.spawn(async move {
            work.await;
            drop(worker);
        });
    }

    /// Returns whether the calling thread is this one.
    #[must_use]
    pub fn is_here(&self) -> bool {
        std::thread::current().id() == self.thread
    }

    /// Makes what is registered with a runtime from now on belong to this thread's.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Counts a stream that is carried here for as long as the seat is kept, so that a crew gives the
    /// next one to somebody else.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.busy.fetch_add(1, Relaxed);
        Seat(Arc::clone(&self.busy))
    }

    fn busy(&self) -> usize {
        self.busy.load(Relaxed)
    }
}

impl Home for Worker {
    fn spawn(&self, work: Task) {
        let seat = self.seat();
        self.handle.spawn(async move {
            work.await;
            drop(seat);
        });
    }
}

/// A stream's place at a worker, which is free when this is dropped.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Workers that share a listener's connections.
#[derive(Debug)]
pub struct Crew {
    name: &'static str,
    workers: Mutex<Vec<Arc<Worker>>>,
    sockets: Arc<dyn Sockets>,
    most: usize,
}

impl Crew {
    /// Returns a crew of nobody, which grows as it is needed to as many as there are processors for
    /// `sockets`. Its threads have this name, and numbers.
    #[must_use]
    pub fn new(name: &'static str, sockets: Arc<dyn Sockets>) -> Self {
        Self { name, workers: Mutex::default(), most: most(&*sockets), sockets }
    }

    /// Returns a crew that has its `first` worker already.
    #[must_use]
    pub fn of(first: Arc<Worker>, name: &'static str, sockets: Arc<dyn Sockets>) -> Self {
        Self { workers: Mutex::new(vec![first]), ..Self::new(name, sockets) }
    }

    /// Returns who carries the next connection: the first of those with the least to do, so that as
    /// long as there is one thread without anything to do, there is no other.
    ///
    /// # Errors
    ///
    /// What the system says, if there is nobody, and there can be no thread.
    pub fn next(&self) -> io::Result<Arc<Worker>> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let idlest = workers.iter().min_by_key(|worker| worker.busy()).cloned();
        let all_busy = idlest.as_ref().is_none_or(|worker| worker.busy() > 0);
        if !all_busy || workers.len() >= self.most.max(1) {
            return idlest.ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        let name = format!("{}-{}", self.name, workers.len());
        match (Worker::start(&name, &*self.sockets), idlest) {
            (Ok(worker), _) => {
                workers.push(Arc::clone(&worker));
                Ok(worker)
            }
            // Who is there has to do.
            (Err(_), Some(worker)) => Ok(worker),
            (Err(error), None) => Err(error),
        }
    }
}

/// Returns how many threads have something to do at once.
fn most(sockets: &dyn Sockets) -> usize {
    match sockets.processors() {
        Some(processors) => processors.count().get(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

#[cfg(test)]
mod tests {
    use polyperf_transport::{HostSockets, Processors};

    use super::*;

    #[test]
    fn streams_are_dealt_out_over_no_more_workers_than_there_may_be() {
        let two = Processors::new([0, 1]);
        let crew = Crew::new("test", Arc::new(HostSockets::new().on_processors(two)));
        let first = crew.next().unwrap();
        assert!(Arc::ptr_eq(&first, &crew.next().unwrap()), "it has nothing to do yet");
        let _first_seat = first.seat();
        let second = crew.next().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        let second_seat = second.seat();
        let _another_seat = crew.next().unwrap().seat();
        assert!(Arc::ptr_eq(&second, &crew.next().unwrap()), "the first has two now");
        drop(second_seat);
        assert!(Arc::ptr_eq(&second, &crew.next().unwrap()));
        assert!(!first.is_here() && !second.is_here());
    }
}
