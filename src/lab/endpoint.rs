//! One end of the link: a thread that lives in a network of its own.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use polyperf_transport::{HostSockets, Processors, Sockets};
use socket2::Socket;

use super::{
    place::{Place, Settled},
    remedy::{Failure, Step, at},
    sys::init::end_with_parent,
};

/// One end of an emulated link.
///
/// Sockets and processes that are made through it are in this end's network, and stay there,
/// whichever thread uses them.
#[derive(Debug)]
pub struct Endpoint {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    sockets: Arc<dyn Sockets>,
    thread: Arc<Thread>,
    ends_processes: bool,
}

impl Endpoint {
    /// Starts the thread, has it settle at its place, and returns both with what it found there.
    pub(super) fn settle(place: Place) -> Result<(Self, Settled), Failure> {
        let (v4, v6, ends_processes) = (place.v4, place.v6, place.processes.is_some());
        let (thread, settled) = Thread::start(place)?;
        let thread = Arc::new(thread);
        let sockets = Arc::new(Inside { thread: Arc::clone(&thread), sockets: HostSockets::new() });
        Ok((Self { v4, v6, sockets, thread, ends_processes }, settled?))
    }

    /// Takes its sockets from elsewhere.
    pub(super) fn with_sockets(self, sockets: Arc<dyn Sockets>) -> Self {
        Self { sockets, ..self }
    }

    /// Returns where this end's sockets come from.
    ///
    /// Others reach what listens there at this end's address, [`v4`](Self::v4) or [`v6`](Self::v6),
    /// and at the socket's own port: in the tier of the relay the socket's address is another one.
    #[must_use]
    pub fn sockets(&self) -> Arc<dyn Sockets> {
        Arc::clone(&self.sockets)
    }

    /// Returns this end's address.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        self.v4
    }

    /// Returns this end's address of IPv6.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        self.v6
    }

    /// Starts a program in this end's network. It ends with this process at the latest.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn spawn(&self, mut command: Command) -> io::Result<Child> {
        if !self.ends_processes {
            end_with_parent(&mut command);
        }
        self.run(move || command.spawn())?
    }

    /// Does something in this end's network, on its thread, and waits for it. It must not wait in
    /// turn: nothing else happens at this end meanwhile.
    ///
    /// # Errors
    ///
    /// If the thread has ended, as it does when something that it did panics.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.thread.run(work)
    }
}

/// Sockets of an end's network.
#[derive(Debug)]
struct Inside {
    thread: Arc<Thread>,
    sockets: HostSockets,
}

impl Inside {
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&HostSockets) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let sockets = self.sockets.clone();
        self.thread.run(move || work(&sockets))?
    }
}

impl Sockets for Inside {
    fn tcp_listener(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        self.run(move |sockets| sockets.tcp_listener(addr))
    }

    fn tcp_stream_socket(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        multipath: bool,
    ) -> io::Result<Socket> {
        self.run(move |sockets| sockets.tcp_stream_socket(peer, local, multipath))
    }

    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.run(move |sockets| sockets.udp(addr))
    }

    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.run(move |sockets| sockets.udp_beside(addr))
    }

    fn processors(&self) -> Option<&Processors> {
        None
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does what it is asked for, one thing after the other.
struct Thread {
    jobs: Option<Sender<Job>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(place: Place) -> Result<(Self, Result<Settled, Failure>), Failure> {
        let (jobs, work) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let name = format!("lab-{}", place.name);
        let live = move || {
            let settled = place.settle();
            let has_settled = settled.is_ok();
            if answer.send(settled).is_ok() && has_settled {
                do_all(&work);
            }
        };
        let handle = thread::Builder::new().name(name).spawn(live).map_err(at(Step::Thread))?;
        let thread = Self { jobs: Some(jobs), handle: Some(handle) };
        let settled = answered.recv().map_err(|_| at(Step::Thread)(gone()))?;
        Ok((thread, settled))
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (answer, answered) = mpsc::channel();
        let job = Box::new(move || drop(answer.send(work())));
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // One that panicked has said so.
        let _ = self.handle.take().map(JoinHandle::join);
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").finish_non_exhaustive()
    }
}

fn do_all(work: &Receiver<Job>) {
    for job in work {
        job();
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of this end of the lab has ended")
}
