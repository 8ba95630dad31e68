//! CoDel, as RFC 8289 has it: keeps a queue short by how long packets have waited in it.

use std::time::Duration;

use super::{
    CoDel, Packet,
    queue::{Queue, Queued},
};

/// The state of RFC 8289, section 5.
#[derive(Debug)]
pub(super) struct Control {
    config: CoDel,
    /// When the wait will have been above the target for an interval; `None` while it is below.
    first_above: Option<Duration>,
    /// Whether packets are being dropped.
    dropping: bool,
    /// When to drop next, while dropping.
    drop_next: Duration,
    /// Packets dropped since dropping began.
    count: u32,
    /// What `count` was when dropping began.
    last_count: u32,
}

/// A packet that is to be sent.
#[derive(Debug)]
pub(super) struct Chosen<P> {
    pub(super) queued: Queued<P>,
    pub(super) marked: bool,
}

impl Control {
    pub(super) const fn new(config: CoDel) -> Self {
        Self {
            config,
            first_above: None,
            dropping: false,
            drop_next: Duration::ZERO,
            count: 0,
            last_count: 0,
        }
    }

    /// Takes from the queue what is to be sent at `now`, and gives to `lose` what is not.
    pub(super) fn take<P: Packet>(
        &mut self,
        now: Duration,
        queue: &mut Queue<P>,
        mut lose: impl FnMut(P),
    ) -> Option<Chosen<P>> {
        let (next, above) = self.look(now, queue)?;
        if !self.dropping {
            if !above {
                return Some(Chosen { queued: next, marked: false });
            }
            let chosen = self.tell(next);
            self.begin(now);
            return match chosen {
                Ok(marked) => Some(marked),
                Err(packet) => {
                    lose(packet);
                    let (queued, _) = self.look(now, queue)?;
                    Some(Chosen { queued, marked: false })
                }
            };
        }
        self.dropping = above;
        self.go_on(now, next, queue, lose)
    }

    /// Drops packets until the next drop is not due yet, and returns the one after them.
    fn go_on<P: Packet>(
        &mut self,
        now: Duration,
        mut queued: Queued<P>,
        queue: &mut Queue<P>,
        mut lose: impl FnMut(P),
    ) -> Option<Chosen<P>> {
        while self.dropping && now >= self.drop_next {
            self.count = self.count.saturating_add(1);
            match self.tell(queued) {
                // One that has been marked is enough for now, and is sent.
                Ok(marked) => {
                    self.drop_next = self.after(self.drop_next);
                    return Some(marked);
                }
                Err(packet) => lose(packet),
            }
            let next = self.look(now, queue);
            self.dropping = next.as_ref().is_some_and(|(_, above)| *above);
            if self.dropping {
                self.drop_next = self.after(self.drop_next);
            }
            queued = next?.0;
        }
        Some(Chosen { queued, marked: false })
    }

    /// Takes the next packet, and tells whether the wait has been above the target for an interval.
    fn look<P>(&mut self, now: Duration, queue: &mut Queue<P>) -> Option<(Queued<P>, bool)> {
        let Some(next) = queue.pop() else {
            self.first_above = None;
            return None;
        };
        let waited = now.saturating_sub(next.since);
        // A queue of a packet cannot be made shorter without the link running dry.
        if waited < self.config.target || queue.bytes() <= queue.largest() {
            self.first_above = None;
            return Some((next, false));
        }
        let first_above =
            *self.first_above.get_or_insert_with(|| now.saturating_add(self.config.interval));
        // Having only just gone above is never long enough, as the interval is more than nothing.
        Some((next, now >= first_above))
    }

    fn begin(&mut self, now: Duration) {
        self.dropping = true;
        // Soon after the last time, the rate that held the queue then is a good one to start with.
        let recent = now.saturating_sub(self.drop_next) < 16 * self.config.interval;
        let delta = self.count.saturating_sub(self.last_count);
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = self.after(now);
    }

    /// Marks a packet, if it may be and takes marks; otherwise returns it, to be dropped.
    fn tell<P: Packet>(&self, mut queued: Queued<P>) -> Result<Chosen<P>, P> {
        if self.config.ecn && queued.packet.mark() {
            Ok(Chosen { queued, marked: true })
        } else {
            Err(queued.packet)
        }
    }

    /// The control law: the more drops, the sooner the next.
    fn after(&self, time: Duration) -> Duration {
        time.saturating_add(self.config.interval.div_f64(f64::from(self.count.max(1)).sqrt()))
    }
}
