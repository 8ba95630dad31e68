//! The thread that carries packets from end to end.

use std::{
    io,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    LabError, Links,
    frame::Frame,
    pool::Pool,
    remedy::{Failure, Step, at},
    sys::{
        device::Device,
        wait::{Bell, Waiting, be_punctual, processor_time},
    },
    truth::Truth,
    way::{self, Way},
};

/// The link between two devices, at work on a thread of its own.
///
/// A single thread serves both directions: on a machine with few processors that is faster than two,
/// and later by less.
#[derive(Debug)]
pub(super) struct Shuttle {
    orders: Option<Sender<Order>>,
    bell: Arc<Bell>,
    problem: Arc<OnceLock<String>>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Set(Box<Links>, Sender<()>),
    Tell(Sender<Truth>),
}

impl Shuttle {
    /// Starts to carry packets between `near` and `far`.
    pub(super) fn start(near: Device, far: Device, links: Links) -> Result<Self, Failure> {
        let (orders, ordered) = mpsc::channel();
        let bell = Arc::new(Bell::new().map_err(at(Step::Thread))?);
        let problem = Arc::new(OnceLock::new());
        let (heard, noted) = (Arc::clone(&bell), Arc::clone(&problem));
        let work = move || {
            let ends = Ends { near, far, ordered, bell: heard };
            if let Err(error) = Carrying::new(ends, links).run() {
                let _ = noted.set(error.to_string());
            }
        };
        let handle = thread::Builder::new().name("lab-link".to_owned()).spawn(work);
        let handle = Some(handle.map_err(at(Step::Thread))?);
        Ok(Self { orders: Some(orders), bell, problem, handle })
    }

    pub(super) fn set(&self, links: Links) -> Result<(), LabError> {
        self.order(|done| Order::Set(Box::new(links), done))
    }

    pub(super) fn truth(&self) -> Result<Truth, LabError> {
        self.order(Order::Tell)
    }

    fn order<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Result<T, LabError> {
        let (answer, answered) = mpsc::channel();
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order(answer)).is_ok());
        self.bell.ring();
        let answered = if sent { answered.recv().ok() } else { None };
        answered.ok_or_else(|| {
            let problem = self.problem.get().cloned();
            let problem = problem.unwrap_or_else(|| "its thread has panicked".to_owned());
            LabError::Ended { problem }
        })
    }
}

impl Drop for Shuttle {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.bell.ring();
        // One that panicked has said so.
        let _ = self.handle.take().map(JoinHandle::join);
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Ends {
    near: Device,
    far: Device,
    ordered: Receiver<Order>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Carrying {
    ends: Ends,
    to_far: Way,
    to_near: Way,
    pool: Pool,
    spare: Rc<Frame>,
    /// What the link's times are counted from.
    epoch: Instant,
    /// When packets were handed on last.
    handed_on: Duration,
    processor_time_before: Option<Duration>,
}

impl Carrying {
    fn new(ends: Ends, links: Links) -> Self {
        let mut pool = Pool::default();
        Self {
            to_far: Way::new(links.to_far, &ends.near),
            to_near: Way::new(links.to_near, &ends.far),
            spare: pool.largest(),
            pool,
            ends,
            epoch: Instant::now(),
            handed_on: Duration::ZERO,
            processor_time_before: processor_time(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        be_punctual();
        let Ends { near, far, bell, .. } = &self.ends;
        let descriptors = [near.descriptor(), far.descriptor(), bell.descriptor()];
        let mut waiting = Waiting::new(descriptors);
        loop {
            let is_busy = self.carry(waiting.is_ready(0), waiting.is_ready(1))?;
            let limit = if is_busy { Some(Duration::ZERO) } else { self.rest() };
            waiting.wait(limit)?;
            if waiting.is_ready(2) && !self.obey()? {
                return Ok(());
            }
        }
    }

    /// Takes in what can be read, and hands on what is due; returns whether there may be more.
    fn carry(&mut self, from_near: bool, from_far: bool) -> io::Result<bool> {
        let Self { ends, to_far, to_near, pool, spare, epoch, .. } = self;
        let (mut is_busy, mut has_handed_on) = (false, false);
        if from_near {
            let take = |frame, pool: &mut Pool| to_far.push(epoch.elapsed(), frame, pool);
            is_busy |= way::read(&ends.near, spare, pool, take)?;
        }
        has_handed_on |= to_far.pop(epoch.elapsed(), &ends.far, pool);
        if from_far {
            let take = |frame, pool: &mut Pool| to_near.push(epoch.elapsed(), frame, pool);
            is_busy |= way::read(&ends.far, spare, pool, take)?;
        }
        has_handed_on |= to_near.pop(epoch.elapsed(), &ends.near, pool);
        if has_handed_on {
            self.handed_on = epoch.elapsed();
        }
        Ok(is_busy)
    }

    /// Returns how long there is nothing to do, unless something comes.
    fn rest(&self) -> Option<Duration> {
        let next = [self.to_far.deadline(), self.to_near.deadline()].into_iter().flatten().min();
        // Packets that follow each other closely go together, as a network card lets them.
        let next = next.map(|next| next.max(self.handed_on + TOGETHER));
        next.map(|next| next.saturating_sub(self.epoch.elapsed()))
    }

    /// Does what has been asked for; returns whether to go on.
    fn obey(&mut self) -> io::Result<bool> {
        self.ends.bell.hush();
        loop {
            match self.ends.ordered.try_recv() {
                Ok(Order::Set(links, done)) => {
                    self.set(*links)?;
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Ok(Order::Tell(answer)) => drop(answer.send(self.truth())),
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    fn set(&mut self, links: Links) -> io::Result<()> {
        let Self { ends, pool, spare, .. } = self;
        for device in [&ends.near, &ends.far] {
            // What waits in a device is on its way, too.
            while way::read(device, spare, pool, |frame, pool| pool.give_back(frame))? {}
        }
        self.epoch = Instant::now();
        self.handed_on = Duration::ZERO;
        self.to_far = Way::new(links.to_far, &self.ends.near);
        self.to_near = Way::new(links.to_near, &self.ends.far);
        self.processor_time_before = processor_time();
        Ok(())
    }

    fn truth(&self) -> Truth {
        let cpu = processor_time().zip(self.processor_time_before);
        Truth {
            lasted: self.epoch.elapsed(),
            cpu: cpu.map(|(now, before)| now.saturating_sub(before)),
            to_far: self.to_far.truth(&self.ends.near),
            to_near: self.to_near.truth(&self.ends.far),
        }
    }
}

/// How long after packets were handed on the next are, at the earliest, unless something is read
/// meanwhile. One packet by itself is never kept.
const TOGETHER: Duration = Duration::from_micros(40);
