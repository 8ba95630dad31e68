//! The thread on which a link works, and what is asked of it.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    thread::{self, JoinHandle},
};

use super::{
    LabError, Links,
    remedy::{Failure, Step, at},
    sys::wait::{Bell, be_punctual},
    truth::Truth,
};

/// A link at work on a thread of its own.
#[derive(Debug)]
pub(super) struct Carrier {
    orders: Option<Sender<Order>>,
    bell: Arc<Bell>,
    problem: Arc<OnceLock<String>>,
    handle: Option<JoinHandle<()>>,
}

/// What is asked of a link.
#[derive(Debug)]
pub(super) enum Order {
    /// To become another one.
    Set(Box<Links>, Sender<()>),
    /// To say what has crossed it.
    Tell(Sender<Truth>),
}

/// Where a link hears what is asked of it.
#[derive(Debug)]
pub(super) struct Orders {
    ordered: Receiver<Order>,
    /// Rings when there is something.
    pub(super) bell: Arc<Bell>,
}

impl Carrier {
    /// Has a link work until it is told to end, or fails.
    pub(super) fn start(
        bell: Arc<Bell>,
        work: impl FnOnce(Orders) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, Failure> {
        let (orders, ordered) = mpsc::channel();
        let problem = Arc::new(OnceLock::new());
        let noted = Arc::clone(&problem);
        let heard = Orders { ordered, bell: Arc::clone(&bell) };
        let work = move || {
            be_punctual();
            if let Err(error) = work(heard) {
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

impl Drop for Carrier {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.bell.ring();
        // One that panicked has said so.
        let _ = self.handle.take().map(JoinHandle::join);
    }
}

impl Orders {
    /// Returns the next order; `Err` if there will never be one again.
    pub(super) fn next(&self) -> Result<Option<Order>, Over> {
        match self.ordered.try_recv() {
            Ok(order) => Ok(Some(order)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Over),
        }
    }
}

/// Nobody will ask for anything any more.
#[derive(Debug)]
pub(super) struct Over;
