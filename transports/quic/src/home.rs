//! The threads that carry connections.

use std::{
    future::Future,
    io,
    net::UdpSocket,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use polyperf_transport::Home;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::{
    runtime::{Builder, EnterGuard, Handle},
    sync::oneshot,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread that carries connections, and whoever drives their streams. It ends with the last of
/// them.
#[derive(Debug)]
pub(crate) struct Worker {
    handle: Handle,
    /// Streams that are being driven here.
    busy: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

impl Worker {
    /// Starts a thread of this name.
    pub(crate) fn start(name: &str) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nothing is ever sent: it ends when the worker is dropped.
            let _ = runtime.block_on(stopped);
            // What still waits for a system call elsewhere must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Arc::new(Self { handle, busy: Arc::default(), _stop: stop }))
    }

    /// Runs `work` here, and keeps the thread for as long as it takes.
    pub(crate) fn run(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let worker = Arc::clone(self);
        self.handle.spawn(async move {
            work.await;
            drop(worker);
        });
    }

    /// Makes what is registered with a runtime from now on belong to this thread's.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    fn busy(&self) -> usize {
        self.busy.load(Relaxed)
    }
}

impl Home for Worker {
    fn spawn(&self, work: Task) {
        self.busy.fetch_add(1, Relaxed);
        let busy = Busy(Arc::clone(&self.busy));
        self.handle.spawn(async move {
            work.await;
            drop(busy);
        });
    }
}

/// Counts a stream that is being driven, until it is dropped.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Workers that share a listener's connections.
#[derive(Debug)]
pub(crate) struct Crew {
    workers: Mutex<Vec<Arc<Worker>>>,
    most: usize,
}

impl Crew {
    /// Returns a crew of one, which grows to `most` as it is needed.
    pub(crate) fn new(first: Arc<Worker>, most: usize) -> Self {
        Self { workers: Mutex::new(vec![first]), most }
    }

    /// Returns who carries the next connection: the first of those with the least to do. One that
    /// has nothing to do shares the endpoint's thread, so that a lone test has all on one thread.
    pub(crate) fn next(&self) -> Option<Arc<Worker>> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let idlest = workers.iter().min_by_key(|worker| worker.busy()).cloned();
        let all_busy = idlest.as_ref().is_none_or(|worker| worker.busy() > 0);
        if all_busy
            && workers.len() < self.most
            && let Ok(worker) = Worker::start(&format!("quic-{}", workers.len()))
        {
            workers.push(Arc::clone(&worker));
            return Some(worker);
        }
        idlest
    }
}

/// quinn's runtime: what it spawns goes to the worker that was chosen last.
#[derive(Debug)]
pub(crate) struct Carrier {
    worker: Mutex<Arc<Worker>>,
}

impl Carrier {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        Self { worker: Mutex::new(worker) }
    }

    /// Has whatever is spawned from now on run there.
    pub(crate) fn choose(&self, worker: Arc<Worker>) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = worker;
    }
}

impl Runtime for Carrier {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Task) {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).run(future);
    }

    fn wrap_udp_socket(&self, _: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "sockets are made elsewhere"))
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}
