//! quinn's runtime on threads of our own.

use std::{
    future::Future,
    io,
    net::UdpSocket,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use polyperf_socket::Worker;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};

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

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).run(future);
    }

    fn wrap_udp_socket(&self, _: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "sockets are made elsewhere"))
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}
