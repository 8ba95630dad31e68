//! Carrying packets from device to device.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    Links,
    carrier::{Order, Orders},
    frame::Frame,
    pool::Pool,
    sys::{
        device::Device,
        wait::{Waiting, processor_time},
    },
    truth::Truth,
    way::{self, Way},
};

/// Carries packets between `near` and `far` until it is told to end.
///
/// A single thread serves both directions: on a machine with few processors that is faster than two,
/// and later by less.
pub(super) fn carry(near: Device, far: Device, links: Links, orders: Orders) -> io::Result<()> {
    let mut pool = Pool::default();
    let shuttle = Shuttle {
        to_far: Way::new(links.to_far, &near),
        to_near: Way::new(links.to_near, &far),
        spare: pool.largest(),
        pool,
        near,
        far,
        orders,
        epoch: Instant::now(),
        handed_on: Duration::ZERO,
        processor_time_before: processor_time(),
    };
    shuttle.run()
}

#[derive(Debug)]
struct Shuttle {
    near: Device,
    far: Device,
    orders: Orders,
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

impl Shuttle {
    fn run(mut self) -> io::Result<()> {
        let bell = self.orders.bell.descriptor();
        let mut waiting = Waiting::new([self.near.descriptor(), self.far.descriptor(), bell]);
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
        let Self { near, far, to_far, to_near, pool, spare, epoch, .. } = self;
        let (mut is_busy, mut has_handed_on) = (false, false);
        if from_near {
            let take = |frame, pool: &mut Pool| to_far.push(epoch.elapsed(), frame, pool);
            is_busy |= way::read(near, spare, pool, take)?;
        }
        has_handed_on |= to_far.pop(epoch.elapsed(), far, pool);
        if from_far {
            let take = |frame, pool: &mut Pool| to_near.push(epoch.elapsed(), frame, pool);
            is_busy |= way::read(far, spare, pool, take)?;
        }
        has_handed_on |= to_near.pop(epoch.elapsed(), near, pool);
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
        self.orders.bell.hush();
        while let Ok(order) = self.orders.next() {
            match order {
                None => return Ok(true),
                Some(Order::Set(links, done)) => {
                    self.set(*links)?;
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Some(Order::Tell(answer)) => drop(answer.send(self.truth())),
            }
        }
        Ok(false)
    }

    fn set(&mut self, links: Links) -> io::Result<()> {
        let Self { near, far, pool, spare, .. } = self;
        for device in [&*near, &*far] {
            // What waits in a device is on its way, too; not what is sent meanwhile.
            for _ in 0..MOST_WAITING {
                if !way::read(device, spare, pool, |frame, pool| pool.give_back(frame))? {
                    break;
                }
            }
        }
        self.epoch = Instant::now();
        self.handed_on = Duration::ZERO;
        self.to_far = Way::new(links.to_far, near);
        self.to_near = Way::new(links.to_near, far);
        self.processor_time_before = processor_time();
        Ok(())
    }

    fn truth(&self) -> Truth {
        let cpu = processor_time().zip(self.processor_time_before);
        Truth {
            lasted: self.epoch.elapsed(),
            cpu: cpu.map(|(now, before)| now.saturating_sub(before)),
            to_far: self.to_far.truth(&self.near),
            to_near: self.to_near.truth(&self.far),
        }
    }
}

/// How long after packets were handed on the next are, at the earliest, unless something is read
/// meanwhile. One packet by itself is never kept.
const TOGETHER: Duration = Duration::from_micros(40);

/// Reads that empty the queue of a device.
const MOST_WAITING: usize = 100;
